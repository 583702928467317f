//! From the text of a workflow file to a checked workflow.

use marquetry_types::{Diagnostic, Diagnostics, codes};

use crate::{Bundle, StageCatalogue, Workflow};

/// Reads a workflow file.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(
    file_name: &str,
    text: &str,
    catalogue: &dyn StageCatalogue,
    read_file: &dyn Fn(&str) -> Result<String, String>,
) -> Result<(Workflow, Bundle), Diagnostics> {
    let _ = (text, catalogue, read_file);
    Err(Diagnostic::new(
        codes::NOT_IN_THIS_VERSION,
        format!("cannot read {file_name} yet"),
    )
    .into())
}
