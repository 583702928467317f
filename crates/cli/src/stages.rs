//! Every stage kind that the binary carries.

use std::sync::Arc;

use marquetry_plugin::{Registry, StageHandler};

/// The registry of all stage families.
pub(crate) fn registry() -> Arc<Registry> {
    let families = [
        marquetry_ingest::handlers(),
        marquetry_features::handlers(),
        marquetry_segmentation::handlers(),
        marquetry_evaluation::handlers(),
        marquetry_personalization::handlers(),
        marquetry_feedback::handlers(),
        probes(),
    ];
    let handlers = families.into_iter().flatten().collect();
    Arc::new(Registry::new(handlers).with_functions(marquetry_passes::functions()))
}

/// Stages for trying a cluster, where somebody wants them.
fn probes() -> Vec<Arc<dyn StageHandler>> {
    match std::env::var_os("MARQUETRY_PROBES") {
        Some(_) => marquetry_probe::handlers(),
        None => Vec::new(),
    }
}
