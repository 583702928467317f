//! How one of the eligible actions is chosen, and with what probability.

use super::{Policy, check_context};
use crate::arms::{Arm, Eligible};
use crate::maximum;
use crate::options::Algorithm;
use crate::posterior::Posterior;
use crate::ranking::{draw, draw_best, share_among_best, softmax};
use crate::{PolicyError, Random};

/// An action that was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// The arm of the action.
    pub arm: Arm,
    /// The probability, above 0, with which this decision came out so.
    pub propensity: f64,
}

/// The probabilities of eligible actions in one context, to draw decisions from.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionDistribution {
    arms: Vec<Arm>,
    probabilities: Vec<f64>,
}

impl ActionDistribution {
    /// The eligible arms, in the order of the eligible set.
    #[must_use]
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// The probability of each, summing to 1.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// Draws an action.
    pub fn decide(&self, random: &mut Random) -> Decision {
        decide(&self.arms, &self.probabilities, random)
    }
}

fn decide(arms: &[Arm], probabilities: &[f64], random: &mut Random) -> Decision {
    let position = draw(probabilities, random);
    Decision {
        arm: arms[position],
        propensity: probabilities[position],
    }
}

/// How the eligible actions of one decision are drawn.
enum Choice {
    /// With these probabilities.
    Closed(Vec<f64>),
    /// By the highest draw from these posteriors.
    Sampled(Vec<Posterior>),
}

impl Policy {
    /// Chooses an action, and says with what probability it was this one.
    ///
    /// It draws from [`distribution`](Self::distribution), so the propensity is exactly that of the
    /// draw. For Thompson sampling that takes numerical integration: some 30 µs among ten linear arms
    /// and 150 µs among ten Beta arms, where [`choose`](Self::choose) takes 3 µs and less than 1 µs.
    /// Where the context does not matter, take the distribution once for each eligible set and draw all
    /// decisions from it.
    ///
    /// # Errors
    /// [`PolicyError::ContextLength`] or [`PolicyError::ContextValue`] of a context that the policy
    /// looks at, [`PolicyError::ForeignArm`] of an eligible set of another policy.
    pub fn decide(
        &self,
        context: &[f64],
        eligible: &Eligible,
        random: &mut Random,
    ) -> Result<Decision, PolicyError> {
        let probabilities = self.probabilities(context, eligible)?;
        Ok(decide(&eligible.0, &probabilities, random))
    }

    /// Chooses an action without saying with what probability: for Thompson sampling by one draw from
    /// each posterior. It follows the same distribution as [`decide`](Self::decide), but is another draw
    /// of it.
    ///
    /// # Errors
    /// As of [`decide`](Self::decide).
    pub fn choose(
        &self,
        context: &[f64],
        eligible: &Eligible,
        random: &mut Random,
    ) -> Result<Arm, PolicyError> {
        let choice = self.choice(context, eligible)?;
        let explore = self.options.explore;
        let position = match choice {
            _ if explore > 0.0 && random.unit() < explore => random.below(eligible.len()),
            Choice::Closed(probabilities) => draw(&probabilities, random),
            Choice::Sampled(posteriors) => {
                let draws = posteriors.iter().map(|posterior| posterior.draw(random));
                let draws: Vec<f64> = draws.collect();
                draw_best(&draws, random)
            }
        };
        Ok(eligible.0[position])
    }

    /// The probabilities of all eligible actions, to draw decisions from.
    ///
    /// # Errors
    /// As of [`decide`](Self::decide).
    pub fn distribution(
        &self,
        context: &[f64],
        eligible: &Eligible,
    ) -> Result<ActionDistribution, PolicyError> {
        Ok(ActionDistribution {
            probabilities: self.probabilities(context, eligible)?,
            arms: eligible.0.clone(),
        })
    }

    /// The probability of each eligible action, in the order of the set and summing to 1: the target
    /// policy's row of an off-policy evaluation.
    ///
    /// Exact in closed form, but for Thompson sampling, where it is integrated to an absolute error
    /// below 1e-9.
    ///
    /// # Errors
    /// As of [`decide`](Self::decide).
    pub fn probabilities(
        &self,
        context: &[f64],
        eligible: &Eligible,
    ) -> Result<Vec<f64>, PolicyError> {
        let mut probabilities = match self.choice(context, eligible)? {
            Choice::Closed(probabilities) => probabilities,
            Choice::Sampled(posteriors) => maximum::probabilities(&posteriors),
        };
        let explore = self.options.explore;
        if explore > 0.0 {
            let floor = explore * uniform_share(eligible.len());
            for probability in &mut probabilities {
                *probability = (1.0 - explore) * *probability + floor;
            }
        }
        Ok(probabilities)
    }

    /// The reward that the policy expects of each eligible action, in the order of the set, and in the
    /// reward's unit: the posterior mean for Beta and linear policies, for others the mean so far or,
    /// of an action never rewarded, `initial_mean` (0 where there is none).
    ///
    /// # Errors
    /// As of [`decide`](Self::decide).
    pub fn expected_rewards(
        &self,
        context: &[f64],
        eligible: &Eligible,
    ) -> Result<Vec<f64>, PolicyError> {
        self.check_eligible(eligible)?;
        if let Some(linear) = &self.linear {
            check_context(context, linear.dimensions())?;
            let mut scratch = linear.scratch();
            let arms = eligible.0.iter();
            return Ok(arms
                .map(|arm| linear.predict(arm.0, context, &mut scratch).mean)
                .collect());
        }
        Ok(match self.options.algorithm {
            Algorithm::BetaThompson {
                prior_successes,
                prior_failures,
            } => {
                let arms = eligible.0.iter();
                arms.map(|arm| {
                    let (successes, failures) = self.tallies[arm.0].successes_and_failures();
                    let (successes, failures) =
                        (prior_successes + successes, prior_failures + failures);
                    successes / (successes + failures)
                })
                .collect()
            }
            Algorithm::EpsilonGreedy { initial_mean, .. }
            | Algorithm::Softmax { initial_mean, .. } => self.means(eligible, initial_mean),
            _ => self.means(eligible, 0.0),
        })
    }

    fn means(&self, eligible: &Eligible, initial: f64) -> Vec<f64> {
        let arms = eligible.0.iter();
        arms.map(|arm| self.tallies[arm.0].mean().unwrap_or(initial))
            .collect()
    }

    /// What the algorithm alone would do, without the share of uniform draws.
    fn choice(&self, context: &[f64], eligible: &Eligible) -> Result<Choice, PolicyError> {
        self.check_eligible(eligible)?;
        let uniform = uniform_share(eligible.len());
        let everyone = || vec![uniform; eligible.len()];
        Ok(match &self.options.algorithm {
            Algorithm::Uniform {} => Choice::Closed(everyone()),
            Algorithm::Fixed { action } => {
                let arm = self.arm(action)?;
                let mut probabilities = everyone();
                if let Some(position) = eligible.position(arm) {
                    probabilities.fill(0.0);
                    probabilities[position] = 1.0;
                }
                Choice::Closed(probabilities)
            }
            Algorithm::EpsilonGreedy {
                epsilon,
                initial_mean,
            } => {
                let means = self.means(eligible, *initial_mean);
                let mut probabilities = share_among_best(&means, 1.0 - epsilon);
                for probability in &mut probabilities {
                    *probability += epsilon * uniform;
                }
                Choice::Closed(probabilities)
            }
            Algorithm::Softmax {
                temperature,
                initial_mean,
            } => {
                let means = self.means(eligible, *initial_mean);
                let scores: Vec<f64> = means.iter().map(|mean| mean / temperature).collect();
                Choice::Closed(softmax(&scores))
            }
            Algorithm::Ucb1 { alpha } => {
                Choice::Closed(share_among_best(&self.upper_bounds(eligible, *alpha), 1.0))
            }
            Algorithm::BetaThompson {
                prior_successes,
                prior_failures,
            } => {
                let arms = eligible.0.iter();
                let posteriors = arms.map(|arm| {
                    let (successes, failures) = self.tallies[arm.0].successes_and_failures();
                    Posterior::Beta {
                        successes: prior_successes + successes,
                        failures: prior_failures + failures,
                    }
                });
                Choice::Sampled(posteriors.collect())
            }
            Algorithm::LinUcb { alpha, .. } => {
                let scores = self.predictions(context, eligible, |mean, deviation| {
                    mean + alpha * deviation
                })?;
                Choice::Closed(share_among_best(&scores, 1.0))
            }
            Algorithm::LinearThompson { alpha, .. } => {
                Choice::Sampled(self.predictions(context, eligible, |mean, deviation| {
                    Posterior::Gaussian {
                        mean,
                        deviation: alpha * deviation,
                    }
                })?)
            }
        })
    }

    /// Auer's upper confidence bounds, infinite for arms never rewarded.
    fn upper_bounds(&self, eligible: &Eligible, alpha: f64) -> Vec<f64> {
        let counts = self.tallies.iter().map(|tally| tally.count);
        let total = counts.fold(0, u64::saturating_add);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let twice_logarithm = 2.0 * (total.max(1) as f64).ln();
        let arms = eligible.0.iter().map(|arm| &self.tallies[arm.0]);
        arms.map(|tally| match tally.mean() {
            None => f64::INFINITY,
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
            Some(mean) => mean + alpha * (twice_logarithm / tally.count as f64).sqrt(),
        })
        .collect()
    }

    /// Something of mean and standard deviation of each eligible arm's regression in a context.
    fn predictions<Value>(
        &self,
        context: &[f64],
        eligible: &Eligible,
        value: impl Fn(f64, f64) -> Value,
    ) -> Result<Vec<Value>, PolicyError> {
        let Some(linear) = &self.linear else {
            return Ok(Vec::new());
        };
        check_context(context, linear.dimensions())?;
        let mut scratch = linear.scratch();
        let predict = |arm: &Arm| {
            let prediction = linear.predict(arm.0, context, &mut scratch);
            value(prediction.mean, prediction.variance.sqrt())
        };
        Ok(eligible.0.iter().map(predict).collect())
    }
}

fn uniform_share(eligible: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "few arms")]
    let count = eligible.max(1) as f64;
    1.0 / count
}
