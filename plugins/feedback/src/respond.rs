//! The stage kind `feedback/respond`: what the sample's customers answer to decisions, for demos and tests.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use async_trait::async_trait;
use marquetry_decisions::seed_of;
use marquetry_plugin::{Input, StageContext, StageError, StageHandler, describe};
use marquetry_policy::Random;
use marquetry_rows::select_as;
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::planted::{Planted, Sample};

const DESCRIPTION: &str = "\
Answers decisions as the customers of `marquetry sample orders` would: each planted group likes some offers more than \
others. Who responds gives a row with reward 1, some minutes to five days later; who does not gives none. It stands \
where a real workflow ingests clicks or orders, and knows no other customers than the sample's.\n\n\
The answer to a decision follows from its id and the seed. O(decisions).";

const EXAMPLE: &str = "\
decisions: ${{ stages.offers }}
sample: { rows: 200000, seed: 1 }
";

/// Options of `feedback/respond`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RespondOptions {
    /// The log of decisions.
    decisions: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    key: String,
    /// Which sample the customers are of.
    sample: Sample,
    /// Makes other answers.
    #[serde(default)]
    seed: u64,
}

/// `feedback/respond`.
#[derive(Debug)]
pub(crate) struct Respond {
    descriptor: StageDescriptor,
}

impl Default for Respond {
    fn default() -> Self {
        let summary = "answer decisions as the customers of the sample would";
        let descriptor = describe::<RespondOptions>("feedback/respond", 1, summary)
            .description(DESCRIPTION)
            .output(
                "responses",
                "a row for each customer that responded: decision_id, ts, reward (1)",
            )
            .metric(
                "decisions",
                "decisions that were answered, one way or the other",
            )
            .metric("responses", "customers that responded")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

/// The longest time that a customer takes, in microseconds: five days.
const SLOWEST: f64 = 5.0 * 24.0 * 3600.0 * 1e6;

#[async_trait]
impl StageHandler for Respond {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "metrics are floats, and a delay is far below 2^53 microseconds"
    )]
    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: RespondOptions = stage.options()?;
        let planted = Planted::of(options.sample)?;
        let moment = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let fields = [
            Field::new(&options.key, DataType::Int64, false),
            Field::new("decision_id", DataType::Utf8, false),
            Field::new("action", DataType::Utf8, false),
            Field::new("decided_at", moment(), false),
        ];
        let mut answers: Vec<(String, i64)> = Vec::new();
        let mut decisions = 0_usize;
        for batch in stage.table(&options.decisions).await?.collect().await? {
            stage.check_cancelled()?;
            let batch = select_as("decisions", &batch, &fields)?;
            let unreadable = || {
                StageError::invalid(codes::COLUMN_MISMATCH, "`decisions` is no log of decisions")
            };
            let customers = batch.column(0).as_primitive::<Int64Type>();
            let ids = batch
                .column(1)
                .as_string_opt::<i32>()
                .ok_or_else(unreadable)?;
            let actions = batch
                .column(2)
                .as_string_opt::<i32>()
                .ok_or_else(unreadable)?;
            let decided = batch.column(3).as_primitive::<TimestampMicrosecondType>();
            for row in 0..batch.num_rows() {
                decisions += 1;
                let rate = planted.rate(customers.value(row), actions.value(row))?;
                let mut random = Random::new(seed_of(&[ids.value(row)], options.seed), 0);
                if random.unit() < rate {
                    let delay = 60e6 + random.unit() * (SLOWEST - 60e6);
                    let at = decided.value(row).saturating_add(delay as i64);
                    answers.push((ids.value(row).to_owned(), at));
                }
            }
        }
        answers.sort();
        let schema = Arc::new(Schema::new(vec![
            Field::new("decision_id", DataType::Utf8, false),
            Field::new("ts", moment(), false),
            Field::new("reward", DataType::Float64, false),
        ]));
        let times = answers.iter().map(|(_, at)| *at);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                answers.iter().map(|(id, _)| id),
            )),
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
            Arc::new(Float64Array::from(vec![1.0; answers.len()])),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        stage.write_batches("responses", schema, vec![rows]).await?;
        stage.metric("decisions", decisions as f64);
        stage.metric("responses", answers.len() as f64);
        Ok(stage.finish())
    }
}
