//! The outputs of a profile.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use marquetry_plugin::StageError;

use super::effects::{NumberEffect, Profiled, TextEffect};
use super::words::Described;
use crate::assignment::{Assignment, SEGMENT};

/// A row of the output `profile`.
struct Row<'a> {
    segment: usize,
    column: &'a str,
    number: Option<&'a NumberEffect>,
    text: Option<&'a TextEffect>,
}

/// The long table: segment by segment, column by column.
pub(super) fn profile(
    profiled: &Profiled,
    assignment: &Assignment,
) -> Result<RecordBatch, StageError> {
    let mut rows = Vec::new();
    for segment in 0..assignment.names.len() {
        for (column, effects) in &profiled.numbers {
            rows.push(Row {
                segment,
                column,
                number: effects.get(segment),
                text: None,
            });
        }
        for (column, effects) in &profiled.texts {
            rows.push(Row {
                segment,
                column,
                number: None,
                text: effects.get(segment),
            });
        }
    }
    let count = |row: &Row<'_>| {
        let count = row
            .number
            .map(|effect| effect.count)
            .or(row.text.map(|effect| effect.count));
        i64::try_from(count.unwrap_or(0)).unwrap_or(i64::MAX)
    };
    let numbers = |value: fn(&NumberEffect) -> Option<f64>| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| row.number.and_then(value))
                .collect::<Float64Array>(),
        )
    };
    let texts = |value: fn(&TextEffect) -> Option<f64>| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| row.text.and_then(value))
                .collect::<Float64Array>(),
        )
    };
    let values: StringArray = rows.iter().map(|row| row.text?.value.as_deref()).collect();
    let float = |name: &str| Field::new(name, DataType::Float64, true);
    let fields = vec![
        Field::new(SEGMENT, assignment.names.kind(), false),
        Field::new("column", DataType::Utf8, false),
        Field::new("customers", DataType::Int64, false),
        float("mean"),
        float("median"),
        float("overall_mean"),
        float("effect"),
        Field::new("value", DataType::Utf8, true),
        float("share"),
        float("overall_share"),
        float("lift"),
    ];
    let columns: Vec<ArrayRef> = vec![
        assignment.names.column(rows.iter().map(|row| row.segment)),
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| row.column),
        )),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(count))),
        numbers(|effect| effect.mean),
        numbers(|effect| effect.median),
        numbers(|effect| effect.overall_mean),
        numbers(|effect| effect.d),
        Arc::new(values),
        texts(|effect| effect.share),
        texts(|effect| effect.overall_share),
        texts(TextEffect::lift),
    ];
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

/// What segments might be called, and why.
pub(super) fn names(
    described: &[Described],
    assignment: &Assignment,
) -> Result<RecordBatch, StageError> {
    let customers = assignment
        .sizes
        .iter()
        .map(|size| i64::try_from(*size).unwrap_or(i64::MAX));
    let texts = |value: fn(&Described) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(described.iter().map(value)))
    };
    let fields = vec![
        Field::new(SEGMENT, assignment.names.kind(), false),
        Field::new("customers", DataType::Int64, false),
        Field::new("share", DataType::Float64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("sentence", DataType::Utf8, false),
    ];
    let columns: Vec<ArrayRef> = vec![
        assignment.names.column(0..described.len()),
        Arc::new(Int64Array::from_iter_values(customers)),
        Arc::new(Float64Array::from_iter_values(
            described.iter().map(|described| described.share),
        )),
        texts(|described| &described.name),
        texts(|described| &described.sentence),
    ];
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
