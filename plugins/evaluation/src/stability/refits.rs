//! The refits themselves, and what they say of each segment.

use std::ops::ControlFlow;

use marquetry_kernels::{
    KMeansOptions, KernelError, Matrix, Start, assign, bootstrap_rows, kmeans_watched,
    refit_agreement,
};

use crate::float;

/// A refit at this Jaccard coefficient or below has dissolved a segment (Hennig 2007).
const DISSOLVED: f64 = 0.5;

/// A refit at this Jaccard coefficient or above has recovered a segment (Hennig 2007).
const RECOVERED: f64 = 0.75;

/// How customers are drawn and clustered anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) k: usize,
    pub(super) refits: usize,
    pub(super) seed: u64,
    pub(super) starts: usize,
    pub(super) max_iterations: usize,
    pub(super) tolerance: f64,
    pub(super) threads: usize,
}

/// What all refits say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stable {
    /// How many customers were drawn from.
    pub(super) drawn_from: usize,
    pub(super) segments: Vec<SegmentStability>,
    pub(super) refits: Vec<Refit>,
}

/// One refit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Refit {
    /// Agreement with the segments over all customers.
    pub(super) adjusted_rand: f64,
    /// Of the customers drawn.
    pub(super) inertia: f64,
}

/// One segment over all refits.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct SegmentStability {
    /// The refits that drew a customer of it.
    pub(super) refits: usize,
    /// Of its Jaccard coefficients; none without a refit.
    pub(super) mean: Option<f64>,
    pub(super) min: Option<f64>,
    /// Refits that dissolved it.
    pub(super) dissolved: usize,
    /// Refits that recovered it.
    pub(super) recovered: usize,
}

impl Stable {
    pub(super) fn mean_agreement(&self) -> f64 {
        let sum: f64 = self.refits.iter().map(|refit| refit.adjusted_rand).sum();
        sum / float(self.refits.len())
    }

    pub(super) fn least_agreement(&self) -> Option<f64> {
        let all = self.refits.iter().map(|refit| refit.adjusted_rand);
        all.reduce(f64::min)
    }

    /// The mean coefficient of the least stable segment.
    pub(super) fn least_jaccard(&self) -> Option<f64> {
        let all = self.segments.iter().filter_map(|segment| segment.mean);
        all.reduce(f64::min)
    }
}

/// Refits rows whose labels, below `segments`, are judged. `watcher` is told how many refits are done, at
/// least once an iteration, and may break off.
pub(super) fn all(
    rows: &Matrix,
    labels: &[u32],
    segments: usize,
    setting: &Setting,
    watcher: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Stable, KernelError> {
    let mut coefficients: Vec<Vec<f64>> = vec![Vec::new(); segments];
    let mut refits = Vec::with_capacity(setting.refits);
    for number in 0..setting.refits {
        let drawn = bootstrap_rows(rows.rows(), setting.seed, number as u64);
        let options = KMeansOptions {
            start: Start::PlusPlus {
                clusters: setting.k,
                starts: setting.starts,
                // Starts of their own, and others than those of a clustering by the same seed.
                seed: setting.seed.wrapping_add(1 + number as u64),
            },
            max_iterations: setting.max_iterations,
            tolerance: setting.tolerance,
            threads: setting.threads,
        };
        let sample = rows.select(&drawn);
        let found = kmeans_watched(&sample, &options, &mut |_| watcher(number))?;
        drop(sample);
        let refit = assign(rows, &found.centres, setting.threads)?.labels;
        let agreement = refit_agreement(labels, segments, &refit, &drawn)?;
        for (all, coefficient) in coefficients.iter_mut().zip(&agreement.jaccard) {
            all.extend(coefficient);
        }
        refits.push(Refit {
            adjusted_rand: agreement.adjusted_rand,
            inertia: found.inertia,
        });
        if watcher(number + 1).is_break() {
            return Err(KernelError::Stopped);
        }
    }
    Ok(Stable {
        drawn_from: rows.rows(),
        segments: coefficients
            .iter()
            .map(|of_segment| SegmentStability::new(of_segment))
            .collect(),
        refits,
    })
}

impl SegmentStability {
    fn new(coefficients: &[f64]) -> Self {
        let count = |is: fn(f64) -> bool| coefficients.iter().filter(|one| is(**one)).count();
        let sum: f64 = coefficients.iter().sum();
        Self {
            refits: coefficients.len(),
            mean: (!coefficients.is_empty()).then(|| sum / float(coefficients.len())),
            min: coefficients.iter().copied().reduce(f64::min),
            dissolved: count(|one| one <= DISSOLVED),
            recovered: count(|one| one >= RECOVERED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(k: usize) -> Setting {
        Setting {
            k,
            refits: 10,
            seed: 3,
            starts: 2,
            max_iterations: 100,
            tolerance: 0.0,
            threads: 2,
        }
    }

    fn refit(labels: &[u32], segments: usize, setting: &Setting) -> Stable {
        // Thirty rows around 0, thirty around 100.
        let data = (0..60_u32).map(|row| f64::from(row / 30 * 100 + row % 30) / 3.0);
        let rows = Matrix::new(data.collect(), 60, 1).unwrap();
        all(&rows, labels, segments, setting, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
    }

    #[test]
    fn groups_that_are_there_come_back() {
        let labels: Vec<u32> = (0..60).map(|row| 1 - row / 30).collect();
        let stable = refit(&labels, 2, &setting(2));
        assert_eq!(
            (stable.mean_agreement(), stable.least_agreement()),
            (1.0, Some(1.0))
        );
        assert_eq!(stable.least_jaccard(), Some(1.0));
        let segment = stable.segments[0];
        assert_eq!((segment.recovered, segment.dissolved), (10, 0));
    }

    #[test]
    fn half_a_group_is_dissolved_and_the_other_group_is_not() {
        // Segment 0 is the first group, 1 and 2 are even and odd rows of the second.
        let labels: Vec<u32> = (0..60)
            .map(|row| if row < 30 { 0 } else { 1 + row % 2 })
            .collect();
        let stable = refit(&labels, 3, &setting(2));
        assert_eq!(stable.segments[0].recovered, 10);
        assert!(stable.segments[1].mean.unwrap() < 0.65, "{stable:?}");
        assert!(stable.segments[1].dissolved > 0, "{stable:?}");
        assert!(stable.mean_agreement() < 1.0);
    }

    #[test]
    fn threads_change_nothing_and_a_segment_that_is_never_drawn_has_no_mean() {
        let labels: Vec<u32> = (0..60).map(|row| row / 30).collect();
        let one = Setting {
            threads: 1,
            ..setting(3)
        };
        let stable = refit(&labels, 3, &setting(3));
        assert_eq!(stable, refit(&labels, 3, &one));
        assert_eq!(stable.segments[2], SegmentStability::default());
    }

    #[test]
    fn it_stops_when_told_to() {
        let rows = Matrix::new(vec![1.0, 2.0, 3.0], 3, 1).unwrap();
        let stopped = all(&rows, &[0, 0, 1], 2, &setting(2), &mut |_| {
            ControlFlow::Break(())
        });
        assert_eq!(stopped, Err(KernelError::Stopped));
    }
}
