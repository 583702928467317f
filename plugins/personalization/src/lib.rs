//! Stages that say what each customer gets: which products, and in which words.

use std::sync::Arc;

use marquetry_plugin::StageHandler;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![]
}
