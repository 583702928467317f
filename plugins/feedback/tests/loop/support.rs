//! Stages run one after the other, each on what the one before gave.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_plugin::{StageError, StageHandler};
use serde_json::{Value, json};

pub(crate) fn stage(kind: &str) -> TestStage {
    let mut handlers = marquetry_personalization::handlers();
    handlers.extend(marquetry_feedback::handlers());
    let named = |handler: &Arc<dyn StageHandler>| handler.descriptor().kind.as_str() == kind;
    TestStage::new(handlers.into_iter().find(named).unwrap())
}

/// Customers 1 to `count`, with a recency of as many days as their number.
pub(crate) fn customers(count: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=count));
    RecordBatch::try_from_iter([("customer_id", Arc::clone(&ids)), ("recency_days", ids)]).unwrap()
}

/// The segment of customers 1 to `count`: `odd` and `even`.
pub(crate) fn segments(count: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=count));
    let names = (1..=count).map(|id| if id % 2 == 0 { "even" } else { "odd" });
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    RecordBatch::try_from_iter([("customer_id", ids), ("segment", names)]).unwrap()
}

/// A policy as an attempt gets it.
pub(crate) fn policy(version: u64, dataset: Value) -> Value {
    json!({"$policy": {"name": "offers", "version": version, "dataset": dataset}})
}

/// Options of `personalization/offers` with two actions for everybody.
pub(crate) fn offers() -> Value {
    json!({
        "customers": "$customers",
        "segments": "$segments",
        "policy": policy(0, Value::Null),
        "decided_at": "2025-01-01T00:00:00Z",
        "actions": [{"name": "discount"}, {"name": "bundle"}],
    })
}

/// Options with some of them changed.
pub(crate) fn with(mut options: Value, changes: Value) -> Value {
    if let (Value::Object(options), Value::Object(changes)) = (&mut options, changes) {
        options.extend(changes);
    }
    options
}

/// Decides for `count` customers.
pub(crate) async fn decide(count: i64, options: Value) -> TestOutput {
    stage("personalization/offers")
        .input("customers", vec![customers(count)])
        .input("segments", vec![segments(count)])
        .options(options)
        .run()
        .await
}

/// An output of a stage as an option of the next one.
pub(crate) fn output(of: &TestOutput, name: &str) -> Value {
    json!({"$dataset": of.outcome().outputs[name]})
}

/// All rows of an output.
pub(crate) fn rows(of: &TestOutput, name: &str) -> RecordBatch {
    let batches = &of.outputs[name];
    concat_batches(&batches[0].schema(), batches).unwrap()
}

/// A column of texts; `-` for null.
pub(crate) fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    let texts = column.as_string::<i32>().iter();
    texts.map(|text| text.unwrap_or("-").to_owned()).collect()
}

/// A column of numbers.
pub(crate) fn numbers(batch: &RecordBatch, column: &str) -> Vec<f64> {
    let column = cast(batch.column_by_name(column).unwrap(), &DataType::Float64).unwrap();
    column.as_primitive::<Float64Type>().values().to_vec()
}

/// Responses: the decision, the moment and the reward of each.
pub(crate) fn responses(of: &[(&str, &str, f64)]) -> RecordBatch {
    let column = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    let moments = column(of.iter().map(|(_, at, _)| *at).collect());
    let moment = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    let rewards: ArrayRef = Arc::new(arrow::array::Float64Array::from_iter_values(
        of.iter().map(|(_, _, reward)| *reward),
    ));
    RecordBatch::try_from_iter([
        (
            "decision_id",
            column(of.iter().map(|(id, _, _)| *id).collect()),
        ),
        ("ts", cast(&moments, &moment).unwrap()),
        ("reward", rewards),
    ])
    .unwrap()
}

/// Options of `feedback/bandit` after a stage that decided.
pub(crate) fn bandit(decided: &TestOutput) -> Value {
    json!({
        "decisions": output(decided, "decisions"),
        "responses": "$responses",
        "policy": policy(0, Value::Null),
        "from": output(decided, "policy"),
    })
}

/// Learns from responses in the lake of the stage that decided.
pub(crate) async fn learn(
    decided: &TestOutput,
    responses: RecordBatch,
    options: Value,
) -> TestOutput {
    stage("feedback/bandit")
        .lake(decided.lake.clone())
        .input("responses", vec![responses])
        .options(options)
        .run()
        .await
}

/// The code and the message of a stage that failed because somebody must act.
pub(crate) fn refusal(of: &TestOutput) -> (String, String) {
    match of.error() {
        StageError::Invalid(diagnostic) => {
            assert!(diagnostic.help.is_some(), "what instead: {diagnostic}");
            (diagnostic.code.to_string(), diagnostic.message.clone())
        }
        other => panic!("{other:?}"),
    }
}
