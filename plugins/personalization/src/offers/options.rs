//! What `with` takes in `personalization/offers`.

use marquetry_decisions::{Action, Learner, PolicySpec};
use marquetry_plugin::{Input, PolicyInput, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `personalization/offers`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OffersOptions {
    /// The customers, one a row.
    pub(super) customers: Input,
    /// The segment of each customer: the key and a column `segment`. Rules read it as `segment`.
    #[serde(default)]
    pub(super) segments: Option<Input>,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    pub(super) key: String,
    /// The policy that chooses, by its name.
    pub(super) policy: PolicyInput,
    /// What may be done.
    pub(super) actions: Vec<Action>,
    /// How the policy chooses and learns.
    #[serde(default)]
    pub(super) algorithm: Learner,
    /// The share of decisions, 0 to 1, that are drawn uniformly from what is eligible, so that every action
    /// is tried now and then and other policies can be evaluated on the log.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) explore: f64,
    /// Whether each segment has a policy of its own; without `segments` there is one for all.
    #[serde(default = "yes")]
    pub(super) per_segment: bool,
    /// The numeric columns that a linear algorithm looks at.
    #[serde(default)]
    pub(super) context: Vec<String>,
    /// When the decisions are taken, as RFC 3339 writes it: usually `${{ run.submitted_at }}`. The time in
    /// which a response counts begins here.
    pub(super) decided_at: String,
    /// Makes other draws of the same run.
    #[serde(default)]
    pub(super) seed: Option<u64>,
}

const fn yes() -> bool {
    true
}

impl OffersOptions {
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
