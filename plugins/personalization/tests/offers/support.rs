//! Customers, policies in a lake, and decisions in few words.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int64Type, SchemaRef};
use marquetry_decisions::{PolicyBook, policy_batch};
use marquetry_lake::{Lake, WriteOptions};
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_plugin::{StageError, StageHandler};
use marquetry_types::DatasetRef;
use serde_json::{Value, json};

/// The stage, not yet told anything.
pub(crate) fn stage() -> TestStage {
    let handlers = marquetry_personalization::handlers();
    let is_offers = |handler: &Arc<dyn StageHandler>| {
        handler.descriptor().kind.as_str() == "personalization/offers"
    };
    TestStage::new(handlers.into_iter().find(is_offers).unwrap())
}

/// Options with a catalogue; `more` replaces and adds.
pub(crate) fn options(actions: Value, more: Value) -> Value {
    let mut options = json!({
        "customers": "$customers",
        "policy": "$offers",
        "decided_at": "2025-01-31T08:00:00Z",
        "actions": actions,
    });
    let fields = options.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        fields.insert(name.clone(), value.clone());
    }
    options
}

/// Runs the stage on `count` customers, half of them in segment `a` and most others in `b`, while nothing is
/// published.
pub(crate) async fn decide(count: i64, actions: Value, more: Value) -> TestOutput {
    stage()
        .input("customers", vec![customers(count)])
        .input("segments", vec![segments(count)])
        .policy("offers", None)
        .options(options(actions, more))
        .run()
        .await
}

/// `count` customers from 1: `recency_days` is the id, `frequency` its remainder by 7, and `score` is null
/// for every tenth.
pub(crate) fn customers(count: i64) -> RecordBatch {
    let ids = || 1..=count;
    let score = |id: i64| (id % 10 != 0).then_some(id as f64 / count as f64);
    table([
        ("customer_id", Arc::new(Int64Array::from_iter_values(ids()))),
        (
            "recency_days",
            Arc::new(Int64Array::from_iter_values(ids())),
        ),
        (
            "frequency",
            Arc::new(Int64Array::from_iter_values(ids().map(|id| id % 7))),
        ),
        ("score", Arc::new(Float64Array::from_iter(ids().map(score)))),
    ])
}

/// The segment of a customer: every fifth has none.
pub(crate) fn segment(id: i64) -> Option<&'static str> {
    match id {
        id if id % 5 == 0 => None,
        id if id % 2 == 0 => Some("a"),
        _ => Some("b"),
    }
}

/// Who is in which segment; the others are not in it.
pub(crate) fn segments(count: i64) -> RecordBatch {
    let known = || (1..=count).filter(|id| segment(*id).is_some());
    table([
        (
            "customer_id",
            Arc::new(Int64Array::from_iter_values(known())),
        ),
        (
            "segment",
            Arc::new(StringArray::from_iter(known().map(segment))),
        ),
    ])
}

pub(crate) fn table<const COLUMNS: usize>(columns: [(&str, ArrayRef); COLUMNS]) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// An empty lake.
pub(crate) async fn lake() -> Lake {
    Lake::open("memory:///").await.unwrap()
}

/// Writes a dataset into a lake.
pub(crate) async fn put(lake: &Lake, schema: SchemaRef, batch: &RecordBatch) -> DatasetRef {
    let prefix = format!("given/{}", blake3::hash(format!("{schema:?}").as_bytes()));
    let writer = lake.dataset_writer(&prefix, schema, WriteOptions::default());
    let mut writer = writer.await.unwrap();
    writer.write(batch).await.unwrap();
    writer.finish().await.unwrap()
}

/// Writes a policy into a lake.
pub(crate) async fn put_policy(lake: &Lake, book: &PolicyBook) -> DatasetRef {
    let (schema, batch) = policy_batch(book).unwrap();
    put(lake, schema, &batch).await
}

/// A decision of the output.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decided {
    pub(crate) id: String,
    pub(crate) customer: i64,
    pub(crate) segment: Option<String>,
    pub(crate) context: Vec<f64>,
    pub(crate) eligible: Vec<String>,
    pub(crate) action: String,
    pub(crate) propensity: f64,
}

/// The decisions of the output, in its order.
pub(crate) fn decided(output: &TestOutput) -> Vec<Decided> {
    assert!(output.result.is_ok(), "{:?}", output.result);
    let mut decided = Vec::new();
    for batch in &output.outputs["decisions"] {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let text = |name: &str, row: usize| {
            let texts = column(name).as_string::<i32>();
            texts.is_valid(row).then(|| texts.value(row).to_owned())
        };
        for row in 0..batch.num_rows() {
            let context = column("context").as_list::<i32>().value(row);
            let eligible = column("eligible").as_list::<i32>().value(row);
            let eligible = eligible.as_string::<i32>().iter().flatten();
            decided.push(Decided {
                id: text("decision_id", row).unwrap(),
                customer: column("customer_id").as_primitive::<Int64Type>().value(row),
                segment: text("segment", row),
                context: context.as_primitive::<Float64Type>().values().to_vec(),
                eligible: eligible.map(str::to_owned).collect(),
                action: text("action", row).unwrap(),
                propensity: column("propensity")
                    .as_primitive::<Float64Type>()
                    .value(row),
            });
        }
    }
    decided
}

/// What the author of the workflow is told.
pub(crate) fn complaint(output: &TestOutput) -> String {
    match output.error() {
        StageError::Invalid(diagnostic) => diagnostic.to_string(),
        other => panic!("{other:?}"),
    }
}
