//! A stage that runs once for each item of a list: the list is evaluated once and recorded, its items are
//! stages of their own with the name `STAGE.PLACE`, and when all of them have succeeded one more attempt
//! gathers what they gave.

use std::collections::BTreeSet;

use marquetry_types::{
    DATASET_KEY, Diagnostic, FailureClass, RunId, StageKind, StageName, Timestamp, codes,
};
use serde_json::{Map, Value, json};

use crate::{Decision, Engine, Record, Rejection, RunState, StageStatus};

/// The most items of one stage.
const MAX_ITEMS: usize = 20_000;

/// Which items of a stage may run, and which wait for others to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fan {
    limit: Option<usize>,
    active: BTreeSet<usize>,
    parked: BTreeSet<usize>,
}

impl Fan {
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self {
            limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            ..Self::default()
        }
    }

    /// An item runs already.
    pub(crate) fn activate(&mut self, index: usize) {
        self.active.insert(index);
    }

    /// Whether an item may go ahead; if not, it is remembered.
    pub(crate) fn admit(&mut self, index: usize) -> bool {
        let is_in = self.active.contains(&index);
        if is_in || self.limit.is_none_or(|limit| self.active.len() < limit) {
            self.active.insert(index);
            return true;
        }
        self.parked.insert(index);
        false
    }

    /// An item ended. Gives the one that may go ahead instead.
    pub(crate) fn end(&mut self, index: usize) -> Option<usize> {
        if !self.active.remove(&index) {
            return None;
        }
        self.parked.pop_first()
    }
}

impl Engine {
    /// Makes a stage's list its items.
    pub(crate) fn expand(
        &mut self,
        run: &RunId,
        stage: StageName,
        items: Value,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let items = match items_of(&stage, items) {
            Ok(items) => items,
            Err(diagnostic) => {
                let class = FailureClass::Invalid;
                return self.fail_stage(run, stage, class, diagnostic, now, decision);
            }
        };
        let run = run.clone();
        let record = if items.is_empty() {
            let reason = "its list has no items".to_owned();
            Record::StageSkipped {
                run,
                stage,
                reason,
                at: now,
            }
        } else {
            Record::StageExpanded {
                run,
                stage,
                items,
                at: now,
            }
        };
        Ok(self.record(record, decision)?)
    }
}

/// The items that a value stands for, or why it stands for none.
fn items_of(stage: &StageName, value: Value) -> Result<Vec<Value>, Diagnostic> {
    let kind = match value {
        Value::Array(items) if items.len() <= MAX_ITEMS => return Ok(items),
        Value::Array(items) => {
            let message = format!(
                "`for_each` of stage `{stage}` has {} items, and {MAX_ITEMS} are the most",
                items.len()
            );
            return Err(Diagnostic::new(codes::SCRIPT_LIMIT, message)
                .help("let an item stand for several things"));
        }
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Object(_) => "a mapping",
    };
    let message = format!("`for_each` of stage `{stage}` must be a list, got {kind}");
    Err(Diagnostic::new(codes::SCRIPT_TYPE, message)
        .help("write a list, or an expression that gives one, as in `params.regions`"))
}

/// What every item of a stage came to, once all have ended.
pub(crate) enum Gathered {
    /// The options of the attempt that gathers.
    Options(Value),
    /// Items did not succeed.
    Failed(Diagnostic),
}

/// The kind of the attempt that gathers.
pub(crate) fn gather_kind(otherwise: &StageKind) -> StageKind {
    // It is a valid name.
    "dataset/gather"
        .parse()
        .unwrap_or_else(|_| otherwise.clone())
}

/// What the items of a stage came to.
pub(crate) fn gathered(run: &RunState, stage: &StageName, count: usize) -> Gathered {
    let states = (0..count).filter_map(|place| {
        let name = stage.item(place);
        run.stages.get(&name).map(|state| (name, state))
    });
    let mut outputs: Map<String, Value> = Map::new();
    let mut failed = 0_usize;
    let mut first = None;
    for (name, state) in states {
        match &state.outcome {
            Some(outcome) if state.status == StageStatus::Succeeded => {
                for (output, dataset) in &outcome.outputs {
                    let list = outputs.entry(output).or_insert_with(|| json!([]));
                    if let Some(list) = list.as_array_mut() {
                        list.push(json!({DATASET_KEY: dataset}));
                    }
                }
            }
            _ => {
                failed += 1;
                first.get_or_insert((name, state));
            }
        }
    }
    let Some((name, state)) = first else {
        return Gathered::Options(json!({"items": count, "outputs": outputs}));
    };
    let (code, why) = match &state.failure {
        Some(failure) => (
            failure.diagnostic.code.clone(),
            failure.diagnostic.message.clone(),
        ),
        None => (codes::CANCELLED, format!("it is {}", state.status.as_str())),
    };
    let message = format!("{failed} of {count} items failed, the first of them `{name}`: {why}");
    let diagnostic = Diagnostic::new(code, message)
        .help("`marquetry retry RUN` does those again that did not succeed");
    Gathered::Failed(diagnostic)
}
