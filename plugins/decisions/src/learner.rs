//! How a policy chooses and learns, as a workflow says it.

use marquetry_plugin::StageError;
use marquetry_policy::{Algorithm, PolicyOptions};
use marquetry_rows::invalid;
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How actions are chosen. Linear algorithms look at the columns of `context`; the others learn one mean
/// reward an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Learner {
    /// Every eligible action equally often: an experiment, and the safest log to evaluate others on.
    Uniform {},
    /// The action of the best mean reward, and a uniform draw in a share of decisions.
    EpsilonGreedy {
        /// The share drawn uniformly, 0 to 1.
        #[serde(default = "tenth")]
        epsilon: f64,
        /// What an action that was never rewarded counts as.
        #[serde(default)]
        initial_mean: f64,
    },
    /// Actions with probability proportional to exp(mean reward / temperature).
    Softmax {
        /// In units of the reward, above 0: low is greedy, high is uniform.
        temperature: f64,
        /// What an action that was never rewarded counts as.
        #[serde(default)]
        initial_mean: f64,
    },
    /// The action of the highest upper confidence bound (Auer et al., 2002).
    Ucb1 {
        /// The width of the bound; 1 is the paper's.
        #[serde(default = "one")]
        alpha: f64,
    },
    /// Thompson sampling with Beta posteriors, for rewards from 0 to 1 (Chapelle and Li, 2011).
    BetaThompson {
        /// Successes that every action begins with.
        #[serde(default = "one")]
        prior_successes: f64,
        /// Failures that every action begins with.
        #[serde(default = "one")]
        prior_failures: f64,
    },
    /// LinUCB with a ridge regression of its own for every action (Li et al., 2010).
    LinUcb {
        /// The width of the bound.
        #[serde(default = "one")]
        alpha: f64,
        /// The ridge penalty.
        #[serde(default = "one")]
        ridge: f64,
    },
    /// Thompson sampling with a Gaussian posterior of its own for every action (Agrawal and Goyal, 2013).
    LinearThompson {
        /// The width of the posterior: the standard deviation of the rewards' noise.
        alpha: f64,
        /// The ridge penalty.
        #[serde(default = "one")]
        ridge: f64,
    },
}

const fn one() -> f64 {
    1.0
}

const fn tenth() -> f64 {
    0.1
}

impl Default for Learner {
    fn default() -> Self {
        Self::BetaThompson {
            prior_successes: 1.0,
            prior_failures: 1.0,
        }
    }
}

impl Learner {
    /// Whether it looks at a context.
    #[must_use]
    pub const fn is_linear(&self) -> bool {
        matches!(self, Self::LinUcb { .. } | Self::LinearThompson { .. })
    }

    /// Whether it learns from rewards in [0, 1] only.
    #[must_use]
    pub const fn needs_unit_rewards(&self) -> bool {
        matches!(self, Self::BetaThompson { .. })
    }

    fn algorithm(&self, dimensions: usize) -> Algorithm {
        match *self {
            Self::Uniform {} => Algorithm::Uniform {},
            Self::EpsilonGreedy {
                epsilon,
                initial_mean,
            } => Algorithm::EpsilonGreedy {
                epsilon,
                initial_mean,
            },
            Self::Softmax {
                temperature,
                initial_mean,
            } => Algorithm::Softmax {
                temperature,
                initial_mean,
            },
            Self::Ucb1 { alpha } => Algorithm::Ucb1 { alpha },
            Self::BetaThompson {
                prior_successes,
                prior_failures,
            } => Algorithm::BetaThompson {
                prior_successes,
                prior_failures,
            },
            Self::LinUcb { alpha, ridge } => Algorithm::LinUcb {
                dimensions,
                alpha,
                ridge,
            },
            Self::LinearThompson { alpha, ridge } => Algorithm::LinearThompson {
                dimensions,
                alpha,
                ridge,
            },
        }
    }
}

/// Everything that makes a policy what it is, before it has learned anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// How actions are chosen.
    pub algorithm: Learner,
    /// The share of decisions that are drawn uniformly, whatever the algorithm says.
    pub explore: f64,
    /// Whether each segment has a policy of its own.
    pub per_segment: bool,
    /// The columns that a linear algorithm looks at, after a constant 1.
    pub context: Vec<String>,
}

impl PolicySpec {
    /// What a stage says of a policy.
    ///
    /// # Errors
    /// A linear algorithm without a context, or a context that no algorithm looks at.
    pub fn of(
        algorithm: &Learner,
        explore: f64,
        per_segment: bool,
        context: &[String],
    ) -> Result<Self, StageError> {
        if algorithm.is_linear() == context.is_empty() {
            let (message, help) = if context.is_empty() {
                (
                    "a linear algorithm looks at a context, and `context` names no column",
                    "name numeric columns of `customers`, scaled: see features/scale",
                )
            } else {
                (
                    "`context` names columns, and the algorithm looks at none",
                    "choose `lin_ucb` or `linear_thompson`, or leave `context` out",
                )
            };
            return Err(invalid(codes::STAGE_OPTIONS, message, help));
        }
        Ok(Self {
            algorithm: algorithm.clone(),
            explore,
            per_segment,
            context: context.to_vec(),
        })
    }

    /// Numbers in a context: a constant and the columns.
    #[must_use]
    pub const fn dimensions(&self) -> usize {
        self.context.len().saturating_add(1)
    }

    /// The options of each of its policies.
    #[must_use]
    pub fn options(&self) -> PolicyOptions {
        PolicyOptions {
            algorithm: self.algorithm.algorithm(self.dimensions()),
            explore: self.explore,
        }
    }
}
