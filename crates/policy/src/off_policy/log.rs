//! Logged decisions, reduced to the four numbers of each that the estimators need.

use super::OffPolicyError;
use crate::limits;

/// How far the target's probabilities may sum from 1: what single precision leaves of 1,000 of them.
const SUM_TOLERANCE: f64 = 1e-4;

/// One logged decision, with the target policy's view of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedDecision<'a> {
    /// Which of the eligible actions was taken, by its position in `target`.
    pub chosen: usize,
    /// What it earned.
    pub reward: f64,
    /// The probability with which the logging policy took it, above 0 and at most 1.
    pub propensity: f64,
    /// The target policy's probability of each eligible action, summing to 1:
    /// [`Policy::probabilities`](crate::Policy::probabilities).
    pub target: &'a [f64],
    /// A reward model's prediction for each eligible action, for the direct method and doubly robust
    /// estimates. Predictions of a model that was fitted on the same rows make these look better than
    /// they are: fit it on other rows, or on folds.
    pub predictions: Option<&'a [f64]>,
}

/// Logged decisions to estimate a target policy's value on. 32 bytes a row, whatever was eligible.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecisionLog {
    /// Target probability over logging propensity of the logged action.
    pub(super) weights: Vec<f64>,
    pub(super) rewards: Vec<f64>,
    /// The predictions of the logged actions; empty where there is no model.
    pub(super) predicted: Vec<f64>,
    /// The predictions' means under the target policy; empty where there is no model.
    pub(super) baselines: Vec<f64>,
    /// The least and largest prediction.
    pub(super) prediction_range: Option<(f64, f64)>,
}

impl DecisionLog {
    /// A log without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Adds a row: O(eligible actions).
    ///
    /// # Errors
    /// [`OffPolicyError::Row`] when the action is none of the eligible, the propensity is not in (0, 1],
    /// the probabilities are no distribution, a number is not finite (or above 1e100 in magnitude), or
    /// some rows have predictions and others none. Then the row is not added.
    pub fn push(&mut self, decision: &LoggedDecision<'_>) -> Result<(), OffPolicyError> {
        let row = self.len();
        let refuse = |problem: String| OffPolicyError::Row { row, problem };
        self.check(decision).map_err(refuse)?;
        let target = decision.target[decision.chosen];
        if let Some(predictions) = decision.predictions {
            let products = decision.target.iter().zip(predictions);
            self.baselines
                .push(products.map(|(share, prediction)| share * prediction).sum());
            self.predicted.push(predictions[decision.chosen]);
            let (mut low, mut high) = self
                .prediction_range
                .unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
            for prediction in predictions {
                low = low.min(*prediction);
                high = high.max(*prediction);
            }
            self.prediction_range = Some((low, high));
        }
        self.weights.push(target / decision.propensity);
        self.rewards.push(decision.reward);
        Ok(())
    }

    fn check(&self, decision: &LoggedDecision<'_>) -> Result<(), String> {
        let LoggedDecision {
            chosen,
            reward,
            propensity,
            target,
            predictions,
        } = *decision;
        let eligible = target.len();
        if chosen >= eligible {
            return Err(format!(
                "action {chosen} of {eligible} eligible: the action taken is one of them"
            ));
        }
        if !limits::fits(reward) {
            return Err(format!("the reward is {reward}: {}", limits::RULE));
        }
        // Below, the weight of a row would overflow.
        if !(1e-100..=1.0).contains(&propensity) {
            return Err(format!(
                "the propensity is {propensity}: it must be above 0 and at most 1"
            ));
        }
        if let Some(share) = target
            .iter()
            .find(|share| !(0.0..=1.0 + SUM_TOLERANCE).contains(*share))
        {
            return Err(format!(
                "the target policy has the probability {share}: it must be from 0 to 1"
            ));
        }
        let sum: f64 = target.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(format!(
                "the target policy's probabilities sum to {sum}: they must sum to 1"
            ));
        }
        if predictions.is_some() != (self.baselines.len() == self.len()) && !self.is_empty() {
            return Err(
                "some rows have predictions and others none: give them with every row or with none"
                    .to_owned(),
            );
        }
        let Some(predictions) = predictions else {
            return Ok(());
        };
        if predictions.len() != eligible {
            let count = predictions.len();
            return Err(format!(
                "{count} predictions for {eligible} eligible actions: each has one"
            ));
        }
        match predictions.iter().find(|value| !limits::fits(**value)) {
            None => Ok(()),
            Some(value) => Err(format!("a prediction is {value}: {}", limits::RULE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(target: &'a [f64], predictions: Option<&'a [f64]>) -> LoggedDecision<'a> {
        LoggedDecision {
            chosen: 0,
            reward: 1.0,
            propensity: 0.5,
            target,
            predictions,
        }
    }

    #[test]
    fn rows_that_cannot_be_are_refused_with_their_number() {
        let mut log = DecisionLog::new();
        log.push(&row(&[0.5, 0.5], None)).unwrap();
        let good = row(&[0.5, 0.5], None);
        let cases = [
            (
                LoggedDecision { chosen: 2, ..good },
                "row 1: action 2 of 2 eligible: the action taken is one of them",
            ),
            (
                LoggedDecision {
                    propensity: 0.0,
                    ..good
                },
                "row 1: the propensity is 0: it must be above 0 and at most 1",
            ),
            (
                LoggedDecision {
                    reward: f64::NAN,
                    ..good
                },
                "row 1: the reward is NaN: it must be a finite number, at most 1e100 in magnitude",
            ),
            (
                row(&[0.5, 0.4], None),
                "row 1: the target policy's probabilities sum to 0.9: they must sum to 1",
            ),
            (
                row(&[1.5, -0.5], None),
                "row 1: the target policy has the probability 1.5: it must be from 0 to 1",
            ),
            (
                row(&[0.5, 0.5], Some(&[0.1, 0.2])),
                "row 1: some rows have predictions and others none: give them with every row or with none",
            ),
        ];
        for (row, expected) in cases {
            assert_eq!(log.push(&row).unwrap_err().to_string(), expected);
        }
        assert_eq!(log.len(), 1);
        let mut log = DecisionLog::new();
        assert_eq!(
            log.push(&row(&[0.5, 0.5], Some(&[0.1])))
                .unwrap_err()
                .to_string(),
            "row 0: 1 predictions for 2 eligible actions: each has one"
        );
        log.push(&row(&[0.5, 0.5], Some(&[0.1, 0.2]))).unwrap();
        assert!(log.push(&good).is_err());
    }
}
