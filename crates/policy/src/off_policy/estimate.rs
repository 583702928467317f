//! The four estimators.

use serde::{Deserialize, Serialize};

use super::error::check;
use super::{DecisionLog, OffPolicyError};

/// How a target policy's value (its mean reward a decision) is estimated. With weights
/// w = target probability / propensity of the logged action, rewards r, predictions q of the logged
/// action and v, the mean prediction under the target:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// Inverse propensity scores, mean(w r): unbiased; its variance grows with the weights
    /// (D. Horvitz and D. Thompson, 1952).
    Ips,
    /// Self-normalised, sum(w r) / sum(w): a small bias for much less variance, and never outside of the
    /// rewards' range (Swaminathan and Joachims, 2015).
    SelfNormalisedIps,
    /// The direct method, mean(v): as good as the reward model.
    DirectMethod,
    /// Doubly robust, mean(v + w (r - q)): unbiased when propensities or the model are right
    /// (Dudík et al., 2011).
    DoublyRobust,
}

impl Estimator {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::Ips,
        Self::SelfNormalisedIps,
        Self::DirectMethod,
        Self::DoublyRobust,
    ];

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ips => "ips",
            Self::SelfNormalisedIps => "self_normalised_ips",
            Self::DirectMethod => "direct_method",
            Self::DoublyRobust => "doubly_robust",
        }
    }

    pub(super) const fn needs_predictions(self) -> bool {
        matches!(self, Self::DirectMethod | Self::DoublyRobust)
    }
}

/// What is done to importance weights; the direct method has none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Weighting {
    /// Nothing: estimates are unbiased as their kind says.
    #[default]
    Plain,
    /// Weights above this are set to it (E. Ionides, *Truncated importance sampling*, 2008): less
    /// variance for a bias. Intervals are then for the clipped estimate's expectation, which for rewards
    /// of at least 0 is no more than the policy's value.
    Clipped(f64),
}

impl Weighting {
    pub(super) fn check(self) -> Result<(), OffPolicyError> {
        match self {
            Self::Plain => Ok(()),
            Self::Clipped(most) => check(
                "clip",
                most,
                most > 0.0 && most.is_finite(),
                "it must be a number above 0",
            ),
        }
    }

    pub(super) fn apply(self, weight: f64) -> f64 {
        match self {
            Self::Plain => weight,
            Self::Clipped(most) => weight.min(most),
        }
    }
}

/// A value and its standard error, in units of the reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The target policy's estimated mean reward.
    pub value: f64,
    /// The standard error: for means the sample standard deviation over sqrt(n), for the self-normalised
    /// ratio sqrt(sum w² (r - value)²) / sum w, by linearisation.
    pub standard_error: f64,
}

/// What the importance weights of a log are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightSummary {
    /// Their mean before clipping. Near 1 where propensities are right and cover the target.
    pub mean: f64,
    /// The largest, before clipping.
    pub max: f64,
    /// The number of rows that clipping changed.
    pub clipped: usize,
    /// (sum w)² / sum w² of the weights after clipping (L. Kish, *Survey Sampling*, 1965): how many rows
    /// of equal weight would say as much. 0 when all weights are 0.
    pub effective_sample_size: f64,
}

/// What an estimator averages: rows' terms, over their denominators for a ratio.
pub(super) struct Terms {
    pub(super) terms: Vec<f64>,
    pub(super) denominators: Option<Vec<f64>>,
}

impl DecisionLog {
    pub(super) fn terms(
        &self,
        estimator: Estimator,
        weighting: Weighting,
    ) -> Result<Terms, OffPolicyError> {
        weighting.check()?;
        let rows = self.len();
        if rows == 0 {
            let needs = "an estimate needs one";
            return Err(OffPolicyError::TooFewRows { rows, needs });
        }
        if estimator.needs_predictions() && self.baselines.len() < rows {
            let estimator = estimator.name();
            return Err(OffPolicyError::NoPredictions { estimator });
        }
        let weights = self.weights.iter().map(|weight| weighting.apply(*weight));
        let rewarded = weights.clone().zip(&self.rewards);
        let rewarded = rewarded.map(|(weight, reward)| weight * reward);
        let mut denominators = None;
        let terms = match estimator {
            Estimator::Ips => rewarded.collect(),
            Estimator::SelfNormalisedIps => {
                if self.weights.iter().all(|weight| *weight == 0.0) {
                    return Err(OffPolicyError::NoOverlap);
                }
                denominators = Some(weights.collect());
                rewarded.collect()
            }
            Estimator::DirectMethod => self.baselines.clone(),
            Estimator::DoublyRobust => {
                let residuals = self.rewards.iter().zip(&self.predicted);
                let rows = self.baselines.iter().zip(weights).zip(residuals);
                rows.map(|((baseline, weight), (reward, predicted))| {
                    baseline + weight * (reward - predicted)
                })
                .collect()
            }
        };
        Ok(Terms {
            terms,
            denominators,
        })
    }

    /// The target policy's value.
    ///
    /// # Errors
    /// [`OffPolicyError::TooFewRows`] of an empty log, [`OffPolicyError::NoPredictions`],
    /// [`OffPolicyError::NoOverlap`] of a self-normalised estimate without any weight, or
    /// [`OffPolicyError::Option`] of a clip that is no weight.
    pub fn estimate(
        &self,
        estimator: Estimator,
        weighting: Weighting,
    ) -> Result<Estimate, OffPolicyError> {
        Ok(self.terms(estimator, weighting)?.estimate())
    }

    /// What the weights are like: how much the log has to say about the target policy.
    ///
    /// # Errors
    /// [`OffPolicyError::TooFewRows`] of an empty log, [`OffPolicyError::Option`] of a clip that is no
    /// weight.
    pub fn weights(&self, weighting: Weighting) -> Result<WeightSummary, OffPolicyError> {
        weighting.check()?;
        let rows = self.len();
        if rows == 0 {
            let needs = "a summary of weights needs one";
            return Err(OffPolicyError::TooFewRows { rows, needs });
        }
        let max = self.weights.iter().copied().fold(0.0, f64::max);
        // Relative to the largest, so that squares stay floats.
        let scale = if max > 0.0 { max } else { 1.0 };
        let (mut plain, mut sum, mut squares, mut clipped) = (0.0, 0.0, 0.0, 0);
        for weight in &self.weights {
            let kept = weighting.apply(*weight);
            plain += weight / scale;
            sum += kept / scale;
            squares += (kept / scale) * (kept / scale);
            clipped += usize::from(kept < *weight);
        }
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
        let mean = plain / rows as f64 * scale;
        Ok(WeightSummary {
            mean,
            max,
            clipped,
            effective_sample_size: if sum > 0.0 { sum * sum / squares } else { 0.0 },
        })
    }
}

impl Terms {
    pub(super) const fn len(&self) -> usize {
        self.terms.len()
    }

    pub(super) fn value(&self) -> f64 {
        let sum: f64 = self.terms.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
        match &self.denominators {
            None => sum / self.len() as f64,
            Some(denominators) => sum / denominators.iter().sum::<f64>(),
        }
    }

    pub(super) fn estimate(&self) -> Estimate {
        let value = self.value();
        let standard_error = match &self.denominators {
            #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
            None => (self.variance(value) / self.len() as f64).sqrt(),
            Some(denominators) => {
                let rows = self.terms.iter().zip(denominators);
                let squares: f64 = rows
                    .map(|(term, weight)| (term - weight * value).powi(2))
                    .sum();
                squares.sqrt() / denominators.iter().sum::<f64>()
            }
        };
        Estimate {
            value,
            standard_error,
        }
    }

    /// The sample variance of the terms around their mean; 0 of one.
    pub(super) fn variance(&self, mean: f64) -> f64 {
        let squares: f64 = self.terms.iter().map(|term| (term - mean).powi(2)).sum();
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
        let freedom = self.len().saturating_sub(1).max(1) as f64;
        squares / freedom
    }
}

#[cfg(test)]
mod tests {
    use super::super::LoggedDecision;
    use super::*;

    /// Three decisions between two actions, small enough to compute by hand.
    ///
    /// | chosen | reward | propensity | target   | predictions | w   | v    | v + w (r - q) |
    /// |--------|--------|------------|----------|-------------|-----|------|---------------|
    /// | 0      | 1      | 1/2        | 1/4, 3/4 | 0.8, 0.4    | 1/2 | 0.5  | 0.6           |
    /// | 1      | 2      | 1/4        | 1/4, 3/4 | 0.8, 0.4    | 3   | 0.5  | 5.3           |
    /// | 0      | 0      | 1/2        | 1, 0     | 0.8, 0.4    | 2   | 0.8  | -0.8          |
    fn by_hand() -> DecisionLog {
        let mut log = DecisionLog::new();
        for (chosen, reward, propensity, target) in [
            (0, 1.0, 0.5, [0.25, 0.75]),
            (1, 2.0, 0.25, [0.25, 0.75]),
            (0, 0.0, 0.5, [1.0, 0.0]),
        ] {
            log.push(&LoggedDecision {
                chosen,
                reward,
                propensity,
                target: &target,
                predictions: Some(&[0.8, 0.4]),
            })
            .unwrap();
        }
        log
    }

    #[track_caller]
    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-14, "{actual}, {expected}");
    }

    #[test]
    fn estimates_are_those_computed_by_hand() {
        let log = by_hand();
        let value = |estimator, weighting| log.estimate(estimator, weighting).unwrap().value;
        assert_close(value(Estimator::Ips, Weighting::Plain), 6.5 / 3.0);
        assert_close(
            value(Estimator::SelfNormalisedIps, Weighting::Plain),
            6.5 / 5.5,
        );
        assert_close(value(Estimator::DirectMethod, Weighting::Plain), 1.8 / 3.0);
        assert_close(value(Estimator::DoublyRobust, Weighting::Plain), 5.1 / 3.0);
        // w = 1/2, 1, 1
        let clip = Weighting::Clipped(1.0);
        assert_close(value(Estimator::Ips, clip), 2.5 / 3.0);
        assert_close(value(Estimator::SelfNormalisedIps, clip), 2.5 / 2.5);
        assert_close(
            value(Estimator::DoublyRobust, clip),
            (0.5 + 0.1 + 0.5 + 1.6 + 0.8 - 0.8) / 3.0,
        );
    }

    #[test]
    fn standard_errors_are_those_computed_by_hand() {
        let log = by_hand();
        // Terms 0.5, 6, 0 with mean 13/6: squared differences 100/36, 529/36, 169/36.
        let ips = log.estimate(Estimator::Ips, Weighting::Plain).unwrap();
        assert_close(ips.standard_error, (798.0_f64 / 36.0 / 2.0 / 3.0).sqrt());
        // v = 13/11; w (r - v) = -1/11, 27/11, -26/11.
        let snips = log
            .estimate(Estimator::SelfNormalisedIps, Weighting::Plain)
            .unwrap();
        assert_close(
            snips.standard_error,
            (1.0_f64 + 729.0 + 676.0).sqrt() / 11.0 / 5.5,
        );
    }

    #[test]
    fn weights_are_summed_up() {
        let weights = by_hand().weights(Weighting::Plain).unwrap();
        assert_close(weights.mean, 5.5 / 3.0);
        assert_eq!((weights.max, weights.clipped), (3.0, 0));
        assert_close(weights.effective_sample_size, 5.5 * 5.5 / 13.25);
        let clipped = by_hand().weights(Weighting::Clipped(1.0)).unwrap();
        assert_eq!((clipped.max, clipped.clipped), (3.0, 2));
        assert_close(clipped.effective_sample_size, 6.25 / 2.25);
    }

    #[test]
    fn what_cannot_be_estimated_is_said() {
        let message = |log: &DecisionLog, estimator, weighting| {
            log.estimate(estimator, weighting).unwrap_err().to_string()
        };
        let empty = DecisionLog::new();
        assert_eq!(
            message(&empty, Estimator::Ips, Weighting::Plain),
            "0 rows: an estimate needs one"
        );
        assert!(empty.weights(Weighting::Plain).is_err());
        let mut log = DecisionLog::new();
        log.push(&LoggedDecision {
            chosen: 0,
            reward: 1.0,
            propensity: 0.5,
            target: &[0.0, 1.0],
            predictions: None,
        })
        .unwrap();
        assert_eq!(
            message(&log, Estimator::SelfNormalisedIps, Weighting::Plain),
            "the target policy gives no logged action any probability: the log says nothing about it"
        );
        assert_eq!(
            message(&log, Estimator::DoublyRobust, Weighting::Plain),
            "`doubly_robust` needs a reward model's predictions with every row"
        );
        assert_eq!(
            message(&log, Estimator::Ips, Weighting::Clipped(0.0)),
            "option `clip` is 0: it must be a number above 0"
        );
        assert_eq!(
            log.weights(Weighting::Plain).unwrap().effective_sample_size,
            0.0
        );
    }
}
