//! A policy as a dataset: rows of what each action has earned in each segment, for people and queries, and
//! the exact state in the metadata of the schema.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use marquetry_plugin::{Input, StageContext, StageError};
use marquetry_rows::{invalid, select_as};
use marquetry_types::{PolicyVersion, codes};

use crate::{EarnedRow, PolicyBook};

/// The key of the state in the schema's metadata.
const STATE: &str = "marquetry.policy";

fn fields() -> Vec<Field> {
    vec![
        Field::new("action", DataType::Utf8, false),
        Field::new("segment", DataType::Utf8, true),
        Field::new("decisions", DataType::Int64, false),
        Field::new("responses", DataType::Int64, false),
        Field::new("reward_sum", DataType::Float64, false),
        Field::new("reward_mean", DataType::Float64, true),
    ]
}

/// The dataset of a policy: its schema, which carries the state, and its rows.
///
/// # Errors
/// The state cannot be written.
pub fn policy_batch(book: &PolicyBook) -> Result<(SchemaRef, RecordBatch), StageError> {
    let state = book.to_json().map_err(|error| {
        StageError::invalid(
            codes::STAGE_INTERNAL,
            format!("the policy cannot be written: {error}"),
        )
    })?;
    let metadata = HashMap::from([(STATE.to_owned(), state)]);
    let schema = Arc::new(Schema::new(fields()).with_metadata(metadata));
    let rows: Vec<_> = book.earned.rows().collect();
    let count = |of: fn(&EarnedRow) -> u64| {
        let counts = rows.iter();
        let counts = counts.map(|(_, _, row)| i64::try_from(of(row)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(counts)) as ArrayRef
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|(action, _, _)| *action),
        )),
        Arc::new(StringArray::from_iter(
            rows.iter().map(|(_, segment, _)| *segment),
        )),
        count(|row| row.decisions),
        count(|row| row.responses),
        Arc::new(Float64Array::from_iter_values(
            rows.iter().map(|(_, _, row)| row.rewards),
        )),
        Arc::new(Float64Array::from_iter(
            rows.iter().map(|(_, _, row)| row.mean()),
        )),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    Ok((schema, batch))
}

/// The policy of a version; none where nothing was published yet.
///
/// # Errors
/// The dataset is damaged, or no policy's.
pub async fn read_policy(
    stage: &StageContext,
    version: &PolicyVersion,
) -> Result<Option<PolicyBook>, StageError> {
    let Some(dataset) = &version.dataset else {
        return Ok(None);
    };
    let what = format!("policy `{}@{}`", version.name, version.version);
    let book = read(stage, &Input(dataset.clone()), &what).await?;
    Ok(Some(book))
}

/// The policy that another stage used, to start from.
///
/// # Errors
/// The dataset is damaged, or no policy's.
pub async fn start_of(stage: &StageContext, input: &Input) -> Result<PolicyBook, StageError> {
    read(stage, input, "the dataset of `from`").await
}

async fn read(stage: &StageContext, input: &Input, what: &str) -> Result<PolicyBook, StageError> {
    let frame = stage.table(input).await?;
    let schema = frame.schema().as_arrow().clone();
    let foreign = |problem: String| {
        invalid(
            codes::POLICY_SHAPE,
            format!("{what} cannot be read as a policy: {problem}"),
            "a policy is what `feedback/bandit` publishes, or the output `policy` of `personalization/offers`",
        )
    };
    let Some(state) = schema.metadata().get(STATE) else {
        return Err(foreign("it carries no state of one".to_owned()));
    };
    let mut book = PolicyBook::from_json(state).map_err(foreign)?;
    for batch in frame.collect().await? {
        let batch = select_as(what, &batch, &fields())?;
        add_rows(&mut book, &batch)
            .ok_or_else(|| foreign("its rows are not those of a policy".to_owned()))?;
    }
    Ok(book)
}

fn add_rows(book: &mut PolicyBook, batch: &RecordBatch) -> Option<()> {
    let texts = |column: usize| batch.column(column).as_any().downcast_ref::<StringArray>();
    let counts = |column: usize| batch.column(column).as_any().downcast_ref::<Int64Array>();
    let (actions, segments) = (texts(0)?, texts(1)?);
    let (decisions, responses) = (counts(2)?, counts(3)?);
    let rewards = batch.column(4).as_any().downcast_ref::<Float64Array>()?;
    for row in 0..batch.num_rows() {
        let segment = segments.is_valid(row).then(|| segments.value(row));
        let earned = EarnedRow {
            decisions: u64::try_from(decisions.value(row)).ok()?,
            responses: u64::try_from(responses.value(row)).ok()?,
            rewards: rewards.value(row),
        };
        book.earned.add(actions.value(row), segment, &earned);
    }
    Some(())
}
