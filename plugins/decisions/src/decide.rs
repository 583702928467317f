//! Choosing an action for each customer of an audience.

use std::collections::HashMap;
use std::sync::Arc;

use marquetry_plugin::StageError;
use marquetry_policy::{ActionDistribution, Eligible, Policy, Random};

use crate::{Audience, PolicyBook, refused};

/// What was chosen for a customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The action's place in the catalogue.
    pub action: usize,
    /// The probability with which it was this one, among what was eligible then.
    pub propensity: f64,
    /// The number of the set that was eligible: see [`Choices::sets`].
    pub eligible: usize,
}

/// What was chosen for each customer of an audience.
#[derive(Debug, Clone)]
pub struct Choices {
    /// A choice for each customer, in their order; none for whom nothing was eligible.
    pub choices: Vec<Option<Choice>>,
    /// Sets of eligible actions, as places in the catalogue.
    pub sets: Vec<Vec<usize>>,
}

/// Policies whose choice looks at no context are asked once for each eligible set.
enum Ready {
    Distribution(ActionDistribution),
    PerCustomer(Eligible),
}

impl Audience {
    /// Lets the policies of a book choose, with the random stream of a customer's place for each.
    ///
    /// Where actions are capped, customers are served in a random order that follows from `seed`; an
    /// action that is used up is no longer eligible for the rest, so that each propensity is right given
    /// what was eligible at that moment.
    ///
    /// # Errors
    /// A context holds a number that the policy cannot compute with.
    pub fn decide(&self, book: &mut PolicyBook, seed: u64) -> Result<Choices, StageError> {
        let actions = self.actions();
        for segment in self.segment_names() {
            book.know(segment.as_deref(), &actions)
                .map_err(|error| refused(&error))?;
        }
        let book = &*book;
        let mut sets = self.eligibility.sets.clone();
        let mut choices = vec![None; self.len()];
        let mut left: Vec<Option<u64>> = self.catalogue.caps().to_vec();
        let order = if left.iter().any(Option::is_some) {
            shuffled(self.len(), seed)
        } else {
            (0..self.len()).collect()
        };
        // The set of a customer without what is used up, by the number of the whole set.
        let mut open: Vec<usize> = (0..sets.len()).collect();
        close(&left, &self.eligibility.sets, &mut sets, &mut open);
        let mut ready: HashMap<(Option<Arc<str>>, usize), Ready> = HashMap::new();
        for row in order {
            let Some(set) = open.get(self.eligibility.of[row]).copied() else {
                continue;
            };
            if sets[set].is_empty() {
                continue;
            }
            let segment = self.segment_name(row);
            let Some(policy) = book.policy(segment.as_deref()) else {
                continue;
            };
            let key = (segment.filter(|_| book.spec().per_segment), set);
            let way = match ready.entry(key) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    let names = sets[set].iter().map(|action| actions[*action]);
                    entry.insert(prepare(policy, names)?)
                }
            };
            let mut random = Random::new(seed, row as u64);
            let decision = match way {
                Ready::Distribution(distribution) => distribution.decide(&mut random),
                Ready::PerCustomer(eligible) => policy
                    .decide(self.context(row), eligible, &mut random)
                    .map_err(|error| refused(&error))?,
            };
            let arms = match way {
                Ready::Distribution(distribution) => distribution.arms(),
                Ready::PerCustomer(eligible) => eligible.arms(),
            };
            let Some(place) = arms.iter().position(|arm| *arm == decision.arm) else {
                continue;
            };
            let action = sets[set][place];
            choices[row] = Some(Choice {
                action,
                propensity: decision.propensity,
                eligible: set,
            });
            if let Some(Some(left_of_it)) = left.get_mut(action) {
                *left_of_it = left_of_it.saturating_sub(1);
                if *left_of_it == 0 {
                    close(&left, &self.eligibility.sets, &mut sets, &mut open);
                }
            }
        }
        Ok(Choices { choices, sets })
    }

    fn segment_name(&self, row: usize) -> Option<Arc<str>> {
        self.segment(row).map(Arc::from)
    }
}

fn prepare<'a>(policy: &Policy, names: impl Iterator<Item = &'a str>) -> Result<Ready, StageError> {
    let eligible = policy.eligible(names).map_err(|error| refused(&error))?;
    if policy.options().algorithm.dimensions().is_some() {
        return Ok(Ready::PerCustomer(eligible));
    }
    let distribution = policy.distribution(&[], &eligible);
    distribution
        .map(Ready::Distribution)
        .map_err(|error| refused(&error))
}

/// Takes what is used up out of every set.
fn close(
    left: &[Option<u64>],
    whole: &[Vec<usize>],
    sets: &mut Vec<Vec<usize>>,
    open: &mut [usize],
) {
    for (number, set) in whole.iter().enumerate() {
        let still: Vec<usize> = set
            .iter()
            .copied()
            .filter(|action| left.get(*action).copied().flatten() != Some(0))
            .collect();
        let known = sets.iter().position(|other| *other == still);
        open[number] = known.unwrap_or_else(|| {
            sets.push(still);
            sets.len() - 1
        });
    }
}

/// The numbers below `count` in a random order (Fisher and Yates).
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    // A stream that no customer has.
    let mut random = Random::new(seed, u64::MAX);
    for last in (1..count).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}
