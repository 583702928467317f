//! The JSON Schema of workflow files, for editors.

use serde_json::{Value, json};

use crate::StageCatalogue;

/// The JSON Schema (draft 2020-12) of workflow files.
#[must_use]
pub fn json_schema(catalogue: Option<&dyn StageCatalogue>) -> Value {
    let _ = catalogue;
    json!({})
}
