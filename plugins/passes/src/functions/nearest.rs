//! `marquetry_nearest(centres, numbers…)`: which centre is nearest to a row, and its squared distance: the
//! kernel of `segmentation/kmeans` and `segmentation/assign` for the rows of one batch.
//!
//! `centres` is a literal: eight bytes for each number, centre after centre.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StructArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use marquetry_kernels::{Matrix, assign};

use super::arguments::{arrays, bytes, floats, of_kernel, wrong};
use super::{LABEL, SQUARED_DISTANCE};

const NAME: &str = "marquetry_nearest";

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Nearest {
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

/// The argument `centres`.
pub(crate) fn centres_argument(centres: &Matrix) -> ScalarValue {
    let numbers = centres.data().iter();
    ScalarValue::Binary(Some(
        numbers.flat_map(|number| number.to_le_bytes()).collect(),
    ))
}

fn fields() -> Fields {
    Fields::from(vec![
        Field::new(LABEL, DataType::UInt32, false),
        Field::new(SQUARED_DISTANCE, DataType::Float64, false),
    ])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Nearest {
    signature: Signature,
}

impl ScalarUDFImpl for Nearest {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let centres = bytes(NAME, call.args.first())?;
        let columns = arrays(call.args.get(1..).unwrap_or_default(), call.number_rows)?;
        let columns = floats(NAME, &columns)?;
        let width = columns.len();
        let numbers = centres.as_chunks().0.iter();
        let numbers: Vec<f64> = numbers.map(|bytes| f64::from_le_bytes(*bytes)).collect();
        if width == 0 || numbers.is_empty() || !numbers.len().is_multiple_of(width) {
            return Err(wrong(NAME, "as many numbers as each centre has"));
        }
        let count = numbers.len() / width;
        let centres = Matrix::new(numbers, count, width).map_err(of_kernel)?;
        let (labels, distances) = if call.number_rows == 0 {
            (Vec::new(), Vec::new())
        } else {
            let columns: Vec<_> = columns.into_iter().map(<[f64]>::to_vec).collect();
            let rows = Matrix::from_columns(&columns, call.number_rows).map_err(of_kernel)?;
            // The engine has its own threads.
            let found = assign(&rows, &centres, 1).map_err(of_kernel)?;
            (found.labels, found.squared_distances)
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(labels)),
            Arc::new(Float64Array::from(distances)),
        ];
        let places = StructArray::try_new(fields(), columns, None)?;
        Ok(ColumnarValue::Array(Arc::new(places)))
    }
}
