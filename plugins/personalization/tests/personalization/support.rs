//! Stages on tables, and what came of them in few words.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Float64Type, Schema};
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_plugin::{StageError, StageHandler};

/// A stage of a kind, without inputs and options.
pub(crate) fn stage(kind: &str) -> TestStage {
    let handlers = marquetry_personalization::handlers();
    let named = |handler: &Arc<dyn StageHandler>| handler.descriptor().kind.as_str() == kind;
    TestStage::new(handlers.into_iter().find(named).unwrap())
}

/// A table of these columns, which may hold nulls.
pub(crate) fn table<const COLUMNS: usize>(columns: [(&str, ArrayRef); COLUMNS]) -> RecordBatch {
    let columns = columns.map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// The text of a fixture.
pub(crate) fn fixture(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("tests/fixtures")
        .join(name)
}

/// A fixture that is a table.
pub(crate) fn csv(name: &str) -> RecordBatch {
    let format = Format::default().with_header(true);
    let (schema, _) = format
        .infer_schema(File::open(path(name)).unwrap(), None)
        .unwrap();
    let schema = Arc::new(schema);
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true);
    let reader = reader.build(File::open(path(name)).unwrap()).unwrap();
    concat_batches(&schema, &reader.map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

/// All rows of an output; a table without columns where there are none.
pub(crate) fn rows(output: &TestOutput, name: &str) -> RecordBatch {
    let batches = &output.outputs[name];
    let schema = batches.first().map(RecordBatch::schema);
    concat_batches(
        &schema.unwrap_or_else(|| Arc::new(Schema::empty())),
        batches,
    )
    .unwrap()
}

/// A column as texts.
pub(crate) fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(column).unwrap();
    let column = cast(column, &DataType::Utf8).unwrap();
    let values = column.as_string::<i32>().iter();
    values.map(|text| text.map(str::to_owned)).collect()
}

/// A column of numbers.
pub(crate) fn numbers(batch: &RecordBatch, column: &str) -> Vec<f64> {
    let column = cast(batch.column_by_name(column).unwrap(), &DataType::Float64).unwrap();
    assert_eq!(column.null_count(), 0);
    column.as_primitive::<Float64Type>().values().to_vec()
}

/// Why a stage refused.
pub(crate) fn message(output: &TestOutput) -> String {
    match output.error() {
        StageError::Invalid(diagnostic) => diagnostic.message.clone(),
        other => panic!("{other:?}"),
    }
}
