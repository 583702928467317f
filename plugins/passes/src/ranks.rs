//! Numbers at given ranks: quantiles, exact, by four passes.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::DataFrame;
use marquetry_kernels::{RankSearch, Ranked};
use marquetry_plugin::StageError;

use crate::functions::{ORDER_KEY, RANK_COUNTS, counts_argument, counts_of};
use crate::scan::bytes_in;

/// A whole number in the order of a float, or in the opposite order.
#[must_use]
pub fn order_of(value: Expr, descending: bool) -> Expr {
    let key = ORDER_KEY.call(vec![value]);
    if descending {
        lit(ScalarValue::UInt64(Some(u64::MAX))) - key
    } else {
        key
    }
}

/// For each list of ranks, which count from 0, what stands there in the order of its key: see [`order_of`].
/// Nulls do not count; ranks must be less than the number of the others.
///
/// # Errors
/// The query fails.
pub async fn at_ranks(
    frame: &DataFrame,
    wanted: &[(Expr, Vec<u64>)],
) -> Result<Vec<Vec<Ranked>>, StageError> {
    let mut searches: Vec<RankSearch> = wanted
        .iter()
        .map(|(_, ranks)| RankSearch::new(ranks))
        .collect();
    loop {
        let mut open = Vec::new();
        for (place, search) in searches.iter().enumerate() {
            if let Some(counts) = search.next() {
                open.push((place, counts));
            }
        }
        if open.is_empty() {
            return Ok(searches.iter().map(RankSearch::found).collect());
        }
        let figures = open.iter().filter_map(|(place, counts)| {
            let (key, _) = wanted.get(*place)?;
            let arguments = vec![lit(counts_argument(counts)), key.clone()];
            Some(RANK_COUNTS.call(arguments).alias(format!("counts{place}")))
        });
        let found = frame
            .clone()
            .aggregate(vec![], figures.collect())?
            .collect()
            .await?;
        let counted = bytes_in(&found);
        for ((place, counts), bytes) in open.iter_mut().zip(counted) {
            counts_of(bytes, counts);
            if let Some(search) = searches.get_mut(*place) {
                search.refine(counts);
            }
        }
    }
}
