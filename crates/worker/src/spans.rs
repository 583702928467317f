//! The spans of an attempt where it runs: what the worker does for it, and below that what the stage does.
//!
//! They are there for the log too: every line within says which attempt of which stage of which run it is
//! about. Hence a target of their own, which no filter leaves out.

use marquetry_engine::Assignment;
use marquetry_types::{Outcome, StageFailure, TraceContext, WorkerId};
use tracing::Span;
use tracing::field::Empty;

use crate::stage::Work;

/// The target of these spans. Filters go by how a target begins, so no module may have it.
pub const WORK_TARGET: &str = "marquetry_attempt";

/// Where the worker's span of an attempt stands.
pub(crate) fn work_trace(assignment: &Assignment) -> TraceContext {
    assignment.trace.child("work")
}

/// From the assignment to the result.
pub(crate) fn work(assignment: &Assignment, worker: &WorkerId) -> Span {
    let (id, own) = (&assignment.token.attempt, work_trace(assignment));
    tracing::error_span!(
        target: WORK_TARGET,
        parent: None,
        "work",
        run = %id.run,
        stage = %id.stage,
        attempt = id.attempt.0,
        kind = %assignment.kind,
        %worker,
        trace_id = own.trace_id(),
        span_id = own.exported_id(),
        parent_id = assignment.trace.span_id(),
        state = Empty,
        error = Empty,
    )
}

/// From the options to the outcome, in this process.
pub(crate) fn execute(work: &Work) -> Span {
    let (id, own) = (&work.attempt, work.trace.child("execute"));
    tracing::error_span!(
        target: WORK_TARGET,
        parent: None,
        "execute",
        run = %id.run,
        stage = %id.stage,
        attempt = id.attempt.0,
        kind = work.kind,
        trace_id = own.trace_id(),
        span_id = own.exported_id(),
        parent_id = work.trace.span_id(),
        state = Empty,
        error = Empty,
    )
}

/// Says in the span that one is in, and in the log, how it ended. `reason` gives what is said of a failure.
pub(crate) fn ended(
    result: &Result<Outcome, StageFailure>,
    reason: impl Fn(&StageFailure) -> &str,
) {
    let span = Span::current();
    match result {
        Ok(_) => {
            span.record("state", "succeeded");
            tracing::info!("it succeeded");
        }
        Err(failure) => {
            let (code, reason) = (failure.diagnostic.code.as_str(), reason(failure));
            span.record("state", "failed");
            span.record("error", reason);
            tracing::info!(code, reason, "it failed");
        }
    }
}
