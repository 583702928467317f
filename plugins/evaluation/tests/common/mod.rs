//! What the tests of all stages need: tables, runs, and what came of them.
#![expect(
    dead_code,
    unreachable_pub,
    reason = "each test file is a program of its own and uses some of it"
)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_plugin::{LogLevel, StageError, StageHandler};
use serde_json::Value;

pub type Columns = Vec<(&'static str, ArrayRef)>;

pub fn table(columns: Columns) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

pub fn ids(ids: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(ids.to_vec()))
}

pub fn floats<V: Into<Option<f64>> + Copy>(values: &[V]) -> ArrayRef {
    Arc::new(Float64Array::from_iter(
        values.iter().map(|value| (*value).into()),
    ))
}

pub fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// The segments of customers 1, 2, 3 and so on.
pub fn assignment(segments: &[i32]) -> RecordBatch {
    table(vec![
        (
            "customer_id",
            Arc::new((1..).take(segments.len()).collect::<Int64Array>()),
        ),
        ("segment", Arc::new(Int32Array::from(segments.to_vec()))),
    ])
}

pub fn handler(kind: &str) -> Arc<dyn StageHandler> {
    let handlers = marquetry_evaluation::handlers();
    let named = |handler: &Arc<dyn StageHandler>| handler.descriptor().kind.as_str() == kind;
    handlers.into_iter().find(named).unwrap()
}

pub async fn run(kind: &str, inputs: &[(&str, RecordBatch)], options: Value) -> TestOutput {
    let mut stage = TestStage::new(handler(kind)).options(options);
    for (name, batch) in inputs {
        stage = stage.input(name, vec![batch.clone()]);
    }
    stage.run().await
}

pub fn count(output: &TestOutput, name: &str) -> u64 {
    output.outcome().outputs[name].rows
}

pub fn rows(output: &TestOutput, name: &str) -> RecordBatch {
    let batches = &output.outputs[name];
    concat_batches(&batches[0].schema(), batches).unwrap()
}

pub fn numbers(batch: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    let column = batch.column_by_name(column).unwrap();
    column.as_primitive::<Float64Type>().iter().collect()
}

pub fn integers(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    let column = batch.column_by_name(column).unwrap();
    column.as_primitive::<Int64Type>().iter().collect()
}

pub fn truths(batch: &RecordBatch, column: &str) -> Vec<Option<bool>> {
    let column = batch.column_by_name(column).unwrap();
    column.as_boolean().iter().collect()
}

pub fn messages(output: &TestOutput, level: LogLevel) -> Vec<&str> {
    let lines = output.logs.iter().filter(|line| line.level == level);
    lines.map(|line| line.message.as_str()).collect()
}

pub fn error_code(output: &TestOutput) -> String {
    match output.error() {
        StageError::Invalid(diagnostic) => diagnostic.code.to_string(),
        other => other.to_string(),
    }
}

pub fn close(got: f64, wanted: f64) -> bool {
    (got - wanted).abs() <= 1e-12 * wanted.abs()
}
