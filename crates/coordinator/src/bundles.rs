//! Workflow bundles between the wire, the journal and the parser.

use marquetry_proto::v1;
use marquetry_types::{Diagnostic, Diagnostics, codes};
use marquetry_workflow::{Bundle, StageCatalogue, Workflow, parse};

/// Reads the workflow that a client sent. What comes back is a bundle of just the files that it
/// names, whatever else was sent.
pub(crate) fn check(
    wire: v1::WorkflowBundle,
    catalogue: &dyn StageCatalogue,
) -> Result<(Workflow, Bundle), Diagnostics> {
    let Some(text) = wire.files.get(&wire.entry) else {
        let message = format!("the bundle does not hold its entry `{}`", wire.entry);
        return Err(Diagnostic::new(codes::BAD_REQUEST, message).into());
    };
    let read_file = |path: &str| {
        wire.files
            .get(path)
            .cloned()
            .ok_or_else(|| "it is not in the bundle".to_owned())
    };
    parse(&wire.entry, text, catalogue, &read_file)
}

pub(crate) fn to_wire(bundle: Bundle) -> v1::WorkflowBundle {
    v1::WorkflowBundle {
        entry: bundle.entry,
        files: bundle.files.into_iter().collect(),
    }
}
