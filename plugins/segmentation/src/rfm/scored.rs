//! Customers with their scores: where they are in memory, and what is counted of them anywhere.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use marquetry_kernels::ntile;
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{KeyedRows, Keys};

use super::table::{BEST, Lookup, SegmentRow};
use super::{Found, RfmOptions, of_numbers, ties};
use crate::output::{SEGMENT, texts};

/// Scores customers in memory and writes them.
pub(super) async fn score(
    stage: &mut StageContext,
    rows: &KeyedRows,
    options: &RfmOptions,
    lookup: &Lookup,
) -> Result<Found, StageError> {
    let tiles = BEST as usize;
    let numbers = |option: &str, column: &str| {
        let numbers = rows.numbers(column);
        numbers.map_err(|error| of_numbers(error, option))
    };
    let recency = numbers("recency", &options.recency)?;
    let frequency = numbers("frequency", &options.frequency)?;
    let monetary = numbers("monetary", &options.monetary)?;
    let scores = Scores {
        r: ntile(&recency, tiles, true),
        f: ntile(&frequency, tiles, false),
        m: ntile(&monetary, tiles, false),
    };
    let mut tally = Tally::new(options.segments.len());
    let batch = scores.batch(rows.keys(), &options.segments, lookup)?;
    stage
        .write_batches("segments", batch.schema(), vec![batch])
        .await?;
    tally.add(&scores, lookup, &monetary);
    let ties = if rows.len() < tiles {
        [None; 3]
    } else {
        [
            ties::widest(&recency, &scores.r),
            ties::widest(&frequency, &scores.f),
            ties::widest(&monetary, &scores.m),
        ]
    };
    Ok(Found { tally, ties })
}

/// The scores of some customers, from 1 to 5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scores {
    pub(super) r: Vec<u32>,
    pub(super) f: Vec<u32>,
    pub(super) m: Vec<u32>,
}

/// The columns of the output, given that of the key.
pub(super) fn schema(key: Field) -> SchemaRef {
    let score = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        key,
        score("r"),
        score("f"),
        score("m"),
        Field::new("rfm", DataType::Utf8, false),
        Field::new(SEGMENT, DataType::Utf8, false),
    ]))
}

impl Scores {
    fn iter(&self) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
        let pairs = self.r.iter().zip(&self.f).zip(&self.m);
        pairs.map(|((r, f), m)| (*r, *f, *m))
    }

    /// Rows of the output.
    pub(super) fn batch(
        &self,
        keys: &Keys,
        table: &[SegmentRow],
        lookup: &Lookup,
    ) -> Result<RecordBatch, StageError> {
        let scores = |scores: &[u32]| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(
                scores.iter().map(|score| i64::from(*score)),
            ))
        };
        let codes: Vec<String> = self.iter().map(|(r, f, m)| format!("{r}{f}{m}")).collect();
        let names = self
            .iter()
            .map(|(r, f, m)| table[lookup.row(r, f, m)].name.as_str());
        let columns = vec![
            keys.array(),
            scores(&self.r),
            scores(&self.f),
            scores(&self.m),
            texts(codes.iter().map(String::as_str)),
            texts(names),
        ];
        Ok(RecordBatch::try_new(schema(keys.field()), columns)?)
    }
}

/// Customers and their money, by segment and by scores, added in the order of the key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tally {
    /// By row of the table.
    totals: Vec<(usize, f64)>,
    /// By recency, best first, and in it by frequency.
    cells: Vec<(f64, f64)>,
}

impl Tally {
    /// Of no customers, for a table of so many rows.
    pub(super) fn new(segments: usize) -> Self {
        let side = BEST as usize;
        Self {
            totals: vec![(0, 0.0); segments],
            cells: vec![(0.0, 0.0); side * side],
        }
    }

    /// Adds customers.
    pub(super) fn add(&mut self, scores: &Scores, lookup: &Lookup, monetary: &[f64]) {
        let side = BEST as usize;
        for ((r, f, m), money) in scores.iter().zip(monetary) {
            let total = &mut self.totals[lookup.row(r, f, m)];
            total.0 += 1;
            total.1 += money;
            let cell = &mut self.cells[(BEST - r) as usize * side + (f - 1) as usize];
            cell.0 += 1.0;
            cell.1 += money;
        }
    }

    /// How many there are.
    pub(super) fn customers(&self) -> usize {
        self.totals.iter().map(|(customers, _)| customers).sum()
    }

    /// Customers and their money by recency score, the best first, and frequency score.
    pub(super) fn cells(&self) -> impl Iterator<Item = &[(f64, f64)]> {
        self.cells.chunks(BEST as usize)
    }

    /// The segments that have customers, in the order of the table: name, customers, money.
    pub(super) fn names<'a>(&self, table: &'a [SegmentRow]) -> Vec<(&'a str, usize, f64)> {
        let mut segments: Vec<(&str, usize, f64)> = Vec::new();
        let reached = table.iter().zip(&self.totals);
        for (row, (customers, money)) in reached.filter(|(_, (customers, _))| *customers > 0) {
            match segments.iter_mut().find(|(name, ..)| *name == row.name) {
                Some(segment) => {
                    segment.1 += customers;
                    segment.2 += money;
                }
                None => segments.push((&row.name, *customers, *money)),
            }
        }
        segments
    }
}
