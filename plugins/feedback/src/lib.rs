//! Stages that learn from what came of the actions taken.

use std::sync::Arc;

use marquetry_plugin::StageHandler;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![]
}
