//! What another policy would have earned on logged decisions.
//!
//! A [`DecisionLog`] takes rows of (action, reward, logging propensity), with the target policy's
//! probabilities of the actions that were eligible and, for two of the estimators, a reward model's
//! predictions. [`DecisionLog::estimate`] gives a value by one of four [`Estimator`]s,
//! [`DecisionLog::interval`] how sure it is, and [`DecisionLog::weights`] whether the log has anything to
//! say about the target at all.
//!
//! M. Dudík, J. Langford, L. Li, *Doubly robust policy evaluation and learning*, 2011; A. Swaminathan and
//! T. Joachims, *The self-normalized estimator for counterfactual learning*, 2015.

mod bootstrap;
mod error;
mod estimate;
mod interval;
mod log;
mod reward_model;

pub use error::OffPolicyError;
pub use estimate::{Estimate, Estimator, WeightSummary, Weighting};
pub use interval::{Interval, IntervalMethod};
pub use log::{DecisionLog, LoggedDecision};
pub use reward_model::{CellMeans, RidgeRewards};
