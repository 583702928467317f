//! What `with` takes in `evaluation/value`.

use marquetry_plugin::{Input, StageError};
use marquetry_rows::{invalid, moment, time_zone};
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `evaluation/value`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ValueOptions {
    /// The segments: the key and `segment`.
    pub(super) assignment: Input,
    /// The column of `assignment` that identifies a customer.
    #[serde(default = "crate::customer_id")]
    pub(super) key: String,
    /// Lines of orders, as features/customer takes them, from later than those that made the segments.
    pub(super) orders: Input,
    /// What the columns of `orders` are called.
    #[serde(default)]
    pub(super) columns: Columns,
    /// A boolean column that is true on the lines of cancelled orders, which do not count.
    #[serde(default)]
    pub(super) cancelled: Option<String>,
    /// The first moment of the window: a date, a date and time in `timezone`, or a timestamp with an
    /// offset. It should be no earlier than the moment that the segments were made for.
    pub(super) from: String,
    /// The moment at which the window ends; it is not in it.
    pub(super) until: String,
    /// The IANA name of the time zone in which `from` and `until` are read.
    #[serde(default = "utc")]
    pub(super) timezone: String,
    /// The share of revenue that is profit. With 1, which is the default, profit is revenue less
    /// `cost_per_order`.
    #[serde(default = "all_of_it")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) margin: f64,
    /// What an order costs besides: delivery, packing, payment.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub(super) cost_per_order: f64,
}

/// What the columns of the lines are called.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Columns {
    /// Who ordered; lines without it are left out.
    pub(super) customer_id: String,
    /// Which order of that customer.
    pub(super) order_id: String,
    /// How many.
    pub(super) quantity: String,
    /// The price of one.
    pub(super) unit_price: String,
    /// The money of a line; where it is given, `quantity` and `unit_price` are not looked at.
    pub(super) amount: Option<String>,
    /// When: a timestamp or a date; without an offset it is read as UTC.
    pub(super) ts: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            customer_id: "customer_id".to_owned(),
            order_id: "order_id".to_owned(),
            quantity: "quantity".to_owned(),
            unit_price: "unit_price".to_owned(),
            amount: None,
            ts: "ts".to_owned(),
        }
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn all_of_it() -> f64 {
    1.0
}

/// A time from one moment to another, which is not in it: microseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl ValueOptions {
    /// The window, having checked all that a schema cannot.
    pub(super) fn window(&self) -> Result<Window, StageError> {
        let zone = time_zone(&self.timezone)?;
        let from = moment("from", &self.from, &zone)?;
        let until = moment("until", &self.until, &zone)?;
        if from >= until {
            return Err(invalid(
                codes::STAGE_OPTIONS,
                format!(
                    "the window from {} until {} has no time in it",
                    self.from, self.until
                ),
                "`until` is the later moment, and not in the window itself",
            ));
        }
        Ok(Window { from, until })
    }
}
