//! Lloyd's iterations: every row to its nearest centre, every centre to the mean of its rows.

use std::ops::ControlFlow;

use super::KMeans;
use super::bounds::Bounds;
use super::screen::Screen;
use super::way::{Change, UNKNOWN, Way};
use crate::distance::squared_distance;
use crate::{KernelError, Matrix, parallel};

/// Up to so many centres each row is compared with all of them: bounds would cost more than they spare.
const FEW: usize = 16;

/// The parts that rows are cut into, each with sums of its own: few enough that the sums are soon
/// added, many enough for as many threads.
const PARTS: usize = 32;

/// The fewest rows that are worth a part.
const MIN_PART: usize = 1024;

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
    centres: Matrix,
    limits: &Limits,
    watcher: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
) -> Result<KMeans, KernelError> {
    if centres.rows() <= FEW {
        iterate::<Screen>(rows, centres, limits, watcher)
    } else {
        iterate::<Bounds>(rows, centres, limits, watcher)
    }
}

fn iterate<W: Way>(
    rows: &Matrix,
    mut centres: Matrix,
    limits: &Limits,
    watcher: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
) -> Result<KMeans, KernelError> {
    let mut labelled = Labelled::<W>::new(rows, &centres, limits.threads);
    let mut moves = vec![0.0; centres.rows()];
    let mut iterations = 0;
    let mut converged = false;
    while iterations < limits.max_iterations && !converged {
        iterations += 1;
        let is_same = labelled.pass(&centres, &moves, limits.threads);
        let (mut moved, mut shift) = labelled.move_centres(&centres);
        converged = is_same || shift <= limits.tolerance;
        if (converged || iterations == limits.max_iterations) && !labelled.are_sums_fresh {
            // The centres that stay are means of sums without a history.
            labelled.sum_anew(limits.threads);
            (moved, shift) = labelled.move_centres(&centres);
        }
        if watcher(iterations, shift).is_break() {
            return Err(KernelError::Stopped);
        }
        let pairs = centres.iter_rows().zip(moved.iter_rows());
        moves = pairs
            .map(|(old, new)| squared_distance(old, new).sqrt())
            .collect();
        centres = moved;
    }
    // The centres moved after the labels were given: the labels must be those of these centres.
    labelled.pass(&centres, &moves, limits.threads);
    let labels = labelled.labels;
    let inertia = inertia(rows, &centres, &labels, limits.threads);
    Ok(KMeans {
        labels,
        centres,
        inertia,
        iterations,
        converged,
    })
}

/// Rows with what is known of them, and the sums of their clusters.
struct Labelled<'a, W> {
    rows: &'a Matrix,
    clusters: usize,
    /// Where rows are seen from in single precision: amid the centres.
    origin: Vec<f64>,
    labels: Vec<u32>,
    /// Rows of a part. It follows from the number of rows alone.
    part: usize,
    ways: Vec<W>,
    sums: Vec<Sums>,
    /// Whether the sums were made by additions in the order of the rows, rather than by corrections.
    are_sums_fresh: bool,
}

impl<'a, W: Way> Labelled<'a, W> {
    fn new(rows: &'a Matrix, centres: &Matrix, threads: usize) -> Self {
        let part = rows.rows().div_ceil(PARTS).max(MIN_PART);
        let clusters = centres.rows();
        let origin = centres.column_means();
        let parts: Vec<_> = rows.data().chunks(part * rows.columns()).collect();
        let sums = parts.iter().map(|_| Sums::new(clusters, rows.columns()));
        Self {
            rows,
            clusters,
            labels: vec![UNKNOWN; rows.rows()],
            part,
            sums: sums.collect(),
            ways: parallel::map(parts, threads, |rows| W::new(rows, &origin, clusters)),
            origin,
            are_sums_fresh: false,
        }
    }

    /// Labels every row with its nearest centre and keeps the sums in step. Gives whether no label
    /// changed. `moves` are how far centres went since the last pass.
    fn pass(&mut self, centres: &Matrix, moves: &[f64], threads: usize) -> bool {
        let target = W::target(centres, &self.origin, moves);
        let tasks = self
            .rows
            .data()
            .chunks(self.part * self.rows.columns())
            .zip(self.labels.chunks_mut(self.part))
            .zip(self.ways.iter_mut().zip(&mut self.sums))
            .collect();
        let kinds = parallel::map(tasks, threads, |((rows, labels), (way, sums))| {
            let changes = way.label(rows, &target, labels);
            // From half of the rows on, correcting costs as much as adding anew.
            let is_fresh = changes.len() >= labels.len().div_ceil(2);
            if is_fresh {
                sums.sum(rows, labels);
            } else {
                sums.correct(rows, &changes);
            }
            (changes.is_empty(), is_fresh)
        });
        self.are_sums_fresh = kinds
            .iter()
            .all(|(is_same, is_fresh)| *is_fresh || (*is_same && self.are_sums_fresh));
        kinds.iter().all(|(is_same, _)| *is_same)
    }

    /// Sums every cluster without regard to what was summed before.
    fn sum_anew(&mut self, threads: usize) {
        let tasks = self
            .rows
            .data()
            .chunks(self.part * self.rows.columns())
            .zip(self.labels.chunks(self.part))
            .zip(&mut self.sums)
            .collect();
        parallel::map(tasks, threads, |((rows, labels), sums)| {
            sums.sum(rows, labels);
        });
        self.are_sums_fresh = true;
    }

    /// The means of the clusters, and the sum of their squared distances from the centres that the rows
    /// were labelled by.
    fn move_centres(&self, centres: &Matrix) -> (Matrix, f64) {
        let mut total = Sums::new(self.clusters, self.rows.columns());
        for part in &self.sums {
            total.add(part);
        }
        relocate_empty(self.rows, centres, &self.labels, &mut total);
        let moved = total.into_means();
        let pairs = centres.iter_rows().zip(moved.iter_rows());
        let shift = pairs.map(|(old, new)| squared_distance(old, new)).sum();
        (moved, shift)
    }
}

/// Sums and counts of rows by cluster.
pub(super) struct Sums {
    pub(super) sums: Matrix,
    pub(super) counts: Vec<u64>,
}

impl Sums {
    fn new(clusters: usize, columns: usize) -> Self {
        Self {
            sums: Matrix::zeros(clusters, columns),
            counts: vec![0; clusters],
        }
    }

    fn sum(&mut self, rows: &[f64], labels: &[u32]) {
        let columns = self.sums.columns();
        self.sums.data_mut().fill(0.0);
        self.counts.fill(0);
        for (row, label) in rows.chunks_exact(columns).zip(labels) {
            self.counts[*label as usize] += 1;
            for (total, value) in self.sums.row_mut(*label as usize).iter_mut().zip(row) {
                *total += value;
            }
        }
    }

    fn correct(&mut self, rows: &[f64], changes: &[Change]) {
        let columns = self.sums.columns();
        for change in changes {
            let row = &rows[change.row * columns..(change.row + 1) * columns];
            if change.old != UNKNOWN {
                self.counts[change.old as usize] -= 1;
                for (total, value) in self.sums.row_mut(change.old as usize).iter_mut().zip(row) {
                    *total -= value;
                }
            }
            self.counts[change.new as usize] += 1;
            for (total, value) in self.sums.row_mut(change.new as usize).iter_mut().zip(row) {
                *total += value;
            }
        }
    }

    fn add(&mut self, part: &Self) {
        for (total, part) in self.sums.data_mut().iter_mut().zip(part.sums.data()) {
            *total += part;
        }
        for (total, part) in self.counts.iter_mut().zip(&part.counts) {
            *total += part;
        }
    }
}

/// Gives each empty cluster the row that is farthest from its own centre, as scikit-learn does. Of
/// rows equally far, the first (scikit-learn leaves that open).
fn relocate_empty(rows: &Matrix, centres: &Matrix, labels: &[u32], sums: &mut Sums) {
    if sums.empty().is_empty() {
        return;
    }
    let mut by_distance: Vec<(usize, f64)> = rows
        .iter_rows()
        .zip(labels)
        .map(|(row, label)| squared_distance(row, centres.row(*label as usize)))
        .enumerate()
        .collect();
    by_distance.sort_by(|left, right| right.1.total_cmp(&left.1));
    let farthest = by_distance.into_iter();
    sums.relocate(farthest.map(|(row, distance)| (rows.row(row), labels[row], distance)));
}

impl Sums {
    /// The clusters without rows.
    pub(super) fn empty(&self) -> Vec<usize> {
        (0..self.counts.len())
            .filter(|cluster| self.counts[*cluster] == 0)
            .collect()
    }

    /// Gives each empty cluster a row from another one: those that are farthest from their centres, with
    /// their clusters and their squared distances, the farthest first.
    pub(super) fn relocate<'a>(&mut self, farthest: impl Iterator<Item = (&'a [f64], u32, f64)>) {
        let columns = self.sums.columns();
        let mut farthest = farthest.peekable();
        if farthest
            .peek()
            .is_none_or(|(_, _, farthest)| *farthest == 0.0)
        {
            // More clusters than distinct rows: there is nothing that another place would improve.
            return;
        }
        for (new, (row, old, _)) in self.empty().into_iter().zip(farthest) {
            let old = old as usize;
            for (column, value) in row.iter().enumerate() {
                self.sums.data_mut()[old * columns + column] -= value;
                self.sums.data_mut()[new * columns + column] = *value;
            }
            self.counts[new] = 1;
            self.counts[old] -= 1;
        }
    }

    /// The means. A cluster without rows is put where the largest is, rather than at the origin.
    pub(super) fn into_means(self) -> Matrix {
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
