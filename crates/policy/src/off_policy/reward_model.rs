//! Simple models of the reward, for the direct method and doubly robust estimates.

use std::collections::BTreeMap;

use super::OffPolicyError;
use crate::PolicyError;
use crate::limits::{self, MOST_DIMENSIONS};
use crate::linear::LinearArms;
use crate::policy::check_context;
use crate::tally::Tally;

/// The mean reward of each action in each cell of the context: a segment, a position, an hour.
///
/// A cell in which an action was never seen takes the action's mean over all cells; an action never seen
/// takes the mean of everything, and 0 when there is nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CellMeans {
    cells: BTreeMap<(usize, u64), Tally>,
    actions: BTreeMap<usize, Tally>,
    all: Tally,
}

impl CellMeans {
    /// A model that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns what an action earned in a cell; both are numbers of the caller's choosing.
    ///
    /// # Errors
    /// [`OffPolicyError::Model`] of a reward that is not finite, or above 1e100 in magnitude.
    pub fn observe(&mut self, action: usize, cell: u64, reward: f64) -> Result<(), OffPolicyError> {
        check_reward(action, reward)?;
        self.cells.entry((action, cell)).or_default().add(reward);
        self.actions.entry(action).or_default().add(reward);
        self.all.add(reward);
        Ok(())
    }

    /// The reward to expect of an action in a cell.
    #[must_use]
    pub fn predict(&self, action: usize, cell: u64) -> f64 {
        let in_cell = self.cells.get(&(action, cell)).and_then(Tally::mean);
        let of_action = || self.actions.get(&action).and_then(Tally::mean);
        in_cell
            .or_else(of_action)
            .or_else(|| self.all.mean())
            .unwrap_or(0.0)
    }
}

/// A ridge regression of the reward on the context for each action, without an intercept: give the
/// context a constant entry to have one.
#[derive(Debug, Clone, PartialEq)]
pub struct RidgeRewards {
    regressions: LinearArms,
    actions: usize,
    scratch: Vec<f64>,
}

impl RidgeRewards {
    /// A model that has seen nothing, of `actions` actions numbered from 0 and contexts of `dimensions`
    /// numbers.
    ///
    /// # Errors
    /// [`OffPolicyError::Option`] when dimensions are not 1 to 1024, or the ridge penalty is not 1e-9 to 1e9.
    pub fn new(actions: usize, dimensions: usize, ridge: f64) -> Result<Self, OffPolicyError> {
        #[expect(clippy::cast_precision_loss, reason = "only for a message")]
        super::error::check(
            "dimensions",
            dimensions as f64,
            (1..=MOST_DIMENSIONS).contains(&dimensions),
            "it must be 1 to 1024",
        )?;
        super::error::check(
            "ridge",
            ridge,
            (1e-9..=1e9).contains(&ridge),
            "it must be from 1e-9 to 1e9",
        )?;
        let mut regressions = LinearArms::new(dimensions, ridge);
        for _ in 0..actions {
            regressions.push();
        }
        Ok(Self {
            scratch: regressions.scratch(),
            regressions,
            actions,
        })
    }

    /// Learns what an action earned in a context: O(d²).
    ///
    /// # Errors
    /// [`OffPolicyError::Model`] of an unknown action, a context of another length, or a number that is not
    /// finite or above 1e100 in magnitude.
    pub fn observe(
        &mut self,
        action: usize,
        context: &[f64],
        reward: f64,
    ) -> Result<(), OffPolicyError> {
        check_reward(action, reward)?;
        self.check(action, context)?;
        self.regressions
            .learn(action, context, reward, &mut self.scratch);
        Ok(())
    }

    /// The reward to expect of an action in a context: O(d²).
    ///
    /// # Errors
    /// As of [`observe`](Self::observe).
    pub fn predict(&self, action: usize, context: &[f64]) -> Result<f64, OffPolicyError> {
        self.check(action, context)?;
        let mut scratch = self.regressions.scratch();
        let prediction = self.regressions.predict(action, context, &mut scratch);
        Ok(prediction.mean)
    }

    fn check(&self, action: usize, context: &[f64]) -> Result<(), PolicyError> {
        if action >= self.actions {
            return Err(PolicyError::ForeignArm {
                arm: action,
                arms: self.actions,
            });
        }
        check_context(context, self.regressions.dimensions())
    }
}

fn check_reward(action: usize, reward: f64) -> Result<(), PolicyError> {
    if limits::fits(reward) {
        return Ok(());
    }
    Err(PolicyError::Reward {
        action: action.to_string(),
        value: reward,
        rule: limits::RULE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_falls_back_to_its_action_and_then_to_everything() {
        let mut model = CellMeans::new();
        assert_eq!(model.predict(0, 0), 0.0);
        for (action, cell, reward) in [(0, 0, 1.0), (0, 0, 0.0), (0, 1, 1.0), (1, 0, 0.0)] {
            model.observe(action, cell, reward).unwrap();
        }
        assert_eq!(model.predict(0, 0), 0.5);
        assert_eq!(model.predict(0, 9), 2.0 / 3.0);
        assert_eq!(model.predict(7, 0), 0.5);
        let message = model.observe(1, 0, f64::INFINITY).unwrap_err().to_string();
        assert_eq!(
            message,
            "reward model: the reward of action `1` is inf: it must be a finite number, at most 1e100 in magnitude"
        );
    }

    #[test]
    fn a_ridge_regression_finds_the_line() {
        let mut model = RidgeRewards::new(2, 2, 1e-9).unwrap();
        for step in 0..10_u32 {
            let x = f64::from(step);
            model.observe(1, &[1.0, x], 3.0 - 0.5 * x).unwrap();
        }
        assert!((model.predict(1, &[1.0, 20.0]).unwrap() - -7.0).abs() < 1e-6);
        assert_eq!(model.predict(0, &[1.0, 20.0]), Ok(0.0));
        assert!(model.observe(2, &[1.0, 0.0], 0.0).is_err());
        assert!(model.observe(1, &[1.0], 0.0).is_err());
        assert!(model.predict(1, &[f64::NAN, 0.0]).is_err());
        assert!(RidgeRewards::new(2, 0, 1.0).is_err());
        assert!(RidgeRewards::new(2, 1, 0.0).is_err());
    }
}
