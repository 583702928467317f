//! A policy as it is stored: plain data of a versioned format, checked when it comes back.

use serde::{Deserialize, Serialize};

use crate::linear::LinearArms;
use crate::options::PolicyOptions;
use crate::policy::Policy;
use crate::tally::Tally;
use crate::{PolicyError, exact};

/// The version of the format that this code writes, and the only one that it reads so far.
const FORMAT: u32 = 1;

/// The options of a policy and what its arms have learned. It survives serialisation exactly: a policy
/// that was stored and loaded decides and learns as the one that was not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyState {
    /// The version of this format.
    pub format: u32,
    /// What the policy was made from.
    pub options: PolicyOptions,
    /// Its arms, in the order in which they were added.
    pub arms: Vec<ArmState>,
}

/// What an arm has learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmState {
    /// The name of the action.
    pub action: String,
    /// How many rewards it had.
    pub count: u64,
    /// Their sum. For Beta posteriors these are the successes, and the rest of the count the failures,
    /// without the prior's.
    #[serde(with = "exact::number")]
    pub total: f64,
    /// The ridge regression of a linear policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<LinearState>,
}

/// A ridge regression of d dimensions, as a Cholesky factor: A = ridge I + sum x x' = L L'.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearState {
    /// The columns of L, each from the diagonal down, one after the other: d (d + 1) / 2 numbers.
    #[serde(with = "exact::numbers")]
    pub factor: Vec<f64>,
    /// y = L^-1 b with b = sum of reward times x: d numbers, from which theta = L'^-1 y.
    #[serde(with = "exact::numbers")]
    pub target: Vec<f64>,
}

impl From<&Policy> for PolicyState {
    fn from(policy: &Policy) -> Self {
        let pairs = policy.actions.iter().zip(&policy.tallies).enumerate();
        let arms = pairs.map(|(number, (action, tally))| ArmState {
            action: action.clone(),
            count: tally.count,
            total: tally.total,
            linear: policy.linear.as_ref().map(|linear| {
                let (factor, target) = linear.parts(number);
                LinearState { factor, target }
            }),
        });
        Self {
            format: FORMAT,
            options: policy.options.clone(),
            arms: arms.collect(),
        }
    }
}

impl TryFrom<&PolicyState> for Policy {
    type Error = PolicyError;

    /// # Errors
    /// [`PolicyError::State`] of a format, a shape or a number that no policy can have written;
    /// otherwise as of [`Policy::new`].
    fn try_from(state: &PolicyState) -> Result<Self, PolicyError> {
        if state.format != FORMAT {
            let problem = format!("is {}: this version reads {FORMAT}", state.format);
            return Err(bad("format", problem));
        }
        let actions = state.arms.iter().map(|arm| arm.action.as_str());
        let mut policy = Self::new(state.options.clone(), actions)?;
        policy.tallies.clear();
        if let Some(linear) = &mut policy.linear {
            *linear = LinearArms::new(linear.dimensions(), linear.ridge());
        }
        let unit_rewards = matches!(
            state.options.algorithm,
            crate::Algorithm::BetaThompson { .. }
        );
        for arm in &state.arms {
            let place = || format!("arm `{}`", arm.action);
            check_tally(arm, unit_rewards).map_err(|problem| bad(place(), problem))?;
            policy.tallies.push(Tally {
                count: arm.count,
                total: arm.total,
            });
            match (&mut policy.linear, &arm.linear) {
                (None, None) => {}
                (Some(linear), Some(parts)) => linear
                    .push_parts(&parts.factor, &parts.target)
                    .map_err(|problem| bad(place(), problem))?,
                (expected, _) => {
                    let (has, kind) = if expected.is_some() {
                        ("no", "needs one")
                    } else {
                        ("a", "has none")
                    };
                    let algorithm = state.options.algorithm.kind();
                    let problem = format!("has {has} linear model: `{algorithm}` {kind}");
                    return Err(bad(place(), problem));
                }
            }
        }
        Ok(policy)
    }
}

fn bad(place: impl Into<String>, problem: String) -> PolicyError {
    PolicyError::State {
        place: place.into(),
        problem,
    }
}

fn check_tally(arm: &ArmState, unit_rewards: bool) -> Result<(), String> {
    let (count, total) = (arm.count, arm.total);
    // 2^53, up to which every count is a float.
    if count > 1 << 53 {
        return Err(format!("has {count} rewards: at most 2^53 can be counted"));
    }
    #[expect(clippy::cast_precision_loss, reason = "checked just above")]
    let most = if unit_rewards {
        count as f64 * (1.0 + 1e-9)
    } else {
        count as f64 * crate::limits::LARGEST
    };
    let least = if unit_rewards { 0.0 } else { -most };
    if (least..=most).contains(&total) {
        return Ok(());
    }
    Err(format!(
        "has {count} rewards that sum to {total}: the sum must be from {least:?} to {most:?}"
    ))
}
