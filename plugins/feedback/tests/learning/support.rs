//! Logs and responses in few words, stages on them, and what came of it.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type};
use marquetry_decisions::{Learner, PolicyBook, PolicySpec, decisions_schema};
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_plugin::{StageError, StageHandler};
use serde_json::{Value, json};

/// The moment of every decision, in microseconds: 2025-01-31T08:00:00Z.
pub(crate) const DECIDED: i64 = 1_738_310_400_000_000;
/// A day in microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;

/// A stage of a kind, of this family or of `personalization`.
pub(crate) fn stage(kind: &str) -> TestStage {
    let mut handlers = marquetry_feedback::handlers();
    handlers.extend(marquetry_personalization::handlers());
    let named = |handler: &Arc<dyn StageHandler>| handler.descriptor().kind.as_str() == kind;
    TestStage::new(handlers.into_iter().find(named).unwrap())
}

/// A decision as a test writes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logged {
    pub(crate) id: &'static str,
    pub(crate) segment: Option<&'static str>,
    pub(crate) context: &'static [f64],
    pub(crate) eligible: &'static [&'static str],
    pub(crate) action: &'static str,
    pub(crate) propensity: f64,
}

/// A decision between `x` and `y`, each as likely, for everybody.
pub(crate) const fn logged(id: &'static str, action: &'static str) -> Logged {
    Logged {
        id,
        segment: None,
        context: &[1.0],
        eligible: &["x", "y"],
        action,
        propensity: 0.5,
    }
}

/// A log of decisions.
pub(crate) fn log(rows: &[Logged]) -> RecordBatch {
    let ids = 0..i64::try_from(rows.len()).unwrap();
    let texts = |of: fn(&Logged) -> Option<&str>| -> ArrayRef {
        Arc::new(StringArray::from_iter(rows.iter().map(of)))
    };
    let contexts: Vec<f64> = rows.iter().flat_map(|row| row.context).copied().collect();
    let eligible: Vec<&str> = rows.iter().flat_map(|row| row.eligible).copied().collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids)),
        texts(|row| Some(row.id)),
        texts(|row| row.segment),
        list(
            DataType::Float64,
            rows.iter().map(|row| row.context.len()),
            Arc::new(Float64Array::from(contexts)),
        ),
        list(
            DataType::Utf8,
            rows.iter().map(|row| row.eligible.len()),
            Arc::new(StringArray::from(eligible)),
        ),
        texts(|row| Some(row.action)),
        Arc::new(Float64Array::from_iter_values(
            rows.iter().map(|row| row.propensity),
        )),
        texts(|_| Some("offers")),
        Arc::new(Int64Array::from(vec![0; rows.len()])),
        Arc::new(TimestampMicrosecondArray::from(vec![DECIDED; rows.len()]).with_timezone("UTC")),
    ];
    let key = Field::new("customer_id", DataType::Int64, false);
    RecordBatch::try_new(decisions_schema(key), columns).unwrap()
}

fn list(kind: DataType, lengths: impl IntoIterator<Item = usize>, values: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new("item", kind, false));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::new(field, offsets, values, None))
}

/// A response: the decision's id, the time after [`DECIDED`], the reward; each may be missing.
pub(crate) type Response = (Option<&'static str>, Option<i64>, Option<f64>);

/// A response that is whole.
pub(crate) const fn response(id: &'static str, after: i64, reward: f64) -> Response {
    (Some(id), Some(after), Some(reward))
}

/// A table of responses.
pub(crate) fn responses(rows: &[Response]) -> RecordBatch {
    let times = rows.iter().map(|row| Some(DECIDED + row.1?));
    let times = times.collect::<TimestampMicrosecondArray>();
    let columns: [(&str, ArrayRef); 3] = [
        (
            "decision_id",
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0))),
        ),
        ("ts", Arc::new(times.with_timezone("UTC"))),
        (
            "reward",
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2))),
        ),
    ];
    let nullable = columns.map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(nullable).unwrap()
}

/// A policy that knows `x` and `y` and has learned nothing.
pub(crate) fn fresh(algorithm: Learner) -> PolicyBook {
    let context: &[String] = if algorithm.is_linear() {
        &["recency".to_owned()]
    } else {
        &[]
    };
    let spec = PolicySpec::of(&algorithm, 0.0, false, context).unwrap();
    let mut book = PolicyBook::new(spec).unwrap();
    book.know(None, &["x", "y"]).unwrap();
    book
}

/// Runs `feedback/bandit` from a policy that is not published yet; `more` replaces and adds options.
pub(crate) async fn learn(
    from: &PolicyBook,
    decisions: &[Logged],
    answers: &[Response],
    more: Value,
) -> TestOutput {
    let (_, from) = marquetry_decisions::policy_batch(from).unwrap();
    stage("feedback/bandit")
        .input("decisions", vec![log(decisions)])
        .input("responses", vec![responses(answers)])
        .input("from", vec![from])
        .policy("offers", None)
        .options(bandit(json!({"from": "$from"}), more))
        .run()
        .await
}

/// Options of `feedback/bandit`; the later ones replace and add.
pub(crate) fn bandit(more: Value, most: Value) -> Value {
    let mut options = json!({
        "decisions": "$decisions",
        "responses": "$responses",
        "policy": "$offers",
    });
    let fields = options.as_object_mut().unwrap();
    for more in [more, most] {
        for (name, value) in more.as_object().unwrap() {
            fields.insert(name.clone(), value.clone());
        }
    }
    options
}

/// The policy of an output, which may have no rows, as the lake has it.
pub(crate) async fn book(output: &TestOutput) -> PolicyBook {
    let dataset = &output.outcome().outputs["policy"];
    let schema = output.lake.manifest(dataset).await.unwrap().schema;
    PolicyBook::from_json(&schema.metadata()["marquetry.policy"]).unwrap()
}

/// How many rewards each action of the policy of a segment had, and their mean.
pub(crate) fn arms(book: &PolicyBook, segment: Option<&str>) -> Vec<(String, u64, Option<f64>)> {
    let policy = book.policy(segment).unwrap();
    let arms = policy.arms();
    arms.map(|arm| (arm.action.to_owned(), arm.count, arm.mean))
        .collect()
}

/// All rows of an output; at least one batch is there.
pub(crate) fn rows(output: &TestOutput, name: &str) -> RecordBatch {
    assert!(output.result.is_ok(), "{:?}", output.result);
    let batches = &output.outputs[name];
    concat_batches(&batches[0].schema(), batches).unwrap()
}

/// A column as numbers.
pub(crate) fn numbers(batch: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    let column = cast(batch.column_by_name(column).unwrap(), &DataType::Float64).unwrap();
    column.as_primitive::<Float64Type>().iter().collect()
}

/// A column as texts, empty for null.
pub(crate) fn words(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    let texts = column.as_string::<i32>().iter();
    texts
        .map(|text| text.unwrap_or_default().to_owned())
        .collect()
}

/// Decision and reason of the responses that were not used, sorted.
pub(crate) fn unused(output: &TestOutput) -> Vec<String> {
    assert!(output.result.is_ok(), "{:?}", output.result);
    let Some(first) = output.outputs["unused"].first() else {
        return Vec::new();
    };
    let rows = concat_batches(&first.schema(), &output.outputs["unused"]).unwrap();
    let pairs = words(&rows, "decision_id")
        .into_iter()
        .zip(words(&rows, "reason"));
    let mut pairs: Vec<String> = pairs.map(|(id, reason)| format!("{id} {reason}")).collect();
    pairs.sort();
    pairs
}

/// What the author of the workflow is told.
pub(crate) fn complaint(output: &TestOutput) -> String {
    match output.error() {
        StageError::Invalid(diagnostic) => diagnostic.to_string(),
        other => panic!("{other:?}"),
    }
}
