//! What other policies would have earned on the same decisions.

use std::collections::HashMap;

use marquetry_decisions::{LoggedDecision, PolicyBook, refused};
use marquetry_plugin::StageError;
use marquetry_policy::{
    CellMeans, DecisionLog, Estimator, IntervalMethod, LoggedDecision as Row, OffPolicyError,
    Weighting,
};
use marquetry_rows::invalid;
use marquetry_types::codes;

/// Of the intervals.
pub(super) const LEVEL: f64 = 0.95;

/// An estimate of a policy's mean reward.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EstimateRow {
    pub(super) policy: String,
    pub(super) estimator: &'static str,
    pub(super) value: f64,
    pub(super) lower: Option<f64>,
    pub(super) upper: Option<f64>,
    pub(super) effective: f64,
}

fn failed(error: &OffPolicyError) -> StageError {
    invalid(
        codes::BAD_VALUE,
        format!("the decisions cannot be evaluated: {error}"),
        "a log is what `personalization/offers` gives",
    )
}

/// A policy that was not the one that decided.
enum Target<'a> {
    Uniform,
    Always(&'a str),
    Learned,
}

impl Target<'_> {
    fn name(&self) -> String {
        match self {
            Self::Uniform => "uniform".to_owned(),
            Self::Always(action) => format!("always {action}"),
            Self::Learned => "as learned".to_owned(),
        }
    }
}

/// Estimates of the uniform policy, of each action always, and of the policy as it is now. The reward model
/// is the mean of each action in each segment.
pub(super) fn estimate(
    book: &PolicyBook,
    decisions: &[LoggedDecision],
    rewards: &[Option<f64>],
) -> Result<Vec<EstimateRow>, StageError> {
    let known: Vec<(&LoggedDecision, f64)> = decisions
        .iter()
        .zip(rewards)
        .filter_map(|(decision, reward)| Some((decision, (*reward)?)))
        .collect();
    if known.len() < 2 {
        return Ok(Vec::new());
    }
    let mut actions: HashMap<&str, usize> = HashMap::new();
    let mut segments: HashMap<Option<&str>, u64> = HashMap::new();
    let mut names: Vec<&str> = Vec::new();
    for (decision, _) in &known {
        for action in &decision.eligible {
            actions.entry(action).or_insert_with(|| {
                names.push(action);
                names.len() - 1
            });
        }
        let number = segments.len() as u64;
        segments
            .entry(decision.segment.as_deref())
            .or_insert(number);
    }
    let number = |action: &str| actions.get(action).copied().unwrap_or_default();
    let cell = |decision: &LoggedDecision| {
        let segment = decision.segment.as_deref();
        segments.get(&segment).copied().unwrap_or_default()
    };
    let mut model = CellMeans::new();
    for (decision, reward) in &known {
        model
            .observe(number(&decision.action), cell(decision), *reward)
            .map_err(|error| failed(&error))?;
    }
    let mut targets = vec![Target::Uniform, Target::Learned];
    targets.extend(names.iter().map(|name| Target::Always(name)));
    let mut rows = Vec::new();
    for target in &targets {
        let mut log = DecisionLog::new();
        let mut shares: HashMap<(Option<&str>, &[String]), Vec<f64>> = HashMap::new();
        for (decision, reward) in &known {
            let probabilities = probabilities(book, target, decision, &mut shares)?;
            let predictions: Vec<f64> = decision
                .eligible
                .iter()
                .map(|action| model.predict(number(action), cell(decision)))
                .collect();
            let chosen = decision.eligible.iter();
            let chosen = chosen.clone().position(|action| *action == decision.action);
            log.push(&Row {
                chosen: chosen.unwrap_or(usize::MAX),
                reward: *reward,
                propensity: decision.propensity,
                target: &probabilities,
                predictions: Some(&predictions),
            })
            .map_err(|error| failed(&error))?;
        }
        rows.extend(of_target(&log, &target.name())?);
    }
    Ok(rows)
}

/// The target's probability of each eligible action.
fn probabilities<'a>(
    book: &PolicyBook,
    target: &Target<'_>,
    decision: &'a LoggedDecision,
    shares: &mut HashMap<(Option<&'a str>, &'a [String]), Vec<f64>>,
) -> Result<Vec<f64>, StageError> {
    let count = decision.eligible.len();
    #[expect(clippy::cast_precision_loss, reason = "few actions")]
    let uniform = vec![1.0 / count.max(1) as f64; count];
    match target {
        Target::Uniform => Ok(uniform),
        // Where the action is not eligible, whatever is.
        Target::Always(action) => {
            let place = decision.eligible.iter().position(|other| other == action);
            let Some(place) = place else {
                return Ok(uniform);
            };
            let mut shares = vec![0.0; count];
            shares[place] = 1.0;
            Ok(shares)
        }
        Target::Learned => {
            let Some(policy) = book.policy(decision.segment.as_deref()) else {
                return Ok(uniform);
            };
            let ask = || {
                // An action that was never taken in this segment is none that its policy knows.
                let known = decision.eligible.iter();
                let known: Vec<&String> =
                    known.filter(|action| policy.arm(action).is_ok()).collect();
                if known.len() < count {
                    return Ok(uniform.clone());
                }
                let eligible = policy.eligible(known)?;
                policy.probabilities(&decision.context, &eligible)
            };
            if policy.options().algorithm.dimensions().is_some() {
                return ask().map_err(|error| refused(&error));
            }
            let key = (decision.segment.as_deref(), decision.eligible.as_slice());
            if let Some(known) = shares.get(&key) {
                return Ok(known.clone());
            }
            let asked = ask().map_err(|error| refused(&error))?;
            shares.insert(key, asked.clone());
            Ok(asked)
        }
    }
}

fn of_target(log: &DecisionLog, name: &str) -> Result<Vec<EstimateRow>, StageError> {
    let weights = log
        .weights(Weighting::Plain)
        .map_err(|error| failed(&error))?;
    let mut rows = Vec::with_capacity(Estimator::ALL.len());
    for estimator in Estimator::ALL {
        let value = match log.estimate(estimator, Weighting::Plain) {
            Ok(estimate) => estimate.value,
            // No decision of the log is one that this policy would take.
            Err(_) if weights.max == 0.0 => continue,
            Err(error) => return Err(failed(&error)),
        };
        let method = IntervalMethod::Normal {};
        let interval = log
            .interval(estimator, Weighting::Plain, method, LEVEL)
            .ok();
        rows.push(EstimateRow {
            policy: name.to_owned(),
            estimator: estimator.name(),
            value,
            lower: interval.map(|interval| interval.low),
            upper: interval.map(|interval| interval.high),
            effective: weights.effective_sample_size,
        });
    }
    Ok(rows)
}
