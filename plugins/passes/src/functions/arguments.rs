//! Arguments of functions, taken from what the engine gives.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::physical_expr::expressions::Literal;

/// A function was called with something else than it takes. Only queries written by hand can do that.
pub(super) fn wrong(function: &str, what: &str) -> DataFusionError {
    DataFusionError::Execution(format!("{function} takes {what}"))
}

/// An error of a kernel within a query, which is the query's own and no other process's.
pub(super) fn of_kernel(error: marquetry_kernels::KernelError) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}

/// The bytes that are the first argument of an aggregate, which must be written out.
pub(super) fn literal_bytes(function: &str, arguments: &AccumulatorArgs<'_>) -> Result<Vec<u8>> {
    let first = arguments.exprs.first();
    let literal = first.and_then(|first| first.downcast_ref::<Literal>());
    match literal.map(Literal::value) {
        Some(ScalarValue::Binary(Some(bytes))) => Ok(bytes.clone()),
        _ => Err(wrong(function, "a literal of bytes first")),
    }
}

/// The bytes that are an argument of a scalar function.
pub(super) fn bytes<'a>(function: &str, argument: Option<&'a ColumnarValue>) -> Result<&'a [u8]> {
    match argument {
        Some(ColumnarValue::Scalar(ScalarValue::Binary(Some(bytes)))) => Ok(bytes),
        _ => Err(wrong(function, "a literal of bytes first")),
    }
}

/// A column without nulls of a type.
pub(super) fn column<'a, T: ArrowPrimitiveType>(
    function: &str,
    array: &'a ArrayRef,
) -> Result<&'a [T::Native]> {
    match array.as_primitive_opt::<T>() {
        Some(column) if column.null_count() == 0 => Ok(column.values()),
        _ => Err(wrong(
            function,
            &format!("columns of {} without nulls", T::DATA_TYPE),
        )),
    }
}

/// Columns of floats without nulls.
pub(super) fn floats<'a>(function: &str, arrays: &'a [ArrayRef]) -> Result<Vec<&'a [f64]>> {
    let columns = arrays.iter();
    columns
        .map(|array| column::<Float64Type>(function, array))
        .collect()
}

/// Arguments as arrays of as many rows.
pub(super) fn arrays(arguments: &[ColumnarValue], rows: usize) -> Result<Vec<ArrayRef>> {
    let arguments = arguments.iter();
    arguments
        .map(|argument| match argument {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(value) => value.to_array_of_size(rows),
        })
        .collect()
}

/// The bytes of a column of states.
pub(super) fn states<'a>(
    function: &str,
    states: &'a [ArrayRef],
) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>> {
    let column = states
        .first()
        .and_then(|array| array.as_binary_opt::<i32>());
    let column = column.ok_or_else(|| wrong(function, "states of bytes"))?;
    Ok(column.iter().flatten())
}
