//! What a policy learns from rewards, all of a batch or nothing.

use super::{Policy, check_context};
use crate::arms::Arm;
use crate::linear::LinearArms;
use crate::options::Algorithm;
use crate::{PolicyError, limits};

/// What a decision earned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feedback<'a> {
    /// The context of the decision.
    pub context: &'a [f64],
    /// The arm that was chosen.
    pub arm: Arm,
    /// What it earned.
    pub reward: f64,
}

impl Policy {
    /// Learns what a decision earned: O(1), or O(d²) for a linear model.
    ///
    /// # Errors
    /// [`PolicyError::Reward`] of a reward that is not finite, above 1e100 in magnitude, or for
    /// [`Algorithm::BetaThompson`] outside of [0, 1]; otherwise as of [`decide`](Self::decide). Then
    /// nothing is learned.
    pub fn learn(&mut self, context: &[f64], arm: Arm, reward: f64) -> Result<(), PolicyError> {
        let feedback = Feedback {
            context,
            arm,
            reward,
        };
        self.learn_all(&[feedback]).map_err(|error| match error {
            PolicyError::Batch { source, .. } => *source,
            other => other,
        })
    }

    /// Learns from a batch in its order. The state is the same, bit for bit, as after learning its rows
    /// one by one.
    ///
    /// # Errors
    /// [`PolicyError::Batch`] with the first row that [`learn`](Self::learn) would refuse. Then nothing of
    /// the batch is learned.
    pub fn learn_all(&mut self, batch: &[Feedback<'_>]) -> Result<(), PolicyError> {
        for (row, feedback) in batch.iter().enumerate() {
            self.check_feedback(feedback)
                .map_err(|source| PolicyError::Batch {
                    row,
                    source: Box::new(source),
                })?;
        }
        let mut scratch = self.linear.as_ref().map(LinearArms::scratch);
        for feedback in batch {
            self.tallies[feedback.arm.0].add(feedback.reward);
            if let (Some(linear), Some(scratch)) = (&mut self.linear, &mut scratch) {
                linear.learn(feedback.arm.0, feedback.context, feedback.reward, scratch);
            }
        }
        Ok(())
    }

    fn check_feedback(&self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        self.check_arm(feedback.arm)?;
        let reward = feedback.reward;
        let rule = match self.options.algorithm {
            Algorithm::BetaThompson { .. } if !(0.0..=1.0).contains(&reward) => {
                Some("a Beta posterior learns from rewards in [0, 1]")
            }
            _ if !limits::fits(reward) => Some(limits::RULE),
            _ => None,
        };
        if let Some(rule) = rule {
            return Err(PolicyError::Reward {
                action: self.actions[feedback.arm.0].clone(),
                value: reward,
                rule,
            });
        }
        match &self.linear {
            Some(linear) => check_context(feedback.context, linear.dimensions()),
            None => Ok(()),
        }
    }
}
