//! The table of runs: one row a run, as it ended or as it stands.

use marquetry_engine::{RunFailure, RunState, RunSummary, StageCounts};
use marquetry_journal::StoredRun;
use marquetry_types::Timestamp;

use crate::columns::{Kind, Table, Value, json, seconds};

/// The table of runs.
pub(crate) const RUNS: Table = Table {
    name: "runs",
    keys: 4,
    columns: &[
        ("run", Kind::Text),
        ("sequence", Kind::Number),
        ("workflow", Kind::Text),
        ("state", Kind::Text),
        ("submitted_at", Kind::At),
        ("started_at", Kind::At),
        ("finished_at", Kind::At),
        ("duration_s", Kind::Real),
        ("schedule", Kind::Text),
        ("scheduled_at", Kind::At),
        ("interval_start", Kind::At),
        ("interval_end", Kind::At),
        ("is_backfill", Kind::Flag),
        ("concurrency_group", Kind::Text),
        ("request_id", Kind::Text),
        ("params", Kind::Text),
        ("bundle", Kind::Text),
        ("stages", Kind::Number),
        ("stages_succeeded", Kind::Number),
        ("stages_failed", Kind::Number),
        ("stages_skipped", Kind::Number),
        ("cancel_reason", Kind::Text),
        ("failure_stage", Kind::Text),
        ("failure_code", Kind::Text),
        ("failure_message", Kind::Text),
        ("parent_run", Kind::Text),
        ("parent_stage", Kind::Text),
    ],
};

/// The row of a run.
pub(crate) fn row(run: &StoredRun) -> Vec<Value> {
    let (state, submitted) = (&run.state, &run.state.submitted);
    let schedule = submitted.schedule.as_ref();
    let mut row = vec![
        state.id().as_str().into(),
        run.records.into(),
        state.workflow().name.as_str().into(),
        state.status.as_str().into(),
        submitted.at.into(),
        started_at(state).into(),
        state.finished_at.into(),
        seconds(Some(submitted.at), state.finished_at),
        schedule.map(|it| it.schedule.clone()).into(),
        schedule.map(|it| it.at).into(),
        schedule.map(|it| it.interval_start).into(),
        schedule.map(|it| it.interval_end).into(),
        Value::Flag(schedule.map(|it| it.is_backfill)),
        submitted.group.clone().into(),
        submitted.request_id.clone().into(),
        json(state.params(), false),
        submitted.bundle.as_str().into(),
    ];
    row.extend(counts(&state.summary().stages));
    row.push(state.cancel_reason.clone().into());
    row.extend(failure(state.failure.as_ref()));
    let parent = submitted.parent.as_ref();
    row.push(parent.map(|it| it.run.to_string()).into());
    row.push(parent.map(|it| it.stage.to_string()).into());
    row
}

/// The row of a run whose records cannot be read: what lists show of it.
pub(crate) fn row_of_summary(summary: &RunSummary) -> Vec<Value> {
    let known = [
        ("run", summary.run.as_str().into()),
        // Whatever was archived of it before tells more.
        ("sequence", 0_u64.into()),
        ("workflow", summary.workflow.as_str().into()),
        ("state", summary.status.as_str().into()),
        ("submitted_at", summary.submitted_at.into()),
        ("finished_at", summary.finished_at.into()),
        (
            "duration_s",
            seconds(Some(summary.submitted_at), summary.finished_at),
        ),
    ];
    let counts = [
        "stages",
        "stages_succeeded",
        "stages_failed",
        "stages_skipped",
    ]
    .into_iter()
    .zip(counts(&summary.stages));
    let failed = ["failure_stage", "failure_code", "failure_message"]
        .into_iter()
        .zip(failure(summary.failure.as_ref()));
    let known: Vec<(&str, Value)> = known.into_iter().chain(counts).chain(failed).collect();
    let columns = RUNS.columns.iter();
    columns
        .map(|(column, _)| {
            let found = known.iter().find(|(name, _)| name == column);
            found.map_or(Value::Text(None), |(_, value)| value.clone())
        })
        .collect()
}

/// When the first of its stages was begun.
fn started_at(run: &RunState) -> Option<Timestamp> {
    let attempts = run
        .stages
        .values()
        .filter_map(|stage| stage.attempts.first());
    attempts.map(|attempt| attempt.assigned_at).min()
}

fn counts(stages: &StageCounts) -> [Value; 4] {
    [
        stages.total.into(),
        stages.succeeded.into(),
        stages.failed.into(),
        stages.skipped.into(),
    ]
}

fn failure(failure: Option<&RunFailure>) -> [Value; 3] {
    let stage = failure.and_then(|failure| failure.stage.as_ref());
    [
        stage.map(ToString::to_string).into(),
        failure.map(|it| it.diagnostic.code.to_string()).into(),
        failure.map(|it| it.diagnostic.message.clone()).into(),
    ]
}
