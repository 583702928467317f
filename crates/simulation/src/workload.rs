//! Random workflows.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_engine::{Assignment, Submission};
use marquetry_types::{
    AttemptResult, DatasetRef, Diagnostic, FailureClass, FencingToken, Outcome, QueueName, RunId,
    StageFailure, StageKind, codes,
};
use marquetry_workflow::Workflow;
use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// The kind of every stage.
pub(crate) const KIND: &str = "test/stage";

/// The kind of attempts that look at what was computed before.
pub(crate) const REUSE: &str = "dataset/reuse";

/// The queue that not every worker serves.
const BULK: &str = "bulk";

/// Attempts of the group of stages that run at a time, whatever runs they are of.
pub(crate) const SLOTS: u32 = 2;
/// Attempts of another group that begin in a second, once those that may come at once have.
pub(crate) const RATE: u32 = 4;
/// Attempts of that group that may begin at once.
pub(crate) const BURST: u32 = 2;

/// The queues that a worker serves.
pub(crate) fn queues(is_bulky: bool) -> BTreeSet<QueueName> {
    let bulk = BULK.parse().ok().filter(|_| is_bulky);
    bulk.into_iter().chain([QueueName::default()]).collect()
}

/// What every worker can do.
pub(crate) fn kinds() -> BTreeMap<StageKind, u32> {
    let kinds = [KIND, "dataset/gather", REUSE].into_iter();
    kinds
        .filter_map(|kind| Some((kind.parse().ok()?, 1)))
        .collect()
}

/// A random graph: each stage needs some of those before it.
pub(crate) fn workflow(dice: &mut Dice) -> Option<Workflow> {
    let count = dice.between(1, 7);
    let mut stages = Map::new();
    for index in 0..count {
        let needs: Vec<String> = (0..index)
            .filter(|_| dice.chance(350))
            .map(|need| format!("s{need}"))
            .collect();
        let name = format!("s{index}");
        let mut stage = json!({
            "name": name, "uses": KIND, "with": {"map": {}}, "needs": needs, "outputs": ["rows"],
            "retry": {
                "attempts": dice.between(1, 4),
                "initial": {"secs": 0, "nanos": 300_000_000},
                "factor": 2.0,
                "max": {"secs": 5, "nanos": 0},
            },
        });
        if dice.chance(150) {
            stage["condition"] = json!("always");
        } else if dice.chance(80) {
            stage["condition"] = json!("failure");
        }
        if dice.chance(400) {
            stage["timeout"] = json!({"secs": dice.between(2, 12), "nanos": 0});
        }
        if dice.chance(200) {
            stage["placement"] = json!({"queue": BULK, "priority": dice.between(0, 3)});
        }
        if dice.chance(100) {
            stage["stage_timeout"] = json!({"secs": dice.between(4, 30), "nanos": 0});
        }
        if dice.chance(250) {
            stage["throttle"]["concurrency"] = json!({"group": "slots", "limit": SLOTS});
        }
        if dice.chance(150) {
            let per = json!({"secs": 1, "nanos": 0});
            stage["throttle"]["rate"] =
                json!({"group": "rate", "limit": RATE, "per": per, "burst": BURST});
        }
        // The two that publish are a little of everything else.
        if dice.chance(120) && index != 1 {
            let items: Vec<Value> = (0..dice.between(0, 5)).map(Value::from).collect();
            let items: Vec<Value> = items
                .into_iter()
                .map(|item| json!({"scalar": item}))
                .collect();
            stage["for_each"] = json!({"items": {"list": items}});
            if dice.chance(500) {
                stage["for_each"]["limit"] = json!(dice.between(1, 2));
            }
        }
        // Of the same name and options in any run: what one gives, the others use again. What publishes a
        // policy learns, and is never the same.
        if dice.chance(200) && index != 1 {
            stage["cache"] = json!({});
            if dice.chance(200) {
                stage["cache"] = json!({"max_age": {"secs": dice.between(1, 20), "nanos": 0}});
            }
        }
        // Stages that take no worker.
        if index > 1 && dice.chance(80) {
            if dice.chance(700) {
                stage["for_each"] = Value::Null;
            }
            stage["uses"] = json!("workflow/run");
            stage["with"] = json!({"map": {"workflow": {"scalar": CHILD}}});
            stage["outputs"] = json!([]);
            stage["cache"] = Value::Null;
        } else if index > 1 && dice.chance(80) {
            let duration = format!("{}ms", dice.between(1, 4000));
            stage["for_each"] = Value::Null;
            stage["cache"] = Value::Null;
            stage["uses"] = json!("wait/until");
            stage["with"] = json!({"map": {"duration": {"scalar": duration}}});
            stage["outputs"] = json!([]);
        } else if index > 1 && dice.chance(40) {
            stage["for_each"] = Value::Null;
            stage["cache"] = Value::Null;
            stage["uses"] = json!("wait/approval");
            stage["outputs"] = json!([]);
            stage["stage_timeout"] = json!({"secs": dice.between(1, 10), "nanos": 0});
        }
        // A workflow publishes a name once, so the first stage publishes a table, the second a policy.
        if index == 0 {
            stage["publish"] = json!([{"output": "rows", "kind": "table", "name": "table"}]);
        } else if index == 1 {
            stage["with"] =
                json!({"map": {"policy": {"policy": {"name": "policy", "learns": true}}}});
            stage["publish"] = json!([{"output": "rows", "kind": "policy", "name": "policy"}]);
        }
        stages.insert(name, stage);
    }
    let mut workflow = json!({"name": "test", "stages": Value::Object(stages)});
    if dice.chance(300) {
        let on_conflict = match dice.between(0, 5) {
            0 => "cancel_running",
            1 => "reject",
            _ => "queue",
        };
        workflow["concurrency"] =
            json!({"group": "group", "limit": dice.between(1, 2), "on_conflict": on_conflict});
    }
    serde_json::from_value(workflow).ok()
}

/// The name of the workflow that is deployed.
const CHILD: &str = "child";

/// A run of a deployed workflow, if there is one of that name.
pub(crate) fn child(run: RunId, name: &str) -> Option<Submission> {
    let stages = json!({
        "first": {"name": "first", "uses": KIND, "with": {"map": {}}, "outputs": ["rows"]},
        "last": {"name": "last", "uses": KIND, "with": {"map": {}}, "outputs": ["rows"], "needs": ["first"]},
    });
    let outputs = json!({"rows": {"value": {"scalar": "${{ stages.last }}"}, "needs": ["last"]}});
    let workflow = json!({"name": CHILD, "stages": stages, "outputs": outputs});
    Some(Submission {
        run,
        workflow: serde_json::from_value(workflow)
            .ok()
            .filter(|_| name == CHILD)?,
        bundle: "b".to_owned(),
        params: Map::new(),
        request_id: None,
        base_dir: None,
        group: None,
        schedule: None,
        trace: None,
        parent: None,
        ignores_cache: false,
    })
}

/// What an attempt that looks gives: the very outcome.
pub(crate) fn reused(assignment: &Assignment) -> Option<AttemptResult> {
    let outcome = assignment.options.get("outcome")?.clone();
    serde_json::from_value(outcome)
        .ok()
        .map(AttemptResult::Succeeded)
}

/// What an attempt gives: an output that tells which attempt wrote it.
pub(crate) fn success(token: &FencingToken) -> AttemptResult {
    let dataset = DatasetRef {
        manifest: token.to_string(),
        digest: "d".to_owned(),
        rows: u64::from(token.attempt.attempt.0),
        bytes: 1,
        content: None,
    };
    AttemptResult::Succeeded(Outcome {
        outputs: [("rows".to_owned(), dataset)].into(),
        ..Outcome::default()
    })
}

pub(crate) fn failure(class: FailureClass) -> AttemptResult {
    let diagnostic = Diagnostic::new(codes::STAGE_INTERNAL, "it broke");
    AttemptResult::Failed(StageFailure { class, diagnostic })
}
