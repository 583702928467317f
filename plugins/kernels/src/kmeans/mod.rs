//! k-means: clusters that minimise the squared distances of rows to the mean of their cluster.
//!
//! Lloyd's algorithm (S. Lloyd, *Least squares quantization in PCM*, 1982) from k-means++ starts
//! (D. Arthur and S. Vassilvitskii, 2007) or from given centres. Where scikit-learn's `KMeans` had to
//! choose — the greedy variant of k-means++, the meaning of the tolerance, what becomes of an empty
//! cluster, when iterations stop, which of several starts wins — the same is chosen here, so that the
//! same centres lead to the same labels, centres, inertia and number of iterations. One pass costs
//! O(rows x clusters x columns) at most: bounds on distances spare most of it once centres move little.

mod bounds;
mod lloyd;
mod panels;
mod plus_plus;
mod screen;
mod steps;
mod way;

use std::ops::ControlFlow;

use crate::assign::check_centres;
use crate::error::Extent;
use crate::random::Random;
use crate::{KernelError, Matrix, parallel};

pub use self::steps::{ClusterSums, Farthest, Steps};

/// What to look for, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansOptions {
    /// Where clusters begin, and so how many there are.
    pub start: Start,
    /// Iterations at most, of each start.
    pub max_iterations: usize,
    /// An iteration that moves the centres by no more than this ends the search: the sum of their
    /// squared moves against the mean variance of the columns. With 0 it ends when no label changes.
    pub tolerance: f64,
    /// Threads to use. The result does not depend on it.
    pub threads: usize,
}

/// Where clusters begin.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// At rows chosen by k-means++.
    PlusPlus {
        /// How many clusters.
        clusters: usize,
        /// How often to start anew; the start with the least inertia wins.
        starts: usize,
        /// Names the random draws.
        seed: u64,
    },
    /// At these centres, one a row.
    Centres(Matrix),
    /// At each of these sets of as many centres, of which the one with the least inertia wins.
    Among(Vec<Matrix>),
}

/// A clustering.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// The cluster of every row.
    pub labels: Vec<u32>,
    /// The mean of every cluster, one a row. A cluster that no row is left for (more clusters than
    /// distinct rows) has the centre of the largest.
    pub centres: Matrix,
    /// The sum of squared distances of rows to the centre of their cluster.
    pub inertia: f64,
    /// Iterations of the start that won.
    pub iterations: usize,
    /// Whether that start ended before `max_iterations` was used up.
    pub converged: bool,
}

/// An iteration that has ended, as a watcher is told of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Iteration {
    /// The start, counted from 0.
    pub start: usize,
    /// The iteration of that start, counted from 1.
    pub number: usize,
    /// The sum of the centres' squared moves.
    pub shift: f64,
}

/// Clusters rows.
///
/// # Errors
/// [`KernelError::NotFinite`], [`KernelError::Empty`], [`KernelError::TooManyClusters`], or
/// [`KernelError::Shape`] when given centres have other columns.
pub fn kmeans(rows: &Matrix, options: &KMeansOptions) -> Result<KMeans, KernelError> {
    kmeans_watched(rows, options, &mut |_| ControlFlow::Continue(()))
}

/// As [`kmeans`], with a watcher that is called after each iteration and may end it all.
///
/// # Errors
/// As [`kmeans`], and [`KernelError::Stopped`] when the watcher breaks off.
pub fn kmeans_watched(
    rows: &Matrix,
    options: &KMeansOptions,
    watcher: &mut dyn FnMut(Iteration) -> ControlFlow<()>,
) -> Result<KMeans, KernelError> {
    rows.check()?;
    let (clusters, starts) = match &options.start {
        Start::PlusPlus {
            clusters, starts, ..
        } => (*clusters, (*starts).max(1)),
        Start::Centres(centres) => {
            check_centres(rows, centres)?;
            (centres.rows(), 1)
        }
        Start::Among(sets) => {
            for centres in sets {
                check_centres(rows, centres)?;
            }
            (sets.first().map_or(0, Matrix::rows), sets.len())
        }
    };
    check_clusters(rows, clusters)?;
    let tolerance = match options.tolerance {
        0.0 => 0.0,
        tolerance => tolerance * mean_variance(rows, options.threads),
    };
    let mut best: Option<KMeans> = None;
    for start in 0..starts {
        let centres = match &options.start {
            Start::PlusPlus { seed, .. } => {
                let mut random = Random::new(*seed, start as u64);
                plus_plus::choose(rows, clusters, &mut random, options.threads)
            }
            Start::Centres(centres) => centres.clone(),
            Start::Among(sets) => sets[start].clone(),
        };
        let limits = lloyd::Limits {
            max_iterations: options.max_iterations.max(1),
            tolerance,
            threads: options.threads,
        };
        let found = lloyd::run(rows, centres, &limits, &mut |number, shift| {
            watcher(Iteration {
                start,
                number,
                shift,
            })
        })?;
        // Rounding may give the same clustering a little less inertia; then the earlier one stays.
        let is_better = best.as_ref().is_none_or(|best| {
            found.inertia < best.inertia && !is_same(&found.labels, &best.labels, clusters)
        });
        if is_better {
            best = Some(found);
        }
    }
    best.ok_or(KernelError::Empty(Extent::Clusters))
}

/// Sets of centres to start from, chosen among the rows as [`Start::PlusPlus`] does.
///
/// # Errors
/// As [`kmeans`].
pub fn plus_plus(
    rows: &Matrix,
    clusters: usize,
    starts: usize,
    seed: u64,
    threads: usize,
) -> Result<Vec<Matrix>, KernelError> {
    rows.check()?;
    check_clusters(rows, clusters)?;
    let choose = |start| {
        let mut random = Random::new(seed, start as u64);
        plus_plus::choose(rows, clusters, &mut random, threads)
    };
    Ok((0..starts.max(1)).map(choose).collect())
}

/// Refuses no clusters, and more than rows.
fn check_clusters(rows: &Matrix, clusters: usize) -> Result<(), KernelError> {
    if clusters == 0 {
        return Err(KernelError::Empty(Extent::Clusters));
    }
    if clusters > rows.rows() {
        return Err(KernelError::TooManyClusters {
            clusters,
            rows: rows.rows(),
        });
    }
    Ok(())
}

/// The mean over the columns of their population variance.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn mean_variance(rows: &Matrix, threads: usize) -> f64 {
    let columns = rows.columns();
    // Sums of a function of each cell and its column, by column, chunk by chunk.
    let sums = |of: &(dyn Fn(f64, usize) -> f64 + Sync)| {
        let chunks = rows
            .data()
            .chunks(parallel::chunk_rows(rows.rows()) * columns);
        let parts = parallel::map(chunks.collect(), threads, |chunk: &[f64]| {
            let mut sums = vec![0.0; columns];
            for row in chunk.chunks_exact(columns) {
                for (column, (sum, value)) in sums.iter_mut().zip(row).enumerate() {
                    *sum += of(*value, column);
                }
            }
            sums
        });
        let mut total = vec![0.0; columns];
        for part in parts {
            total
                .iter_mut()
                .zip(part)
                .for_each(|(total, part)| *total += part);
        }
        total
    };
    let count = rows.rows() as f64;
    let means: Vec<f64> = sums(&|value, _| value)
        .iter()
        .map(|sum| sum / count)
        .collect();
    let squares = sums(&|value, column| (value - means[column]) * (value - means[column]));
    squares.iter().map(|square| square / count).sum::<f64>() / columns as f64
}

/// Whether two clusterings are the same but for the numbers of the clusters.
fn is_same(left: &[u32], right: &[u32], clusters: usize) -> bool {
    let mut names = vec![None; clusters];
    left.iter().zip(right).all(|(left, right)| {
        let name = &mut names[*left as usize];
        *name.get_or_insert(*right) == *right
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(values: &[f64], columns: usize) -> Matrix {
        Matrix::new(values.to_vec(), values.len() / columns, columns).unwrap()
    }

    fn options(clusters: usize) -> KMeansOptions {
        let start = Start::PlusPlus {
            clusters,
            starts: 1,
            seed: 7,
        };
        KMeansOptions {
            start,
            max_iterations: 100,
            tolerance: 1e-4,
            threads: 1,
        }
    }

    fn scattered(rows: usize, columns: usize) -> Matrix {
        let mut random = Random::new(11, 5);
        let data = (0..rows * columns)
            .map(|cell| random.unit() + f64::from(cell as u32 / 7 % 4))
            .collect();
        Matrix::new(data, rows, columns).unwrap()
    }

    #[test]
    fn one_cluster_is_the_mean() {
        let found = kmeans(&matrix(&[1.0, 2.0, 6.0], 1), &options(1)).unwrap();
        assert_eq!(found.centres.data(), [3.0]);
        assert_eq!((found.labels, found.inertia), (vec![0; 3], 14.0));
        assert!(found.converged);
    }

    #[test]
    fn as_many_clusters_as_rows_leave_no_inertia() {
        let rows = matrix(&[4.0, 1.0, 3.0, 2.0], 1);
        let found = kmeans(&rows, &options(4)).unwrap();
        assert_eq!(found.inertia, 0.0);
        let mut labels = found.labels.clone();
        labels.sort_unstable();
        assert_eq!(labels, [0, 1, 2, 3]);
    }

    #[test]
    fn more_clusters_than_rows_are_refused() {
        let expected = KernelError::TooManyClusters {
            clusters: 3,
            rows: 2,
        };
        assert_eq!(kmeans(&matrix(&[1.0, 2.0], 1), &options(3)), Err(expected));
        assert!(kmeans(&matrix(&[1.0, 2.0], 1), &options(0)).is_err());
        let start = Start::Centres(matrix(&[1.0, 2.0], 1));
        let given = KMeansOptions {
            start,
            ..options(0)
        };
        assert!(kmeans(&matrix(&[1.0], 1), &given).is_err());
    }

    #[test]
    fn equal_rows_end_in_one_cluster() {
        let found = kmeans(&matrix(&[2.5; 30], 3), &options(3)).unwrap();
        assert_eq!((found.labels, found.inertia), (vec![0; 10], 0.0));
        assert_eq!(found.centres.data(), [2.5; 9]);
    }

    #[test]
    fn a_constant_column_changes_nothing() {
        let values = [1.0, 2.0, 10.0, 11.0, 30.0, 32.0];
        let beside: Vec<f64> = values.iter().flat_map(|value| [*value, 1e6]).collect();
        let found = kmeans(&matrix(&values, 1), &options(3)).unwrap();
        let with = kmeans(&matrix(&beside, 2), &options(3)).unwrap();
        assert_eq!(found.inertia, with.inertia);
        assert_eq!(found.inertia, 3.0);
    }

    #[test]
    fn an_empty_cluster_gets_the_farthest_row() {
        let start = Start::Centres(matrix(&[0.0, 100.0], 1));
        let one_pass = KMeansOptions {
            start,
            max_iterations: 1,
            tolerance: 0.0,
            threads: 1,
        };
        let found = kmeans(&matrix(&[0.0, 1.0, 2.0, 9.0], 1), &one_pass).unwrap();
        assert_eq!(found.centres.data(), [1.0, 9.0]);
        assert_eq!(found.labels, [0, 0, 0, 1]);
    }

    #[test]
    fn a_value_that_is_not_finite_is_named() {
        let rows = matrix(&[1.0, 2.0, f64::NAN, 4.0], 2);
        assert!(matches!(
            kmeans(&rows, &options(1)),
            Err(KernelError::NotFinite {
                row: 1,
                column: 0,
                ..
            })
        ));
    }

    #[test]
    fn threads_change_no_bit() {
        let rows = scattered(5000, 3);
        let with = |threads| {
            let start = Start::PlusPlus {
                clusters: 9,
                starts: 2,
                seed: 3,
            };
            kmeans(
                &rows,
                &KMeansOptions {
                    start,
                    threads,
                    ..options(9)
                },
            )
            .unwrap()
        };
        let one = with(1);
        for threads in [2, 3, 8] {
            assert_eq!(one, with(threads));
        }
    }

    #[test]
    fn more_starts_are_never_worse() {
        let rows = scattered(600, 2);
        let with = |starts| {
            let start = Start::PlusPlus {
                clusters: 12,
                starts,
                seed: 1,
            };
            kmeans(
                &rows,
                &KMeansOptions {
                    start,
                    ..options(12)
                },
            )
            .unwrap()
            .inertia
        };
        assert!(with(8) <= with(1));
    }

    #[test]
    fn a_watcher_sees_every_iteration_and_may_stop() {
        let rows = scattered(300, 2);
        let mut seen = 0;
        let found = kmeans_watched(&rows, &options(4), &mut |iteration| {
            seen += 1;
            assert_eq!((iteration.start, iteration.number), (0, seen));
            ControlFlow::Continue(())
        });
        assert_eq!(found.unwrap().iterations, seen);
        let stopped = kmeans_watched(&rows, &options(4), &mut |_| ControlFlow::Break(()));
        assert_eq!(stopped, Err(KernelError::Stopped));
    }
}
