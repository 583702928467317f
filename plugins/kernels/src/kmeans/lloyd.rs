//! Lloyd's iterations: every row to its nearest centre, every centre to the mean of its rows.

use std::ops::ControlFlow;

use super::KMeans;
use crate::assign::{Nearest, pack_centres};
use crate::distance::squared_distance;
use crate::{KernelError, Matrix, assign, parallel, wide};

/// When to stop.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) max_iterations: usize,
    /// The sum of squared moves of centres that ends it.
    pub(super) tolerance: f64,
    pub(super) threads: usize,
}

/// Iterates from centres that fit the rows. `watcher` gets the iteration, counted from 1, and the sum
/// of squared moves.
pub(super) fn run(
    rows: &Matrix,
    mut centres: Matrix,
    limits: &Limits,
    watcher: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
) -> Result<KMeans, KernelError> {
    let mut labels = vec![u32::MAX; rows.rows()];
    let mut previous = labels.clone();
    let mut iterations = 0;
    let mut no_label_changed = false;
    let mut converged = false;
    while iterations < limits.max_iterations && !converged {
        iterations += 1;
        let mut sums = accumulate(rows, &centres, &mut labels, limits.threads);
        relocate_empty(rows, &centres, &labels, &mut sums);
        let moved = sums.into_means();
        let shift: f64 = centres
            .iter_rows()
            .zip(moved.iter_rows())
            .map(|(old, new)| squared_distance(old, new))
            .sum();
        centres = moved;
        no_label_changed = labels == previous;
        converged = no_label_changed || shift <= limits.tolerance;
        if watcher(iterations, shift).is_break() {
            return Err(KernelError::Stopped);
        }
        previous.copy_from_slice(&labels);
    }
    if !no_label_changed {
        // The centres moved after the labels were given: the labels must be those of these centres.
        labels = assign(rows, &centres, limits.threads)?.labels;
    }
    let inertia = inertia(rows, &centres, &labels, limits.threads);
    Ok(KMeans {
        labels,
        centres,
        inertia,
        iterations,
        converged,
    })
}

/// Sums and counts of rows by cluster.
struct Sums {
    sums: Matrix,
    counts: Vec<u64>,
}

/// Labels every row with its nearest centre and adds it to its cluster's sum.
fn accumulate(rows: &Matrix, centres: &Matrix, labels: &mut [u32], threads: usize) -> Sums {
    let columns = rows.columns();
    let packed = pack_centres(centres);
    let chunk = parallel::chunk_rows(rows.rows());
    let tasks = rows
        .data()
        .chunks(chunk * columns)
        .zip(labels.chunks_mut(chunk))
        .collect();
    let parts = parallel::map(tasks, threads, |(rows, labels): (&[f64], &mut [u32])| {
        let mut distances = vec![0.0; labels.len()];
        let distances = &mut distances;
        wide::run(Nearest {
            rows,
            centres: &packed,
            columns,
            labels,
            distances,
        });
        let mut sums = vec![0.0; centres.data().len()];
        let mut counts = vec![0_u64; centres.rows()];
        for (row, label) in rows.chunks_exact(columns).zip(labels) {
            let cluster = *label as usize;
            counts[cluster] += 1;
            let sum = &mut sums[cluster * columns..(cluster + 1) * columns];
            for (total, value) in sum.iter_mut().zip(row) {
                *total += value;
            }
        }
        (sums, counts)
    });
    let mut total = Sums {
        sums: centres.clone(),
        counts: vec![0; centres.rows()],
    };
    total.sums.data_mut().fill(0.0);
    for (sums, counts) in parts {
        for (total, part) in total.sums.data_mut().iter_mut().zip(sums) {
            *total += part;
        }
        for (total, part) in total.counts.iter_mut().zip(counts) {
            *total += part;
        }
    }
    total
}

/// Gives each empty cluster the row that is farthest from its own centre, as scikit-learn does. Of
/// rows equally far, the first (scikit-learn leaves that open).
fn relocate_empty(rows: &Matrix, centres: &Matrix, labels: &[u32], sums: &mut Sums) {
    let empty: Vec<usize> = (0..sums.counts.len())
        .filter(|cluster| sums.counts[*cluster] == 0)
        .collect();
    if empty.is_empty() {
        return;
    }
    let mut by_distance: Vec<(usize, f64)> = rows
        .iter_rows()
        .zip(labels)
        .map(|(row, label)| squared_distance(row, centres.row(*label as usize)))
        .enumerate()
        .collect();
    by_distance.sort_by(|left, right| right.1.total_cmp(&left.1));
    if by_distance
        .first()
        .is_none_or(|(_, distance)| *distance == 0.0)
    {
        // More clusters than distinct rows: there is nothing that another place would improve.
        return;
    }
    let columns = rows.columns();
    for (new, (row, _)) in empty.into_iter().zip(by_distance) {
        let old = labels[row] as usize;
        for column in 0..columns {
            let value = rows.row(row)[column];
            sums.sums.data_mut()[old * columns + column] -= value;
            sums.sums.data_mut()[new * columns + column] = value;
        }
        sums.counts[new] = 1;
        sums.counts[old] -= 1;
    }
}

impl Sums {
    /// The means. A cluster without rows is put where the largest is, rather than at the origin.
    fn into_means(self) -> Matrix {
        let Self {
            sums: mut means,
            counts,
        } = self;
        let columns = means.columns();
        let largest = counts
            .iter()
            .max()
            .and_then(|most| counts.iter().position(|count| count == most));
        let place = |cluster: usize| cluster * columns..(cluster + 1) * columns;
        for (cluster, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
            let count = *count as f64;
            for value in &mut means.data_mut()[place(cluster)] {
                *value /= count;
            }
        }
        for cluster in (0..counts.len()).filter(|cluster| counts[*cluster] == 0) {
            if let Some(largest) = largest {
                means
                    .data_mut()
                    .copy_within(place(largest), cluster * columns);
            }
        }
        means
    }
}

/// The sum of squared distances of rows to the centre of their cluster.
fn inertia(rows: &Matrix, centres: &Matrix, labels: &[u32], threads: usize) -> f64 {
    let chunk = parallel::chunk_rows(rows.rows());
    let tasks = rows
        .data()
        .chunks(chunk * rows.columns())
        .zip(labels.chunks(chunk))
        .collect();
    let parts = parallel::map(tasks, threads, |(part, labels): (&[f64], &[u32])| {
        let pairs = part.chunks_exact(rows.columns()).zip(labels);
        pairs
            .map(|(row, label)| squared_distance(row, centres.row(*label as usize)))
            .sum::<f64>()
    });
    parts.iter().sum()
}
