//! The search itself, where the rows are in memory: every number of segments that may be, and the numbering
//! of what is found.

use std::ops::ControlFlow;

use marquetry_kernels::{
    Iteration, KMeans, KMeansOptions, KernelError, Matrix, Partition, Start, assign,
    kmeans_watched, plus_plus,
};

use super::options::Clusters;
use super::trials::{Judge, Trial, best};

/// What to search for.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// How many segments, or where they begin.
    pub(super) goal: Goal,
    pub(super) seed: u64,
    /// Of how many customers starts and samples are taken, at most: drawn by the seed and the key, so that they
    /// are the same wherever rows lie.
    pub(super) sample: usize,
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
    /// The centres, in the order of their segments' numbers.
    pub(super) centres: Matrix,
    /// The rows of each segment.
    pub(super) sizes: Vec<usize>,
    /// The sum of squared distances of rows from the centres of their segments.
    pub(super) inertia: f64,
    pub(super) iterations: usize,
    pub(super) converged: bool,
    /// The numbers of segments tried, ascending; none where there was nothing to choose.
    pub(super) trials: Vec<Trial>,
}

impl Fitted {
    /// Rows clustered.
    pub(super) fn customers(&self) -> usize {
        self.sizes.iter().sum()
    }
}

/// The segment of each row, and its squared distance from the centre.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) labels: Vec<u32>,
    pub(super) squared_distances: Vec<f64>,
}

/// The order in which segments are numbered: from the largest to the smallest, equal ones as they are.
pub(super) fn by_size(sizes: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|cluster| std::cmp::Reverse(sizes[*cluster]));
    order
}

/// The numbers of the clusters that stand in this order.
pub(super) fn numbers_in(order: &[usize]) -> Vec<u32> {
    let mut numbers = vec![0; order.len()];
    for (number, cluster) in (0..).zip(order) {
        numbers[*cluster] = number;
    }
    numbers
}

/// Clusters rows, of which `sample` are those that starts and silhouettes are drawn from. `watcher` is told
/// the number of segments and the iteration, and may break off.
///
/// Segments found from random starts are numbered by size, the largest first; those of given centres
/// keep their numbers.
pub(super) fn fit(
    rows: &Matrix,
    sample: &Matrix,
    search: &Search,
    watcher: &mut dyn FnMut(usize, Iteration) -> ControlFlow<()>,
) -> Result<(Fitted, Placed), KernelError> {
    match &search.goal {
        Goal::From(centres) => {
            let start = Start::Centres(centres.clone());
            let found = run(rows, search, start, centres.rows(), watcher)?;
            let order: Vec<usize> = (0..centres.rows()).collect();
            numbered(rows, found, &order, Vec::new(), search)
        }
        Goal::Search(clusters) => {
            let (found, trials) = choose(rows, sample, search, *clusters, watcher)?;
            let order = by_size(&sizes(&found));
            numbered(rows, found, &order, trials, search)
        }
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
    sample: &Matrix,
    search: &Search,
    clusters: Clusters,
    watcher: &mut dyn FnMut(usize, Iteration) -> ControlFlow<()>,
) -> Result<(KMeans, Vec<Trial>), KernelError> {
    let judge = Judge::new(sample, rows.rows(), search, clusters)?;
    let mut tried = Vec::new();
    for k in clusters.all() {
        let starts = plus_plus(sample, k, search.starts, search.seed, search.threads)?;
        let found = run(rows, search, Start::Among(starts), k, watcher)?;
        let trial = match &judge {
            Some(judge) => Some(judge.trial(&found.centres, found.inertia)?),
            None => None,
        };
        tried.push((found, trial));
    }
    best(tried).ok_or(KernelError::TooManyClusters {
        clusters: clusters.most(),
        rows: rows.rows(),
    })
}

/// The same clusters, numbered in this order.
fn numbered(
    rows: &Matrix,
    found: KMeans,
    order: &[usize],
    trials: Vec<Trial>,
    search: &Search,
) -> Result<(Fitted, Placed), KernelError> {
    let sizes = sizes(&found);
    let numbers = numbers_in(order);
    let labels = found.labels.iter();
    let labels = labels.map(|label| numbers[*label as usize]).collect();
    let centres = found.centres.select(order);
    let nearest = assign(rows, &centres, search.threads)?;
    // The nearest centre is the own one, but for a tie that renumbering has turned: then both are as far.
    let placed = Placed {
        labels,
        squared_distances: nearest.squared_distances,
    };
    let fitted = Fitted {
        centres,
        sizes: order.iter().map(|cluster| sizes[*cluster]).collect(),
        inertia: found.inertia,
        iterations: found.iterations,
        converged: found.converged,
        trials,
    };
    Ok((fitted, placed))
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
            sample: 1000,
            starts: 3,
            max_iterations: 100,
            tolerance: 0.0,
            silhouette_sample: 40,
            threads: 2,
        }
    }

    fn go(goal: Goal) -> Result<(Fitted, Placed), KernelError> {
        fit(&groups(), &groups(), &search(goal), &mut |_, _| {
            ControlFlow::Continue(())
        })
    }

    #[test]
    fn segments_are_numbered_from_the_largest() {
        let (fitted, placed) = go(Goal::Search(Clusters::Exactly(3))).unwrap();
        assert_eq!(fitted.sizes, [30, 20, 10]);
        let label = |row: usize| placed.labels[row];
        assert_eq!((label(15), label(50), label(5)), (0, 1, 2));
        assert!((placed.squared_distances.iter().sum::<f64>() - fitted.inertia).abs() < 1e-9);
    }

    #[test]
    fn given_centres_keep_their_numbers() {
        let centres = Matrix::new(vec![210.0, 90.0, -5.0], 3, 1).unwrap();
        assert_eq!(go(Goal::From(centres)).unwrap().0.sizes, [10, 20, 30]);
    }

    #[test]
    fn the_range_finds_the_number_of_groups() {
        let found = go(Goal::Search(Clusters::Range { min: 2, max: 6 })).unwrap();
        let (fitted, _) = &found;
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
            found,
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
