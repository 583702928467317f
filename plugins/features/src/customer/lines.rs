//! The input of `features/customer` under names and types of its own.

use arrow::datatypes::DataType;
use datafusion::prelude::DataFrame;
use marquetry_plugin::StageError;
use marquetry_rows::Lines;

use super::options::CustomerOptions;

/// Lines with the columns `customer_id`, `order_id`, `product_id`, `quantity` (a 64-bit integer or
/// float), `unit_price` (a float), `ts` (microseconds in the time zone of the options), `cancelled`
/// (never null), and `top_0`, `top_1` and so on in the order of the option `top`.
///
/// # Errors
/// A column is missing or of a type that cannot be used.
pub(crate) fn lines(frame: DataFrame, options: &CustomerOptions) -> Result<DataFrame, StageError> {
    let schema = frame.schema().as_arrow().clone();
    let lines = Lines::new("orders", &schema);
    let columns = &options.columns;
    let quantity = match lines.type_of(&columns.quantity)? {
        kind if kind.is_integer() => DataType::Int64,
        _ => DataType::Float64,
    };
    let mut taken = vec![
        lines.plain(&columns.customer_id)?.alias("customer_id"),
        lines.plain(&columns.order_id)?.alias("order_id"),
        lines.plain(&columns.product_id)?.alias("product_id"),
        lines.number(&columns.quantity, quantity)?.alias("quantity"),
        lines
            .number(&columns.unit_price, DataType::Float64)?
            .alias("unit_price"),
        lines.time(&columns.ts, &options.timezone)?.alias("ts"),
        lines.flag(options.cancelled.as_deref())?.alias("cancelled"),
    ];
    for (index, column) in options.top.iter().enumerate() {
        taken.push(lines.plain(column)?.alias(format!("top_{index}")));
    }
    Ok(frame.select(taken)?)
}
