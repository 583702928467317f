//! What `with` takes in `feedback/simulate`.

use marquetry_decisions::{Action, Learner, PolicySpec};
use marquetry_plugin::{Input, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::planted::Sample;

/// Options of `feedback/simulate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SimulateOptions {
    /// The customers, one a row; made from the sample's orders.
    pub(super) customers: Input,
    /// The segment of each customer.
    #[serde(default)]
    pub(super) segments: Option<Input>,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    pub(super) key: String,
    /// Which sample the customers are of.
    pub(super) sample: Sample,
    /// What may be done; the names are those of the sample's offers.
    pub(super) actions: Vec<Action>,
    /// How the policy chooses and learns.
    #[serde(default)]
    pub(super) algorithm: Learner,
    /// The share of decisions that are drawn uniformly.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) explore: f64,
    /// Whether each segment has a policy of its own.
    #[serde(default = "yes")]
    pub(super) per_segment: bool,
    /// The numeric columns that a linear algorithm looks at.
    #[serde(default)]
    pub(super) context: Vec<String>,
    /// How often each customer is decided for.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) rounds: u32,
    /// The seed of everything that is drawn; follows from the names of workflow and stage if not given.
    #[serde(default)]
    pub(super) seed: Option<u64>,
}

const fn yes() -> bool {
    true
}

const fn twenty() -> u32 {
    20
}

impl SimulateOptions {
    /// What the policy is.
    pub(super) fn spec(&self) -> Result<PolicySpec, StageError> {
        PolicySpec::of(
            &self.algorithm,
            self.explore,
            self.per_segment && self.segments.is_some(),
            &self.context,
        )
    }
}
