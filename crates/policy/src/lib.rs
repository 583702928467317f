//! Bandit policies, and estimates of what other policies would have earned: pure, seeded, without I/O,
//! clock or tasks.
//!
//! A [`Policy`] chooses one of the [`Eligible`] actions of a decision and says with what probability it
//! did; it learns from rewards, and becomes plain data ([`PolicyState`]) and back without losing a bit.
//! Posteriors are exact: a linear one is a Cholesky factor that rewards are rotated into, so that a
//! decision costs O(d²) for each arm, an update O(d²), and a million updates no precision.
//!
//! Propensities are right. A decision is drawn from the probabilities that it reports, in closed form or
//! (Thompson sampling) integrated to 1e-9. On decisions logged with them, a [`DecisionLog`] estimates
//! the value of any other policy, with intervals.
//!
//! Equal seeds, orders and inputs give equal results. There is no forgetting of old rewards and no
//! merging of policies: a linear model that forgets does not keep its prior by rank-one updates.
//!
//! ```
//! use marquetry_policy::{Algorithm, Policy, PolicyOptions, Random};
//!
//! # fn main() -> Result<(), marquetry_policy::PolicyError> {
//! let options = PolicyOptions::new(Algorithm::LinUcb { dimensions: 2, alpha: 1.0, ridge: 1.0 });
//! let mut policy = Policy::new(options, ["discount", "free delivery", "nothing"])?;
//! let mut random = Random::new(7, 0);
//! let context = [1.0, 0.3];
//! let eligible = policy.eligible(["discount", "nothing"])?;
//! let decision = policy.decide(&context, &eligible, &mut random)?;
//! assert_eq!(decision.propensity, 0.5); // nothing is known of either
//! policy.learn(&context, decision.arm, 1.0)?;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::cast_precision_loss,
        reason = "tests may fail by panicking"
    )
)]

mod arms;
mod bell;
mod error;
mod exact;
mod limits;
mod linear;
mod maximum;
mod normal;
mod off_policy;
mod options;
mod policy;
mod posterior;
mod quadrature;
mod random;
mod ranking;
mod state;
mod tally;
mod ziggurat;

pub use arms::{Arm, Eligible};
pub use error::PolicyError;
pub use normal::quantile as normal_quantile;
pub use off_policy::{
    CellMeans, DecisionLog, Estimate, Estimator, Interval, IntervalMethod, LoggedDecision,
    OffPolicyError, RidgeRewards, WeightSummary, Weighting,
};
pub use options::{Algorithm, PolicyOptions};
pub use policy::{ActionDistribution, ArmSummary, Decision, Feedback, Policy};
pub use random::Random;
pub use state::{ArmState, LinearState, PolicyState};
