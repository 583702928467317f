//! Customers drawn and clustered anew.

use std::ops::ControlFlow;
use std::sync::Arc;

use marquetry_kernels::{
    KMeansOptions, KernelError, Matrix, Refit, Start, draw, refit, sample_rows,
};
use marquetry_plugin::{Reporter, StageContext, StageError};
use marquetry_rows::{KeyedRows, from_kernel, off_thread};

use crate::assignment::Assignment;

/// A segment at this Jaccard coefficient or less dissolved in a refit (Hennig 2007).
const DISSOLVED: f64 = 0.5;
/// At this or more it was recovered.
const RECOVERED: f64 = 0.75;

/// How refits are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) refits: u32,
    /// Of so many customers at most.
    pub(super) sample: usize,
    pub(super) starts: usize,
    pub(super) seed: u64,
    pub(super) threads: usize,
}

/// What came of all refits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stable {
    pub(super) refits: Vec<Refit>,
    /// By segment.
    pub(super) segments: Vec<SegmentStability>,
    /// Customers that were drawn from.
    pub(super) customers: usize,
}

/// What came of one segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SegmentStability {
    pub(super) mean: f64,
    pub(super) min: f64,
    pub(super) dissolved: usize,
    pub(super) recovered: usize,
}

impl Stable {
    #[expect(clippy::cast_precision_loss, reason = "refits are few")]
    fn new(refits: Vec<Refit>, segments: usize, customers: usize) -> Self {
        let of_segment = |segment: usize| {
            let jaccard = || refits.iter().filter_map(|refit| refit.jaccard.get(segment));
            SegmentStability {
                mean: jaccard().sum::<f64>() / refits.len().max(1) as f64,
                min: jaccard().copied().reduce(f64::min).unwrap_or(0.0),
                dissolved: jaccard().filter(|most| **most <= DISSOLVED).count(),
                recovered: jaccard().filter(|most| **most >= RECOVERED).count(),
            }
        };
        Self {
            segments: (0..segments).map(of_segment).collect(),
            customers,
            refits,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "refits are few")]
    pub(super) fn adjusted_rand_mean(&self) -> Option<f64> {
        let sum: f64 = self.refits.iter().map(|refit| refit.adjusted_rand).sum();
        (!self.refits.is_empty()).then(|| sum / self.refits.len() as f64)
    }

    pub(super) fn adjusted_rand_min(&self) -> Option<f64> {
        let indices = self.refits.iter().map(|refit| refit.adjusted_rand);
        indices.reduce(f64::min)
    }

    /// The mean of the least stable segment.
    pub(super) fn jaccard_min(&self) -> Option<f64> {
        self.segments
            .iter()
            .map(|segment| segment.mean)
            .reduce(f64::min)
    }
}

/// All refits, off the threads that serve; none of no customers.
pub(super) async fn run(
    stage: &StageContext,
    rows: &KeyedRows,
    columns: &[String],
    assignment: &Assignment,
    setting: Setting,
) -> Result<Stable, StageError> {
    if assignment.rows.is_empty() {
        return Ok(Stable::new(Vec::new(), 0, 0));
    }
    let matrix = rows.matrix(columns)?;
    let (keys, columns) = (rows.keys().clone(), columns.to_vec());
    let assignment = Arc::new(assignment.clone());
    let reporter = stage.reporter();
    off_thread(move || {
        let drawn = sample_rows(assignment.rows.len(), setting.sample, setting.seed);
        let places: Vec<usize> = drawn.iter().map(|place| assignment.rows[*place]).collect();
        let labels: Vec<u32> = drawn
            .iter()
            .map(|place| assignment.labels[*place])
            .collect();
        let sampled = matrix.select(&places);
        drop(matrix);
        let segments = assignment.names.len();
        let refits = all(&sampled, &labels, segments, setting, &reporter)
            .map_err(|error| from_kernel(&error, &keys, &columns))?;
        Ok(Stable::new(refits, segments, labels.len()))
    })
    .await
}

fn all(
    rows: &Matrix,
    labels: &[u32],
    segments: usize,
    setting: Setting,
    reporter: &Reporter,
) -> Result<Vec<Refit>, KernelError> {
    let mut watcher = |_| {
        if reporter.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let mut refits = Vec::new();
    for number in 0..setting.refits {
        let total = Some(u64::from(setting.refits));
        reporter.progress("clustering anew", u64::from(number), total, "refits");
        let drawn = draw(rows.rows(), setting.seed, number);
        let options = KMeansOptions {
            start: Start::PlusPlus {
                clusters: segments,
                starts: setting.starts,
                seed: drawn.seed,
            },
            max_iterations: 300,
            tolerance: 1e-4,
            threads: setting.threads,
        };
        let found = refit(rows, labels, segments, &drawn.rows, &options, &mut watcher)?;
        refits.push(found);
    }
    Ok(refits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_belong_to_the_side_that_hennig_gives_them() {
        let refit = |jaccard: f64| Refit {
            adjusted_rand: jaccard,
            jaccard: vec![jaccard, 1.0],
            inertia: 0.0,
        };
        let stable = Stable::new(vec![refit(0.5), refit(0.6), refit(0.75)], 2, 9);
        let first = stable.segments[0];
        assert_eq!((first.dissolved, first.recovered, first.min), (1, 1, 0.5));
        assert!((first.mean - 1.85 / 3.0).abs() < 1e-12);
        assert_eq!(stable.segments[1].recovered, 3);
        assert_eq!(stable.jaccard_min(), Some(first.mean));
        assert_eq!(stable.adjusted_rand_min(), Some(0.5));
    }
}
