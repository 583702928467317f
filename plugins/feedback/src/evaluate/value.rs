//! What policies would have earned on the log.

use marquetry_plugin::{Reporter, StageError};
use marquetry_policy::{
    DecisionLog, Estimator, Interval, LoggedDecision, OffPolicyError, Weighting,
};
use marquetry_rows::invalid;
use marquetry_types::codes;

use super::halves::Halves;
use super::log::Log;
use super::options::{EvaluateOptions, Target};

/// The name of the policy that made the log.
pub(super) const LOGGED: &str = "logged";

/// A row of the output `estimates`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PolicyValue {
    pub(super) policy: String,
    /// The estimator's name; `mean` of the logging policy.
    pub(super) estimator: &'static str,
    /// None where the log says nothing about the policy.
    pub(super) value: Option<f64>,
    /// None where this kind of interval is not defined.
    pub(super) interval: Option<Interval>,
    pub(super) effective_sample_size: f64,
}

/// The values of the logging policy and of all that the options ask for, estimator by estimator.
///
/// O(decisions x actions) for the uniform policy, O(decisions) for each other, and as much a replicate of a
/// bootstrap. One policy's terms are in memory at a time.
pub(super) fn all(
    reporter: &Reporter,
    log: &Log,
    halves: &Halves,
    options: &EvaluateOptions,
) -> Result<Vec<PolicyValue>, StageError> {
    let mut policies = Vec::new();
    for target in &options.policies {
        match target {
            Target::Uniform => policies.push(("uniform".to_owned(), Choice::Uniform)),
            Target::BestBySegment => {
                policies.push(("best_by_segment".to_owned(), Choice::BestBySegment));
            }
            Target::EachAction => {
                let mut is_taken = vec![false; log.actions.len()];
                for decision in &log.decisions {
                    is_taken[decision.action as usize] = true;
                }
                let taken = log.actions.iter().zip(is_taken).zip(0..);
                policies.extend(
                    taken
                        .filter(|((_, is_taken), _)| *is_taken)
                        .map(|((name, _), action)| (always(name), Choice::Always(action))),
                );
            }
        }
    }
    let mut values = vec![logged(log, options).map_err(|error| refused(&error))?];
    for (done, (name, choice)) in policies.iter().enumerate() {
        reporter.check_cancelled()?;
        let total = Some(policies.len() as u64);
        reporter.progress("evaluating policies", done as u64, total, "policies");
        let decisions = decision_log(log, halves, *choice).map_err(|error| refused(&error))?;
        for estimator in Estimator::ALL {
            let value = estimate(name, &decisions, estimator, options);
            values.push(value.map_err(|error| refused(&error))?);
        }
    }
    Ok(values)
}

/// The name of the policy that always takes an action.
pub(super) fn always(action: &str) -> String {
    format!("always {action}")
}

/// How a policy chooses.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Uniform,
    Always(u32),
    BestBySegment,
}

fn logged(log: &Log, options: &EvaluateOptions) -> Result<PolicyValue, OffPolicyError> {
    let mut rows = DecisionLog::new();
    for decision in &log.decisions {
        rows.push(&LoggedDecision {
            chosen: 0,
            reward: decision.reward,
            propensity: 1.0,
            target: &[1.0],
            predictions: None,
        })?;
    }
    let (plain, ips) = (Weighting::Plain, Estimator::Ips);
    Ok(PolicyValue {
        policy: LOGGED.to_owned(),
        estimator: "mean",
        value: Some(rows.estimate(ips, plain)?.value),
        interval: Some(rows.interval(ips, plain, options.interval, options.confidence)?),
        effective_sample_size: rows.weights(plain)?.effective_sample_size,
    })
}

fn estimate(
    policy: &str,
    rows: &DecisionLog,
    estimator: Estimator,
    options: &EvaluateOptions,
) -> Result<PolicyValue, OffPolicyError> {
    let weighting = options.weighting();
    let value = match rows.estimate(estimator, weighting) {
        Ok(estimate) => Some(estimate.value),
        Err(OffPolicyError::NoOverlap) => None,
        Err(error) => return Err(error),
    };
    let interval = match rows.interval(estimator, weighting, options.interval, options.confidence) {
        Ok(interval) => Some(interval),
        Err(OffPolicyError::NoOverlap | OffPolicyError::NotAMean { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(PolicyValue {
        policy: policy.to_owned(),
        estimator: estimator.name(),
        value,
        interval,
        effective_sample_size: rows.weights(weighting)?.effective_sample_size,
    })
}

/// The log with a policy's view of it.
fn decision_log(log: &Log, halves: &Halves, choice: Choice) -> Result<DecisionLog, OffPolicyError> {
    let mut rows = DecisionLog::new();
    let (mut shares, mut predictions) = (Vec::new(), Vec::new());
    for (row, decision) in log.decisions.iter().enumerate() {
        let eligible = log.eligible(decision);
        let wanted = match choice {
            Choice::Uniform => None,
            Choice::Always(action) => Some(action).filter(|it| eligible.binary_search(it).is_ok()),
            Choice::BestBySegment => halves.best(log, row),
        };
        shares.clear();
        predictions.clear();
        let chosen;
        if let Some(wanted) = wanted {
            // All other actions have no probability: only the wanted one and the logged one count.
            chosen = 0;
            predictions.push(halves.prediction(log, row, decision.action)?);
            if wanted == decision.action {
                shares.push(1.0);
            } else {
                shares.extend([0.0, 1.0]);
                predictions.push(halves.prediction(log, row, wanted)?);
            }
        } else {
            // Uniform, and the actions that a policy wants are not eligible here.
            let found = eligible.binary_search(&decision.action);
            chosen = found.unwrap_or(usize::MAX);
            #[expect(clippy::cast_precision_loss, reason = "a count of actions")]
            shares.resize(eligible.len(), 1.0 / eligible.len() as f64);
            for action in eligible {
                predictions.push(halves.prediction(log, row, *action)?);
            }
        }
        rows.push(&LoggedDecision {
            chosen,
            reward: decision.reward,
            propensity: decision.propensity,
            target: &shares,
            predictions: Some(&predictions),
        })?;
    }
    Ok(rows)
}

/// What an estimator refuses, as the stage's own error.
pub(super) fn refused(error: &OffPolicyError) -> StageError {
    let (code, help) = match error {
        OffPolicyError::TooFewRows { .. } => (
            codes::TOO_FEW_ROWS,
            "look at the stage that makes the log: its input or its filter may be empty",
        ),
        OffPolicyError::Option { .. } => (
            codes::STAGE_OPTIONS,
            "change that option, or take the interval `{kind: normal}`",
        ),
        _ => (codes::BAD_VALUE, "look at the rows and columns of `log`"),
    };
    invalid(code, error.to_string(), help)
}

/// The doubly robust value of a policy.
pub(super) fn robust<'a>(values: &'a [PolicyValue], policy: &str) -> Option<&'a PolicyValue> {
    let wanted = Estimator::DoublyRobust.name();
    let mut values = values.iter();
    values.find(|value| value.policy == policy && value.estimator == wanted)
}
