//! `marquetry_sums(scales, place, numbers…)`: how many rows each group has, and the sums of their numbers.
//!
//! `scales` is a literal of four bytes for each sum, the exponent of its scale. `place` is the group, or what
//! `marquetry_nearest` gives: then the label is the group, and the squared distances are the last sum. States
//! and result are the bytes of [`ExactSums`]: whole numbers, so that neither the order of rows nor the number
//! of parts changes a bit.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, UInt32Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use marquetry_kernels::{ExactScale, ExactSums};

use super::arguments::{column, floats, literal_bytes, of_kernel, states, wrong};

const NAME: &str = "marquetry_sums";

/// The function.
pub(super) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Sums {
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

/// The argument `scales`.
pub(crate) fn scales_argument(scales: &[ExactScale]) -> ScalarValue {
    let exponents = scales.iter().map(|scale| scale.exponent().to_le_bytes());
    ScalarValue::Binary(Some(exponents.flatten().collect()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sums {
    signature: Signature,
}

impl AggregateUDFImpl for Sums {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let exponents = literal_bytes(NAME, &arguments)?;
        let exponents = exponents.as_chunks().0.iter();
        let scales: Vec<_> = exponents
            .map(|exponent| ExactScale::with_exponent(i32::from_le_bytes(*exponent)))
            .collect();
        Ok(Box::new(Summing {
            sums: ExactSums::new(scales.len()),
            scales,
        }))
    }
}

#[derive(Debug)]
struct Summing {
    scales: Vec<ExactScale>,
    sums: ExactSums,
}

impl Accumulator for Summing {
    fn update_batch(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        let what = "a group, or what marquetry_nearest gives, and as many numbers as scales";
        let [_, place, numbers @ ..] = arguments else {
            return Err(wrong(NAME, what));
        };
        let mut numbers = floats(NAME, numbers)?;
        let groups = match place.as_struct_opt() {
            None => place,
            Some(place) => {
                let [label, distances] = place.columns() else {
                    return Err(wrong(NAME, what));
                };
                numbers.extend(floats(NAME, std::slice::from_ref(distances))?);
                label
            }
        };
        if numbers.len() != self.scales.len() {
            return Err(wrong(NAME, what));
        }
        let groups = column::<UInt32Type>(NAME, groups)?;
        self.sums.count(groups).map_err(of_kernel)?;
        for (column, (scale, numbers)) in self.scales.iter().zip(numbers).enumerate() {
            let added = self.sums.add(column, *scale, groups, numbers);
            added.map_err(of_kernel)?;
        }
        Ok(())
    }

    fn merge_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        for state in states(NAME, arrays)? {
            let part = ExactSums::from_bytes(state).map_err(of_kernel)?;
            self.sums.merge(&part).map_err(of_kernel)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(Some(self.sums.to_bytes())))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.scales.capacity() * size_of::<ExactScale>() + self.sums.bytes()
    }
}
