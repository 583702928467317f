//! What is learned on one half of the log to be judged on the other (cross-fitting; V. Chernozhukov et
//! al., *Double/debiased machine learning*, 2018): a model that saw the rows on which it is judged looks
//! better than it is, and so does a choice of the best action.

use marquetry_policy::{CellMeans, OffPolicyError, RidgeRewards};

use super::log::{Decision, Log};
use super::options::{EvaluateOptions, RewardModel};

/// What the two halves taught.
#[derive(Debug)]
pub(super) struct Halves {
    /// Which half each decision is in.
    of_row: Vec<usize>,
    /// What each half taught.
    learned: [Learned; 2],
}

#[derive(Debug)]
struct Learned {
    rewards: Rewards,
    best: BestActions,
}

#[derive(Debug)]
enum Rewards {
    Cells(CellMeans),
    Ridge(RidgeRewards),
}

impl Halves {
    /// Cuts the log in two and learns from both. The half of decision i, in the order of the log, is the
    /// highest bit of word i + 1 of SplitMix64 (G. Steele et al., 2014) from `seed`.
    ///
    /// O(decisions x context²) with a ridge regression, else O(decisions).
    pub(super) fn new(
        log: &Log,
        options: &EvaluateOptions,
        seed: u64,
    ) -> Result<Self, OffPolicyError> {
        let rows = log.decisions.len() as u64;
        let of_row: Vec<usize> = (1..=rows)
            .map(|word| usize::from(split_mix(seed, word) >> 63 == 1))
            .collect();
        let of_half = |half: usize| {
            let rows = log.decisions.iter().zip(&of_row);
            rows.filter(move |(_, other)| **other == half)
                .map(|(decision, _)| decision)
        };
        let learn = |half: usize| -> Result<Learned, OffPolicyError> {
            let mut rewards = match options.model() {
                RewardModel::CellMeans => Rewards::Cells(CellMeans::new()),
                RewardModel::Ridge => {
                    let (actions, dimensions) = (log.actions.len(), log.dimensions() + 1);
                    Rewards::Ridge(RidgeRewards::new(actions, dimensions, options.ridge)?)
                }
            };
            for decision in of_half(half) {
                rewards.observe(log, decision)?;
            }
            let best = BestActions::new(log, of_half(half));
            Ok(Learned { rewards, best })
        };
        let learned = [learn(0)?, learn(1)?];
        Ok(Self { of_row, learned })
    }

    fn other(&self, row: usize) -> &Learned {
        &self.learned[1 - self.of_row[row]]
    }

    /// The reward to expect of an action in place of that of a decision, by the other half.
    pub(super) fn prediction(
        &self,
        log: &Log,
        row: usize,
        action: u32,
    ) -> Result<f64, OffPolicyError> {
        self.other(row)
            .rewards
            .predict(log, &log.decisions[row], action)
    }

    /// The eligible action that earned most in the segment of a decision in the other half; none where that
    /// half saw none of them.
    pub(super) fn best(&self, log: &Log, row: usize) -> Option<u32> {
        let decision = &log.decisions[row];
        let of_segment = &self.other(row).best.by_segment[decision.segment as usize];
        let eligible = log.eligible(decision);
        of_segment
            .iter()
            .copied()
            .find(|action| eligible.binary_search(action).is_ok())
    }
}

impl Rewards {
    fn observe(&mut self, log: &Log, decision: &Decision) -> Result<(), OffPolicyError> {
        let (action, reward) = (decision.action as usize, decision.reward);
        match self {
            Self::Cells(cells) => cells.observe(action, u64::from(decision.segment), reward),
            Self::Ridge(ridge) => {
                ridge.observe(action, &with_intercept(log.context(decision)), reward)
            }
        }
    }

    fn predict(&self, log: &Log, decision: &Decision, action: u32) -> Result<f64, OffPolicyError> {
        match self {
            Self::Cells(cells) => Ok(cells.predict(action as usize, u64::from(decision.segment))),
            Self::Ridge(ridge) => {
                ridge.predict(action as usize, &with_intercept(log.context(decision)))
            }
        }
    }
}

fn with_intercept(context: &[f64]) -> Vec<f64> {
    std::iter::once(1.0)
        .chain(context.iter().copied())
        .collect()
}

/// Word `number` (from 1) of the generator SplitMix64.
const fn split_mix(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The actions that earned most, by segment.
#[derive(Debug)]
struct BestActions {
    /// For each segment the actions that were seen, the best first.
    by_segment: Vec<Vec<u32>>,
}

/// Sums with weights 1 / propensity, so that how often an action was taken says nothing of its worth.
#[derive(Debug, Clone, Copy, Default)]
struct Weighted {
    rewards: f64,
    weights: f64,
}

impl Weighted {
    fn mean(self) -> Option<f64> {
        (self.weights > 0.0).then(|| self.rewards / self.weights)
    }
}

impl BestActions {
    fn new<'a>(log: &Log, decisions: impl Iterator<Item = &'a Decision>) -> Self {
        let actions = log.actions.len();
        let mut cells = vec![Weighted::default(); actions * log.segments.len()];
        let mut totals = vec![Weighted::default(); actions];
        for decision in decisions {
            let weight = 1.0 / decision.propensity;
            let (action, segment) = (decision.action as usize, decision.segment as usize);
            for sums in [&mut cells[segment * actions + action], &mut totals[action]] {
                sums.rewards += weight * decision.reward;
                sums.weights += weight;
            }
        }
        let by_segment = cells
            .chunks(actions.max(1))
            .map(|of_segment| {
                let scored = of_segment.iter().zip(&totals).zip(0_u32..);
                let mut scored: Vec<(f64, u32)> = scored
                    .filter_map(|((cell, total), action)| {
                        Some((cell.mean().or_else(|| total.mean())?, action))
                    })
                    .collect();
                // The sort is stable: of equals, the first action stays first.
                scored.sort_by(|left, right| right.0.total_cmp(&left.0));
                scored.into_iter().map(|(_, action)| action).collect()
            })
            .collect();
        Self { by_segment }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_published_generator() {
        // From Vigna's splitmix64.c, seed 1234567.
        let words = [1, 2, 3].map(|number| split_mix(1_234_567, number));
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(words, published);
    }
}
