//! What a policy is made from, as plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{self, MOST_DIMENSIONS};
use crate::{PolicyError, exact};

/// How actions are chosen: an algorithm with its parameters, and a share of decisions that are drawn
/// uniformly whatever the algorithm says.
///
/// ```
/// # use marquetry_policy::PolicyOptions;
/// let options: PolicyOptions = serde_json::from_str(
///     r#"{ "algorithm": { "kind": "lin_ucb", "dimensions": 20 }, "explore": 0.05 }"#,
/// ).unwrap();
/// options.check().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyOptions {
    /// How actions are chosen.
    pub algorithm: Algorithm,
    /// The share of decisions, 0 to 1, drawn uniformly from the eligible actions. With n of them no
    /// propensity is below `explore / n`, so importance weights of a later evaluation are bounded by
    /// `n / explore`.
    #[serde(default, with = "exact::option")]
    #[schemars(with = "f64")]
    pub explore: f64,
}

/// An algorithm with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Algorithm {
    /// Every eligible action equally often: what any other policy is compared with, and the safest
    /// log to evaluate others on.
    Uniform {},
    /// One action wherever it is eligible, and a uniform draw elsewhere.
    Fixed {
        /// The action.
        action: String,
    },
    /// The action of the best mean reward, shared among equals, but a uniform draw in a share
    /// `epsilon` of decisions (R. Sutton and A. Barto, *Reinforcement Learning*, 2018, 2.2).
    EpsilonGreedy {
        /// The share drawn uniformly, 0 to 1.
        #[serde(default = "default_epsilon", with = "exact::option")]
        #[schemars(with = "f64")]
        epsilon: f64,
        /// What an action that was never rewarded counts as; above every mean, it is tried first.
        #[serde(default, with = "exact::option")]
        #[schemars(with = "f64")]
        initial_mean: f64,
    },
    /// Actions with probability proportional to exp(mean reward / `temperature`), the Boltzmann
    /// distribution (R. Sutton and A. Barto, 2018, 2.8).
    Softmax {
        /// In units of the reward, above 0: low is greedy, high is uniform.
        #[serde(with = "exact::option")]
        #[schemars(with = "f64")]
        temperature: f64,
        /// What an action that was never rewarded counts as.
        #[serde(default, with = "exact::option")]
        #[schemars(with = "f64")]
        initial_mean: f64,
    },
    /// The action of the highest mean + `alpha` sqrt(2 ln n / n_a), where n_a rewards came from
    /// the action and n from all; shared among equals, and actions never rewarded first (P. Auer,
    /// N. Cesa-Bianchi, P. Fischer, *Finite-time analysis of the multiarmed bandit problem*, 2002; for
    /// changing eligible sets R. Kleinberg, A. Niculescu-Mizil, Y. Sharma, 2010). The bound is for rewards
    /// in [0, 1]; others are taken as they are.
    Ucb1 {
        /// The width of the bound, at least 0; 1 is the paper's.
        #[serde(default = "one", with = "exact::option")]
        #[schemars(with = "f64")]
        alpha: f64,
    },
    /// Thompson sampling: each action's mean reward is drawn from its Beta posterior, and the highest
    /// draw chosen (O. Chapelle and L. Li, *An empirical evaluation of Thompson sampling*, 2011). Rewards
    /// are in [0, 1]: r counts as r successes and 1 - r failures.
    BetaThompson {
        /// Successes that every action begins with, 0.01 to 1e9.
        #[serde(default = "one", with = "exact::option")]
        #[schemars(with = "f64")]
        prior_successes: f64,
        /// Failures that every action begins with, 0.01 to 1e9.
        #[serde(default = "one", with = "exact::option")]
        #[schemars(with = "f64")]
        prior_failures: f64,
    },
    /// The action of the highest theta_a . x + `alpha` sqrt(x' A_a^-1 x), shared among equals, with a
    /// ridge regression of its own for every action (disjoint LinUCB: L. Li, W. Chu, J. Langford,
    /// R. Schapire, *A contextual-bandit approach to personalized news article recommendation*, 2010).
    LinUcb {
        /// Numbers in a context, 1 to 1024.
        dimensions: usize,
        /// The width of the bound, at least 0.
        #[serde(default = "one", with = "exact::option")]
        #[schemars(with = "f64")]
        alpha: f64,
        /// The ridge penalty, above 0: A_a begins as `ridge` I.
        #[serde(default = "one", with = "exact::option")]
        #[schemars(with = "f64")]
        ridge: f64,
    },
    /// Thompson sampling with a Gaussian posterior of its own for every action: theta_a is drawn from
    /// N(A_a^-1 b_a, `alpha`² A_a^-1), and the action of the highest theta_a . x chosen (S. Agrawal and
    /// N. Goyal, *Thompson sampling for contextual bandits with linear payoffs*, 2013).
    LinearThompson {
        /// Numbers in a context, 1 to 1024.
        dimensions: usize,
        /// The width of the posterior, at least 0: the standard deviation of the rewards' noise makes
        /// it the Bayesian one.
        #[serde(with = "exact::option")]
        #[schemars(with = "f64")]
        alpha: f64,
        /// The ridge penalty, above 0: A_a begins as `ridge` I.
        #[serde(default = "one", with = "exact::option")]
        #[schemars(with = "f64")]
        ridge: f64,
    },
}

const fn default_epsilon() -> f64 {
    0.1
}

const fn one() -> f64 {
    1.0
}

impl Algorithm {
    /// The name of the algorithm, as `kind` says it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Uniform {} => "uniform",
            Self::Fixed { .. } => "fixed",
            Self::EpsilonGreedy { .. } => "epsilon_greedy",
            Self::Softmax { .. } => "softmax",
            Self::Ucb1 { .. } => "ucb1",
            Self::BetaThompson { .. } => "beta_thompson",
            Self::LinUcb { .. } => "lin_ucb",
            Self::LinearThompson { .. } => "linear_thompson",
        }
    }

    /// The numbers in a context, for algorithms that look at it.
    #[must_use]
    pub const fn dimensions(&self) -> Option<usize> {
        match self {
            Self::LinUcb { dimensions, .. } | Self::LinearThompson { dimensions, .. } => {
                Some(*dimensions)
            }
            _ => None,
        }
    }

    /// Dimensions and ridge penalty of a linear model.
    pub(crate) const fn linear_shape(&self) -> Option<(usize, f64)> {
        match self {
            Self::LinUcb {
                dimensions, ridge, ..
            }
            | Self::LinearThompson {
                dimensions, ridge, ..
            } => Some((*dimensions, *ridge)),
            _ => None,
        }
    }
}

impl PolicyOptions {
    /// Options of an algorithm alone, without a share of uniform draws.
    #[must_use]
    pub const fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            explore: 0.0,
        }
    }

    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`PolicyError::Option`] with the first that is outside.
    pub fn check(&self) -> Result<(), PolicyError> {
        share("explore", self.explore)?;
        match &self.algorithm {
            Algorithm::Uniform {} => Ok(()),
            Algorithm::Fixed { action } => check(
                "action",
                action,
                !action.is_empty(),
                "it must name an action",
            ),
            Algorithm::EpsilonGreedy {
                epsilon,
                initial_mean,
            } => {
                share("epsilon", *epsilon)?;
                mean("initial_mean", *initial_mean)
            }
            Algorithm::Softmax {
                temperature,
                initial_mean,
            } => {
                scale("temperature", *temperature)?;
                mean("initial_mean", *initial_mean)
            }
            Algorithm::Ucb1 { alpha } => width("alpha", *alpha),
            Algorithm::BetaThompson {
                prior_successes,
                prior_failures,
            } => {
                prior("prior_successes", *prior_successes)?;
                prior("prior_failures", *prior_failures)
            }
            Algorithm::LinUcb {
                dimensions,
                alpha,
                ridge,
            }
            | Algorithm::LinearThompson {
                dimensions,
                alpha,
                ridge,
            } => {
                check(
                    "dimensions",
                    dimensions,
                    (1..=MOST_DIMENSIONS).contains(dimensions),
                    "it must be 1 to 1024",
                )?;
                width("alpha", *alpha)?;
                scale("ridge", *ridge)
            }
        }
    }
}

fn check(
    option: &'static str,
    value: &impl ToString,
    holds: bool,
    rule: &'static str,
) -> Result<(), PolicyError> {
    if holds {
        return Ok(());
    }
    let value = value.to_string();
    Err(PolicyError::Option {
        option,
        value,
        rule,
    })
}

fn share(option: &'static str, value: f64) -> Result<(), PolicyError> {
    let holds = (0.0..=1.0).contains(&value);
    check(option, &value, holds, "it must be a share from 0 to 1")
}

fn width(option: &'static str, value: f64) -> Result<(), PolicyError> {
    let holds = (0.0..=1e9).contains(&value);
    check(option, &value, holds, "it must be from 0 to 1e9")
}

fn scale(option: &'static str, value: f64) -> Result<(), PolicyError> {
    let holds = (1e-9..=1e9).contains(&value);
    check(option, &value, holds, "it must be from 1e-9 to 1e9")
}

fn prior(option: &'static str, value: f64) -> Result<(), PolicyError> {
    let holds = (0.01..=1e9).contains(&value);
    check(option, &value, holds, "it must be from 0.01 to 1e9")
}

fn mean(option: &'static str, value: f64) -> Result<(), PolicyError> {
    check(option, &value, limits::fits(value), limits::RULE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PolicyOptions, String> {
        let options: PolicyOptions = serde_json::from_str(text).map_err(|e| e.to_string())?;
        options.check().map_err(|error| error.to_string())?;
        Ok(options)
    }

    #[test]
    fn usual_parameters_need_not_be_given() {
        let options = parse(r#"{"algorithm": {"kind": "beta_thompson"}}"#).unwrap();
        let expected = Algorithm::BetaThompson {
            prior_successes: 1.0,
            prior_failures: 1.0,
        };
        assert_eq!(options, PolicyOptions::new(expected));
        assert!(parse(r#"{"algorithm": {"kind": "uniform"}, "explore": 1}"#).is_ok());
        assert_eq!(
            options.algorithm.kind(),
            serde_json::to_value(&options).unwrap()["algorithm"]["kind"]
        );
    }

    #[test]
    fn parameters_outside_of_their_range_are_named() {
        let cases = [
            (
                r#"{"algorithm": {"kind": "epsilon_greedy", "epsilon": 1.5}}"#,
                "option `epsilon` is 1.5: it must be a share from 0 to 1",
            ),
            (
                r#"{"algorithm": {"kind": "softmax", "temperature": 0}}"#,
                "option `temperature` is 0: it must be from 1e-9 to 1e9",
            ),
            (
                r#"{"algorithm": {"kind": "lin_ucb", "dimensions": 0}}"#,
                "option `dimensions` is 0: it must be 1 to 1024",
            ),
            (
                r#"{"algorithm": {"kind": "linear_thompson", "dimensions": 2, "alpha": -1}}"#,
                "option `alpha` is -1: it must be from 0 to 1e9",
            ),
            (
                r#"{"algorithm": {"kind": "beta_thompson", "prior_failures": 0}}"#,
                "option `prior_failures` is 0: it must be from 0.01 to 1e9",
            ),
            (
                r#"{"algorithm": {"kind": "uniform"}, "explore": -0.1}"#,
                "option `explore` is -0.1: it must be a share from 0 to 1",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
        }
        let not_a_number = PolicyOptions::new(Algorithm::Ucb1 { alpha: f64::NAN });
        assert!(not_a_number.check().is_err());
    }

    #[test]
    fn unknown_parameters_are_refused() {
        for text in [
            r#"{"algorithm": {"kind": "ucb1", "beta": 1}}"#,
            r#"{"algorithm": {"kind": "uniform", "beta": 1}}"#,
            r#"{"algorithm": {"kind": "ucb2"}}"#,
            r#"{"algorithm": {"kind": "uniform"}, "floor": 0.1}"#,
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with("unknown"), "{text}: {message}");
        }
    }
}
