//! The silhouette: how much closer a row is to its own cluster than to the next.
//!
//! P. Rousseeuw, *Silhouettes: a graphical aid to the interpretation and validation of cluster
//! analysis*, 1987. For a row, a is its mean distance to the other rows of its cluster and b the
//! least mean distance to the rows of another; its silhouette is `(b - a) / max(a, b)`, and 0 where
//! it is alone in its cluster.

use crate::distance::{LANES, Packed, Visitor, by_rows, squared_distances};
use crate::wide::{self, Loop};
use crate::{KernelError, Matrix, Partition, parallel};

/// Rows compared with all others by one task.
const CHUNK: usize = 64;

/// The silhouette of every row, from -1 to 1, by exact Euclidean distances: O(rows² x columns) time
/// and O(rows x columns) memory. The same as scikit-learn's `silhouette_samples`.
///
/// # Errors
/// [`KernelError::NotSeparable`] unless there are 2 to rows - 1 clusters; [`KernelError::NotFinite`],
/// [`KernelError::Empty`], or [`KernelError::Shape`] when there is not one label a row.
pub fn silhouette_samples(
    rows: &Matrix,
    labels: &[u32],
    threads: usize,
) -> Result<Vec<f64>, KernelError> {
    let partition = Partition::new(labels);
    partition.check_separable(rows)?;
    let columns = rows.columns();
    // Clusters are packed one after the other: a block holds rows of one cluster only.
    let clusters: Vec<Packed> = partition
        .members()
        .iter()
        .map(|members| Packed::new(members.iter().map(|row| rows.row(*row)), columns, 0.0))
        .collect();
    let tasks: Vec<_> = rows
        .data()
        .chunks(CHUNK * columns)
        .zip(partition.groups().chunks(CHUNK))
        .collect();
    let parts = parallel::map(tasks, threads, |(rows, groups)| {
        let distances = wide::run(ClusterDistances {
            rows,
            columns,
            clusters: &clusters,
        });
        distances
            .chunks_exact(clusters.len())
            .zip(groups)
            .map(|(sums, own)| silhouette_of(sums, *own, partition.sizes()))
            .collect::<Vec<f64>>()
    });
    Ok(parts.concat())
}

/// The mean silhouette of all rows.
///
/// # Errors
/// As [`silhouette_samples`].
pub fn silhouette(rows: &Matrix, labels: &[u32], threads: usize) -> Result<f64, KernelError> {
    let samples = silhouette_samples(rows, labels, threads)?;
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    let count = samples.len() as f64;
    Ok(samples.iter().sum::<f64>() / count)
}

/// The silhouette of a row, from the sums of its distances to the clusters.
#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
fn silhouette_of(sums: &[f64], own: usize, sizes: &[usize]) -> f64 {
    if sizes[own] < 2 {
        return 0.0;
    }
    let within = sums[own] / (sizes[own] - 1) as f64;
    let mut between = f64::INFINITY;
    for (cluster, (sum, size)) in sums.iter().zip(sizes).enumerate() {
        if cluster != own {
            between = between.min(sum / *size as f64);
        }
    }
    let larger = within.max(between);
    // All rows involved are equal: neither cluster is closer.
    if larger == 0.0 {
        0.0
    } else {
        (between - within) / larger
    }
}

/// The sum of the distances of each row to the rows of each cluster, row after row.
struct ClusterDistances<'a> {
    rows: &'a [f64],
    columns: usize,
    clusters: &'a [Packed],
}

impl Loop for ClusterDistances<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Self {
            rows,
            columns,
            clusters,
        } = self;
        let count = clusters.len();
        let mut sums = vec![0.0; rows.len() / columns * count];
        // A cluster at a time, so that it is read from the cache for all rows of the chunk.
        for (number, cluster) in clusters.iter().enumerate() {
            by_rows(
                rows,
                columns,
                &mut OneCluster {
                    cluster,
                    number,
                    count,
                    sums: &mut sums,
                },
            );
        }
        sums
    }
}

/// One cluster of a [`ClusterDistances`].
struct OneCluster<'a> {
    cluster: &'a Packed,
    number: usize,
    count: usize,
    sums: &'a mut [f64],
}

impl Visitor for OneCluster<'_> {
    #[inline(always)]
    fn visit<const R: usize>(&mut self, first: usize, rows: [&[f64]; R]) {
        for (offset, total) in sum_distances(rows, self.cluster).into_iter().enumerate() {
            self.sums[(first + offset) * self.count + self.number] = total;
        }
    }
}

/// The sum of the distances of each of `R` rows to the points of a cluster: by lane, then over lanes.
#[inline(always)]
fn sum_distances<const R: usize>(rows: [&[f64]; R], cluster: &Packed) -> [f64; R] {
    let mut by_lane = [[0.0; LANES]; R];
    let full_blocks = cluster.points() / LANES;
    let left = cluster.points() % LANES;
    for (number, block) in cluster.blocks().enumerate() {
        let distances = squared_distances(rows, block);
        for (sums, distances) in by_lane.iter_mut().zip(distances) {
            if number < full_blocks {
                for (sum, squared) in sums.iter_mut().zip(distances) {
                    *sum += squared.sqrt();
                }
            } else {
                for (sum, squared) in sums.iter_mut().zip(distances).take(left) {
                    *sum += squared.sqrt();
                }
            }
        }
    }
    by_lane.map(|lanes| lanes.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::squared_distance;
    use proptest::prelude::*;

    fn matrix(values: &[f64], columns: usize) -> Matrix {
        Matrix::new(values.to_vec(), values.len() / columns, columns).unwrap()
    }

    /// The definition, word for word.
    fn by_definition(rows: &Matrix, labels: &[u32]) -> Vec<f64> {
        let mean = |row: usize, label: u32| {
            let others: Vec<f64> = (0..rows.rows())
                .filter(|other| *other != row && labels[*other] == label)
                .map(|other| squared_distance(rows.row(row), rows.row(other)).sqrt())
                .collect();
            (!others.is_empty()).then(|| others.iter().sum::<f64>() / others.len() as f64)
        };
        (0..rows.rows())
            .map(|row| {
                let Some(a) = mean(row, labels[row]) else {
                    return 0.0;
                };
                let others = labels.iter().filter(|label| **label != labels[row]);
                let b = others
                    .filter_map(|label| mean(row, *label))
                    .fold(f64::INFINITY, f64::min);
                if a.max(b) == 0.0 {
                    0.0
                } else {
                    (b - a) / a.max(b)
                }
            })
            .collect()
    }

    #[test]
    fn a_row_alone_in_its_cluster_has_none() {
        let rows = matrix(&[0.0, 1.0, 10.0], 1);
        let samples = silhouette_samples(&rows, &[0, 0, 5], 1).unwrap();
        assert_eq!(samples, [0.9, 8.0 / 9.0, 0.0]);
        assert_eq!(
            silhouette(&rows, &[0, 0, 5], 1).unwrap(),
            samples.iter().sum::<f64>() / 3.0
        );
    }

    #[test]
    fn one_cluster_or_one_for_each_row_is_refused() {
        let rows = matrix(&[0.0, 1.0, 2.0], 1);
        for labels in [[0, 0, 0], [0, 1, 2]] {
            assert!(matches!(
                silhouette(&rows, &labels, 1),
                Err(KernelError::NotSeparable { rows: 3, .. })
            ));
        }
        assert!(matches!(
            silhouette(&rows, &[0, 1], 1),
            Err(KernelError::Shape { .. })
        ));
    }

    #[test]
    fn equal_rows_are_no_closer_to_one_cluster() {
        let samples = silhouette_samples(&matrix(&[1.0; 4], 1), &[0, 0, 1, 1], 1).unwrap();
        assert_eq!(samples, [0.0; 4]);
    }

    proptest! {
        #[test]
        fn it_is_the_definition_on_any_number_of_threads(
            cells in prop::collection::vec(-100_i32..100, 8..400),
            clusters in 2_u32..6,
            threads in 1_usize..5,
        ) {
            let values: Vec<f64> =
                cells.iter().take(cells.len() / 2 * 2).map(|cell| f64::from(*cell) * 0.37).collect();
            let rows = matrix(&values, 2);
            let labels: Vec<u32> = cells.iter().take(rows.rows()).map(|cell| cell.unsigned_abs() % clusters).collect();
            let count = Partition::new(&labels).count();
            prop_assume!(count >= 2 && count < rows.rows());
            let samples = silhouette_samples(&rows, &labels, threads).unwrap();
            for (sample, expected) in samples.iter().zip(by_definition(&rows, &labels)) {
                prop_assert!((sample - expected).abs() < 1e-12);
            }
            prop_assert_eq!(samples, silhouette_samples(&rows, &labels, 1).unwrap());
        }
    }
}
