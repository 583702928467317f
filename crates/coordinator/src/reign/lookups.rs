//! What the engine asks of the journal: the questions under way, and their answers.

use std::sync::Arc;

use marquetry_engine::{Cached, Child, Found, Input, Lookup};
use marquetry_journal::{Journal, JournalError};
use marquetry_types::{Diagnostic, RunId, StageName, Timestamp};
use marquetry_workflow::ChildRequest;
use tokio::task::JoinSet;

use crate::submissions;
use crate::workflow_service::why_not_deployed;

/// Questions under way. They go with the reign that asks them.
#[derive(Default)]
pub(super) struct Lookups(JoinSet<Input>);

impl Lookups {
    pub(super) fn ask(
        &mut self,
        journal: &Arc<dyn Journal>,
        run: RunId,
        stage: StageName,
        lookup: Lookup,
    ) {
        let journal = Arc::clone(journal);
        self.0.spawn(async move {
            let found = match lookup {
                Lookup::Child { request, previous } => {
                    Found::Child(child(journal.as_ref(), request, previous).await)
                }
                Lookup::Cached { key, not_before } => {
                    Found::Cached(cached(journal.as_ref(), &key, not_before).await)
                }
            };
            Input::LookedUp { run, stage, found }
        });
    }

    /// Waits for an answer, for ever if nothing is asked.
    pub(super) async fn next(&mut self) -> Input {
        match self.0.join_next().await {
            Some(Ok(answer)) => answer,
            // It is not cancelled and does not panic.
            Some(Err(_)) | None => std::future::pending().await,
        }
    }

    /// Another answer, if there is one already.
    pub(super) fn ready(&mut self) -> Option<Input> {
        self.0.try_join_next()?.ok()
    }
}

/// What is known under a key and is not too old. What cannot be read is computed again.
async fn cached(journal: &dyn Journal, key: &str, not_before: Option<Timestamp>) -> Option<Cached> {
    let found = journal.cached(key).await;
    let found = found
        .inspect_err(|error| tracing::warn!(%error, "what was computed before cannot be looked up"))
        .ok()
        .flatten();
    found.filter(|found| not_before.is_none_or(|bound| found.computed_at >= bound))
}

/// What a stage is to run.
async fn child(journal: &dyn Journal, request: ChildRequest, previous: Option<RunId>) -> Child {
    match find_child(journal, request, previous).await {
        Ok(child) => child,
        Err(error @ (JournalError::DamagedDeployment(_) | JournalError::Damaged { .. })) => {
            Child::Refused(error.diagnostic())
        }
        Err(error) => {
            tracing::warn!(%error, "a deployed workflow cannot be looked up: it is asked for again");
            Child::Unknown
        }
    }
}

async fn find_child(
    journal: &dyn Journal,
    request: ChildRequest,
    previous: Option<RunId>,
) -> Result<Child, JournalError> {
    let ChildRequest {
        workflow,
        version,
        params,
    } = request;
    let Some(deployment) = journal.deployment(&workflow, version).await? else {
        let why = why_not_deployed(&workflow, version.unwrap_or(0));
        return Ok(Child::Refused(why));
    };
    let version = deployment.version;
    let params = params.into_iter();
    let given = params.map(|(name, value)| (name, submissions::given(value)));
    let made = submissions::submission(
        submissions::new_run(),
        deployment.workflow,
        deployment.bundle,
        deployment.base_dir,
        &given.collect(),
    );
    let submission = match made {
        Ok(submission) => submission,
        Err(diagnostics) => {
            let first = diagnostics.0.into_iter().next();
            let first = first.unwrap_or_else(|| why_not_deployed(&workflow, version));
            let message = format!("workflow `{workflow}`: {}", first.message);
            let mut diagnostic = Diagnostic::new(first.code, message);
            diagnostic.help = first.help;
            return Ok(Child::Refused(diagnostic));
        }
    };
    if let Some(previous) = previous {
        match journal.load_run(&previous).await {
            Ok(state) => {
                let before = &state.submitted;
                let is_same = before.bundle == submission.bundle
                    && before.params == submission.params
                    && before.workflow == submission.workflow;
                if is_same {
                    return Ok(Child::Previous(Box::new(state), version));
                }
            }
            // It was discarded, or cannot be read: another one begins.
            Err(JournalError::UnknownRun { .. } | JournalError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Child::New(Box::new(submission), version))
}
