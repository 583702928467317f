//! Stages that learn from what came of the actions taken.

#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::float_cmp,
        reason = "tests may fail by panicking, and some results are exact"
    )
)]

mod evaluate;

use std::sync::Arc;

use marquetry_plugin::StageHandler;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![Arc::new(evaluate::Evaluate::default())]
}
