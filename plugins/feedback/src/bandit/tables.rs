//! The outputs of `feedback/bandit` beside the policy.

use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampMicrosecondArray};
use marquetry_kernels::{Interval, Z_95, normal_at, wilson_at};
use marquetry_plugin::StageError;

use super::estimates::EstimateRow;
use super::join::Unused;
use super::learn::Lesson;
use crate::columns::{batch, counts, numbers, texts};

/// What an action earned in a segment, in this run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ArmRow {
    pub(super) action: String,
    pub(super) segment: Option<String>,
    pub(super) decisions: u64,
    pub(super) responses: u64,
    pub(super) mean: f64,
    /// Wilson's interval where every reward is 0 or 1, else the normal one; 95 %.
    pub(super) interval: Option<Interval>,
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(super) fn arms(lesson: &Lesson) -> Vec<ArmRow> {
    let rows = lesson.earned.rows();
    rows.map(|(action, segment, row)| {
        let key = (action.to_owned(), segment.map(str::to_owned));
        let squares = lesson.squares.get(&key).copied().unwrap_or_default();
        let count = row.decisions as f64;
        let interval = if lesson.is_binary {
            wilson_at(row.rewards, count, Z_95)
        } else {
            let about_mean = squares - row.rewards * row.rewards / count;
            let error = (about_mean.max(0.0) / (count - 1.0) / count).sqrt();
            (row.decisions > 1).then(|| normal_at(row.rewards / count, error, Z_95))
        };
        ArmRow {
            action: key.0,
            segment: key.1,
            decisions: row.decisions,
            responses: row.responses,
            mean: row.mean().unwrap_or_default(),
            interval,
        }
    })
    .collect()
}

pub(super) fn arms_batch(arms: &[ArmRow]) -> Result<RecordBatch, StageError> {
    let rows = || arms.iter();
    let actions = texts(rows().map(|arm| Some(arm.action.as_str())));
    let segments = texts(rows().map(|arm| arm.segment.as_deref()));
    let end = |of: fn(Interval) -> f64| numbers(rows().map(move |arm| arm.interval.map(of)));
    batch(vec![
        ("action", false, actions),
        ("segment", true, segments),
        ("decisions", false, counts(rows().map(|arm| arm.decisions))),
        ("responses", false, counts(rows().map(|arm| arm.responses))),
        (
            "reward_mean",
            false,
            numbers(rows().map(|arm| Some(arm.mean))),
        ),
        ("lower", true, end(|interval| interval.low)),
        ("upper", true, end(|interval| interval.high)),
    ])
}

pub(super) fn estimates_batch(estimates: &[EstimateRow]) -> Result<RecordBatch, StageError> {
    let rows = || estimates.iter();
    let policies = texts(rows().map(|row| Some(row.policy.as_str())));
    let effective = numbers(rows().map(|row| Some(row.effective)));
    batch(vec![
        ("policy", false, policies),
        (
            "estimator",
            false,
            texts(rows().map(|row| Some(row.estimator))),
        ),
        ("value", false, numbers(rows().map(|row| Some(row.value)))),
        ("lower", true, numbers(rows().map(|row| row.lower))),
        ("upper", true, numbers(rows().map(|row| row.upper))),
        ("effective_sample_size", false, effective),
    ])
}

pub(super) fn unused_batch(unused: &[Unused]) -> Result<RecordBatch, StageError> {
    let rows = || unused.iter();
    let ids = texts(rows().map(|row| Some(row.decision_id.as_str())));
    let times = TimestampMicrosecondArray::from_iter(rows().map(|row| row.at));
    batch(vec![
        ("decision_id", false, ids),
        ("ts", true, Arc::new(times.with_timezone("UTC"))),
        ("reward", true, numbers(rows().map(|row| row.reward))),
        ("reason", false, texts(rows().map(|row| Some(row.reason)))),
    ])
}
