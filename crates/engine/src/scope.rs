//! What the expressions of a stage can see: parameters, the run, the stages that it needs, and the
//! published tables that the workflow reads.

use std::collections::BTreeSet;

use marquetry_types::{DATASET_KEY, DatasetRef, PublishedKind, StageName};
use serde_json::{Map, Value, json};

use crate::RunState;

/// The names for the expressions of a stage that needs `needs`. Only these stages are in it: a scope
/// of hundreds would cost every stage the size of the run.
pub(crate) fn scope(run: &RunState, needs: &BTreeSet<StageName>) -> Map<String, Value> {
    let stages = needs
        .iter()
        .filter_map(|name| Some((name.to_string(), stage(run, name)?)));
    let mut scope = Map::new();
    scope.insert("params".to_owned(), Value::Object(run.params().clone()));
    scope.insert("stages".to_owned(), Value::Object(stages.collect()));
    let tables = run.workflow().tables.iter();
    let tables = tables.map(|name| (name.to_string(), table(run, name.as_str())));
    scope.insert("tables".to_owned(), Value::Object(tables.collect()));
    scope.insert("run".to_owned(), about(run));
    scope
}

/// The run itself. What a schedule says of it is null where none wanted it.
fn about(run: &RunState) -> Value {
    let schedule = run.submitted.schedule.as_ref();
    json!({
        "id": run.id(),
        "submitted_at": run.submitted.at.to_string(),
        "scheduled_at": schedule.map(|it| it.at.to_string()),
        "interval_start": schedule.map(|it| it.interval_start.to_string()),
        "interval_end": schedule.map(|it| it.interval_end.to_string()),
    })
}

/// The version of a table that the run is pinned to; null where there is none.
fn table(run: &RunState, name: &str) -> Value {
    match run.pin(PublishedKind::Table, name) {
        Some(pin) => json!({
            "rows": pin.dataset.rows,
            "version": pin.version,
            DATASET_KEY: &pin.dataset,
        }),
        None => Value::Null,
    }
}

/// A stage as expressions see it. It stands for its first output, so it carries that reference.
fn stage(run: &RunState, name: &StageName) -> Option<Value> {
    let state = run.stages.get(name)?;
    let mut value = Map::new();
    value.insert("status".to_owned(), json!(state.status.as_str()));
    let Some(outcome) = &state.outcome else {
        value.insert("outputs".to_owned(), json!({}));
        value.insert("metrics".to_owned(), json!({}));
        return Some(Value::Object(value));
    };
    let declared = run
        .workflow()
        .stage(name)
        .and_then(|stage| stage.outputs.first());
    if let Some(primary) = declared.and_then(|primary| outcome.outputs.get(primary)) {
        value.insert("rows".to_owned(), json!(primary.rows));
        value.insert(DATASET_KEY.to_owned(), json!(primary));
    }
    let outputs = outcome
        .outputs
        .iter()
        .map(|(name, output)| (name.clone(), dataset(output)));
    value.insert("outputs".to_owned(), Value::Object(outputs.collect()));
    value.insert("metrics".to_owned(), json!(outcome.metrics));
    Some(Value::Object(value))
}

fn dataset(output: &DatasetRef) -> Value {
    json!({"rows": output.rows, DATASET_KEY: output})
}

/// Leaves of whatever stands for a dataset nothing but the reference.
pub(crate) fn reduce_datasets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(dataset) = fields.remove(DATASET_KEY) {
                *fields = Map::from_iter([(DATASET_KEY.to_owned(), dataset)]);
            } else {
                fields.values_mut().for_each(reduce_datasets);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(reduce_datasets),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
