//! Tables in and out of stages.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_plugin::{LogLevel, PanelBody, StageError, StageHandler};
use serde_json::Value;

pub(crate) type Columns = Vec<(&'static str, ArrayRef)>;

pub(crate) fn table(columns: Columns) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

pub(crate) fn ids(ids: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(ids.to_vec()))
}

pub(crate) fn floats<V: Into<Option<f64>> + Copy>(values: &[V]) -> ArrayRef {
    Arc::new(Float64Array::from_iter(
        values.iter().map(|value| (*value).into()),
    ))
}

pub(crate) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(crate) async fn run(kind: &str, inputs: &[(&str, RecordBatch)], options: Value) -> TestOutput {
    let handlers = marquetry_evaluation::handlers();
    let named = |handler: &Arc<dyn StageHandler>| handler.descriptor().kind.as_str() == kind;
    let handler = handlers.into_iter().find(named).unwrap();
    let mut stage = TestStage::new(handler).options(options);
    for (name, batch) in inputs {
        stage = stage.input(name, vec![batch.clone()]);
    }
    stage.run().await
}

pub(crate) fn rows(output: &TestOutput, name: &str) -> RecordBatch {
    let batches = &output.outputs[name];
    concat_batches(&batches[0].schema(), batches).unwrap()
}

pub(crate) fn numbers(batch: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    let column = batch.column_by_name(column).unwrap();
    column.as_primitive::<Float64Type>().iter().collect()
}

pub(crate) fn warnings(output: &TestOutput) -> Vec<&str> {
    let warnings = output
        .logs
        .iter()
        .filter(|line| line.level == LogLevel::Warn);
    warnings.map(|line| line.message.as_str()).collect()
}

pub(crate) fn close(got: f64, wanted: f64) -> bool {
    (got - wanted).abs() <= 1e-12 * wanted.abs()
}

/// A column of integers, none for null.
pub(crate) fn integers(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    let column = batch.column_by_name(column).unwrap();
    column.as_primitive::<Int64Type>().iter().collect()
}

/// A column of texts, none for null.
pub(crate) fn words(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

/// A column of truth values.
pub(crate) fn truths(batch: &RecordBatch, column: &str) -> Vec<bool> {
    let column = batch.column_by_name(column).unwrap();
    let column = column.as_any().downcast_ref::<BooleanArray>().unwrap();
    column.iter().map(Option::unwrap).collect()
}

/// An assignment of customers to numbered segments.
pub(crate) fn numbered(customers: &[i64], segments: &[i64]) -> RecordBatch {
    table(vec![
        ("customer_id", ids(customers)),
        ("segment", ids(segments)),
    ])
}

/// An assignment of customers to named segments.
pub(crate) fn named(customers: &[i64], segments: &[Option<&str>]) -> RecordBatch {
    let segments: ArrayRef = Arc::new(StringArray::from(segments.to_vec()));
    table(vec![("customer_id", ids(customers)), ("segment", segments)])
}

/// Why it failed: the code and the message.
pub(crate) fn refusal(output: &TestOutput) -> (String, String) {
    let StageError::Invalid(diagnostic) = output.error() else {
        panic!("{:?}", output.result);
    };
    (diagnostic.code.to_string(), diagnostic.message.clone())
}

/// Kinds of the panels, in their order.
pub(crate) fn panels(output: &TestOutput) -> Vec<&'static str> {
    let kind = |body: &PanelBody| match body {
        PanelBody::Figures(_) => "figures",
        PanelBody::Bars { .. } => "bars",
        PanelBody::Heatmap { .. } => "heatmap",
        PanelBody::Table { .. } => "table",
        PanelBody::Text(_) => "text",
        _ => "other",
    };
    output
        .panels
        .iter()
        .map(|panel| kind(&panel.body))
        .collect()
}
