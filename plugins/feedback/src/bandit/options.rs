//! What `with` takes in `feedback/bandit`.

use marquetry_plugin::{Input, PolicyUpdate, StageError};
use marquetry_rows::invalid;
use marquetry_types::codes;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `feedback/bandit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BanditOptions {
    /// The log of decisions.
    pub(super) decisions: Input,
    /// What came back: a column `decision_id`, and those that `reward` and `time` name.
    pub(super) responses: Input,
    /// The policy that learns, by its name.
    pub(super) policy: PolicyUpdate,
    /// The policy that decided, from which a policy that is not published yet starts: the output `policy` of
    /// `personalization/offers`.
    #[serde(default)]
    pub(super) from: Option<Input>,
    /// The column of the responses that holds the reward.
    #[serde(default = "reward")]
    pub(super) reward: String,
    /// The column of the responses that holds the moment; null for responses that count whenever they came.
    #[serde(default = "time")]
    pub(super) time: Option<String>,
    /// How long after its decision a response counts, as in `7d` or `36h`.
    #[serde(default = "window")]
    pub(super) window: String,
    /// The moment up to which responses are complete, as RFC 3339 writes it. A decision without a response
    /// whose window is still open then is left out; without `as_of` every window is over.
    #[serde(default)]
    pub(super) as_of: Option<String>,
    /// What a decision without a response means.
    #[serde(default)]
    pub(super) missing: Missing,
    /// Which of several responses to a decision counts.
    #[serde(default)]
    pub(super) doubled: Doubled,
    /// What to do with a reward that the policy cannot learn from.
    #[serde(default)]
    pub(super) rewards: Rewards,
    /// The share of responses that may belong to no decision of the log.
    #[serde(default = "twentieth")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) max_unknown_share: f64,
}

/// What a decision without a response means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// A reward of 0: the customer did not respond.
    #[default]
    Zero,
    /// Nothing: it is not learned from.
    Skip,
}

/// Which of several responses to a decision counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Doubled {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
    /// All together: their rewards are added.
    Sum,
    /// The one of the highest reward.
    Max,
}

/// What to do with a reward that the policy cannot learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rewards {
    /// Fail, and name the decision.
    #[default]
    Strict,
    /// Take the nearest that it can learn from: for Beta posteriors 0 or 1.
    Clip,
}

fn reward() -> String {
    "reward".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional value")]
fn time() -> Option<String> {
    Some("ts".to_owned())
}

fn window() -> String {
    "7d".to_owned()
}

const fn twentieth() -> f64 {
    0.05
}

impl BanditOptions {
    /// The window in microseconds.
    pub(super) fn window(&self) -> Result<i64, StageError> {
        let wrong = |why: String| {
            invalid(
                codes::STAGE_OPTIONS,
                format!("`window` is {:?}: {why}", self.window),
                "write a duration such as `7d`, `36h` or `90min`",
            )
        };
        let window = humantime::parse_duration(&self.window);
        let window = window.map_err(|error| wrong(error.to_string()))?;
        i64::try_from(window.as_micros()).map_err(|_| wrong("it is too long".to_owned()))
    }
}
