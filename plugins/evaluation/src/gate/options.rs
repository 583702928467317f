//! What `with` takes in `evaluation/gate`.

use std::borrow::Cow;

use marquetry_plugin::{Input, StageError};
use marquetry_rows::invalid;
use marquetry_types::codes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// Options of `evaluation/gate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GateOptions {
    /// What passes the gate, such as the segments that are to be published.
    pub(super) rows: Input,
    /// Values and the thresholds that they must keep.
    #[serde(default)]
    pub(super) checks: Vec<Check>,
    /// Thresholds that every segment of `rows` must keep.
    #[serde(default)]
    pub(super) segments: Option<SegmentLimits>,
    /// What happens when a check does not hold.
    #[serde(default)]
    pub(super) on_failure: OnFailure,
}

/// A value and its thresholds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// What the value is, in messages and in the report.
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// The value, usually `${{ stages.NAME.metrics.METRIC }}`. Null fails.
    pub(super) value: Value,
    /// The least that the value may be.
    #[serde(default)]
    pub(super) min: Option<f64>,
    /// The most that the value may be.
    #[serde(default)]
    pub(super) max: Option<f64>,
}

/// A number, or null where there is none. It must be written, null or not.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Value(pub(super) Option<f64>);

impl JsonSchema for Value {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "null"] })
    }
}

/// What every segment must keep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentLimits {
    /// The least share of all rows that a segment may have, 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) min_share: Option<f64>,
    /// The largest share of all rows that a segment may have, 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) max_share: Option<f64>,
    /// The fewest rows that a segment may have.
    #[serde(default)]
    pub(super) min_count: Option<u64>,
}

/// What happens when a check does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnFailure {
    /// The stage fails.
    #[default]
    Fail,
    /// The log and the report say so, and the rows pass.
    Warn,
}

impl GateOptions {
    /// Refuses a gate that cannot fail, and one that cannot hold.
    pub(super) fn check(&self) -> Result<(), StageError> {
        let fault = |message: String, help: &str| Err(invalid(codes::STAGE_OPTIONS, message, help));
        if self.checks.is_empty() && self.segments.is_none() {
            let help = "add `checks` or `segments`: a gate without them stops nothing";
            return fault("there is nothing to check".to_owned(), help);
        }
        for (index, check) in self.checks.iter().enumerate() {
            let name = &check.name;
            if self
                .checks
                .iter()
                .take(index)
                .any(|other| other.name == *name)
            {
                let message = format!("two checks are named `{name}`");
                return fault(message, "a failure is told by the name of the check");
            }
            if check.min.is_none() && check.max.is_none() {
                let message = format!("check `{name}` has neither `min` nor `max`");
                return fault(message, "give it a threshold, or leave the check out");
            }
            check_order(&format!("check `{name}`"), check.min, check.max)?;
        }
        let Some(limits) = &self.segments else {
            return Ok(());
        };
        if limits.min_share.is_none() && limits.max_share.is_none() && limits.min_count.is_none() {
            let message = "`segments` has no threshold".to_owned();
            return fault(message, "give it `min_share`, `max_share` or `min_count`");
        }
        check_order("`segments`", limits.min_share, limits.max_share)
    }
}

fn check_order(what: &str, min: Option<f64>, max: Option<f64>) -> Result<(), StageError> {
    match (min, max) {
        (Some(min), Some(max)) if min > max => Err(invalid(
            codes::STAGE_OPTIONS,
            format!("{what} wants at least {min} and at most {max}: nothing can hold"),
            "the lower threshold is the minimum",
        )),
        _ => Ok(()),
    }
}
