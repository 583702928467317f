//! Whether clusters come back when the rows are drawn anew.
//!
//! C. Hennig, *Cluster-wise assessment of cluster stability*, 2007: rows are drawn with replacement,
//! clustered again, and every cluster of the first clustering is compared with the cluster of the new
//! one that is most like it.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Extent;
use crate::random::Random;
use crate::{KernelError, adjusted_rand};

/// Streams of a seed from this one on are those of bootstraps; those below are starts of k-means.
const FIRST_STREAM: u64 = 1 << 32;

/// How far a clustering of drawn rows agrees with the clustering that is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct RefitAgreement {
    /// The adjusted Rand index of both over all rows, drawn or not.
    pub adjusted_rand: f64,
    /// For each judged cluster, the largest Jaccard coefficient with a cluster of the refit, 0 to 1; none
    /// where no row of it was drawn.
    pub jaccard: Vec<Option<f64>>,
}

/// The numbers of as many rows as there are, drawn with replacement, in the order of the draws. Each
/// `refit` has draws of its own.
#[must_use]
pub fn bootstrap_rows(rows: usize, seed: u64, refit: u64) -> Vec<usize> {
    let mut random = Random::new(seed, FIRST_STREAM.saturating_add(refit));
    (0..rows).map(|_| random.below(rows)).collect()
}

/// Compares the clustering `judged`, of labels below `clusters`, with a refit to the rows `drawn`, whose
/// clusters all rows were given to.
///
/// The Jaccard coefficients are taken over the distinct rows among those drawn, as `clusterboot` of R's
/// `fpc` does: a row that was drawn twice counts once. O(rows log clusters).
///
/// # Errors
/// [`KernelError::Shape`] when the labels are not of as many rows, a label is not below `clusters`, or
/// there is no such row as one that was drawn; [`KernelError::Empty`] of no rows drawn.
pub fn refit_agreement(
    judged: &[u32],
    clusters: usize,
    refit: &[u32],
    drawn: &[usize],
) -> Result<RefitAgreement, KernelError> {
    let adjusted_rand = adjusted_rand(judged, refit)?;
    if drawn.is_empty() {
        return Err(KernelError::Empty(Extent::Rows));
    }
    let mut both = BTreeMap::<(u32, u32), usize>::new();
    let mut in_judged = vec![0_usize; clusters];
    let mut in_refit = BTreeMap::<u32, usize>::new();
    for row in drawn.iter().collect::<BTreeSet<_>>() {
        let (Some(judged), Some(refit)) = (judged.get(*row), refit.get(*row)) else {
            return Err(KernelError::Shape {
                what: "rows that may be drawn",
                expected: judged.len(),
                actual: row.saturating_add(1),
            });
        };
        let Some(count) = in_judged.get_mut(*judged as usize) else {
            return Err(KernelError::Shape {
                what: "clusters",
                expected: clusters,
                actual: (*judged as usize).saturating_add(1),
            });
        };
        *count += 1;
        *in_refit.entry(*refit).or_default() += 1;
        *both.entry((*judged, *refit)).or_default() += 1;
    }
    let mut jaccard: Vec<Option<f64>> = vec![None; clusters];
    for ((judged, refit), shared) in both {
        let judged = judged as usize;
        let either = in_judged[judged] + in_refit.get(&refit).copied().unwrap_or(0) - shared;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let coefficient = shared as f64 / either as f64;
        let best = jaccard[judged].get_or_insert(coefficient);
        *best = best.max(coefficient);
    }
    Ok(RefitAgreement {
        adjusted_rand,
        jaccard,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_clusters_under_other_numbers_are_the_same() {
        let found = refit_agreement(&[0, 0, 1, 1, 2], 3, &[7, 7, 3, 3, 9], &[0, 2, 2, 4]).unwrap();
        assert_eq!(found.adjusted_rand, 1.0);
        assert_eq!(found.jaccard, [Some(1.0); 3]);
    }

    #[test]
    fn a_cluster_is_compared_with_the_one_most_like_it_among_the_rows_drawn() {
        // Drawn: rows 0, 1, 2, 4. Cluster 0 = {0, 1, 2}; refit 5 = {0, 1}, refit 6 = {2, 4}.
        let judged = [0, 0, 0, 0, 1];
        let found = refit_agreement(&judged, 3, &[5, 5, 6, 6, 6], &[4, 0, 1, 2, 0]).unwrap();
        assert_eq!(found.jaccard, [Some(2.0 / 3.0), Some(0.5), None]);
    }

    #[test]
    fn labels_and_rows_that_do_not_fit_are_refused() {
        assert!(refit_agreement(&[0, 0], 1, &[0], &[0]).is_err());
        assert!(refit_agreement(&[0, 1], 1, &[0, 0], &[1]).is_err());
        assert!(refit_agreement(&[0, 0], 1, &[0, 0], &[2]).is_err());
        assert!(refit_agreement(&[0, 0], 1, &[0, 0], &[]).is_err());
    }

    #[test]
    fn draws_repeat_rows_and_differ_by_refit() {
        let drawn = bootstrap_rows(1000, 7, 0);
        assert_eq!(drawn, bootstrap_rows(1000, 7, 0));
        assert_ne!(drawn, bootstrap_rows(1000, 7, 1));
        let distinct = drawn.iter().collect::<BTreeSet<_>>().len();
        // 1 - 1/e of them, with a standard deviation of about 10.
        assert!((590..675).contains(&distinct), "{distinct}");
        assert_eq!(bootstrap_rows(0, 7, 0), [0_usize; 0]);
    }
}
