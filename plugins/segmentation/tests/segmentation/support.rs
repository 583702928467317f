//! Stages on tables, and what came of them in few words.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Float64Type};
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_plugin::{LogLevel, StageError, StageHandler};
use serde_json::Value;

/// A stage of a kind, without inputs and options.
pub(crate) fn stage(kind: &str) -> TestStage {
    let handlers = marquetry_segmentation::handlers();
    let named = |handler: &Arc<dyn StageHandler>| handler.descriptor().kind.as_str() == kind;
    TestStage::new(handlers.into_iter().find(named).unwrap())
}

/// Runs a stage of a kind on inputs.
pub(crate) async fn run(kind: &str, inputs: &[(&str, &RecordBatch)], options: Value) -> TestOutput {
    let mut stage = stage(kind).options(options);
    for (name, batch) in inputs {
        stage = stage.input(name, vec![(*batch).clone()]);
    }
    stage.run().await
}

/// A table of these columns.
pub(crate) fn table<const COLUMNS: usize>(columns: [(&str, ArrayRef); COLUMNS]) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

pub(crate) fn ids(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Numbers, none for null.
pub(crate) fn floats<V: Into<Option<f64>>>(values: impl IntoIterator<Item = V>) -> ArrayRef {
    let values = values.into_iter().map(Into::into);
    Arc::new(values.collect::<Float64Array>())
}

/// Texts, none for null.
pub(crate) fn texts<'a, V: Into<Option<&'a str>>>(values: impl IntoIterator<Item = V>) -> ArrayRef {
    let values = values.into_iter().map(Into::into);
    Arc::new(values.collect::<StringArray>())
}

/// The path of a fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("tests/fixtures")
        .join(name)
}

/// A fixture that is a table.
pub(crate) fn csv(name: &str) -> RecordBatch {
    let path = fixture(name);
    let format = Format::default().with_header(true);
    let (schema, _) = format
        .infer_schema(File::open(&path).unwrap(), None)
        .unwrap();
    let schema = Arc::new(schema);
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true);
    let reader = reader.build(File::open(&path).unwrap()).unwrap();
    concat_batches(&schema, &reader.map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

/// All rows of an output.
pub(crate) fn rows(output: &TestOutput, name: &str) -> RecordBatch {
    let batches = &output.outputs[name];
    match batches.first() {
        Some(first) => concat_batches(&first.schema(), batches).unwrap(),
        None => table([("segment", ids([]))]),
    }
}

/// A column as numbers.
pub(crate) fn numbers(batch: &RecordBatch, column: &str) -> Vec<f64> {
    let column = batch.column_by_name(column).unwrap();
    let numbers = cast(column, &DataType::Float64).unwrap();
    assert_eq!(numbers.null_count(), 0);
    numbers.as_primitive::<Float64Type>().values().to_vec()
}

/// A column as texts.
pub(crate) fn words(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap();
    let texts = cast(column, &DataType::Utf8).unwrap();
    assert_eq!(texts.null_count(), 0);
    let texts = texts.as_string::<i32>();
    texts.iter().flatten().map(str::to_owned).collect()
}

/// The segments by key, as in `1 vip, 2 other`.
pub(crate) fn segments(output: &TestOutput) -> String {
    let rows = rows(output, "segments");
    if rows.num_rows() == 0 {
        return String::new();
    }
    let pairs = words(&rows, "customer_id")
        .into_iter()
        .zip(words(&rows, "segment"));
    let pairs: Vec<String> = pairs
        .map(|(key, segment)| format!("{key} {segment}"))
        .collect();
    pairs.join(", ")
}

/// What the author of the workflow is told: message, code and help on a line.
pub(crate) fn complaint(output: &TestOutput) -> String {
    match output.error() {
        StageError::Invalid(diagnostic) => diagnostic.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The warnings with their fields, in order.
pub(crate) fn warnings(output: &TestOutput) -> Vec<String> {
    logged(output, LogLevel::Warn)
}

/// The lines of a level with their fields, in order.
pub(crate) fn logged(output: &TestOutput, level: LogLevel) -> Vec<String> {
    let lines = output.logs.iter();
    lines
        .filter(|line| line.level == level)
        .map(|line| {
            let fields = line.fields.iter();
            let fields: Vec<String> = fields
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("{}: {}", line.message, fields.join(" "))
        })
        .collect()
}

/// Whether two numbers are as good as equal.
pub(crate) fn close(got: f64, wanted: f64, relative: f64) -> bool {
    (got - wanted).abs() <= relative * wanted.abs().max(1e-12)
}
