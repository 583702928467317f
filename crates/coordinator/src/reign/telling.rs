//! What a coordinator says of runs in its log and in traces, once it is durable.
//!
//! A span is told when it has ended, with the times of the records: a coordinator that takes over knows
//! both ends. What its predecessor may have had no time to export is told once more; the ids are the
//! same, so it is the same span.

use std::collections::BTreeSet;
use std::time::Duration;

use marquetry_engine::{
    AttemptEnd, AttemptState, Engine, Record, RunState, StageState, StageStatus,
};
use marquetry_types::{SPAN_TARGET, StageName, Timestamp, TraceContext};
use tracing::field::{Empty, display};

/// How long a span may take from its end until it is exported.
const EXPORTED_WITHIN: Duration = Duration::from_secs(10);

/// Tells what these records say, of which the engine has made what it knows.
pub(super) fn tell(records: &[Record], engine: &Engine) {
    if !is_heard() {
        return;
    }
    let mut told = BTreeSet::new();
    for record in records {
        let Some(run) = engine.run(record.run()) else {
            continue;
        };
        log(record, run);
        match record {
            Record::AttemptFailed { token, .. }
            | Record::AttemptLost { token, .. }
            | Record::StageSucceeded { token, .. } => {
                let stage = run.stages.get(&token.attempt.stage);
                let attempts = stage.into_iter().flat_map(|stage| &stage.attempts);
                for attempt in attempts.filter(|attempt| attempt.token == *token) {
                    attempt_span(run, attempt);
                }
            }
            Record::RunFinished { .. } => run_span(run),
            // It ends what had not begun, and no record says so of each.
            Record::CancelRequested { at, .. } => {
                let ended = run.stages.iter().filter(|(_, stage)| {
                    stage.status == StageStatus::Cancelled && stage.ended_at == Some(*at)
                });
                ended.for_each(|(name, stage)| stage_span(run, name, stage));
            }
            _ => {}
        }
        if let Some(name) = record.stage()
            && let Some((name, stage)) = run.stages.get_key_value(name)
            && stage.status.is_terminal()
            && told.insert((run.id(), name))
        {
            stage_span(run, name, stage);
        }
    }
}

/// Tells once more what ended shortly before the last thing that happened.
pub(super) fn tell_again(engine: &Engine) {
    if !tracing::span_enabled!(target: SPAN_TARGET, tracing::Level::INFO) {
        return;
    }
    let ends = |run: &RunState| {
        let stages = run.stages.values();
        let ends = stages.flat_map(|stage| {
            let attempts = stage.attempts.iter().filter_map(|it| it.finished_at);
            attempts.chain(stage.ended_at)
        });
        ends.max()
    };
    let Some(last) = engine.runs().filter_map(ends).max() else {
        return;
    };
    for run in engine.runs() {
        // What was done before a run was resumed has been told by whoever resumed it.
        let begun = run.begun_at.unwrap_or(run.submitted.at);
        let is_late = |at: Option<Timestamp>| {
            at.is_some_and(|at| at >= begun && last.saturating_since(at) <= EXPORTED_WITHIN)
        };
        for (name, stage) in &run.stages {
            let attempts = stage.attempts.iter();
            for attempt in attempts.filter(|attempt| is_late(attempt.finished_at)) {
                attempt_span(run, attempt);
            }
            if stage.status.is_terminal() && is_late(stage.ended_at) {
                stage_span(run, name, stage);
            }
        }
    }
}

/// Whether anybody listens: most coordinators neither trace nor log that much, and need not look.
fn is_heard() -> bool {
    tracing::enabled!(tracing::Level::INFO)
        || tracing::span_enabled!(target: SPAN_TARGET, tracing::Level::INFO)
}

fn log(record: &Record, run: &RunState) {
    let trace_id = display(run.trace().trace_id());
    let id = display(run.id());
    let workflow = run.workflow().name.as_str();
    match record {
        Record::RunSubmitted(_) => {
            tracing::info!(run = id, workflow, trace_id, "a run began");
        }
        Record::AttemptAssigned { token, worker, .. } => {
            let attempt = &token.attempt;
            tracing::info!(
                run = id, stage = %attempt.stage, attempt = attempt.attempt.0, %worker, trace_id,
                "an attempt is granted"
            );
        }
        Record::AttemptFailed {
            token,
            failure,
            retry_at,
            ..
        } => {
            let (attempt, why) = (&token.attempt, &failure.diagnostic);
            tracing::warn!(
                run = id, stage = %attempt.stage, attempt = attempt.attempt.0, trace_id,
                code = why.code.as_str(), reason = why.message, is_final = retry_at.is_none(),
                "an attempt failed"
            );
        }
        Record::AttemptLost { token, reason, .. } => {
            let attempt = &token.attempt;
            tracing::warn!(
                run = id, stage = %attempt.stage, attempt = attempt.attempt.0, trace_id, reason,
                "an attempt is lost"
            );
        }
        Record::StageSucceeded { token, .. } => {
            let attempt = &token.attempt;
            let stage = run.stages.get(&attempt.stage);
            let is_reuse = stage.and_then(|stage| Some(stage.attempts.last()?.is_reuse()));
            tracing::info!(
                run = id, stage = %attempt.stage, attempt = attempt.attempt.0, trace_id,
                is_reuse = is_reuse.unwrap_or(false), "a stage succeeded"
            );
        }
        Record::StageFailed { stage, failure, .. } => {
            let why = &failure.diagnostic;
            tracing::warn!(
                run = id, %stage, trace_id, code = why.code.as_str(), reason = why.message,
                "a stage failed"
            );
        }
        Record::StageSkipped { stage, reason, .. } => {
            tracing::info!(run = id, %stage, trace_id, reason, "a stage is skipped");
        }
        Record::ChildStarted { stage, child, .. } => {
            tracing::info!(
                run = id, %stage, trace_id, child = %child.run, workflow = child.workflow,
                "a stage waits for a run of its own"
            );
        }
        Record::StagePassed { stage, .. } => {
            tracing::info!(run = id, %stage, trace_id, "what a stage waited for came");
        }
        Record::CancelRequested { reason, .. } => {
            tracing::info!(run = id, trace_id, reason, "a run is to stop");
        }
        Record::RunResumed { .. } => tracing::info!(run = id, trace_id, "a run goes on"),
        Record::RunFinished { status, .. } => {
            let state = status.as_str();
            tracing::info!(run = id, workflow, state, trace_id, "a run ended");
        }
        Record::RunAdmitted { .. } | Record::StageExpanded { .. } => {}
    }
}

/// The beginning of a time in nanoseconds, and the end of one: times of records are whole milliseconds.
fn nanoseconds(start: Timestamp, end: Timestamp) -> (u64, u64) {
    let nanoseconds = |at: Timestamp| {
        let milliseconds = u64::try_from(at.as_millis()).unwrap_or(0);
        milliseconds.saturating_mul(1_000_000)
    };
    let (start, end) = (nanoseconds(start), nanoseconds(end));
    (start, end.saturating_add(999_999))
}

/// The ids of a span in a trace that is exported: its trace's, its own, and that of the span above.
fn ids(own: TraceContext, above: TraceContext) -> Option<(String, String, Option<String>)> {
    Some((own.trace_id(), own.exported_id()?, above.span_id()))
}

fn run_span(run: &RunState) {
    let (Some(ids), Some(end)) = (ids(run.run_trace(), run.trace()), run.finished_at) else {
        return;
    };
    let (trace_id, span_id, parent_id) = ids;
    let (start_ns, end_ns) = nanoseconds(run.span_start(), end);
    let span = tracing::info_span!(
        target: SPAN_TARGET, parent: None, "run", trace_id, span_id, parent_id, start_ns, end_ns,
        run = %run.id(), workflow = run.workflow().name, state = run.status.as_str(), error = Empty,
    );
    if let Some(failure) = &run.failure {
        span.record("error", failure.diagnostic.message.as_str());
    }
}

fn stage_span(run: &RunState, name: &StageName, stage: &StageState) {
    let above = match name.place() {
        Some(_) => name
            .stage()
            .parse()
            .ok()
            .map(|stage| run.stage_trace(&stage)),
        None => Some(run.run_trace()),
    };
    let ids = above.and_then(|above| ids(run.stage_trace(name), above));
    let (Some((trace_id, span_id, parent_id)), Some(end)) = (ids, stage.ended_at) else {
        return;
    };
    let (start_ns, end_ns) = nanoseconds(run.stage_span_start(name), end);
    let kind = run.workflow().stage(name).map(|stage| display(&stage.uses));
    let span = tracing::info_span!(
        target: SPAN_TARGET, parent: None, "stage", trace_id, span_id, parent_id, start_ns, end_ns,
        run = %run.id(), workflow = run.workflow().name, stage = %name, kind,
        state = stage.status.as_str(), attempts = stage.attempts.len(), error = Empty,
    );
    if let Some(failure) = &stage.failure {
        span.record("error", failure.diagnostic.message.as_str());
    }
}

fn attempt_span(run: &RunState, attempt: &AttemptState) {
    let id = &attempt.token.attempt;
    let ids = ids(run.attempt_trace(id), run.stage_trace(&id.stage));
    let (Some((trace_id, span_id, parent_id)), Some(end)) = (ids, attempt.finished_at) else {
        return;
    };
    let (start_ns, end_ns) = nanoseconds(attempt.assigned_at, end);
    let (state, error) = match &attempt.end {
        None => return,
        Some(AttemptEnd::Succeeded) => ("succeeded", None),
        Some(AttemptEnd::Failed(failure)) => ("failed", Some(&failure.diagnostic.message)),
        Some(AttemptEnd::Lost(reason)) => ("lost", Some(reason)),
    };
    let kind = run
        .workflow()
        .stage(&id.stage)
        .map(|stage| display(&stage.uses));
    let span = tracing::info_span!(
        target: SPAN_TARGET, parent: None, "attempt", trace_id, span_id, parent_id, start_ns, end_ns,
        run = %run.id(), workflow = run.workflow().name, stage = %id.stage,
        attempt = id.attempt.0, kind, worker = %attempt.worker, state, error = Empty,
    );
    if let Some(error) = error {
        span.record("error", error.as_str());
    }
}
