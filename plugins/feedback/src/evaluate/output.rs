//! The outputs of an evaluation.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use marquetry_plugin::StageError;
use marquetry_policy::Interval;

use super::arms::{ArmMean, BestArm};
use super::log::Log;
use super::value::PolicyValue;

fn batch(columns: Vec<(&str, bool, ArrayRef)>) -> Result<RecordBatch, StageError> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, nullable, values)| Field::new(*name, values.data_type().clone(), *nullable))
        .collect();
    let columns = columns.into_iter().map(|(_, _, values)| values).collect();
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    let counts = values.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    Arc::new(Int64Array::from_iter_values(counts))
}

const fn low(interval: Interval) -> f64 {
    interval.low
}

const fn high(interval: Interval) -> f64 {
    interval.high
}

/// The values of policies.
pub(super) fn estimates(values: &[PolicyValue]) -> Result<RecordBatch, StageError> {
    let rows = || values.iter();
    batch(vec![
        (
            "policy",
            false,
            texts(rows().map(|row| Some(row.policy.as_str()))),
        ),
        (
            "estimator",
            false,
            texts(rows().map(|row| Some(row.estimator))),
        ),
        ("value", true, numbers(rows().map(|row| row.value))),
        (
            "lower",
            true,
            numbers(rows().map(|row| row.interval.map(low))),
        ),
        (
            "upper",
            true,
            numbers(rows().map(|row| row.interval.map(high))),
        ),
        (
            "effective_sample_size",
            false,
            numbers(rows().map(|row| Some(row.effective_sample_size))),
        ),
    ])
}

/// What each action earned.
pub(super) fn arms(log: &Log, arms: &[ArmMean]) -> Result<RecordBatch, StageError> {
    let rows = || arms.iter();
    batch(vec![
        (
            "action",
            false,
            texts(rows().map(|row| Some(action(log, row)))),
        ),
        ("segment", true, texts(rows().map(|row| segment(log, row)))),
        ("decisions", false, counts(rows().map(|row| row.decisions))),
        (
            "mean_reward",
            false,
            numbers(rows().map(|row| Some(row.mean))),
        ),
        (
            "lower",
            true,
            numbers(rows().map(|row| row.interval.map(low))),
        ),
        (
            "upper",
            true,
            numbers(rows().map(|row| row.interval.map(high))),
        ),
    ])
}

/// The best action of each segment.
pub(super) fn best(log: &Log, best: &[BestArm<'_>]) -> Result<RecordBatch, StageError> {
    let rows = || best.iter();
    let advantage = |of: fn(Interval) -> f64| {
        rows().map(move |row| row.advantage.and_then(|(_, interval)| interval.map(of)))
    };
    batch(vec![
        (
            "segment",
            true,
            texts(rows().map(|row| segment(log, row.best))),
        ),
        (
            "action",
            false,
            texts(rows().map(|row| Some(action(log, row.best)))),
        ),
        (
            "decisions",
            false,
            counts(rows().map(|row| row.best.decisions)),
        ),
        (
            "mean_reward",
            false,
            numbers(rows().map(|row| Some(row.best.mean))),
        ),
        (
            "lower",
            true,
            numbers(rows().map(|row| row.best.interval.map(low))),
        ),
        (
            "upper",
            true,
            numbers(rows().map(|row| row.best.interval.map(high))),
        ),
        (
            "next",
            true,
            texts(rows().map(|row| row.next.map(|arm| action(log, arm)))),
        ),
        (
            "advantage",
            true,
            numbers(rows().map(|row| row.advantage.map(|(value, _)| value))),
        ),
        ("advantage_lower", true, numbers(advantage(low))),
        ("advantage_upper", true, numbers(advantage(high))),
    ])
}

/// The name of an arm's action.
pub(super) fn action<'a>(log: &'a Log, arm: &ArmMean) -> &'a str {
    &log.actions[arm.action]
}

/// The name of an arm's segment; none of all of them together.
pub(super) fn segment<'a>(log: &'a Log, arm: &ArmMean) -> Option<&'a str> {
    arm.segment.map(|segment| log.segments[segment].as_str())
}
