//! Means and spreads of columns in two passes.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::DataFrame;
use marquetry_kernels::{ExactScale, ExactSums};
use marquetry_plugin::StageError;
use marquetry_rows::invalid;
use marquetry_types::codes;

use crate::Column;
use crate::functions::{SUMS, scales_argument};
use crate::scan::bytes_in;

/// The mean and the spread of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean; 0 of none.
    pub mean: f64,
    /// The population standard deviation: exactly 0 where all numbers are equal.
    pub std: f64,
}

/// The means and the spreads of columns over `rows` rows. Two passes: what is summed in the second are the
/// squares of differences from the mean, so that a large offset costs no precision.
///
/// A column whose range is beyond floating point has no finite spread.
///
/// # Errors
/// The query fails.
pub async fn spreads(
    frame: &DataFrame,
    rows: u64,
    columns: &[Column],
) -> Result<Vec<Spread>, StageError> {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let rows = rows.max(1) as f64;
    // From the least number on: then equal numbers are exactly 0.
    let above = columns.iter().map(|column| Term {
        value: column.value.clone() - lit(column.min),
        bound: column.max - column.min,
    });
    let sums = totals(frame, above.collect()).await?;
    let means: Vec<f64> = sums
        .iter()
        .zip(columns)
        .map(|(sum, column)| column.min + sum / rows)
        .collect();
    let mut terms = Vec::with_capacity(2 * columns.len());
    for (column, mean) in columns.iter().zip(&means) {
        let difference = column.value.clone() - lit(*mean);
        let bound = (column.max - mean).max(mean - column.min);
        terms.push(Term {
            value: difference.clone() * difference.clone(),
            bound: bound * bound,
        });
        terms.push(Term {
            value: difference,
            bound,
        });
    }
    let sums = totals(frame, terms).await?;
    let (pairs, _) = sums.as_chunks();
    Ok(means
        .into_iter()
        .zip(pairs)
        .map(|(mean, [squares, rest])| {
            // What rounding the mean adds to the squares (T. Chan, G. Golub, R. LeVeque, 1983).
            let squares = squares - rest * rest / rows;
            Spread {
                mean,
                std: (squares.max(0.0) / rows).sqrt(),
            }
        })
        .collect())
}

/// A number of each row, and its magnitude at most.
struct Term {
    value: Expr,
    bound: f64,
}

/// The sums of terms. One pass. One whose bound is infinite has no finite sum, and is not asked for.
async fn totals(frame: &DataFrame, terms: Vec<Term>) -> Result<Vec<f64>, StageError> {
    let scales: Vec<ExactScale> = terms
        .iter()
        .map(|term| ExactScale::for_bound(term.bound))
        .collect();
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    let is_finite: Vec<bool> = terms.iter().map(|term| term.bound.is_finite()).collect();
    let group = lit(ScalarValue::UInt32(Some(0)));
    let mut arguments = vec![lit(scales_argument(&scales)), group];
    arguments.extend(terms.into_iter().map(|term| match term.bound.is_finite() {
        true => term.value,
        false => lit(0.0),
    }));
    let found = frame
        .clone()
        .aggregate(vec![], vec![SUMS.call(arguments).alias("sums")])?
        .collect()
        .await?;
    let sums = sums_of(bytes_in(&found).first().copied().unwrap_or_default())?;
    let scales = scales.iter().zip(is_finite).enumerate();
    Ok(scales
        .map(|(column, (scale, is_finite))| match is_finite {
            true => sums.total(column, *scale),
            false => f64::INFINITY,
        })
        .collect())
}

/// The sums that a pass gave.
pub(crate) fn sums_of(bytes: &[u8]) -> Result<ExactSums, StageError> {
    ExactSums::from_bytes(bytes).map_err(|error| {
        invalid(
            codes::QUERY,
            format!("a pass over the rows gave no sums: {error}"),
            "this is a fault of marquetry: please report it",
        )
    })
}
