//! The outputs of recommendations.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use marquetry_plugin::StageError;
use marquetry_rows::Keys;

use super::scores::{Recommended, Scored};

fn keys_of(keys: &Keys, numbers: impl Iterator<Item = u32>) -> Result<ArrayRef, StageError> {
    let numbers = UInt32Array::from_iter_values(numbers);
    Ok(take(&keys.array(), &numbers, None)?)
}

fn named(keys: &Keys, name: &str) -> Field {
    keys.field().with_name(name)
}

fn batch(columns: Vec<(Field, ArrayRef)>) -> Result<RecordBatch, StageError> {
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

fn score(values: impl Iterator<Item = f64>) -> (Field, ArrayRef) {
    let values = Float64Array::from_iter_values(values);
    (
        Field::new("score", DataType::Float64, false),
        Arc::new(values),
    )
}

fn integers(name: &str, values: impl Iterator<Item = i64>) -> (Field, ArrayRef) {
    let values = Int64Array::from_iter_values(values);
    (Field::new(name, DataType::Int64, false), Arc::new(values))
}

/// Similar products, product by product.
pub(super) fn items(items: &Keys, neighbours: &[Vec<Scored>]) -> Result<RecordBatch, StageError> {
    let rows = || {
        let of_items = neighbours.iter().zip(0_u32..);
        of_items.flat_map(|(similar, item)| similar.iter().map(move |scored| (item, scored)))
    };
    batch(vec![
        (
            named(items, "item"),
            keys_of(items, rows().map(|(item, _)| item))?,
        ),
        (
            named(items, "similar"),
            keys_of(items, rows().map(|(_, it)| it.item))?,
        ),
        score(rows().map(|(_, it)| it.score)),
        integers("support", rows().map(|(_, it)| i64::from(it.support))),
    ])
}

/// The schema of the output `customers`.
pub(super) fn customers_schema(customers: &Keys, items: &Keys) -> SchemaRef {
    Arc::new(Schema::new(vec![
        customers.field(),
        Field::new("rank", DataType::Int64, false),
        named(items, "item"),
        Field::new("score", DataType::Float64, false),
        named(items, "because_of"),
    ]))
}

/// The recommendations of some customers, by their numbers.
pub(super) fn customers(
    customers: &Keys,
    items: &Keys,
    recommended: &[(u32, Vec<Recommended>)],
) -> Result<RecordBatch, StageError> {
    let rows = || {
        recommended.iter().flat_map(|(customer, found)| {
            let ranked = found.iter().zip(1_i64..);
            ranked.map(move |(it, rank)| (*customer, rank, it))
        })
    };
    let columns: Vec<ArrayRef> = vec![
        keys_of(customers, rows().map(|(customer, ..)| customer))?,
        Arc::new(Int64Array::from_iter_values(
            rows().map(|(_, rank, _)| rank),
        )),
        keys_of(items, rows().map(|(.., it)| it.item))?,
        Arc::new(Float64Array::from_iter_values(
            rows().map(|(.., it)| it.score),
        )),
        keys_of(items, rows().map(|(.., it)| it.because_of))?,
    ];
    Ok(RecordBatch::try_new(
        customers_schema(customers, items),
        columns,
    )?)
}

/// The typical products of segments.
pub(super) fn segments(
    segments: &Keys,
    items: &Keys,
    typical: &[Vec<Scored>],
) -> Result<RecordBatch, StageError> {
    let rows = || {
        typical.iter().zip(0_u32..).flat_map(|(found, segment)| {
            let ranked = found.iter().zip(1_i64..);
            ranked.map(move |(it, rank)| (segment, rank, it))
        })
    };
    batch(vec![
        (
            named(segments, "segment"),
            keys_of(segments, rows().map(|(segment, ..)| segment))?,
        ),
        integers("rank", rows().map(|(_, rank, _)| rank)),
        (
            named(items, "item"),
            keys_of(items, rows().map(|(.., it)| it.item))?,
        ),
        score(rows().map(|(.., it)| it.score)),
        integers("support", rows().map(|(.., it)| i64::from(it.support))),
    ])
}
