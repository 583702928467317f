//! Lines of orders under names and types of our own.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::cast;
use datafusion::prelude::{DataFrame, Expr, ident, lit};
use marquetry_plugin::StageError;
use marquetry_types::codes;

use super::OrderLines;
use crate::{invalid, missing_column};

/// Lines with the columns `customer_id`, `order_id`, `quantity` (a 64-bit integer or float),
/// `unit_price` (a float), `ts` (microseconds in the time zone of the options), `cancelled` (never
/// null), `product_id` where it is asked for, and `top_0`, `top_1` and so on in the order of `top`.
///
/// # Errors
/// A column is missing or of a type that cannot be used.
pub fn lines(frame: DataFrame, options: &OrderLines<'_>) -> Result<DataFrame, StageError> {
    let schema = frame.schema().as_arrow().clone();
    let columns = options.columns;
    let quantity = match type_of(&schema, &columns.quantity)? {
        kind if kind.is_integer() => DataType::Int64,
        _ => DataType::Float64,
    };
    let mut taken = vec![
        plain(&schema, &columns.customer_id)?.alias("customer_id"),
        plain(&schema, &columns.order_id)?.alias("order_id"),
        number(&schema, &columns.quantity, quantity)?.alias("quantity"),
        number(&schema, &columns.unit_price, DataType::Float64)?.alias("unit_price"),
        time(&schema, &columns.ts, options.timezone)?.alias("ts"),
        cancelled(&schema, options.cancelled)?.alias("cancelled"),
    ];
    if options.with_products {
        taken.push(plain(&schema, &columns.product_id)?.alias("product_id"));
    }
    for (index, column) in options.top.iter().enumerate() {
        taken.push(plain(&schema, column)?.alias(format!("top_{index}")));
    }
    Ok(frame.select(taken)?)
}

fn type_of<'a>(schema: &'a Schema, column: &str) -> Result<&'a DataType, StageError> {
    match schema.column_with_name(column) {
        Some((_, field)) => Ok(field.data_type()),
        None => Err(missing_column("orders", column, schema)),
    }
}

fn plain(schema: &Schema, column: &str) -> Result<Expr, StageError> {
    type_of(schema, column).map(|_| ident(column))
}

fn number(schema: &Schema, column: &str, to: DataType) -> Result<Expr, StageError> {
    let kind = type_of(schema, column)?;
    if kind.is_numeric() || *kind == DataType::Null {
        Ok(cast(ident(column), to))
    } else {
        Err(wrong_type(column, kind, "a number"))
    }
}

fn time(schema: &Schema, column: &str, timezone: &str) -> Result<Expr, StageError> {
    let zoned = |zone: &str| DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from(zone)));
    let instant = match type_of(schema, column)? {
        DataType::Timestamp(_, Some(_)) => ident(column),
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 | DataType::Null => {
            // Without an offset a time is one in UTC; cast at once it would be one in `timezone`. By way of an
            // integer, since Arrow looks up an offset for each time that it moves into a zone, UTC too.
            let naive = cast(
                ident(column),
                DataType::Timestamp(TimeUnit::Microsecond, None),
            );
            cast(cast(naive, DataType::Int64), zoned("UTC"))
        }
        kind => return Err(wrong_type(column, kind, "a timestamp or a date")),
    };
    Ok(cast(instant, zoned(timezone)))
}

fn cancelled(schema: &Schema, column: Option<&str>) -> Result<Expr, StageError> {
    let Some(column) = column else {
        return Ok(lit(false));
    };
    match type_of(schema, column)? {
        DataType::Boolean => Ok(coalesce(vec![ident(column), lit(false)])),
        kind => Err(wrong_type(column, kind, "true or false")),
    }
}

fn wrong_type(column: &str, kind: &DataType, wanted: &str) -> StageError {
    invalid(
        codes::COLUMN_MISMATCH,
        format!("column `{column}` of `orders` is of type {kind}, not {wanted}"),
        "cast it in ingest/files or features/sql",
    )
}
