//! The queries of `evaluation/value`: what each customer did in the window.

use arrow::datatypes::{DataType, Schema};
use datafusion::prelude::{DataFrame, ident, lit};
use marquetry_plugin::StageError;
use marquetry_rows::{Lines, invalid, missing_column, not_finite};
use marquetry_types::codes;

use super::options::{ValueOptions, Window};
use crate::assignment::SEGMENT;

/// The name under which the session knows the lines.
pub(super) const LINES: &str = "marquetry_value_lines";

/// The name under which the session knows the assignment.
pub(super) const ASSIGNMENT: &str = "marquetry_value_assignment";

/// Microseconds in a day.
const DAY: &str = "86400000000.0";

/// The lines that count.
const LIVE: &str = "customer IS NOT NULL AND NOT cancelled";

/// Lines with the columns `customer`, `order_id`, `quantity` and `price` (floats; a given amount is that
/// price, once), `began` (microseconds since 1970) and `cancelled` (never null).
pub(super) fn lines(frame: DataFrame, options: &ValueOptions) -> Result<DataFrame, StageError> {
    let schema = frame.schema().as_arrow().clone();
    let lines = Lines::new("orders", &schema);
    let columns = &options.columns;
    let (quantity, price) = match &columns.amount {
        Some(amount) => (lit(1.0), lines.number(amount, DataType::Float64)?),
        None => (
            lines.number(&columns.quantity, DataType::Float64)?,
            lines.number(&columns.unit_price, DataType::Float64)?,
        ),
    };
    let at = lines.time(&columns.ts, "UTC")?;
    Ok(frame.select(vec![
        lines.plain(&columns.customer_id)?.alias("customer"),
        lines.plain(&columns.order_id)?.alias("order_id"),
        quantity.alias("quantity"),
        price.alias("price"),
        datafusion::logical_expr::cast(at, DataType::Int64).alias("began"),
        lines.flag(options.cancelled.as_deref())?.alias("cancelled"),
    ])?)
}

/// The assignment with the columns `customer` and `segment`, of customers who may be those of the lines.
pub(super) fn assignment(
    frame: DataFrame,
    options: &ValueOptions,
    lines: &Schema,
) -> Result<DataFrame, StageError> {
    let schema = frame.schema().as_arrow().clone();
    for column in [options.key.as_str(), SEGMENT] {
        if schema.column_with_name(column).is_none() {
            return Err(missing_column("assignment", column, &schema));
        }
    }
    let kind_of = |schema: &Schema, column: &str| {
        let found = schema.column_with_name(column);
        found.map_or(DataType::Null, |(_, field)| field.data_type().clone())
    };
    let customer = kind_of(lines, "customer");
    let key = kind_of(&schema, &options.key);
    let (by_lines, by_key) = (kind(&customer), kind(&key));
    if by_lines == Kind::Other {
        return Err(invalid(
            codes::COLUMN_MISMATCH,
            format!(
                "column `{}` of `orders` is of type {customer}, not an integer or a text",
                options.columns.customer_id
            ),
            "cast it in ingest/files or features/sql",
        ));
    }
    if by_key == Kind::Other {
        return Err(invalid(
            codes::COLUMN_MISMATCH,
            format!("the key `{}` of `assignment` is of type {key}", options.key),
            "a key is an integer or a text: cast it in ingest/files or features/sql",
        ));
    }
    if by_lines != Kind::Unknown && by_key != Kind::Unknown && by_lines != by_key {
        return Err(invalid(
            codes::COLUMN_MISMATCH,
            format!(
                "`{}` is {} in `assignment`, and `{}` is {} in `orders`",
                options.key,
                by_key.name(),
                options.columns.customer_id,
                by_lines.name()
            ),
            "cast one of them in ingest/files or features/sql",
        ));
    }
    Ok(frame.select(vec![
        ident(&options.key).alias("customer"),
        ident(SEGMENT).alias(SEGMENT),
    ])?)
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Text,
    /// A table without rows may know no types.
    Unknown,
    Other,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Integer => "an integer",
            Self::Text => "a text",
            Self::Unknown | Self::Other => "neither",
        }
    }
}

fn kind(of: &DataType) -> Kind {
    match of {
        DataType::Dictionary(_, values) => kind(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Null => Kind::Unknown,
        other if other.is_integer() => Kind::Integer,
        _ => Kind::Other,
    }
}

/// One row about all lines: those without a customer, the time of the last that counts, then how many
/// have no usable order, quantity, price and time.
pub(super) fn overview() -> String {
    format!(
        "SELECT count(*) FILTER (WHERE customer IS NULL), \
                max(began) FILTER (WHERE {LIVE}), \
                count(*) FILTER (WHERE {LIVE} AND order_id IS NULL), \
                count(*) FILTER (WHERE {LIVE} AND {}), \
                count(*) FILTER (WHERE {LIVE} AND {}), \
                count(*) FILTER (WHERE {LIVE} AND began IS NULL) \
         FROM {LINES}",
        not_finite("quantity"),
        not_finite("price"),
    )
}

/// One row per customer who has a segment or ordered in the window, by customer. An order is in the window
/// if its first line is.
pub(super) fn customers(window: Window, options: &ValueOptions) -> String {
    let Window { from, until } = window;
    let (margin, cost) = (float(options.margin), float(options.cost_per_order));
    let key = options.key.replace('"', "\"\"");
    format!(
        "WITH orders AS (SELECT customer, order_id, min(began) AS began, sum(quantity * price) AS revenue \
             FROM {LINES} WHERE {LIVE} GROUP BY customer, order_id), \
         earned AS (SELECT customer, count(*) AS orders, sum(revenue) AS revenue, min(began) AS first \
             FROM orders WHERE began >= {from} AND began < {until} GROUP BY customer), \
         both AS (SELECT coalesce(a.customer, e.customer) AS customer, a.{SEGMENT} AS {SEGMENT}, \
                coalesce(e.orders, 0) AS orders, coalesce(e.revenue, 0.0) AS revenue, e.first AS first \
             FROM {ASSIGNMENT} a FULL JOIN earned e ON a.customer = e.customer) \
         SELECT customer AS \"{key}\", {SEGMENT}, orders, revenue, \
             {margin} * revenue - {cost} * CAST(orders AS DOUBLE) AS profit, \
             CAST(first - {from} AS DOUBLE) / {DAY} AS first_order_days \
         FROM both ORDER BY customer"
    )
}

/// A number as SQL reads it as a float.
fn float(number: f64) -> String {
    format!("CAST('{number}' AS DOUBLE)")
}
