//! The outputs of a judgement of stability.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use marquetry_plugin::StageError;

use super::refits::{SegmentStability, Stable};
use crate::assignment::{Names, SEGMENT};

/// A row per segment.
pub(super) fn segments(stable: &Stable, names: &Names) -> Result<RecordBatch, StageError> {
    let fields = vec![
        Field::new(SEGMENT, names.kind(), false),
        Field::new("jaccard_mean", DataType::Float64, false),
        Field::new("jaccard_min", DataType::Float64, false),
        Field::new("dissolved", DataType::Int64, false),
        Field::new("recovered", DataType::Int64, false),
    ];
    let floats = |value: fn(&SegmentStability) -> f64| -> ArrayRef {
        let values = stable.segments.iter().map(value);
        Arc::new(Float64Array::from_iter_values(values))
    };
    let counts = |value: fn(&SegmentStability) -> usize| -> ArrayRef {
        let values = stable.segments.iter().map(value);
        Arc::new(Int64Array::from_iter_values(
            values.map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
        ))
    };
    let columns = vec![
        names.column(0..stable.segments.len()),
        floats(|segment| segment.mean),
        floats(|segment| segment.min),
        counts(|segment| segment.dissolved),
        counts(|segment| segment.recovered),
    ];
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

/// A row per refit, numbered from 1.
pub(super) fn refits(stable: &Stable) -> Result<RecordBatch, StageError> {
    let fields = vec![
        Field::new("refit", DataType::Int64, false),
        Field::new("adjusted_rand", DataType::Float64, false),
        Field::new("inertia", DataType::Float64, false),
    ];
    let refits = || stable.refits.iter();
    let columns: Vec<ArrayRef> = vec![
        Arc::new((1..).take(stable.refits.len()).collect::<Int64Array>()),
        Arc::new(Float64Array::from_iter_values(
            refits().map(|refit| refit.adjusted_rand),
        )),
        Arc::new(Float64Array::from_iter_values(
            refits().map(|refit| refit.inertia),
        )),
    ];
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
