//! The outputs of `feedback/bandit` beside the policy.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use marquetry_kernels::{Interval, Z_95, normal_at, wilson_at};
use marquetry_plugin::StageError;

use super::estimates::EstimateRow;
use super::join::Unused;
use super::learn::Lesson;

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

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values))
}

fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    let values = values.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
    Arc::new(Int64Array::from_iter_values(values))
}

pub(super) fn arms_batch(arms: &[ArmRow]) -> Result<RecordBatch, StageError> {
    let schema = Schema::new(vec![
        Field::new("action", DataType::Utf8, false),
        Field::new("segment", DataType::Utf8, true),
        Field::new("decisions", DataType::Int64, false),
        Field::new("responses", DataType::Int64, false),
        Field::new("reward_mean", DataType::Float64, false),
        Field::new("lower", DataType::Float64, true),
        Field::new("upper", DataType::Float64, true),
    ]);
    let columns = vec![
        texts(arms.iter().map(|arm| arm.action.as_str())),
        Arc::new(StringArray::from_iter(
            arms.iter().map(|arm| arm.segment.as_deref()),
        )) as ArrayRef,
        counts(arms.iter().map(|arm| arm.decisions)),
        counts(arms.iter().map(|arm| arm.responses)),
        numbers(arms.iter().map(|arm| Some(arm.mean))),
        numbers(arms.iter().map(|arm| Some(arm.interval?.low))),
        numbers(arms.iter().map(|arm| Some(arm.interval?.high))),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

pub(super) fn estimates_batch(rows: &[EstimateRow]) -> Result<RecordBatch, StageError> {
    let schema = Schema::new(vec![
        Field::new("policy", DataType::Utf8, false),
        Field::new("estimator", DataType::Utf8, false),
        Field::new("value", DataType::Float64, false),
        Field::new("lower", DataType::Float64, true),
        Field::new("upper", DataType::Float64, true),
        Field::new("effective_sample_size", DataType::Float64, false),
    ]);
    let columns = vec![
        texts(rows.iter().map(|row| row.policy.as_str())),
        texts(rows.iter().map(|row| row.estimator)),
        numbers(rows.iter().map(|row| Some(row.value))),
        numbers(rows.iter().map(|row| row.lower)),
        numbers(rows.iter().map(|row| row.upper)),
        numbers(rows.iter().map(|row| Some(row.effective))),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

pub(super) fn unused_batch(rows: &[Unused]) -> Result<RecordBatch, StageError> {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("decision_id", DataType::Utf8, false),
        Field::new("ts", moment, true),
        Field::new("reward", DataType::Float64, true),
        Field::new("reason", DataType::Utf8, false),
    ]);
    let times = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.at));
    let columns = vec![
        texts(rows.iter().map(|row| row.decision_id.as_str())),
        Arc::new(times.with_timezone("UTC")) as ArrayRef,
        numbers(rows.iter().map(|row| row.reward)),
        texts(rows.iter().map(|row| row.reason)),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}
