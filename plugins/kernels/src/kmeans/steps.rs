//! Lloyd's iterations over rows that somebody else holds.
//!
//! Whoever has the rows gives, for some centres, the sums of the rows of each cluster; here centres move and
//! it is decided when they rest, by the same arithmetic as where rows are in memory. The labels of an
//! iteration are not kept: where none changes, sums are what they were, so that the centres do not move at
//! all, provided that the same rows always have the same sums ([`crate::ExactScale`]).

use super::lloyd::Sums;
use crate::distance::squared_distance;
use crate::error::Extent;
use crate::{KernelError, Matrix};

/// What a pass over the rows gives: by cluster how many rows are nearest to its centre, and their sums.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterSums {
    /// Rows by cluster.
    pub counts: Vec<u64>,
    /// Sums of the columns, one cluster a row.
    pub sums: Matrix,
    /// The sum of the squared distances of all rows from their centres.
    pub inertia: f64,
}

impl ClusterSums {
    /// How many clusters have no row.
    #[must_use]
    pub fn empty(&self) -> usize {
        self.counts.iter().filter(|count| **count == 0).count()
    }
}

/// A row far from its centre.
#[derive(Debug, Clone, PartialEq)]
pub struct Farthest {
    /// Its numbers.
    pub row: Vec<f64>,
    /// The cluster that it is in.
    pub cluster: u32,
    /// Its squared distance from that one's centre.
    pub squared_distance: f64,
}

/// One search from one start.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    centres: Matrix,
    max_iterations: usize,
    tolerance: f64,
    iterations: usize,
    converged: bool,
}

impl Steps {
    /// Begins at centres. `tolerance` is the sum of their squared moves that ends the search: that of
    /// [`KMeansOptions`](super::KMeansOptions) times the mean variance of the columns.
    #[must_use]
    pub fn new(centres: Matrix, max_iterations: usize, tolerance: f64) -> Self {
        Self {
            centres,
            max_iterations: max_iterations.max(1),
            tolerance,
            iterations: 0,
            converged: false,
        }
    }

    /// The centres that the next pass is about, and at last those that were found.
    #[must_use]
    pub const fn centres(&self) -> &Matrix {
        &self.centres
    }

    /// Iterations so far.
    #[must_use]
    pub const fn iterations(&self) -> usize {
        self.iterations
    }

    /// Whether the centres came to rest.
    #[must_use]
    pub const fn converged(&self) -> bool {
        self.converged
    }

    /// Whether there is nothing left to do.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.converged || self.iterations >= self.max_iterations
    }

    /// Moves the centres to the means of their rows. Where clusters are [empty](ClusterSums::empty),
    /// `farthest` are so many rows, those that are farthest from their centres, the farthest first and of equal
    /// ones the first by key.
    ///
    /// # Errors
    /// [`KernelError::Shape`] where the sums are those of other centres.
    pub fn advance(&mut self, pass: ClusterSums, farthest: &[Farthest]) -> Result<(), KernelError> {
        let shape = |what, expected, actual| {
            Err(KernelError::Shape {
                what,
                expected,
                actual,
            })
        };
        let (clusters, columns) = (self.centres.rows(), self.centres.columns());
        if clusters == 0 {
            return Err(KernelError::Empty(Extent::Clusters));
        }
        if pass.counts.len() != clusters || pass.sums.rows() != clusters {
            return shape("clusters of the sums", clusters, pass.sums.rows());
        }
        if pass.sums.columns() != columns {
            return shape("columns of the sums", columns, pass.sums.columns());
        }
        let is_strange =
            |far: &&Farthest| far.row.len() != columns || far.cluster as usize >= clusters;
        if let Some(far) = farthest.iter().find(is_strange) {
            return shape("columns of a far row", columns, far.row.len());
        }
        let mut sums = Sums {
            sums: pass.sums,
            counts: pass.counts,
        };
        sums.relocate(
            farthest
                .iter()
                .map(|far| (far.row.as_slice(), far.cluster, far.squared_distance)),
        );
        let moved = sums.into_means();
        let pairs = self.centres.iter_rows().zip(moved.iter_rows());
        let shift: f64 = pairs.map(|(old, new)| squared_distance(old, new)).sum();
        self.iterations += 1;
        self.converged = shift <= self.tolerance;
        self.centres = moved;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KMeansOptions, Start, kmeans};
    use super::*;
    use crate::{ExactScale, assign, sample_rows};
    use proptest::prelude::*;

    /// A pass over rows in memory, as parts of a query would do it.
    fn pass(rows: &Matrix, centres: &Matrix) -> (ClusterSums, Vec<Farthest>) {
        let found = assign(rows, centres, 1).unwrap();
        let bound = rows
            .data()
            .iter()
            .fold(0.0_f64, |most, it| most.max(it.abs()));
        let scale = ExactScale::for_bound(bound);
        let columns = rows.columns();
        let mut counts = vec![0; centres.rows()];
        let mut units = vec![0_i128; centres.rows() * columns];
        for number in (0..rows.rows()).rev() {
            let label = found.labels[number] as usize;
            counts[label] += 1;
            for (column, value) in rows.row(number).iter().enumerate() {
                units[label * columns + column] += scale.units(*value);
            }
        }
        let sums = units.iter().map(|units| scale.number(*units)).collect();
        let mut farthest: Vec<usize> = (0..rows.rows()).collect();
        farthest.sort_by(|left, right| {
            found.squared_distances[*right].total_cmp(&found.squared_distances[*left])
        });
        let far = |row: usize| Farthest {
            row: rows.row(row).to_vec(),
            cluster: found.labels[row],
            squared_distance: found.squared_distances[row],
        };
        let sums = ClusterSums {
            counts,
            sums: Matrix::new(sums, centres.rows(), columns).unwrap(),
            inertia: found.squared_distances.iter().sum(),
        };
        let empty = sums.empty();
        (sums, farthest.into_iter().take(empty).map(far).collect())
    }

    proptest! {
        #[test]
        fn steps_find_what_is_found_in_memory(
            cells in prop::collection::vec(-20.0..20.0_f64, 12..400),
            clusters in 1_usize..7,
            max_iterations in 1_usize..30,
            seed in any::<u64>(),
        ) {
            let columns = 2;
            let count = cells.len() / columns;
            let cells = cells.into_iter().take(count * columns);
            let rows = Matrix::new(cells.collect(), count, columns).unwrap();
            let clusters = clusters.min(count);
            // Some centres are far off, so that clusters are empty now and then.
            let mut centres = rows.select(&sample_rows(count, clusters, seed));
            centres.data_mut()[0] += f64::from(u32::from(seed % 3 == 0)) * 100.0;
            let expected = kmeans(&rows, &KMeansOptions {
                start: Start::Centres(centres.clone()), max_iterations, tolerance: 1e-20, threads: 2,
            }).unwrap();

            // Where a row moved to an empty cluster, sums differ by their rounding.
            let mut steps = Steps::new(centres, max_iterations, 1e-20);
            while !steps.is_done() {
                let (sums, farthest) = pass(&rows, steps.centres());
                steps.advance(sums, &farthest).unwrap();
            }
            prop_assert_eq!(steps.iterations(), expected.iterations);
            prop_assert_eq!(steps.converged(), expected.converged);
            for (found, expected) in steps.centres().data().iter().zip(expected.centres.data()) {
                prop_assert!((found - expected).abs() <= 1e-9, "{found} {expected}");
            }
            let (last, _) = pass(&rows, steps.centres());
            prop_assert!((last.inertia - expected.inertia).abs() <= 1e-9 * (1.0 + expected.inertia));
        }
    }

    #[test]
    fn sums_of_other_centres_are_refused() {
        let matrix = |rows, columns| Matrix::new(vec![0.0; rows * columns], rows, columns).unwrap();
        let mut steps = Steps::new(matrix(2, 3), 10, 0.0);
        for (clusters, columns) in [(1, 3), (2, 2)] {
            let sums = ClusterSums {
                counts: vec![1; clusters],
                sums: matrix(clusters, columns),
                inertia: 0.0,
            };
            assert!(steps.advance(sums, &[]).is_err());
        }
    }
}
