//! Whether a k-means clustering comes back when its rows are drawn anew.
//!
//! The bootstrap of C. Hennig, *Cluster-wise assessment of cluster stability*, Computational Statistics
//! & Data Analysis 52, 2007, with the choices of `fpc::clusterboot(bootmethod = "boot")` in R: as many
//! rows as there are, drawn with replacement; a row drawn twice counts twice, in the clustering
//! (`multipleboot`) as in the comparison (`bscompare`); a cluster of which no row was drawn has 0.

use std::ops::ControlFlow;

use crate::random::Random;
use crate::{
    Iteration, KMeansOptions, KernelError, Matrix, adjusted_rand, assign, kmeans_watched,
    maximum_jaccard,
};

/// Where the streams of draws begin, beyond those of the starts of k-means of the same seed.
const STREAMS: u64 = 1 << 32;

/// Rows drawn with replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// The numbers of the rows, ascending; some stand more than once.
    pub rows: Vec<usize>,
    /// A seed for what is done with them, of the same stream.
    pub seed: u64,
}

/// A clustering of drawn rows against the clustering of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Refit {
    /// The adjusted Rand index of the given clustering and that of the nearest centres of the refit,
    /// over all rows.
    pub adjusted_rand: f64,
    /// For each given cluster the largest Jaccard coefficient with any cluster of the refit, over the
    /// drawn rows, 0 to 1.
    pub jaccard: Vec<f64>,
    /// The refit's sum of squared distances, over the drawn rows.
    pub inertia: f64,
}

/// The draw numbered `number` of a seed: as many of `rows` rows as there are, with replacement.
#[must_use]
pub fn draw(rows: usize, seed: u64, number: u32) -> Draw {
    let mut random = Random::new(seed, STREAMS + u64::from(number));
    let seed = random.word();
    let mut drawn: Vec<usize> = (0..rows).map(|_| random.below(rows)).collect();
    drawn.sort_unstable();
    Draw { rows: drawn, seed }
}

/// Clusters drawn rows by k-means, and compares with the labels 0 to `clusters` - 1 of all rows. One
/// pass of k-means costs O(drawn x clusters x columns).
///
/// # Errors
/// As [`kmeans_watched`], and [`KernelError::Shape`] when there is not one label a row.
///
/// # Panics
/// When a drawn row does not exist, as an index does.
pub fn refit(
    rows: &Matrix,
    labels: &[u32],
    clusters: usize,
    drawn: &[usize],
    options: &KMeansOptions,
    watcher: &mut dyn FnMut(Iteration) -> ControlFlow<()>,
) -> Result<Refit, KernelError> {
    if labels.len() != rows.rows() {
        return Err(KernelError::Shape {
            what: "labels",
            expected: rows.rows(),
            actual: labels.len(),
        });
    }
    let found = kmeans_watched(&rows.select(drawn), options, watcher)?;
    let of_drawn: Vec<u32> = drawn.iter().map(|row| labels[*row]).collect();
    let of_all = assign(rows, &found.centres, options.threads)?;
    Ok(Refit {
        adjusted_rand: adjusted_rand(labels, &of_all.labels)?,
        jaccard: maximum_jaccard(&of_drawn, &found.labels, clusters)?,
        inertia: found.inertia,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Start;

    fn options(clusters: usize, seed: u64) -> KMeansOptions {
        KMeansOptions {
            start: Start::PlusPlus {
                clusters,
                starts: 5,
                seed,
            },
            max_iterations: 100,
            tolerance: 1e-4,
            threads: 1,
        }
    }

    fn watch(_: Iteration) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn a_draw_is_named_by_seed_and_number() {
        let drawn = draw(1000, 7, 0);
        assert_eq!(drawn, draw(1000, 7, 0));
        assert_ne!(drawn, draw(1000, 7, 1));
        assert_ne!(drawn.rows, draw(1000, 8, 0).rows);
        assert_eq!(drawn.rows.len(), 1000);
        // Of n rows drawn n times, 1 - 1/e are drawn at all: 632, standard deviation 9.8.
        let mut distinct = drawn.rows;
        distinct.dedup();
        assert!((590..675).contains(&distinct.len()), "{}", distinct.len());
        assert_eq!(draw(0, 7, 0).rows, [0_usize; 0]);
    }

    #[test]
    fn clusters_that_are_far_apart_come_back_and_a_cut_through_one_does_not() {
        let mut random = Random::new(3, 9);
        let data: Vec<f64> = (0..300)
            .map(|row| f64::from(row / 100) * 50.0 + random.unit())
            .collect();
        let rows = Matrix::new(data, 300, 1).unwrap();
        let apart: Vec<u32> = (0..300).map(|row| row / 100).collect();
        // The first cluster is cut in two by the parity of the row, the others are one.
        let cut: Vec<u32> = (0..300)
            .map(|row| if row < 100 { row % 2 } else { 2 })
            .collect();
        for number in 0..5 {
            let drawn = draw(300, 1, number);
            let search = options(3, drawn.seed);
            let good = refit(&rows, &apart, 3, &drawn.rows, &search, &mut watch).unwrap();
            assert_eq!((good.adjusted_rand, good.jaccard), (1.0, vec![1.0; 3]));
            let bad = refit(&rows, &cut, 3, &drawn.rows, &search, &mut watch).unwrap();
            assert!(bad.jaccard.iter().all(|most| *most < 0.75), "{bad:?}");
            assert!(bad.adjusted_rand < 0.7, "{bad:?}");
        }
    }

    #[test]
    fn labels_of_other_rows_are_refused() {
        let rows = Matrix::new(vec![1.0, 2.0], 2, 1).unwrap();
        let refused = refit(&rows, &[0], 1, &[0, 1], &options(1, 0), &mut watch);
        assert!(matches!(refused, Err(KernelError::Shape { .. })));
    }
}
