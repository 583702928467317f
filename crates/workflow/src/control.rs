//! The stage kinds that the coordinator does itself: no worker, no data, nothing but waiting.

use std::sync::LazyLock;
use std::time::Duration;

use marquetry_types::{StageDescriptor, StageKind, Timestamp};
use serde_json::{Value, json};

use crate::read::quantity;

/// What the coordinator does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// `wait/approval`: succeeds when a person approves, fails when one rejects.
    Approval,
    /// `wait/until`: succeeds at a time.
    Until,
}

impl ControlKind {
    /// The control kind of that name, if it is one.
    #[must_use]
    pub fn of(kind: &StageKind) -> Option<Self> {
        match kind.as_str() {
            "wait/approval" => Some(Self::Approval),
            "wait/until" => Some(Self::Until),
            _ => None,
        }
    }
}

/// What the control kinds say of themselves, by name.
#[must_use]
pub fn control_descriptors() -> &'static [StageDescriptor] {
    static ALL: LazyLock<Vec<StageDescriptor>> =
        LazyLock::new(|| [approval(), until()].into_iter().flatten().collect());
    &ALL
}

pub(crate) fn control_descriptor(kind: &str) -> Option<&'static StageDescriptor> {
    let mut all = control_descriptors().iter();
    all.find(|descriptor| descriptor.kind.as_str() == kind)
}

fn approval() -> Option<StageDescriptor> {
    Some(StageDescriptor {
        kind: "wait/approval".parse().ok()?,
        version: 1,
        summary: "waits until a person approves or rejects".to_owned(),
        description: "`marquetry approve RUN STAGE`, or RunService.ApproveStage, lets the run go on; with \
            `--reject` the stage fails. Who it was and what they said stands in `marquetry show`. It takes no \
            worker. A `timeout` ends the wait: the stage fails then."
            .to_owned(),
        options: json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "message": {"type": "string", "description": "What there is to decide; shown to whoever is asked."},
            },
        }),
        outputs: Vec::new(),
        metrics: Vec::new(),
        example: "message: \"${{ stages.offers.rows }} offers are ready to be sent\"".to_owned(),
    })
}

fn until() -> Option<StageDescriptor> {
    Some(StageDescriptor {
        kind: "wait/until".parse().ok()?,
        version: 1,
        summary: "waits until a time, or for a while".to_owned(),
        description:
            "It takes no worker, and goes on where it was when the coordinator changes. `duration` \
            counts from the moment that all it needs has ended."
                .to_owned(),
        options: json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "time": {"type": "string", "description": "The time, as in `2026-12-01T06:00:00Z`."},
                "duration": {"type": "string", "description": "How long, as in `30m` or `2d`."},
            },
            "minProperties": 1,
            "maxProperties": 1,
        }),
        outputs: Vec::new(),
        metrics: Vec::new(),
        example: "duration: 2h".to_owned(),
    })
}

/// When a `wait/until` with these evaluated options ends, if its needs ended at `from`.
///
/// # Errors
/// What is wrong with the options, and what would be right.
pub fn wait_until(options: &Value, from: Timestamp) -> Result<Timestamp, String> {
    let text = |name: &str| options.get(name).and_then(Value::as_str);
    if let Some(time) = text("time") {
        return time.parse().map_err(|error| format!("`time`: {error}"));
    }
    let Some(duration) = text("duration") else {
        return Err("neither `time` nor `duration` is a text".to_owned());
    };
    let duration: Duration = quantity::duration(duration).map_err(|why| {
        format!("`duration` is `{duration}`: {why}; write it as in `30m` or `2d`")
    })?;
    Ok(from.saturating_add(duration))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_control_kind_describes_itself() {
        assert_eq!(control_descriptors().len(), 2);
        for descriptor in control_descriptors() {
            assert!(ControlKind::of(&descriptor.kind).is_some());
        }
        assert_eq!(ControlKind::of(&"ingest/files".parse().unwrap()), None);
    }

    #[test]
    fn a_wait_ends_at_a_time_or_after_a_while() {
        let from = Timestamp::from_millis(1_000);
        let at = |options| wait_until(&options, from);
        assert_eq!(
            at(json!({"duration": "1m"})),
            Ok(Timestamp::from_millis(61_000))
        );
        assert_eq!(
            at(json!({"time": "1970-01-01T00:02:00Z"})),
            Ok(Timestamp::from_millis(120_000))
        );
        for wrong in [json!({"time": "soon"}), json!({"duration": "5"}), json!({})] {
            assert!(at(wrong).is_err());
        }
    }
}
