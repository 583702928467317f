//! Assignments as Arrow data.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use marquetry_plugin::StageError;
use marquetry_rows::Keys;

/// The column that says which segment a row is in.
pub(crate) const SEGMENT: &str = "segment";

/// The schema of an assignment to numbered segments, given that of the key.
pub(crate) fn numbered_schema(key: Field) -> SchemaRef {
    Arc::new(Schema::new(vec![
        key,
        Field::new(SEGMENT, DataType::Int64, false),
        Field::new("distance", DataType::Float64, false),
    ]))
}

/// An assignment to numbered segments, with the distance of each row from its centre.
pub(crate) fn numbered(
    keys: &Keys,
    labels: &[u32],
    squared_distances: &[f64],
) -> Result<RecordBatch, StageError> {
    let segments = Int64Array::from_iter_values(labels.iter().map(|label| i64::from(*label)));
    let distances = squared_distances.iter().map(|squared| squared.sqrt());
    let columns: Vec<ArrayRef> = vec![
        keys.array(),
        Arc::new(segments),
        Arc::new(Float64Array::from_iter_values(distances)),
    ];
    Ok(RecordBatch::try_new(
        numbered_schema(keys.field()),
        columns,
    )?)
}

/// A column of texts.
pub(crate) fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}
