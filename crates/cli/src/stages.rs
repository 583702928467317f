//! Every stage kind that the binary carries.

use std::sync::Arc;

use marquetry_plugin::Registry;

/// The registry of all stage families.
pub(crate) fn registry() -> Arc<Registry> {
    let families = [
        marquetry_ingest::handlers(),
        marquetry_features::handlers(),
        marquetry_segmentation::handlers(),
        marquetry_evaluation::handlers(),
        marquetry_personalization::handlers(),
        marquetry_feedback::handlers(),
    ];
    Arc::new(Registry::new(families.into_iter().flatten().collect()))
}
