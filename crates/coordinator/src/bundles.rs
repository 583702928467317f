//! Workflow bundles between the wire, the journal and the parser.

use marquetry_journal::Journal;
use marquetry_proto::v1;
use marquetry_types::{Diagnostic, Diagnostics, codes};
use marquetry_workflow::{Bundle, StageCatalogue, Workflow, parse};
use tonic::Status;

use crate::run_service::status_of_journal;

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

/// The bundle that the journal keeps under a digest, if it keeps one.
pub(crate) async fn load(
    journal: &dyn Journal,
    digest: &str,
) -> Result<Option<v1::WorkflowBundle>, Status> {
    let bytes = journal.get_bundle(digest).await;
    let Some(bytes) = bytes.map_err(|error| status_of_journal(&error))? else {
        return Ok(None);
    };
    let Bundle { entry, files } = serde_json::from_slice(&bytes)
        .map_err(|error| Status::data_loss(format!("bundle {digest} cannot be read: {error}")))?;
    let files = files.into_iter().collect();
    Ok(Some(v1::WorkflowBundle { entry, files }))
}
