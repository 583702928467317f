//! Stages that learn from what came of the actions taken.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "tests may fail by panicking")
)]

mod bandit;
mod evaluate;
mod planted;
mod respond;
mod simulate;

use std::sync::Arc;

use marquetry_plugin::StageHandler;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![
        Arc::new(bandit::Bandit::default()),
        Arc::new(evaluate::Evaluate::default()),
        Arc::new(respond::Respond::default()),
        Arc::new(simulate::Simulate::default()),
    ]
}

/// The default of every option `key`.
fn customer_id() -> String {
    "customer_id".to_owned()
}
