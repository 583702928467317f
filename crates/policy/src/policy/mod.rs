//! A policy: its options, its arms, and what they have earned.

mod decide;
mod learn;

use std::collections::HashMap;

pub use decide::{ActionDistribution, Decision};
pub use learn::Feedback;

use crate::PolicyError;
use crate::arms::{Arm, Eligible};
use crate::limits;
use crate::linear::LinearArms;
use crate::options::{Algorithm, PolicyOptions};
use crate::tally::Tally;

/// How many names an error lists.
const NAMES_IN_ERRORS: usize = 8;

/// A policy that chooses among named actions and learns from their rewards.
///
/// Policies without a context ([`Algorithm::dimensions`] is none) ignore the one they are given, so that
/// a caller can pass the same to each.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub(crate) options: PolicyOptions,
    pub(crate) actions: Vec<String>,
    numbers: HashMap<String, usize>,
    pub(crate) tallies: Vec<Tally>,
    pub(crate) linear: Option<LinearArms>,
}

/// What an arm has earned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmSummary<'a> {
    /// The arm.
    pub arm: Arm,
    /// Its action.
    pub action: &'a str,
    /// How many rewards it had.
    pub count: u64,
    /// Their mean; none of none.
    pub mean: Option<f64>,
}

impl Policy {
    /// A policy that has learned nothing.
    ///
    /// # Errors
    /// [`PolicyError::Option`] of a parameter out of range; [`PolicyError::NoActions`] and
    /// [`PolicyError::DuplicateAction`]; [`PolicyError::UnknownAction`] when the action of
    /// [`Algorithm::Fixed`] is not among them.
    pub fn new<Name: Into<String>>(
        options: PolicyOptions,
        actions: impl IntoIterator<Item = Name>,
    ) -> Result<Self, PolicyError> {
        options.check()?;
        let linear = options.algorithm.linear_shape();
        let mut policy = Self {
            options,
            actions: Vec::new(),
            numbers: HashMap::new(),
            tallies: Vec::new(),
            linear: linear.map(|(dimensions, ridge)| LinearArms::new(dimensions, ridge)),
        };
        for action in actions {
            policy.add_arm(action)?;
        }
        if policy.actions.is_empty() {
            return Err(PolicyError::NoActions);
        }
        policy.check_fixed_action(&policy.options)?;
        Ok(policy)
    }

    fn check_fixed_action(&self, options: &PolicyOptions) -> Result<(), PolicyError> {
        match &options.algorithm {
            Algorithm::Fixed { action } => self.arm(action).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Adds an action that has earned nothing. Arms that exist stay what they are.
    ///
    /// # Errors
    /// [`PolicyError::DuplicateAction`].
    pub fn add_arm(&mut self, action: impl Into<String>) -> Result<Arm, PolicyError> {
        let arm = self.name_arm(action.into())?;
        self.tallies.push(Tally::default());
        if let Some(linear) = &mut self.linear {
            linear.push();
        }
        Ok(arm)
    }

    pub(crate) fn name_arm(&mut self, action: String) -> Result<Arm, PolicyError> {
        if self.numbers.contains_key(&action) {
            return Err(PolicyError::DuplicateAction { action });
        }
        let arm = Arm(self.actions.len());
        self.numbers.insert(action.clone(), arm.0);
        self.actions.push(action);
        Ok(arm)
    }

    /// Goes on with other options and what was learned: another `alpha`, `epsilon`, `explore`, prior, or
    /// another algorithm that learns the same from rewards.
    ///
    /// # Errors
    /// [`PolicyError::Shape`] when what was learned does not fit: a linear model stays one, of the same
    /// dimensions and ridge, and only policies that learned from rewards in [0, 1] by Beta posteriors
    /// go on with them. Otherwise as of [`new`](Self::new).
    pub fn with_options(mut self, options: PolicyOptions) -> Result<Self, PolicyError> {
        options.check()?;
        self.check_fixed_action(&options)?;
        let learned = family(&self.options.algorithm);
        let asked = family(&options.algorithm);
        if learned != asked {
            return Err(PolicyError::Shape { learned, asked });
        }
        self.options = options;
        Ok(self)
    }

    /// What the policy was made from.
    #[must_use]
    pub const fn options(&self) -> &PolicyOptions {
        &self.options
    }

    /// Every arm and what it has earned, in the order in which they were added.
    pub fn arms(&self) -> impl ExactSizeIterator<Item = ArmSummary<'_>> {
        let pairs = self.actions.iter().zip(&self.tallies).enumerate();
        pairs.map(|(number, (action, tally))| ArmSummary {
            arm: Arm(number),
            action,
            count: tally.count,
            mean: tally.mean(),
        })
    }

    /// The arm of an action.
    ///
    /// # Errors
    /// [`PolicyError::UnknownAction`].
    pub fn arm(&self, action: &str) -> Result<Arm, PolicyError> {
        match self.numbers.get(action) {
            Some(number) => Ok(Arm(*number)),
            None => Err(PolicyError::UnknownAction {
                action: action.to_owned(),
                known: self.some_names(),
            }),
        }
    }

    fn some_names(&self) -> String {
        let names: Vec<String> = self
            .actions
            .iter()
            .take(NAMES_IN_ERRORS)
            .map(|name| format!("`{name}`"))
            .collect();
        let listed = names.join(", ");
        match self.actions.len().saturating_sub(NAMES_IN_ERRORS) {
            0 => listed,
            more => format!("{listed} and {more} more"),
        }
    }

    /// The action of an arm.
    ///
    /// # Errors
    /// [`PolicyError::ForeignArm`].
    pub fn action(&self, arm: Arm) -> Result<&str, PolicyError> {
        self.check_arm(arm)?;
        Ok(&self.actions[arm.0])
    }

    pub(super) fn check_arm(&self, arm: Arm) -> Result<(), PolicyError> {
        if arm.0 < self.actions.len() {
            return Ok(());
        }
        Err(PolicyError::ForeignArm {
            arm: arm.0,
            arms: self.actions.len(),
        })
    }

    /// The set of these actions. Make it once for all decisions among the same actions.
    ///
    /// # Errors
    /// [`PolicyError::NoEligibleAction`], [`PolicyError::UnknownAction`] or
    /// [`PolicyError::DuplicateAction`].
    pub fn eligible<Name: AsRef<str>>(
        &self,
        actions: impl IntoIterator<Item = Name>,
    ) -> Result<Eligible, PolicyError> {
        let mut arms = Vec::new();
        let mut chosen = vec![false; self.actions.len()];
        for action in actions {
            let action = action.as_ref();
            let arm = self.arm(action)?;
            if chosen[arm.0] {
                let action = action.to_owned();
                return Err(PolicyError::DuplicateAction { action });
            }
            chosen[arm.0] = true;
            arms.push(arm);
        }
        if arms.is_empty() {
            return Err(PolicyError::NoEligibleAction);
        }
        Ok(Eligible(arms))
    }

    /// The set of all actions.
    #[must_use]
    pub fn all(&self) -> Eligible {
        Eligible((0..self.actions.len()).map(Arm).collect())
    }

    /// The coefficients theta of an arm's ridge regression, one for each dimension of the context; none
    /// of a policy that has no linear model. O(d²).
    ///
    /// # Errors
    /// [`PolicyError::ForeignArm`].
    pub fn coefficients(&self, arm: Arm) -> Result<Option<Vec<f64>>, PolicyError> {
        self.check_arm(arm)?;
        Ok(self
            .linear
            .as_ref()
            .map(|linear| linear.coefficients(arm.0)))
    }

    pub(super) fn check_eligible(&self, eligible: &Eligible) -> Result<(), PolicyError> {
        for arm in &eligible.0 {
            self.check_arm(*arm)?;
        }
        Ok(())
    }
}

/// What an algorithm learns from rewards, in words; equal for those that learn the same.
fn family(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::LinUcb {
            dimensions, ridge, ..
        }
        | Algorithm::LinearThompson {
            dimensions, ridge, ..
        } => {
            format!("a linear model of {dimensions} dimensions and ridge {ridge}")
        }
        Algorithm::BetaThompson { .. } => "Beta posteriors".to_owned(),
        _ => "mean rewards".to_owned(),
    }
}

/// Refuses a context of another length, or with a number that cannot be computed with.
pub(crate) fn check_context(context: &[f64], dimensions: usize) -> Result<(), PolicyError> {
    if context.len() != dimensions {
        return Err(PolicyError::ContextLength {
            expected: dimensions,
            actual: context.len(),
        });
    }
    match context.iter().position(|value| !limits::fits(*value)) {
        None => Ok(()),
        Some(index) => Err(PolicyError::ContextValue {
            index,
            value: context[index],
            rule: limits::RULE,
        }),
    }
}
