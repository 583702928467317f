//! The outputs of `evaluation/migration`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{concat, sort_to_indices, take};
use arrow::datatypes::{DataType, Field, Schema};
use marquetry_plugin::StageError;

use super::moves::{Moves, Place, Side};
use crate::assignment::Names;
use crate::{float, integer};

/// Everybody's move, by the key.
pub(super) fn moves(
    moves: &Moves,
    before: Option<Side<'_>>,
    after: Side<'_>,
) -> Result<RecordBatch, StageError> {
    let all = &moves.all;
    // The key column as both sides know it: what `after` has, then what only `before` has.
    let of_after = all.iter().filter_map(|one| match one.row {
        Place::After(row) => Some(row as u64),
        Place::Before(_) => None,
    });
    let of_before = all.iter().filter_map(|one| match one.row {
        Place::Before(row) => Some(row as u64),
        Place::After(_) => None,
    });
    let now = take(
        &after.keys.array(),
        &UInt64Array::from_iter_values(of_after),
        None,
    )?;
    let mut field = after.keys.field();
    let keys = match before {
        None => now,
        Some(before) => {
            let gone = UInt64Array::from_iter_values(of_before);
            let gone = take(&before.keys.array(), &gone, None)?;
            if now.is_empty() {
                field = before.keys.field();
                gone
            } else if gone.is_empty() {
                now
            } else {
                concat(&[now.as_ref(), gone.as_ref()])?
            }
        }
    };
    let after_names = &after.assignment.names;
    let before_names = before.map_or(after_names, |before| &before.assignment.names);
    let columns: Vec<ArrayRef> = vec![
        Arc::clone(&keys),
        before_names.column_or_null(all.iter().map(|one| one.before)),
        after_names.column_or_null(all.iter().map(|one| one.after)),
        Arc::new(BooleanArray::from_iter(
            all.iter().map(|one| Some(one.moved)),
        )),
    ];
    let order = sort_to_indices(&keys, None, None)?;
    let sorted = columns.iter().map(|column| take(column, &order, None));
    let fields = vec![
        field,
        Field::new("before", before_names.kind(), true),
        Field::new("after", after_names.kind(), true),
        Field::new("moved", DataType::Boolean, false),
    ];
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        sorted.collect::<Result<_, _>>()?,
    )?)
}

/// How many went from where to where; new and gone customers last.
pub(super) fn matrix(
    moves: &Moves,
    before: Option<Side<'_>>,
    after: Side<'_>,
) -> Result<RecordBatch, StageError> {
    // None sorts first in the counts, and new customers belong at the end.
    let mut cells: Vec<_> = moves.counts.iter().collect();
    cells.sort_by_key(|((before, after), _)| (before.is_none(), *before, after.is_none(), *after));
    let after_names = &after.assignment.names;
    let before_names: &Names = before.map_or(after_names, |before| &before.assignment.names);
    let share = |((earlier, _), count): &(&(Option<usize>, Option<usize>), &usize)| {
        let had = before?.assignment.sizes.get((*earlier)?)?;
        Some(float(**count) / float(*had))
    };
    let counts = cells.iter().map(|(_, count)| integer(**count));
    let same = cells
        .iter()
        .map(|((before, after), _)| Some(moves.is_same(*before, *after)));
    let columns: Vec<ArrayRef> = vec![
        before_names.column_or_null(cells.iter().map(|((before, _), _)| *before)),
        after_names.column_or_null(cells.iter().map(|((_, after), _)| *after)),
        Arc::new(Int64Array::from_iter_values(counts)),
        Arc::new(cells.iter().map(share).collect::<Float64Array>()),
        Arc::new(BooleanArray::from_iter(same)),
    ];
    let fields = vec![
        Field::new("before", before_names.kind(), true),
        Field::new("after", after_names.kind(), true),
        Field::new("customers", DataType::Int64, false),
        Field::new("share", DataType::Float64, true),
        Field::new("same", DataType::Boolean, false),
    ];
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
