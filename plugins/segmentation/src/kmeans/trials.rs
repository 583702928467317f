//! Numbers of segments that are tried, and which is the best.

use std::ops::RangeInclusive;

use marquetry_kernels::{KernelError, Matrix, assign, sample_rows, silhouette};

use super::fit::Search;
use super::options::Clusters;

/// One number of segments that was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trial {
    pub(super) k: usize,
    /// The mean silhouette of the sample; none where the sample met one segment only.
    pub(super) silhouette: Option<f64>,
    pub(super) inertia: f64,
}

impl Clusters {
    /// Every number that may be.
    pub(super) fn all(self) -> RangeInclusive<usize> {
        match self {
            Self::Exactly(k) => k..=k,
            Self::Range { min, max } => min..=max,
        }
    }

    /// The highest of them.
    pub(super) fn most(self) -> usize {
        *self.all().end()
    }
}

/// Judges clusterings by the silhouette of a sample.
pub(super) struct Judge {
    sample: Matrix,
    threads: usize,
}

impl Judge {
    /// One for the numbers of segments that may be, of `customers` in all; none where there is one number
    /// only. `sample` are customers to draw from.
    pub(super) fn new(
        sample: &Matrix,
        customers: usize,
        search: &Search,
        clusters: Clusters,
    ) -> Result<Option<Self>, KernelError> {
        let Clusters::Range { max, .. } = clusters else {
            return Ok(None);
        };
        // As many segments as rows have no silhouette.
        if max >= customers {
            return Err(KernelError::TooManyClusters {
                clusters: max,
                rows: customers.saturating_sub(1),
            });
        }
        let sampled = sample_rows(sample.rows(), search.silhouette_sample, search.seed);
        Ok(Some(Self {
            sample: sample.select(&sampled),
            threads: search.threads,
        }))
    }

    /// How a clustering does.
    pub(super) fn trial(&self, centres: &Matrix, inertia: f64) -> Result<Trial, KernelError> {
        let labels = assign(&self.sample, centres, self.threads)?.labels;
        let silhouette = match silhouette(&self.sample, &labels, self.threads) {
            Ok(mean) => Some(mean),
            Err(KernelError::NotSeparable { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Trial {
            k: centres.rows(),
            silhouette,
            inertia,
        })
    }
}

/// The clustering with the best silhouette, of equal ones the first, and all trials.
pub(super) fn best<Found>(tried: Vec<(Found, Option<Trial>)>) -> Option<(Found, Vec<Trial>)> {
    let trials = tried.iter().filter_map(|(_, trial)| *trial).collect();
    let mut best: Option<(f64, Found)> = None;
    for (found, trial) in tried {
        let silhouette = trial.and_then(|trial| trial.silhouette);
        let value = silhouette.unwrap_or(f64::NEG_INFINITY);
        if best.as_ref().is_none_or(|(other, _)| value > *other) {
            best = Some((value, found));
        }
    }
    best.map(|(_, found)| (found, trials))
}
