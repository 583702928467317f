//! Values against thresholds.

use std::borrow::Cow;

use marquetry_plugin::StageError;
use marquetry_rows::invalid;
use marquetry_types::codes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A figure that another stage reported, or null where it reported none.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(transparent)]
pub(super) struct Reported(pub(super) Option<f64>);

impl JsonSchema for Reported {
    fn schema_name() -> Cow<'static, str> {
        "Reported".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["number", "null"]})
    }
}

/// A value and where it may lie.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// What messages and the report call it.
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// The figure, as in `"${{ stages.quality.metrics.silhouette }}"`. One that is null fails.
    pub(super) value: Reported,
    /// The least that passes.
    #[serde(default)]
    pub(super) min: Option<f64>,
    /// The most that passes.
    #[serde(default)]
    pub(super) max: Option<f64>,
}

impl Check {
    /// Refuses a check that nothing or everything passes.
    pub(super) fn is_usable(&self) -> Result<(), StageError> {
        let name = &self.name;
        match (self.min, self.max) {
            (None, None) => Err(invalid(
                codes::STAGE_OPTIONS,
                format!("check `{name}` has neither `min` nor `max`, so everything passes it"),
                "give it a threshold",
            )),
            (Some(min), Some(max)) if min > max => Err(invalid(
                codes::STAGE_OPTIONS,
                format!("check `{name}`: `min` {min} is above `max` {max}, so nothing passes it"),
                "the least value comes first",
            )),
            _ => Ok(()),
        }
    }

    /// Why the value does not pass; none where it does.
    pub(super) fn fault(&self) -> Option<String> {
        let name = &self.name;
        let Some(value) = self.value.0 else {
            return Some(format!(
                "{name} has no value: the stage that reports it did not in this run"
            ));
        };
        if !value.is_finite() {
            return Some(format!("{name} is {value}, which is no finite number"));
        }
        if let Some(min) = self.min.filter(|min| value < *min) {
            return Some(format!("{name} is {value}, below the least of {min}"));
        }
        let max = self.max.filter(|max| value > *max)?;
        Some(format!("{name} is {value}, above the most of {max}"))
    }

    /// As in `0.2 or more`.
    pub(super) fn threshold(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("{min} or more"),
            (None, Some(max)) => format!("{max} or less"),
            (None, None) => String::new(),
        }
    }
}

/// Where the sizes of the segments of `rows` may lie.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentLimits {
    /// The least share, 0 to 1, of the rows with a segment that the smallest one may have.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    min_share: Option<f64>,
    /// The most that the largest one may have.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    max_share: Option<f64>,
    /// The fewest segments that have rows.
    #[serde(default)]
    min_count: Option<u32>,
    /// The most segments that have rows.
    #[serde(default)]
    max_count: Option<u32>,
}

/// What is known of the segments of `rows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentCounts {
    /// Segments that have rows.
    pub(super) segments: u64,
    /// Rows that have a segment.
    pub(super) rows: u64,
    /// Rows of the smallest segment.
    pub(super) smallest: u64,
    /// Rows of the largest.
    pub(super) largest: u64,
}

impl SegmentLimits {
    /// The checks that the limits are.
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    pub(super) fn checks(&self, counts: SegmentCounts) -> Vec<Check> {
        let share = |rows: u64| (counts.rows > 0).then(|| rows as f64 / counts.rows as f64);
        let check = |name: &str, value: Option<f64>, min: Option<f64>, max: Option<f64>| Check {
            name: name.to_owned(),
            value: Reported(value),
            min,
            max,
        };
        let segments = Some(counts.segments as f64);
        let min_count = self.min_count.map(f64::from);
        let max_count = self.max_count.map(f64::from);
        let smallest = share(counts.smallest);
        let largest = share(counts.largest);
        [
            check("segments", segments, min_count, max_count),
            check(
                "share of the smallest segment",
                smallest,
                self.min_share,
                None,
            ),
            check(
                "share of the largest segment",
                largest,
                None,
                self.max_share,
            ),
        ]
        .into_iter()
        .filter(|check| check.min.is_some() || check.max.is_some())
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Option<f64>, min: Option<f64>, max: Option<f64>) -> Check {
        Check {
            name: "silhouette".to_owned(),
            value: Reported(value),
            min,
            max,
        }
    }

    #[test]
    fn a_threshold_itself_passes() {
        assert_eq!(check(Some(0.2), Some(0.2), None).fault(), None);
        assert_eq!(check(Some(0.2), None, Some(0.2)).fault(), None);
        assert_eq!(check(Some(0.2), Some(0.2), Some(0.2)).fault(), None);
    }

    #[test]
    fn a_fault_says_value_and_threshold() {
        let fault = |value, min, max| check(value, min, max).fault().unwrap();
        assert_eq!(
            fault(Some(0.1), Some(0.2), None),
            "silhouette is 0.1, below the least of 0.2"
        );
        assert_eq!(
            fault(Some(0.3), None, Some(0.2)),
            "silhouette is 0.3, above the most of 0.2"
        );
        assert_eq!(
            fault(Some(f64::NAN), Some(0.2), None),
            "silhouette is NaN, which is no finite number"
        );
        assert_eq!(
            fault(Some(f64::INFINITY), Some(0.2), None),
            "silhouette is inf, which is no finite number"
        );
        assert!(fault(None, Some(0.2), None).starts_with("silhouette has no value"));
    }

    #[test]
    fn shares_of_no_rows_have_no_value() {
        let limits = SegmentLimits {
            min_share: Some(0.1),
            max_share: None,
            min_count: Some(2),
            max_count: None,
        };
        let none = SegmentCounts {
            segments: 0,
            rows: 0,
            smallest: 0,
            largest: 0,
        };
        let faults: Vec<String> = limits
            .checks(none)
            .iter()
            .filter_map(Check::fault)
            .collect();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(faults[0], "segments is 0, below the least of 2");
    }
}
