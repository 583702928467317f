//! The stage kind `evaluation/stability`.

mod output;
mod panels;
mod refits;

use async_trait::async_trait;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted};
use marquetry_types::{Outcome, StageDescriptor};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::assignment::Assignment;
use refits::{Setting, Stable};

const DESCRIPTION: &str = "\
Says whether segments come back when customers are drawn anew: the bootstrap of C. Hennig, Cluster-wise assessment of \
cluster stability, 2007, as fpc::clusterboot in R does it with bootmethod \"boot\". `refits` times, as many customers \
as there are are drawn with replacement, and clustered by k-means into as many segments as `assignment` has, from \
k-means++ starts. A customer that was drawn twice counts twice.\n\n\
jaccard: for each segment the largest Jaccard coefficient, customers in common over customers in either, of the drawn \
part of the segment and any segment of the refit; 0 where none of it was drawn. Hennig: from 0.75 on a segment is \
stable, from 0.85 highly so; below 0.6 it should not be trusted. dissolved counts refits at 0.5 or less, recovered \
those at 0.75 or more. adjusted_rand: the adjusted Rand index (Hubert and Arabie 1985) of the assignment and the \
nearest centres of the refit, over all customers; 1 for the same segments, 0 as by chance. inertia is that of the \
refit, over the drawn customers.\n\n\
Give the rows that were clustered, scaled. Of more than `sample` customers, so many are taken, drawn by the seed, and \
the report says so. O(refits x starts x iterations x customers x segments x columns).";

const EXAMPLE: &str = "\
rows: ${{ stages.scaled }}
assignment: ${{ stages.segments }}
refits: 50
seed: 7
";

/// Options of `evaluation/stability`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StabilityOptions {
    /// The customers as they were clustered, one a row.
    rows: Input,
    /// Their segments: the key and `segment`.
    assignment: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    key: String,
    /// The columns that were clustered by; all numeric ones but the key.
    #[serde(default)]
    #[schemars(length(min = 1))]
    columns: Option<Vec<String>>,
    /// How often customers are drawn and clustered anew.
    #[serde(default = "refits")]
    #[schemars(range(min = 1, max = 1000))]
    refits: u32,
    /// Of how many customers at most.
    #[serde(default = "sample")]
    #[schemars(range(min = 10))]
    sample: usize,
    /// Starts of k-means in each refit; the one with the least inertia wins.
    #[serde(default = "starts")]
    #[schemars(range(min = 1, max = 1000))]
    starts: usize,
    /// Names the draws. Without it the stage's own seed is taken, the same in every run.
    #[serde(default)]
    seed: Option<u64>,
}

const fn refits() -> u32 {
    20
}

const fn sample() -> usize {
    100_000
}

const fn starts() -> usize {
    3
}

/// `evaluation/stability`.
#[derive(Debug)]
pub(crate) struct Stability {
    descriptor: StageDescriptor,
}

impl Default for Stability {
    fn default() -> Self {
        let summary = "say whether segments come back when customers are drawn anew";
        let descriptor = describe::<StabilityOptions>("evaluation/stability", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "segments",
                "segment, jaccard_mean and jaccard_min (0 to 1), and the refits in which it dissolved and recovered",
            )
            .output("refits", "refit (from 1), adjusted_rand, inertia")
            .metric("adjusted_rand_mean", "mean agreement of refits and assignment, 1 is the same")
            .metric("adjusted_rand_min", "least agreement of a refit")
            .metric("jaccard_min", "least jaccard_mean of a segment, 0 to 1")
            .metric("customers", "customers that the refits were made of")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Stability {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: StabilityOptions = stage.options()?;
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns: options.columns.as_deref(),
        };
        let rows = KeyedRows::read(&stage, wanted).await?;
        let assignment =
            Assignment::read(&stage, "assignment", &options.assignment, rows.keys()).await?;
        let columns = rows.chosen_columns(options.columns.as_deref())?;
        let setting = Setting {
            refits: options.refits,
            sample: options.sample,
            starts: options.starts,
            seed: options.seed.unwrap_or_else(|| stage.seed()),
            threads: stage.threads(),
        };
        let stable = refits::run(&stage, &rows, &columns, &assignment, setting).await?;
        remark(&stage, &stable, &assignment);

        let segments = output::segments(&stable, &assignment.names)?;
        stage
            .write_batches("segments", segments.schema(), vec![segments])
            .await?;
        let refits = output::refits(&stable)?;
        stage
            .write_batches("refits", refits.schema(), vec![refits])
            .await?;
        report(&mut stage, &stable);
        for panel in panels::all(&stable, &assignment) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

fn remark(stage: &StageContext, stable: &Stable, assignment: &Assignment) {
    let (customers, segments) = (assignment.rows.len(), assignment.names.len());
    let fields = [
        ("customers", json!(customers)),
        ("segments", json!(segments)),
    ];
    if segments < 2 {
        let message = "stability says something of 2 segments or more only";
        stage.log(LogLevel::Warn, message, fields);
    }
    if stable.customers < customers {
        let fields = [
            ("of", json!(customers)),
            ("sample", json!(stable.customers)),
        ];
        stage.log(LogLevel::Info, "refits are made of a sample", fields);
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn report(stage: &mut StageContext, stable: &Stable) {
    stage.metric("customers", stable.customers as f64);
    let figures = [
        ("adjusted_rand_mean", stable.adjusted_rand_mean()),
        ("adjusted_rand_min", stable.adjusted_rand_min()),
        ("jaccard_min", stable.jaccard_min()),
    ];
    for (name, value) in figures {
        if let Some(value) = value {
            stage.metric(name, value);
        }
    }
}
