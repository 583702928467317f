//! What `with` takes in `evaluation/value`.

use marquetry_plugin::{Input, StageError};
use marquetry_rows::orders::{Columns, moment, time_zone};
use marquetry_rows::{check_key, invalid};
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `evaluation/value`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ValueOptions {
    /// The segments of the customers: the key and `segment`.
    pub(super) assignment: Input,
    /// Lines of orders, one row per product of an order.
    pub(super) orders: Input,
    /// What the columns of `orders` are called.
    #[serde(default)]
    pub(super) columns: Columns,
    /// A boolean column that is true on the lines of cancelled orders. Without it no order is.
    #[serde(default)]
    pub(super) cancelled: Option<String>,
    /// The column of `assignment` that identifies a customer.
    #[serde(default = "crate::customer_id")]
    pub(super) key: String,
    /// Where the window begins: a date, a date and time in `timezone`, or a timestamp with an offset.
    pub(super) from: String,
    /// Where it ends; that moment is not part of it.
    pub(super) until: String,
    /// The IANA name of the time zone of `from` and `until`, such as Europe/London.
    #[serde(default = "utc")]
    pub(super) timezone: String,
    /// The part of revenue that is left after the cost of the goods.
    #[serde(default = "margin")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) margin: f64,
    /// What an order costs beside the goods, in the money of the orders: packing, postage, payment.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub(super) cost_per_order: f64,
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn margin() -> f64 {
    1.0
}

/// From the one moment on, before the other, in microseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl ValueOptions {
    /// The window that `from` and `until` say.
    ///
    /// # Errors
    /// They are no moments, or the window is empty; or the key is called as a column of the output.
    pub(super) fn window(&self) -> Result<Window, StageError> {
        check_key(
            &self.key,
            &["orders", "revenue", "profit", "first_order_days"],
        )?;
        let zone = time_zone(&self.timezone)?;
        let from = moment("from", &self.from, &zone)?;
        let until = moment("until", &self.until, &zone)?;
        if from >= until {
            return Err(invalid(
                codes::STAGE_OPTIONS,
                format!(
                    "the window from {} until {} holds no moment",
                    self.from, self.until
                ),
                "`from` must be before `until`, which is not part of the window",
            ));
        }
        Ok(Window { from, until })
    }
}
