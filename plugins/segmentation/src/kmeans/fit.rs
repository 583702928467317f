//! The search itself: every number of segments that may be, and the numbering of what is found.

use std::ops::ControlFlow;

use marquetry_kernels::{
    Iteration, KMeans, KMeansOptions, KernelError, Matrix, Partition, Start, assign,
    kmeans_watched, sample_rows, silhouette,
};

use super::options::Clusters;

/// What to search for.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// How many segments, or where they begin.
    pub(super) goal: Goal,
    pub(super) seed: u64,
    pub(super) starts: usize,
    pub(super) max_iterations: usize,
    pub(super) tolerance: f64,
    pub(super) silhouette_sample: usize,
    pub(super) threads: usize,
}

/// How many segments, or where they begin.
#[derive(Debug, Clone)]
pub(super) enum Goal {
    Search(Clusters),
    From(Matrix),
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fitted {
    pub(super) found: KMeans,
    /// The squared distance of each row from the centre of its segment.
    pub(super) squared_distances: Vec<f64>,
    /// The rows of each segment.
    pub(super) sizes: Vec<usize>,
    /// The numbers of segments tried, ascending; none where there was nothing to choose.
    pub(super) trials: Vec<Trial>,
}

/// One number of segments that was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trial {
    pub(super) k: usize,
    /// The mean silhouette of the sample; none where the sample met one segment only.
    pub(super) silhouette: Option<f64>,
    pub(super) inertia: f64,
}

/// Clusters rows. `watcher` is told the number of segments and the iteration, and may break off.
///
/// Segments found from random starts are numbered by size, the largest first; those of given centres
/// keep their numbers.
pub(super) fn fit(
    rows: &Matrix,
    search: &Search,
    watcher: &mut dyn FnMut(usize, Iteration) -> ControlFlow<()>,
) -> Result<Fitted, KernelError> {
    let (found, trials) = match &search.goal {
        Goal::From(centres) => {
            let start = Start::Centres(centres.clone());
            return numbered(
                rows,
                run(rows, search, start, centres.rows(), watcher)?,
                Vec::new(),
                search,
            );
        }
        Goal::Search(Clusters::Exactly(k)) => (
            run(rows, search, random_start(search, *k), *k, watcher)?,
            Vec::new(),
        ),
        Goal::Search(Clusters::Range { min, max }) => choose(rows, search, (*min, *max), watcher)?,
    };
    numbered(rows, by_size(found)?, trials, search)
}

const fn random_start(search: &Search, k: usize) -> Start {
    Start::PlusPlus {
        clusters: k,
        starts: search.starts,
        seed: search.seed,
    }
}

fn run(
    rows: &Matrix,
    search: &Search,
    start: Start,
    k: usize,
    watcher: &mut dyn FnMut(usize, Iteration) -> ControlFlow<()>,
) -> Result<KMeans, KernelError> {
    let options = KMeansOptions {
        start,
        max_iterations: search.max_iterations,
        tolerance: search.tolerance,
        threads: search.threads,
    };
    kmeans_watched(rows, &options, &mut |iteration| watcher(k, iteration))
}

/// The number of segments with the best silhouette; of equal ones the lowest.
fn choose(
    rows: &Matrix,
    search: &Search,
    (min, max): (usize, usize),
    watcher: &mut dyn FnMut(usize, Iteration) -> ControlFlow<()>,
) -> Result<(KMeans, Vec<Trial>), KernelError> {
    // As many segments as rows have no silhouette.
    if max >= rows.rows() {
        return Err(KernelError::TooManyClusters {
            clusters: max,
            rows: rows.rows().saturating_sub(1),
        });
    }
    let sampled = sample_rows(rows.rows(), search.silhouette_sample, search.seed);
    let sample = rows.select(&sampled);
    let mut trials = Vec::new();
    let mut best: Option<(f64, KMeans)> = None;
    for k in min..=max {
        let found = run(rows, search, random_start(search, k), k, watcher)?;
        let labels: Vec<u32> = sampled.iter().map(|row| found.labels[*row]).collect();
        let mean = match silhouette(&sample, &labels, search.threads) {
            Ok(mean) => Some(mean),
            Err(KernelError::NotSeparable { .. }) => None,
            Err(error) => return Err(error),
        };
        trials.push(Trial {
            k,
            silhouette: mean,
            inertia: found.inertia,
        });
        let value = mean.unwrap_or(f64::NEG_INFINITY);
        if best.as_ref().is_none_or(|(other, _)| value > *other) {
            best = Some((value, found));
        }
    }
    match best {
        Some((_, found)) => Ok((found, trials)),
        None => Err(KernelError::TooManyClusters {
            clusters: max,
            rows: rows.rows(),
        }),
    }
}

/// The same clusters, numbered from the largest to the smallest, equal ones as they were.
fn by_size(found: KMeans) -> Result<KMeans, KernelError> {
    let sizes = sizes(&found);
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|cluster| std::cmp::Reverse(sizes[*cluster]));
    let mut numbers = vec![0; order.len()];
    for (number, cluster) in (0..).zip(&order) {
        numbers[*cluster] = number;
    }
    let labels = found
        .labels
        .iter()
        .map(|label| numbers[*label as usize])
        .collect();
    Ok(KMeans {
        labels,
        centres: found.centres.select(&order),
        ..found
    })
}

fn numbered(
    rows: &Matrix,
    found: KMeans,
    trials: Vec<Trial>,
    search: &Search,
) -> Result<Fitted, KernelError> {
    let sizes = sizes(&found);
    let nearest = assign(rows, &found.centres, search.threads)?;
    // The nearest centre is the own one, but for a tie that renumbering has turned: then both are as far.
    Ok(Fitted {
        squared_distances: nearest.squared_distances,
        sizes,
        trials,
        found,
    })
}

/// The rows of each cluster, empty ones included.
fn sizes(found: &KMeans) -> Vec<usize> {
    let partition = Partition::new(&found.labels);
    let mut sizes = vec![0; found.centres.rows()];
    for (label, size) in partition.labels().iter().zip(partition.sizes()) {
        sizes[*label as usize] = *size;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of 30, 20 and 10 rows around 0, 100 and 200.
    fn groups() -> Matrix {
        let data: Vec<f64> = (0..60_u32)
            .map(|row| match row {
                0..10 => 200.0 + f64::from(row) * 0.1,
                10..40 => f64::from(row) * 0.1,
                _ => 100.0 + f64::from(row) * 0.1,
            })
            .collect();
        Matrix::new(data, 60, 1).unwrap()
    }

    fn search(goal: Goal) -> Search {
        Search {
            goal,
            seed: 1,
            starts: 3,
            max_iterations: 100,
            tolerance: 0.0,
            silhouette_sample: 40,
            threads: 2,
        }
    }

    fn go(goal: Goal) -> Result<Fitted, KernelError> {
        fit(&groups(), &search(goal), &mut |_, _| {
            ControlFlow::Continue(())
        })
    }

    #[test]
    fn segments_are_numbered_from_the_largest() {
        let fitted = go(Goal::Search(Clusters::Exactly(3))).unwrap();
        assert_eq!(fitted.sizes, [30, 20, 10]);
        let label = |row: usize| fitted.found.labels[row];
        assert_eq!((label(15), label(50), label(5)), (0, 1, 2));
        assert!((fitted.squared_distances.iter().sum::<f64>() - fitted.found.inertia).abs() < 1e-9);
    }

    #[test]
    fn given_centres_keep_their_numbers() {
        let centres = Matrix::new(vec![210.0, 90.0, -5.0], 3, 1).unwrap();
        assert_eq!(go(Goal::From(centres)).unwrap().sizes, [10, 20, 30]);
    }

    #[test]
    fn the_range_finds_the_number_of_groups() {
        let fitted = go(Goal::Search(Clusters::Range { min: 2, max: 6 })).unwrap();
        assert_eq!(fitted.sizes.len(), 3);
        assert_eq!(
            fitted
                .trials
                .iter()
                .map(|trial| trial.k)
                .collect::<Vec<_>>(),
            [2, 3, 4, 5, 6]
        );
        assert_eq!(
            fitted,
            go(Goal::Search(Clusters::Range { min: 2, max: 6 })).unwrap()
        );
    }

    #[test]
    fn a_range_beyond_the_rows_is_refused() {
        let error = go(Goal::Search(Clusters::Range { min: 2, max: 60 })).unwrap_err();
        assert_eq!(
            error,
            KernelError::TooManyClusters {
                clusters: 60,
                rows: 59
            }
        );
    }
}
