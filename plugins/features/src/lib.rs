//! The stage family `features`: from rows to the numbers that models work on.
//!
//! `features/sql` says anything that SQL can say; `features/customer` computes the usual description of
//! a customer from lines of orders; `features/scale` makes columns comparable, and keeps how, so that
//! later rows are treated the same.

mod customer;
mod scale;
mod sql;

use std::sync::Arc;

use marquetry_plugin::StageHandler;

pub use customer::Customer;
pub use scale::Scale;
pub use sql::Sql;

/// The handlers of the family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![
        Arc::new(Customer::default()),
        Arc::new(Scale::default()),
        Arc::new(Sql::default()),
    ]
}
