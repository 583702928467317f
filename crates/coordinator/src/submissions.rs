//! A run of a workflow, from the workflow and the values that are given to its parameters.

use std::collections::BTreeMap;

use marquetry_engine::Submission;
use marquetry_types::{Diagnostic, Diagnostics, RunId, Timestamp};
use marquetry_workflow::{ParamInput, Workflow};
use serde_json::Value;

/// A new run id.
pub(crate) fn new_run() -> RunId {
    RunId::new(Timestamp::now(), rand::random())
}

/// A value as it is given to a parameter: a text is read as the parameter's type.
pub(crate) fn given(value: Value) -> ParamInput {
    match value {
        Value::String(text) => ParamInput::Text(text),
        other => ParamInput::Value(other),
    }
}

/// What runs a workflow, without a request, a schedule or a caller's span.
///
/// # Errors
/// Values that do not fit the parameters, or an expression in the name of the concurrency group that fails.
pub(crate) fn submission(
    run: RunId,
    workflow: Box<Workflow>,
    bundle: String,
    base_dir: Option<String>,
    given: &BTreeMap<String, ParamInput>,
) -> Result<Submission, Diagnostics> {
    let params = workflow.resolve_params(given)?;
    let group = workflow.group(&params).map_err(|error| {
        let message = format!("the name of the concurrency group: {}", error.message);
        Diagnostic::new(error.code(), message)
    })?;
    Ok(Submission {
        run,
        workflow,
        bundle,
        params,
        request_id: None,
        base_dir,
        group,
        schedule: None,
        trace: None,
        parent: None,
        ignores_cache: false,
    })
}
