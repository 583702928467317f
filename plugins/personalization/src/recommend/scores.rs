//! Similar products, and what follows from them for customers and segments.

use std::cmp::Ordering;

use marquetry_plugin::{Reporter, StageError};

use super::options::RecommendOptions;
use super::purchases::{Purchases, Sets};

/// Products between two looks at the cancellation.
const STEP: usize = 256;

/// A product that is similar to another, or typical of a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scored {
    /// The number of the product.
    pub(super) item: u32,
    pub(super) score: f64,
    /// The baskets that hold both, or the customers of the segment who bought it.
    pub(super) support: u32,
}

/// A product for a customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Recommended {
    /// The number of the product.
    pub(super) item: u32,
    /// The sum of its similarities to what the customer bought.
    pub(super) score: f64,
    /// The number of the bought product that is most similar to it, the first of equals.
    pub(super) because_of: u32,
}

/// The better first: by score, then support, then the order of the products.
fn better(left: &Scored, right: &Scored) -> Ordering {
    let by_score = right.score.total_cmp(&left.score);
    by_score
        .then(right.support.cmp(&left.support))
        .then(left.item.cmp(&right.item))
}

fn keep_best<T>(scored: &mut Vec<T>, most: usize, better: impl Fn(&T, &T) -> Ordering) {
    if scored.len() > most {
        scored.select_nth_unstable_by(most, &better);
        scored.truncate(most);
    }
    scored.sort_unstable_by(&better);
}

/// The products most similar to each product, the best first.
///
/// Product by product: the baskets that hold it are counted through, so that no table of all pairs is ever
/// in memory. O(sum of squared basket sizes) time, O(products x neighbours) memory.
pub(super) fn neighbours(
    purchases: &Purchases,
    options: &RecommendOptions,
    threads: usize,
    reporter: &Reporter,
) -> Result<Vec<Vec<Scored>>, StageError> {
    let items = purchases.items.len();
    let counts = purchases.baskets.counts(items);
    let holders = purchases.baskets.transposed(items);
    let share = items.div_ceil(threads.max(1)).max(1);
    let of_range = |first: usize| {
        let range = first..(first + share).min(items);
        of_items(range, purchases, &holders, &counts, options, reporter)
    };
    let mut found = Vec::with_capacity(items);
    std::thread::scope(|scope| {
        let of_range = &of_range;
        let ranges = (0..items).step_by(share);
        let helpers: Vec<_> = ranges
            .map(|first| scope.spawn(move || of_range(first)))
            .collect();
        for helper in helpers {
            match helper.join() {
                Ok(part) => found.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(found)
    })
}

fn of_items(
    items: std::ops::Range<usize>,
    purchases: &Purchases,
    holders: &Sets,
    counts: &[u32],
    options: &RecommendOptions,
    reporter: &Reporter,
) -> Result<Vec<Vec<Scored>>, StageError> {
    let baskets = u32::try_from(purchases.baskets.len()).unwrap_or(u32::MAX);
    let mut together = vec![0_u32; counts.len()];
    let mut met: Vec<u32> = Vec::new();
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        if item % STEP == 0 {
            reporter.check_cancelled()?;
        }
        for basket in holders.get(item) {
            for other in purchases.baskets.get(*basket as usize) {
                if *other as usize == item {
                    continue;
                }
                let count = &mut together[*other as usize];
                if *count == 0 {
                    met.push(*other);
                }
                *count += 1;
            }
        }
        let scored = met.drain(..).filter_map(|other| {
            let both = std::mem::take(&mut together[other as usize]);
            if both < options.min_support {
                return None;
            }
            let (first, second) = (counts[item], counts[other as usize]);
            Some(Scored {
                item: other,
                score: options.similarity.of(both, first, second, baskets)?,
                support: both,
            })
        });
        let mut scored: Vec<Scored> = scored.collect();
        keep_best(&mut scored, options.neighbours, better);
        found.push(scored);
    }
    Ok(found)
}

/// Makes the recommendations of one customer after the other.
#[derive(Debug)]
pub(super) struct Recommender<'a> {
    neighbours: &'a [Vec<Scored>],
    options: &'a RecommendOptions,
    /// By product: the sum of similarities, the largest of them and what it is to.
    sums: Vec<(f64, f64, u32)>,
    met: Vec<u32>,
}

impl<'a> Recommender<'a> {
    pub(super) fn new(neighbours: &'a [Vec<Scored>], options: &'a RecommendOptions) -> Self {
        Self {
            neighbours,
            options,
            sums: vec![(0.0, f64::NEG_INFINITY, 0); neighbours.len()],
            met: Vec::new(),
        }
    }

    /// What is most similar to what somebody bought (G. Karypis, *Evaluation of item-based top-N
    /// recommendation algorithms*, 2001), the best first. O(bought x neighbours).
    pub(super) fn of(&mut self, bought: &[u32]) -> Vec<Recommended> {
        for item in bought {
            for similar in &self.neighbours[*item as usize] {
                let (sum, most, because_of) = &mut self.sums[similar.item as usize];
                if *most == f64::NEG_INFINITY {
                    self.met.push(similar.item);
                }
                *sum += similar.score;
                if similar.score > *most {
                    (*most, *because_of) = (similar.score, *item);
                }
            }
        }
        let nothing = (0.0, f64::NEG_INFINITY, 0);
        let mut found = Vec::with_capacity(self.met.len());
        for item in self.met.drain(..) {
            let sums = &mut self.sums[item as usize];
            let (score, _, because_of) = std::mem::replace(sums, nothing);
            if self.options.exclude_bought && bought.binary_search(&item).is_ok() {
                continue;
            }
            found.push(Recommended {
                item,
                score,
                because_of,
            });
        }
        keep_best(&mut found, self.options.top, |left, right| {
            let by_score = right.score.total_cmp(&left.score);
            by_score.then(left.item.cmp(&right.item))
        });
        found
    }
}

/// The products most typical of each segment below `segments`, the best first: the similarity of being in
/// the segment and having bought the product, among the customers who have a segment and bought anything.
/// O(products of customers + segments x products).
pub(super) fn typical(
    purchases: &Purchases,
    of_customer: &[Option<u32>],
    segments: usize,
    options: &RecommendOptions,
) -> Vec<Vec<Scored>> {
    let items = purchases.items.len();
    let mut cells = vec![0_u32; segments * items];
    let (mut sizes, mut buyers, mut all) = (vec![0_u32; segments], vec![0_u32; items], 0_u32);
    for (customer, segment) in of_customer.iter().enumerate() {
        let Some(segment) = segment else { continue };
        let segment = *segment as usize;
        sizes[segment] += 1;
        all += 1;
        for item in purchases.bought.get(customer) {
            let item = *item as usize;
            buyers[item] += 1;
            cells[segment * items + item] += 1;
        }
    }
    (0..segments)
        .map(|segment| {
            let scored = (0..items).zip(0_u32..).filter_map(|(item, number)| {
                let both = cells[segment * items + item];
                if both < options.min_support {
                    return None;
                }
                let score = options
                    .similarity
                    .of(both, sizes[segment], buyers[item], all)?;
                Some(Scored {
                    item: number,
                    score,
                    support: both,
                })
            });
            let mut scored: Vec<Scored> = scored.collect();
            keep_best(&mut scored, options.top, better);
            scored
        })
        .collect()
}
