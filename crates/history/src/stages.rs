//! The table of stages: one row a stage of a run, items of a `for_each` included.

use marquetry_engine::{RunState, StageState};
use marquetry_journal::StoredRun;
use marquetry_types::{DatasetRef, StageName};

use crate::columns::{Kind, Table, Value, json, seconds};

/// The table of stages.
pub(crate) const STAGES: Table = Table {
    name: "stages",
    keys: 4,
    columns: &[
        ("run", Kind::Text),
        ("sequence", Kind::Number),
        ("workflow", Kind::Text),
        ("stage", Kind::Text),
        ("kind", Kind::Text),
        ("kind_version", Kind::Number),
        ("state", Kind::Text),
        ("attempts", Kind::Number),
        ("lost_attempts", Kind::Number),
        ("worker", Kind::Text),
        ("started_at", Kind::At),
        ("ended_at", Kind::At),
        ("duration_s", Kind::Real),
        ("rows", Kind::Number),
        ("bytes", Kind::Number),
        ("metrics", Kind::Text),
        ("published", Kind::Text),
        ("skip_reason", Kind::Text),
        ("failure_code", Kind::Text),
        ("failure_message", Kind::Text),
    ],
};

/// The rows of a run's stages, in an order in which they can run.
pub(crate) fn rows(run: &StoredRun) -> impl Iterator<Item = Vec<Value>> {
    let stages = run.state.stages.iter();
    stages.map(|(name, stage)| row(&run.state, run.records, name, stage))
}

fn row(run: &RunState, sequence: u64, name: &StageName, stage: &StageState) -> Vec<Value> {
    // An item is what its stage says.
    let declared = run.workflow().stage(name).or_else(|| {
        let (whole, _) = name.as_str().rsplit_once('.')?;
        run.workflow().stage(&whole.parse().ok()?)
    });
    let started_at = stage.started_at;
    let last = stage.attempts.last();
    let outputs = stage
        .outcome
        .iter()
        .flat_map(|outcome| outcome.outputs.values());
    let sum = |of: fn(&DatasetRef) -> u64| {
        let known = stage.outcome.is_some();
        known.then(|| outputs.clone().map(of).sum::<u64>())
    };
    let published: Vec<String> = stage
        .published
        .iter()
        .map(|it| format!("{}@{}", it.name, it.version))
        .collect();
    let attempts = u64::try_from(stage.attempts.len()).unwrap_or(u64::MAX);
    let failure = stage.failure.as_ref();
    let metrics = match &stage.outcome {
        Some(outcome) => json(&outcome.metrics, outcome.metrics.is_empty()),
        None => Value::Text(None),
    };
    vec![
        run.id().as_str().into(),
        sequence.into(),
        run.workflow().name.as_str().into(),
        name.as_str().into(),
        declared.map(|it| it.uses.to_string()).into(),
        declared.map(|it| u64::from(it.version)).into(),
        stage.status.as_str().into(),
        attempts.into(),
        stage.lost_attempts.into(),
        last.map(|it| it.worker.to_string()).into(),
        started_at.into(),
        stage.ended_at.into(),
        seconds(started_at, stage.ended_at),
        sum(|dataset| dataset.rows).into(),
        sum(|dataset| dataset.bytes).into(),
        metrics,
        json(&published, published.is_empty()),
        stage.skip_reason.clone().into(),
        failure.map(|it| it.diagnostic.code.to_string()).into(),
        failure.map(|it| it.diagnostic.message.clone()).into(),
    ]
}
