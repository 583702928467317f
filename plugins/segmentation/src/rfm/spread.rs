//! Scores by passes over customers that stay where they are.
//!
//! A score ends at a customer: the last one of its fifth, by the value and then by the key. Four passes find the
//! values at those places for all columns at once; where such a value is that of several customers, their keys
//! are read in order up to the one that ends the score. Then a query gives each customer the number of ends
//! before it.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit, when};
use futures::StreamExt;
use marquetry_kernels::{Ranked, from_order_key, tile_of};
use marquetry_passes::{Column, Scan, at_ranks, key_column, order_of, write_by_key};
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{Keys, Wanted};
use marquetry_types::codes;

use super::scored::{Scores, Tally, schema};
use super::table::{BEST, Lookup};
use super::{Found, RfmOptions, of_numbers, ties};

/// Scores customers and writes them. `wanted` names the columns of recency, frequency and money.
pub(super) async fn score(
    stage: &mut StageContext,
    wanted: Wanted<'_>,
    options: &RfmOptions,
    lookup: &Lookup,
) -> Result<Found, StageError> {
    let scan = Scan::open(stage, wanted).await?;
    let (rows, columns) = numbers(&scan).await?;
    let orders: Vec<Expr> = columns
        .iter()
        .enumerate()
        .map(|(number, column)| order_of(column.value.clone(), is_descending(number)))
        .collect();
    let ends = ends(rows);
    let ranks: Vec<u64> = ends.iter().map(|end| end - 1).collect();
    let wanted: Vec<(Expr, Vec<u64>)> = orders
        .iter()
        .map(|order| (order.clone(), ranks.clone()))
        .collect();
    stage.progress("finding the borders of scores", 0, None, "columns");
    let found = if ends.is_empty() {
        vec![Vec::new(); columns.len()]
    } else {
        at_ranks(&scan.frame(), &wanted).await?
    };

    let mut query = vec![key_column()];
    for (order, at_ends) in orders.iter().zip(&found) {
        stage.check_cancelled()?;
        let borders = borders(stage, &scan, order, &ends, at_ends).await?;
        query.push(score_by(order, &borders)?.alias(format!("score{}", query.len())));
    }
    let money = columns.last().map(|column| column.value.clone());
    query.extend(money.map(|money| money.alias("money")));
    let query = scan.frame().select(query)?;
    let mut tally = Tally::new(options.segments.len());
    let to = schema(scan.key_field());
    write_by_key(stage, "segments", &scan, query, to, |keys, batch| {
        add(&mut tally, keys, batch, options, lookup)
    })
    .await?;
    Ok(Found {
        ties: [0, 1, 2].map(|number| {
            let at_ends = found.get(number).map(Vec::as_slice).unwrap_or_default();
            tie(rows, at_ends, is_descending(number))
        }),
        tally,
    })
}

/// Of the columns recency is the one of which less is better.
const fn is_descending(column: usize) -> bool {
    column == 0
}

/// How many customers there are, and their numbers.
async fn numbers(scan: &Scan) -> Result<(u64, Vec<Column>), StageError> {
    match scan.finite(&[0, 1, 2]).await {
        Ok(found) => Ok(found),
        Err(error) => {
            // Which column was it?
            for (column, option) in ["recency", "frequency", "monetary"].into_iter().enumerate() {
                let alone = scan.finite(&[column]).await;
                alone.map_err(|error| of_numbers(error, option))?;
            }
            Err(error)
        }
    }
}

/// How many customers have each score or a lower one, up to the last that somebody has.
fn ends(rows: u64) -> Vec<u64> {
    let tiles = u64::from(BEST);
    let (size, larger) = (rows / tiles, rows % tiles);
    let ends = (1..tiles).map(|tile| tile * size + tile.min(larger));
    ends.filter(|end| *end < rows).collect()
}

/// Where a score ends: customers after it have a higher one.
struct Border {
    /// The value there, by its order.
    order: u64,
    /// The key of the last customer with that value who is before it; all are without one.
    key: Option<ScalarValue>,
}

/// The borders behind so many customers each.
async fn borders(
    stage: &StageContext,
    scan: &Scan,
    order: &Expr,
    ends: &[u64],
    at_ends: &[Ranked],
) -> Result<Vec<Border>, StageError> {
    let mut borders = Vec::with_capacity(ends.len());
    let mut tied: Option<(u64, Vec<u64>)> = None;
    let mut all_tied: Vec<(u64, Vec<u64>)> = Vec::new();
    for (end, found) in ends.iter().zip(at_ends) {
        let within = end - found.below;
        if within < found.equal {
            match &mut tied {
                Some((value, places)) if *value == found.key => places.push(within),
                _ => all_tied.extend(tied.replace((found.key, vec![within]))),
            }
        }
        borders.push(Border {
            order: found.key,
            key: None,
        });
    }
    all_tied.extend(tied);
    for (value, places) in all_tied {
        let mut keys = keys_at(stage, scan, order, value, &places)
            .await?
            .into_iter();
        let divided = borders.iter_mut().zip(ends).zip(at_ends);
        for ((border, end), found) in divided {
            if border.order == value && end - found.below < found.equal {
                border.key = keys.next();
            }
        }
    }
    Ok(borders)
}

/// Of the customers with a value the keys at some places, which count from 1 and ascend.
async fn keys_at(
    stage: &StageContext,
    scan: &Scan,
    order: &Expr,
    value: u64,
    places: &[u64],
) -> Result<Vec<ScalarValue>, StageError> {
    let is_it = order.clone().eq(lit(ScalarValue::UInt64(Some(value))));
    let query = scan
        .frame()
        .filter(is_it)?
        .select(vec![key_column()])?
        .sort(vec![key_column().sort(true, true)])?;
    let mut rows = query.execute_stream().await?;
    let mut places = places.iter().copied().peekable();
    let mut keys = Vec::new();
    let mut passed = 0;
    while places.peek().is_some() {
        let Some(batch) = rows.next().await else {
            break;
        };
        stage.check_cancelled()?;
        let batch = batch?;
        let count = batch.num_rows() as u64;
        while let Some(place) = places.next_if(|place| *place <= passed + count) {
            let row = usize::try_from(place - passed - 1).unwrap_or(0);
            keys.push(ScalarValue::try_from_array(batch.column(0), row)?);
        }
        passed += count;
    }
    Ok(keys)
}

/// The score of a customer: one more than the borders that come before.
fn score_by(order: &Expr, borders: &[Border]) -> Result<Expr, StageError> {
    let mut score = lit(1_i64);
    for border in borders {
        let value = lit(ScalarValue::UInt64(Some(border.order)));
        let mut is_after = order.clone().gt(value.clone());
        if let Some(key) = &border.key {
            let is_tied = order.clone().eq(value);
            is_after = is_after.or(is_tied.and(key_column().gt(lit(key.clone()))));
        }
        score = score + when(is_after, lit(1_i64)).otherwise(lit(0_i64))?;
    }
    Ok(score)
}

/// Adds the customers of a batch, and makes rows of the output of them.
fn add(
    tally: &mut Tally,
    keys: &Keys,
    batch: &RecordBatch,
    options: &RfmOptions,
    lookup: &Lookup,
) -> Result<RecordBatch, StageError> {
    let wrong = || StageError::invalid(codes::STAGE_INTERNAL, "a query gave no scores");
    let scores = |column: usize| {
        let scores = batch.columns().get(column).ok_or_else(wrong)?;
        let scores = scores.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let scores = scores.values().iter();
        let scores = scores.map(|score| u32::try_from(*score).unwrap_or(1).clamp(1, BEST));
        Ok::<_, StageError>(scores.collect())
    };
    let scores = Scores {
        r: scores(1)?,
        f: scores(2)?,
        m: scores(3)?,
    };
    let money = batch.columns().get(4).ok_or_else(wrong)?;
    let money = money.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
    tally.add(&scores, lookup, money.values());
    scores.batch(keys, &options.segments, lookup)
}

/// The tie that is worth a word: only a value where scores end can have several.
fn tie(rows: u64, at_ends: &[Ranked], is_descending: bool) -> Option<ties::Tie> {
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    if rows < u64::from(BEST) {
        return None;
    }
    let values = at_ends.iter().map(|found| {
        let key = if is_descending { !found.key } else { found.key };
        (from_order_key(key), size(found.below), size(found.equal))
    });
    ties::widest_of(values, |place| tile_of(place, size(rows), BEST as usize))
}
