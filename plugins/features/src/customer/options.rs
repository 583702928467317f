//! What the author of a workflow says to `features/customer`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use marquetry_plugin::{Input, StageError};
use marquetry_rows::invalid;
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `features/customer`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomerOptions {
    /// Lines of orders, one row per product of an order.
    pub orders: Input,
    /// What the columns of `orders` are called.
    #[serde(default)]
    pub columns: Columns,
    /// A boolean column that is true on the lines of cancelled orders. Without it no order is.
    #[serde(default)]
    pub cancelled: Option<String>,
    /// The moment from which recency and tenure are counted: a date, a date and time in `timezone`,
    /// or a timestamp with an offset. By default the midnight after the last line.
    #[serde(default)]
    pub as_of: Option<String>,
    /// The IANA name of the time zone whose hours and days count, such as Europe/London.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Columns whose most frequent value per customer becomes a column `top_NAME`.
    #[serde(default)]
    pub top: Vec<String>,
}

/// What the columns of the lines are called.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Columns {
    /// Who ordered; lines without it are left out.
    pub customer_id: String,
    /// Which order of that customer.
    pub order_id: String,
    /// What was ordered.
    pub product_id: String,
    /// How many.
    pub quantity: String,
    /// The price of one.
    pub unit_price: String,
    /// When: a timestamp or a date; without an offset it is read as UTC.
    pub ts: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            customer_id: "customer_id".to_owned(),
            order_id: "order_id".to_owned(),
            product_id: "product_id".to_owned(),
            quantity: "quantity".to_owned(),
            unit_price: "unit_price".to_owned(),
            ts: "ts".to_owned(),
        }
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

/// The first midnight after a moment in a time zone, both in microseconds since 1970 in UTC.
///
/// # Errors
/// The moment is at the end of the calendar.
pub(crate) fn midnight_after(moment: i64, zone: &TimeZone) -> Result<i64, StageError> {
    let midnight = Timestamp::from_microsecond(moment).and_then(|at| {
        at.to_zoned_datetime(zone.clone())
            .tomorrow()?
            .start_of_day()
    });
    midnight
        .map(|at| at.timestamp().as_microsecond())
        .map_err(|error| {
            invalid(
                codes::BAD_VALUE,
                format!("the last line is at a time that cannot be: {error}"),
                "look at the column of times, and set `as_of`",
            )
        })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_line_at_midnight_is_followed_by_the_next_one() {
        let day = 86_400_000_000;
        assert_eq!(midnight_after(day, &TimeZone::UTC).unwrap(), 2 * day);
        assert_eq!(midnight_after(day - 1, &TimeZone::UTC).unwrap(), day);
    }
}
