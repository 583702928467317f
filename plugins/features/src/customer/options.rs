//! What the author of a workflow says to `features/customer`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use marquetry_plugin::{Input, StageError};
use marquetry_rows::invalid;
use marquetry_rows::orders::Columns;
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `features/customer`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomerOptions {
    /// Lines of orders, one row per product of an order.
    pub orders: Input,
    /// What the columns of `orders` are called.
    #[serde(default)]
    pub columns: Columns,
    /// Which lines are looked at: a condition of SQL over the columns of `orders`, such as
    /// `quantity > 0 AND unit_price > 0`. All of them by default.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
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
