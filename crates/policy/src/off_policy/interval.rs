//! How sure an estimate is.

use serde::{Deserialize, Serialize};

use super::error::check;
use super::estimate::Terms;
use super::{DecisionLog, Estimator, OffPolicyError, Weighting, bootstrap};
use crate::normal;

/// How an interval is computed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum IntervalMethod {
    /// Value plus and minus standard errors: right for many rows of moderate weights, O(n).
    Normal {},
    /// The bias-corrected and accelerated bootstrap (B. Efron, *Better bootstrap confidence intervals*,
    /// 1987), with the acceleration from the jackknife: follows skewed terms, O(n `replicates`).
    Bootstrap {
        /// Resamples, 100 to 1,000,000; 2,000 are usual.
        replicates: usize,
        /// The seed that they are drawn from.
        seed: u64,
    },
    /// The empirical Bernstein bound of A. Maurer and M. Pontil (*Empirical Bernstein bounds and sample
    /// variance penalization*, 2009, theorem 4, on both sides): holds for any number of rows and any
    /// distribution, and is wider for it. Not for the self-normalised ratio. O(n).
    ///
    /// Its ranges must be known before the data: that of rewards, and (for IPS and doubly robust) the
    /// largest weight that can be, which for a log with a uniform share `explore` among at most n actions is
    /// n / `explore`.
    EmpiricalBernstein {
        /// The least reward that can be.
        least_reward: f64,
        /// The largest reward that can be.
        largest_reward: f64,
        /// The largest weight that can be; where weights are clipped, the clip if that is less.
        largest_weight: f64,
    },
}

/// Where a target policy's value lies, with a stated confidence, in units of the reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl DecisionLog {
    /// A two-sided interval of the target policy's value; `level` is the probability with which it
    /// covers, 0.95 say.
    ///
    /// For the direct method it covers what the reward model expects of other draws of contexts, whatever
    /// the model's own error is.
    ///
    /// # Errors
    /// As of [`estimate`](Self::estimate); [`OffPolicyError::TooFewRows`] of fewer than 2;
    /// [`OffPolicyError::Option`] of a level outside of (0, 1) or another option out of range;
    /// [`OffPolicyError::Row`] where a reward, weight or prediction is outside of the ranges of an
    /// empirical-Bernstein interval, and [`OffPolicyError::NotAMean`] of one for the self-normalised
    /// ratio.
    pub fn interval(
        &self,
        estimator: Estimator,
        weighting: Weighting,
        method: IntervalMethod,
        level: f64,
    ) -> Result<Interval, OffPolicyError> {
        check(
            "level",
            level,
            level > 0.0 && level < 1.0,
            "it must be above 0 and below 1",
        )?;
        let terms = self.terms(estimator, weighting)?;
        if terms.len() < 2 {
            let (rows, needs) = (terms.len(), "an interval needs two");
            return Err(OffPolicyError::TooFewRows { rows, needs });
        }
        match method {
            IntervalMethod::Normal {} => {
                let estimate = terms.estimate();
                let width = normal::quantile(0.5 + 0.5 * level) * estimate.standard_error;
                Ok(Interval {
                    low: estimate.value - width,
                    high: estimate.value + width,
                })
            }
            IntervalMethod::Bootstrap { replicates, seed } => {
                #[expect(clippy::cast_precision_loss, reason = "only for a message")]
                check(
                    "replicates",
                    replicates as f64,
                    (100..=1_000_000).contains(&replicates),
                    "it must be from 100 to 1,000,000",
                )?;
                Ok(bootstrap::bca(&terms, replicates, seed, level))
            }
            IntervalMethod::EmpiricalBernstein {
                least_reward,
                largest_reward,
                largest_weight,
            } => {
                let ranges = Ranges {
                    least_reward,
                    largest_reward,
                    largest_weight: weighting.apply(largest_weight),
                };
                let range = self.term_range(estimator, weighting, &ranges)?;
                Ok(empirical_bernstein(&terms, range, level))
            }
        }
    }

    /// The least and the largest value that a term of an estimator can have; refuses data beyond the
    /// ranges that this follows from.
    fn term_range(
        &self,
        estimator: Estimator,
        weighting: Weighting,
        ranges: &Ranges,
    ) -> Result<Interval, OffPolicyError> {
        ranges.check()?;
        let (least, largest) = (ranges.least_reward, ranges.largest_reward);
        let range = match estimator {
            Estimator::SelfNormalisedIps => {
                let estimator = estimator.name();
                return Err(OffPolicyError::NotAMean { estimator });
            }
            Estimator::Ips => Interval {
                low: least.min(0.0) * ranges.largest_weight,
                high: largest.max(0.0) * ranges.largest_weight,
            },
            Estimator::DirectMethod => Interval {
                low: least,
                high: largest,
            },
            Estimator::DoublyRobust => {
                let spread = ranges.largest_weight * (largest - least);
                Interval {
                    low: least - spread,
                    high: largest + spread,
                }
            }
        };
        if estimator.needs_predictions()
            && let Some((low, high)) = self.prediction_range
        {
            let outside = if low < least { low } else { high };
            check(
                "predictions",
                outside,
                (least..=largest).contains(&outside),
                "predictions must be within the range of the rewards",
            )?;
        }
        if estimator == Estimator::DirectMethod {
            return Ok(range);
        }
        let weights = self.weights.iter().map(|weight| weighting.apply(*weight));
        for (row, (weight, reward)) in weights.zip(&self.rewards).enumerate() {
            if !(least..=largest).contains(reward) {
                let problem = format!(
                    "the reward is {reward}: rewards were said to be from {least} to {largest}"
                );
                return Err(OffPolicyError::Row { row, problem });
            }
            if weight > ranges.largest_weight * (1.0 + 1e-9) {
                let most = ranges.largest_weight;
                let problem =
                    format!("the weight is {weight}: weights were said to be at most {most}");
                return Err(OffPolicyError::Row { row, problem });
            }
        }
        Ok(range)
    }
}

struct Ranges {
    least_reward: f64,
    largest_reward: f64,
    largest_weight: f64,
}

impl Ranges {
    fn check(&self) -> Result<(), OffPolicyError> {
        check(
            "least_reward",
            self.least_reward,
            self.least_reward.is_finite(),
            "it must be a finite number",
        )?;
        check(
            "largest_reward",
            self.largest_reward,
            self.largest_reward.is_finite() && self.largest_reward >= self.least_reward,
            "it must be a finite number, at least the least reward",
        )?;
        check(
            "largest_weight",
            self.largest_weight,
            self.largest_weight > 0.0 && self.largest_weight.is_finite(),
            "it must be a number above 0",
        )
    }
}

/// Both one-sided bounds at half of the risk each, cut to the range of the terms.
fn empirical_bernstein(terms: &Terms, range: Interval, level: f64) -> Interval {
    let mean = terms.value();
    let logarithm = (4.0 / (1.0 - level)).ln();
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    let rows = terms.len() as f64;
    let width = (2.0 * terms.variance(mean) * logarithm / rows).sqrt()
        + 7.0 * (range.high - range.low) * logarithm / (3.0 * (rows - 1.0));
    Interval {
        low: (mean - width).max(range.low),
        high: (mean + width).min(range.high),
    }
}

#[cfg(test)]
mod tests {
    use super::super::LoggedDecision;
    use super::*;

    fn log(rewards: &[f64]) -> DecisionLog {
        let mut log = DecisionLog::new();
        for (index, reward) in rewards.iter().enumerate() {
            log.push(&LoggedDecision {
                chosen: index % 2,
                reward: *reward,
                propensity: 0.5,
                target: &[0.25, 0.75],
                predictions: Some(&[0.5, 0.5]),
            })
            .unwrap();
        }
        log
    }

    const BERNSTEIN: IntervalMethod = IntervalMethod::EmpiricalBernstein {
        least_reward: 0.0,
        largest_reward: 1.0,
        largest_weight: 2.0,
    };

    #[test]
    fn the_bernstein_bound_is_that_of_the_paper() {
        // Terms 0.5, 1.5, 0, 0: mean 0.5, sample variance 0.5; range 2, delta 0.05 on each side.
        let log = log(&[1.0, 1.0, 0.0, 0.0]);
        let found = log.interval(Estimator::Ips, Weighting::Plain, BERNSTEIN, 0.9);
        // As wide as the whole range, which cuts it.
        let whole = Interval {
            low: 0.0,
            high: 2.0,
        };
        assert_eq!(found, Ok(whole));
        let many = self::log(&[1.0, 1.0, 0.0, 0.0].repeat(1000));
        let found = many
            .interval(Estimator::Ips, Weighting::Plain, BERNSTEIN, 0.9)
            .unwrap();
        let (variance, logarithm) = (0.375 * 4000.0 / 3999.0, 40.0_f64.ln());
        let width = (2.0 * variance * logarithm / 4000.0_f64).sqrt()
            + 7.0 * 2.0 * logarithm / (3.0 * 3999.0);
        assert!((found.high - (0.5 + width)).abs() < 1e-12, "{found:?}");
        assert!((found.low - (0.5 - width)).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn data_beyond_the_stated_ranges_are_refused() {
        let message = |log: &DecisionLog, estimator, method| {
            let interval = log.interval(estimator, Weighting::Plain, method, 0.95);
            interval.unwrap_err().to_string()
        };
        let log = log(&[0.0, 2.0]);
        assert_eq!(
            message(&log, Estimator::Ips, BERNSTEIN),
            "row 1: the reward is 2: rewards were said to be from 0 to 1"
        );
        let narrow = |largest_reward, largest_weight| IntervalMethod::EmpiricalBernstein {
            least_reward: 0.0,
            largest_reward,
            largest_weight,
        };
        assert_eq!(
            message(&log, Estimator::DoublyRobust, narrow(2.0, 1.0)),
            "row 1: the weight is 1.5: weights were said to be at most 1"
        );
        assert_eq!(
            message(&log, Estimator::DirectMethod, narrow(0.25, 2.0)),
            "option `predictions` is 0.5: predictions must be within the range of the rewards"
        );
        assert!(
            message(&log, Estimator::SelfNormalisedIps, BERNSTEIN).contains("take a bootstrap")
        );
        let bootstrap = IntervalMethod::Bootstrap {
            replicates: 10,
            seed: 1,
        };
        assert_eq!(
            message(&log, Estimator::Ips, bootstrap),
            "option `replicates` is 10: it must be from 100 to 1,000,000"
        );
        // A clip bounds the weights by itself.
        assert!(
            log.interval(
                Estimator::Ips,
                Weighting::Clipped(1.0),
                narrow(2.0, 50.0),
                0.95
            )
            .is_ok()
        );
        let level = log.interval(Estimator::Ips, Weighting::Plain, BERNSTEIN, 95.0);
        assert!(level.is_err());
        let one = self::log(&[1.0]);
        assert_eq!(
            message(&one, Estimator::Ips, IntervalMethod::Normal {}),
            "1 rows: an interval needs two"
        );
    }

    #[test]
    fn a_higher_level_is_a_wider_interval() {
        let log = log(&[1.0, 0.0, 0.5, 0.25, 1.0, 0.75, 0.0, 0.5]);
        let bootstrap = IntervalMethod::Bootstrap {
            replicates: 2000,
            seed: 3,
        };
        for method in [IntervalMethod::Normal {}, bootstrap] {
            for estimator in [
                Estimator::Ips,
                Estimator::SelfNormalisedIps,
                Estimator::DoublyRobust,
            ] {
                let at = |level| {
                    log.interval(estimator, Weighting::Plain, method, level)
                        .unwrap()
                };
                let value = log.estimate(estimator, Weighting::Plain).unwrap().value;
                let (narrow, wide) = (at(0.8), at(0.99));
                assert!(wide.low < narrow.low && narrow.high < wide.high);
                assert!(narrow.low < value && value < narrow.high);
                assert_eq!(narrow, at(0.8));
            }
        }
    }
}
