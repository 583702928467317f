//! The stage kinds that the coordinator does itself: no worker, no rows, nothing but waiting for a
//! person, for a time or for another run.

use std::sync::LazyLock;
use std::time::Duration;

use marquetry_types::{StageDescriptor, StageKind, Timestamp};
use serde_json::{Map, Value, json};

use crate::read::quantity;

/// What the coordinator does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// `wait/approval`: succeeds when a person approves, fails when one rejects.
    Approval,
    /// `wait/until`: succeeds at a time.
    Until,
    /// `workflow/run`: runs a deployed workflow and ends as that run does.
    Run,
}

impl ControlKind {
    /// The control kind of that name, if it is one.
    #[must_use]
    pub fn of(kind: &StageKind) -> Option<Self> {
        match kind.as_str() {
            "wait/approval" => Some(Self::Approval),
            "wait/until" => Some(Self::Until),
            "workflow/run" => Some(Self::Run),
            _ => None,
        }
    }
}

/// What the control kinds say of themselves, by name.
#[must_use]
pub fn control_descriptors() -> &'static [StageDescriptor] {
    static ALL: LazyLock<Vec<StageDescriptor>> =
        LazyLock::new(|| [approval(), until(), run()].into_iter().flatten().collect());
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
        is_pure: false,
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
        is_pure: false,
    })
}

fn run() -> Option<StageDescriptor> {
    Some(StageDescriptor {
        kind: "workflow/run".parse().ok()?,
        version: 1,
        summary: "runs a deployed workflow and waits for its end".to_owned(),
        description: "The other run has an id, stages and logs of its own, and stands in `marquetry runs`. The stage \
            succeeds when that run does; what its workflow names under `outputs` are the stage's outputs and metrics. \
            When the stage's run is cancelled or its time is over, the other one is cancelled. `marquetry retry` goes \
            on with a run that failed, if the workflow and its parameters are still the same, and begins another one \
            if not. With `for_each` there is a run for each item; only their ends are awaited."
            .to_owned(),
        options: json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["workflow"],
            "properties": {
                "workflow": {"type": "string", "minLength": 1, "description": "The name of a deployed workflow."},
                "version": {"type": "integer", "minimum": 1,
                            "description": "Its version; the current one if nothing is said."},
                "params": {"type": "object", "default": {},
                           "description": "Values for its parameters; the others have their defaults."},
            },
        }),
        outputs: Vec::new(),
        metrics: Vec::new(),
        example: "workflow: retail-segmentation\nparams: { segments: 6 }".to_owned(),
        is_pure: false,
    })
}

/// The run that a `workflow/run` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildRequest {
    /// The name of a deployed workflow.
    pub workflow: String,
    /// Its version; the current one if none.
    pub version: Option<u64>,
    /// Values for its parameters.
    pub params: Map<String, Value>,
}

impl ChildRequest {
    /// What a stage with these evaluated options asks for.
    ///
    /// # Errors
    /// What is wrong with the options, and what would be right.
    pub fn of(options: &Value) -> Result<Self, String> {
        let workflow = match options.get("workflow") {
            Some(Value::String(name)) if !name.is_empty() => name.clone(),
            _ => return Err("`workflow` must be the name of a deployed workflow".to_owned()),
        };
        let version = match options.get("version") {
            None | Some(Value::Null) => None,
            Some(version) => match version.as_u64().filter(|version| *version > 0) {
                Some(version) => Some(version),
                None => {
                    return Err(format!(
                        "`version` must be a whole number from 1, got {version}"
                    ));
                }
            },
        };
        let params = match options.get("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params.clone(),
            Some(_) => return Err("`params` must be a mapping of parameters to values".to_owned()),
        };
        Ok(Self {
            workflow,
            version,
            params,
        })
    }
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
        assert_eq!(control_descriptors().len(), 3);
        for descriptor in control_descriptors() {
            assert!(ControlKind::of(&descriptor.kind).is_some());
        }
        assert_eq!(ControlKind::of(&"ingest/files".parse().unwrap()), None);
    }

    #[test]
    fn a_stage_asks_for_a_run_of_a_workflow() {
        let request =
            ChildRequest::of(&json!({"workflow": "daily", "version": 2, "params": {"n": 1}}));
        let request = request.unwrap();
        assert_eq!(
            (request.workflow.as_str(), request.version),
            ("daily", Some(2))
        );
        assert_eq!(request.params["n"], json!(1));
        for wrong in [
            json!({}),
            json!({"workflow": 3}),
            json!({"workflow": "daily", "version": 0}),
            json!({"workflow": "daily", "params": [1]}),
        ] {
            assert!(ChildRequest::of(&wrong).is_err(), "{wrong}");
        }
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
