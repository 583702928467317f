//! The log of decisions: what was decided for whom, among what, with what probability.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit};
use marquetry_plugin::{Input, StageContext, StageError};
use marquetry_rows::{invalid, select_as};
use marquetry_types::codes;

use crate::{Audience, Choices};

/// The names of the columns of a log beside the customer's key.
pub(crate) const LOG_COLUMNS: [&str; 9] = [
    "decision_id",
    "segment",
    "context",
    "eligible",
    "action",
    "propensity",
    "policy",
    "policy_version",
    "decided_at",
];

/// The columns of a log, after the customer's key: `decision_id`, `segment` (nullable), `context` (numbers,
/// a constant 1 first), `eligible` (names of actions), `action`, `propensity` (the probability of the action,
/// above 0), `policy`, `policy_version` (0 where none was published), `decided_at` (UTC).
#[must_use]
pub fn decisions_schema(key: Field) -> SchemaRef {
    let mut fields = vec![key];
    fields.extend(log_fields());
    Arc::new(Schema::new(fields))
}

fn log_fields() -> Vec<Field> {
    let list = |kind| DataType::List(Arc::new(Field::new("item", kind, false)));
    vec![
        Field::new("decision_id", DataType::Utf8, false),
        Field::new("segment", DataType::Utf8, true),
        Field::new("context", list(DataType::Float64), false),
        Field::new("eligible", list(DataType::Utf8), false),
        Field::new("action", DataType::Utf8, false),
        Field::new("propensity", DataType::Float64, false),
        Field::new("policy", DataType::Utf8, false),
        Field::new("policy_version", DataType::Int64, false),
        Field::new("decided_at", time_type(), false),
    ]
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A moment that an option names, in microseconds since 1970.
///
/// # Errors
/// It is none that RFC 3339 writes.
pub fn instant(option: &str, text: &str) -> Result<i64, StageError> {
    let moment = text.parse::<jiff::Timestamp>().map_err(|error| {
        invalid(
            codes::STAGE_OPTIONS,
            format!("`{option}` is {text:?}, which is no moment: {error}"),
            "write it as in `2025-01-31T08:00:00Z`, or `\"${{ run.submitted_at }}\"`",
        )
    })?;
    Ok(moment.as_microsecond())
}

/// What the decisions of one run have in common.
#[derive(Debug, Clone)]
pub struct DecisionLog<'a> {
    /// Identifies the run and stage: ids of decisions follow from it and the customer.
    pub origin: &'a str,
    /// The policy.
    pub policy: &'a str,
    /// Its version, 0 where none was published.
    pub version: u64,
    /// When, in microseconds since 1970.
    pub decided_at: i64,
}

impl DecisionLog<'_> {
    /// The log of what was chosen, in the order of the customers. Whoever got nothing is not in it.
    ///
    /// # Errors
    /// Never, as long as the choices are those of the audience.
    pub fn batch(&self, audience: &Audience, choices: &Choices) -> Result<RecordBatch, StageError> {
        let schema = decisions_schema(audience.keys().field());
        let chosen: Vec<_> = (0..audience.len())
            .filter_map(|row| Some((row, choices.choices.get(row).copied().flatten()?)))
            .collect();
        let names = audience.actions();
        let places = Int64Array::from_iter_values(chosen.iter().map(|(row, _)| *row as i64));
        let keys = arrow::compute::take(&audience.keys().array(), &places, None)?;
        let ids = chosen
            .iter()
            .map(|(row, _)| decision_id(self.origin, &audience.keys().shown(*row)));
        let contexts = chosen.iter().map(|(row, _)| audience.context(*row));
        let context_lengths = contexts.clone().map(<[f64]>::len);
        let contexts: Float64Array = contexts.flatten().copied().collect::<Vec<_>>().into();
        let eligible = |(_, choice): &(usize, crate::Choice)| &choices.sets[choice.eligible];
        let sets = chosen.iter().flat_map(|it| eligible(it).iter());
        let set_names: Vec<&str> = sets.map(|action| names[*action]).collect();
        let set_names = StringArray::from(set_names);
        let count = chosen.len();
        let columns: Vec<ArrayRef> = vec![
            keys,
            Arc::new(StringArray::from_iter_values(ids)),
            Arc::new(StringArray::from_iter(
                chosen.iter().map(|(row, _)| audience.segment(*row)),
            )),
            Arc::new(list(
                DataType::Float64,
                context_lengths,
                Arc::new(contexts),
            )?),
            Arc::new(list(
                DataType::Utf8,
                chosen.iter().map(|it| eligible(it).len()),
                Arc::new(set_names),
            )?),
            Arc::new(StringArray::from_iter_values(
                chosen.iter().map(|(_, choice)| names[choice.action]),
            )),
            Arc::new(Float64Array::from_iter_values(
                chosen.iter().map(|(_, choice)| choice.propensity),
            )),
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                self.policy,
                count,
            ))),
            Arc::new(Int64Array::from(vec![
                i64::try_from(self.version)
                    .unwrap_or(i64::MAX);
                count
            ])),
            Arc::new(
                TimestampMicrosecondArray::from(vec![self.decided_at; count]).with_timezone("UTC"),
            ),
        ];
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

fn list(
    kind: DataType,
    lengths: impl IntoIterator<Item = usize>,
    values: ArrayRef,
) -> Result<ListArray, StageError> {
    let field = Arc::new(Field::new("item", kind, false));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(ListArray::try_new(field, offsets, values, None)?)
}

/// The id of a decision: the same for every attempt at it.
fn decision_id(origin: &str, customer: &str) -> String {
    let digest = blake3::hash(format!("{origin}\n{customer}").as_bytes());
    digest
        .to_hex()
        .as_str()
        .get(..20)
        .unwrap_or_default()
        .to_owned()
}

/// A decision as it was logged.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedDecision {
    /// Its id.
    pub id: String,
    /// The customer's segment.
    pub segment: Option<String>,
    /// The context, a constant 1 first.
    pub context: Vec<f64>,
    /// The names of what was eligible.
    pub eligible: Vec<String>,
    /// What was done.
    pub action: String,
    /// With what probability.
    pub propensity: f64,
    /// When, in microseconds since 1970.
    pub decided_at: i64,
}

impl LoggedDecision {
    /// Reads a log, in the order of the ids.
    ///
    /// # Errors
    /// A column is missing or of another type, a decision stands in it twice, or the action of one was not
    /// eligible.
    pub async fn read(stage: &StageContext, input: &Input) -> Result<Vec<Self>, StageError> {
        let mut decisions = Vec::new();
        for batch in stage.table(input).await?.collect().await? {
            stage.check_cancelled()?;
            let batch = select_as("decisions", &batch, &log_fields())?;
            read_batch(&batch, &mut decisions).ok_or_else(|| {
                StageError::invalid(codes::COLUMN_MISMATCH, "`decisions` is no log of decisions")
            })?;
        }
        decisions.sort_by(|left, right| left.id.cmp(&right.id));
        for pair in decisions.windows(2) {
            if let [first, second] = pair
                && first.id == second.id
            {
                let message = format!("decision {:?} stands in `decisions` twice", first.id);
                let help = "give each run's log once, or keep one row a decision with features/sql";
                return Err(invalid(codes::BAD_VALUE, message, help));
            }
        }
        for decision in &decisions {
            let id = &decision.id;
            let wrong = if !decision.eligible.contains(&decision.action) {
                format!("the action `{}` was not eligible", decision.action)
            } else if !(decision.propensity > 0.0 && decision.propensity <= 1.0) {
                format!("the propensity is {}", decision.propensity)
            } else {
                continue;
            };
            let message = format!("decision {id:?} of `decisions`: {wrong}");
            let help = "a log is what `personalization/offers` gives";
            return Err(invalid(codes::BAD_VALUE, message, help));
        }
        Ok(decisions)
    }
}

fn read_batch(batch: &RecordBatch, decisions: &mut Vec<LoggedDecision>) -> Option<()> {
    let ids = batch.column(0).as_string_opt::<i32>()?;
    let segments = batch.column(1).as_string_opt::<i32>()?;
    let contexts = batch.column(2).as_list_opt::<i32>()?;
    let eligible = batch.column(3).as_list_opt::<i32>()?;
    let actions = batch.column(4).as_string_opt::<i32>()?;
    let propensities = batch.column(5).as_primitive_opt::<Float64Type>()?;
    let moments = batch
        .column(8)
        .as_any()
        .downcast_ref::<TimestampMicrosecondArray>()?;
    for row in 0..batch.num_rows() {
        let names = eligible.value(row);
        let names = names.as_string_opt::<i32>()?;
        decisions.push(LoggedDecision {
            id: ids.value(row).to_owned(),
            segment: segments
                .is_valid(row)
                .then(|| segments.value(row).to_owned()),
            context: contexts
                .value(row)
                .as_primitive_opt::<Float64Type>()?
                .values()
                .to_vec(),
            eligible: names.iter().flatten().map(str::to_owned).collect(),
            action: actions.value(row).to_owned(),
            propensity: propensities.value(row),
            decided_at: moments.value(row),
        });
    }
    Some(())
}
