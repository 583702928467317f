//! Lines of orders: what stages that read them call their columns, and what they make of them.

mod lines;
mod overview;
mod time;

pub use lines::lines;
pub use overview::Overview;
pub use time::{moment, time_zone};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to read lines of orders.
#[derive(Debug, Clone, Copy)]
pub struct OrderLines<'a> {
    /// What their columns are called.
    pub columns: &'a Columns,
    /// The boolean column that is true on lines of cancelled orders.
    pub cancelled: Option<&'a str>,
    /// The IANA name of the time zone of the times.
    pub timezone: &'a str,
    /// Whether to take the column of products, which must then be there.
    pub with_products: bool,
    /// Further columns to take, as `top_0`, `top_1` and so on.
    pub top: &'a [String],
}

/// What the columns of the lines are called.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
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
