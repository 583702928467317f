//! Random workflows.

use marquetry_types::{
    AttemptResult, DatasetRef, Diagnostic, FailureClass, FencingToken, Outcome, StageFailure, codes,
};
use marquetry_workflow::Workflow;
use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// The kind of every stage.
pub(crate) const KIND: &str = "test/stage";

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
    let workflow = json!({"name": "test", "stages": Value::Object(stages)});
    serde_json::from_value(workflow).ok()
}

/// What an attempt gives: an output that tells which attempt wrote it.
pub(crate) fn success(token: &FencingToken) -> AttemptResult {
    let dataset = DatasetRef {
        manifest: token.to_string(),
        digest: "d".to_owned(),
        rows: u64::from(token.attempt.attempt.0),
        bytes: 1,
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
