//! What the engine and the journal say no to, as whoever asked is told.

use marquetry_engine::Rejection;
use marquetry_journal::JournalError;
use marquetry_types::{Diagnostic, codes};

use crate::request::{Refusal, Reply};

/// What a rejection means to whoever asked.
pub(crate) fn refusal_of_rejection(rejection: &Rejection) -> Refusal {
    let diagnostic = |code| Diagnostic::new(code, rejection.to_string());
    match rejection {
        Rejection::UnknownWorker(_) => Refusal::NotFound(
            diagnostic(codes::UNKNOWN_WORKER).help("`marquetry workers` lists those that are"),
        ),
        Rejection::UnknownStage { .. } => Refusal::NotFound(
            diagnostic(codes::BAD_REQUEST).help("`marquetry show RUN` lists its stages"),
        ),
        Rejection::GroupFull { .. } => Refusal::WrongState(
            diagnostic(codes::GROUP_FULL)
                .help("submit again when it has ended, or let runs wait with `on_conflict: queue`"),
        ),
        Rejection::NotRunning(run) => Refusal::NotRunning(run.clone()),
        Rejection::DuplicateRun(_)
        | Rejection::NotResumable { .. }
        | Rejection::NotAwaited { .. }
        | Rejection::Spoilt(_) => Refusal::WrongState(diagnostic(codes::WRONG_RUN_STATE)),
    }
}

/// Answers with what the journal says. One that may or may not have happened spoils the reign's memory.
pub(crate) fn answer_of_journal<T>(
    result: Result<T, JournalError>,
    reply: Reply<T>,
) -> Result<(), JournalError> {
    match result {
        Ok(answer) => {
            drop(reply.send(Ok(answer)));
            Ok(())
        }
        Err(error) => {
            drop(reply.send(Err(refusal_of_journal(&error))));
            Err(error)
        }
    }
}

pub(crate) fn refusal_of_journal(error: &JournalError) -> Refusal {
    match error {
        JournalError::UnknownRun { .. } => Refusal::NotFound(error.diagnostic()),
        JournalError::Full { .. } => Refusal::Full(error.diagnostic()),
        JournalError::Corrupt { .. } => Refusal::Damaged(error.diagnostic()),
        _ => Refusal::Unavailable(error.diagnostic()),
    }
}
