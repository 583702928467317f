//! Stages that learn from what came of the actions taken.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "tests may fail by panicking")
)]

mod evaluate;

use std::sync::Arc;

use marquetry_plugin::StageHandler;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![Arc::new(evaluate::Evaluate::default())]
}
