//! What `with` takes in `feedback/evaluate`.

use marquetry_plugin::{Input, StageError};
use marquetry_policy::{IntervalMethod, Weighting};
use marquetry_rows::invalid;
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `feedback/evaluate`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EvaluateOptions {
    /// The decisions, one a row, with what each of them earned.
    pub(super) log: Input,
    /// The column with the action that was taken: a text or an integer.
    #[serde(default = "action")]
    pub(super) action: String,
    /// The column with the probability with which it was taken, above 0 and at most 1. Either this or
    /// `uniform`.
    #[serde(default)]
    pub(super) propensity: Option<String>,
    /// Whether every action was equally likely, as in an experiment with arms of one size.
    #[serde(default)]
    pub(super) uniform: bool,
    /// The column with what the decision earned: numbers, or truth values as 1 and 0.
    #[serde(default = "reward")]
    pub(super) reward: String,
    /// The column with the list of the actions that could be taken; without it all actions of the log.
    #[serde(default)]
    pub(super) eligible: Option<String>,
    /// Columns of numbers, or of lists of numbers, that the reward model `ridge` predicts from.
    #[serde(default)]
    pub(super) context: Vec<String>,
    /// The column with the customer's segment, or whatever else the arms are told by.
    #[serde(default)]
    pub(super) by: Option<String>,
    /// What to evaluate.
    #[serde(default = "all_targets")]
    #[schemars(length(min = 1))]
    pub(super) policies: Vec<Target>,
    /// What predicts rewards for the direct method and the doubly robust estimate; `ridge` where there
    /// is a `context`, else `cell_means`.
    #[serde(default)]
    pub(super) reward_model: Option<RewardModel>,
    /// The ridge penalty of `ridge`.
    #[serde(default = "ridge")]
    #[schemars(range(min = 1e-9, max = 1e9))]
    pub(super) ridge: f64,
    /// The largest importance weight: larger ones are set to it, for less variance and some bias.
    #[serde(default)]
    pub(super) clip: Option<f64>,
    /// How intervals of estimates are computed.
    #[serde(default = "normal")]
    pub(super) interval: IntervalMethod,
    /// The probability with which an interval covers.
    #[serde(default = "confidence")]
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub(super) confidence: f64,
    /// Cuts the log in halves. Without it the stage's own seed is taken, the same in every run.
    #[serde(default)]
    pub(super) seed: Option<u64>,
}

/// A policy to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    /// Each eligible action with equal probability.
    Uniform,
    /// For each action of the log: always that one, where it is eligible.
    EachAction,
    /// The action that earned most in the customer's segment.
    BestBySegment,
}

/// What predicts the reward of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RewardModel {
    /// The mean reward of the action in the segment, else of the action, else of everything.
    CellMeans,
    /// A ridge regression of the reward on 1 and `context`, for each action.
    Ridge,
}

fn action() -> String {
    "action".to_owned()
}

fn reward() -> String {
    "reward".to_owned()
}

fn all_targets() -> Vec<Target> {
    vec![Target::Uniform, Target::EachAction, Target::BestBySegment]
}

const fn ridge() -> f64 {
    1.0
}

const fn normal() -> IntervalMethod {
    IntervalMethod::Normal {}
}

const fn confidence() -> f64 {
    0.95
}

impl EvaluateOptions {
    /// The reward model that is meant.
    pub(super) const fn model(&self) -> RewardModel {
        match (self.reward_model, self.context.is_empty()) {
            (Some(model), _) => model,
            (None, true) => RewardModel::CellMeans,
            (None, false) => RewardModel::Ridge,
        }
    }

    /// What is done to importance weights.
    pub(super) fn weighting(&self) -> Weighting {
        self.clip.map_or(Weighting::Plain, Weighting::Clipped)
    }

    /// Refuses options that contradict each other.
    pub(super) fn check(&self) -> Result<(), StageError> {
        let refuse =
            |message: String, help: &str| Err(invalid(codes::STAGE_OPTIONS, message, help));
        if self.propensity.is_some() == self.uniform {
            let which = if self.uniform { "both" } else { "neither" };
            return refuse(
                format!("{which} of `propensity` and `uniform` are given"),
                "name the column with the probability of the action taken, or say `uniform: true` if every \
                 action was equally likely",
            );
        }
        match (self.model(), self.context.is_empty()) {
            (RewardModel::Ridge, true) => {
                return refuse(
                    "the reward model `ridge` has no `context` to predict from".to_owned(),
                    "name numeric columns in `context`, or take `cell_means`",
                );
            }
            (RewardModel::CellMeans, false) => {
                return refuse(
                    "the reward model `cell_means` does not use the `context`".to_owned(),
                    "leave `context` out, or take `ridge`",
                );
            }
            _ => {}
        }
        let mut named = vec![self.action.as_str(), self.reward.as_str()];
        let optional = [&self.propensity, &self.eligible, &self.by];
        named.extend(optional.into_iter().flatten().map(String::as_str));
        for (place, column) in named.iter().enumerate() {
            if named.iter().take(place).any(|other| other == column) {
                return refuse(
                    format!("column `{column}` is named by two options"),
                    "an action, a reward, a propensity and a segment are columns of their own",
                );
            }
        }
        for (place, column) in self.context.iter().enumerate() {
            if self.context.iter().take(place).any(|other| other == column) {
                return refuse(
                    format!("`context` names `{column}` twice"),
                    "name each column once",
                );
            }
            if *column == self.reward || *column == self.action {
                return refuse(
                    format!("`context` names `{column}`, which is known only after the decision"),
                    "a context is what was known before the decision",
                );
            }
        }
        Ok(())
    }
}
