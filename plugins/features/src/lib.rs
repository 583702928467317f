//! The stage family `features`: from rows to the numbers that models work on.

use std::sync::Arc;

use marquetry_plugin::StageHandler;

/// The handlers of the family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    Vec::new()
}
