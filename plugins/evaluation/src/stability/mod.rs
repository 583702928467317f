//! The stage kind `evaluation/stability`.

mod panels;
mod refits;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use marquetry_kernels::sample_rows;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{from_kernel, invalid, off_thread};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::assignment::{Judged, Names, SEGMENT};
use crate::{counted, float, integer};
use refits::{Refit, SegmentStability, Setting, Stable};

const DESCRIPTION: &str = "\
Says whether segments come back when the customers are drawn anew: those that do not are a chance of the data. \
By C. Hennig, Cluster-wise assessment of cluster stability, 2007. Each refit draws as many customers as there \
are, with replacement, clusters the draw by k-means (a customer drawn twice counts twice), and gives every \
customer to the nearest centre found.\n\n\
adjusted_rand (Hubert and Arabie 1985), of each refit: agreement with `assignment` over all customers, 1 for the \
same segments, 0 as by chance. jaccard, of each segment and refit: the largest Jaccard coefficient of the segment \
with a cluster of the refit, that is customers in both over customers in either, over the distinct customers \
drawn, as clusterboot of R's fpc takes it; a refit that drew no customer of a segment says nothing of it. A segment \
whose mean is below 0.6 should not be trusted, 0.75 and more is a stable one (Hennig). It is dissolved by a refit at \
0.5 or less, recovered at 0.75 or more.\n\n\
Give the rows and columns that were clustered. Segments that something else than k-means made are held to how well \
k-means finds them again. Beyond `sample` customers the refits are of a sample, drawn by the seed; the report says \
so. O(refits x starts x iterations x sample x segments x columns).";

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
    /// How many clusters a refit looks for; as many as `assignment` has segments with customers.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10_000))]
    k: Option<usize>,
    /// How many times customers are drawn and clustered anew.
    #[serde(default = "refits")]
    #[schemars(range(min = 1, max = 10_000))]
    refits: usize,
    /// Names the draws and the starts of k-means. Without it the stage's own seed is taken, the same in
    /// every run.
    #[serde(default)]
    seed: Option<u64>,
    /// How many starts each refit tries; the one with the least inertia wins.
    #[serde(default = "starts")]
    #[schemars(range(min = 1, max = 1000))]
    starts: usize,
    /// Iterations at most, of each start.
    #[serde(default = "max_iterations")]
    #[schemars(range(min = 1, max = 100_000))]
    max_iterations: usize,
    /// When iterations end, as in segmentation/kmeans.
    #[serde(default = "tolerance")]
    #[schemars(range(min = 0.0))]
    tolerance: f64,
    /// Of how many customers at most the refits are, drawn by the seed.
    #[serde(default = "sample")]
    #[schemars(range(min = 10))]
    sample: usize,
}

const fn refits() -> usize {
    20
}

const fn starts() -> usize {
    3
}

const fn max_iterations() -> usize {
    300
}

const fn tolerance() -> f64 {
    1e-4
}

const fn sample() -> usize {
    50_000
}

/// `evaluation/stability`.
#[derive(Debug)]
pub(crate) struct Stability {
    descriptor: StageDescriptor,
}

impl Default for Stability {
    fn default() -> Self {
        let summary = "judge segments: do they come back when customers are drawn anew";
        let descriptor = describe::<StabilityOptions>("evaluation/stability", 1, summary)
            .description(DESCRIPTION)
            .output(
                "segments",
                "segment, customers, refits that drew some of them, jaccard_mean and jaccard_min (0 to 1, null \
                 where no refit did), dissolved and recovered (refits)",
            )
            .output("refits", "refit, adjusted_rand, inertia of the drawn customers")
            .metric("customers", "customers that were drawn from")
            .metric("segments", "segments judged")
            .metric("adjusted_rand_mean", "mean agreement of the refits with the segments, 1 is the same")
            .metric("adjusted_rand_min", "the least agreement of a refit")
            .metric("jaccard_min", "mean Jaccard coefficient of the least stable segment, 0 to 1")
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
        if !options.tolerance.is_finite() || options.tolerance < 0.0 {
            return Err(invalid(
                codes::STAGE_OPTIONS,
                "`tolerance` is not 0 or more",
                "the usual value is 0.0001",
            ));
        }
        let judged = Judged::read(
            &stage,
            &options.rows,
            &options.assignment,
            &options.key,
            options.columns.as_deref(),
        )
        .await?;
        let names = judged.assignment.names.clone();
        let sizes = judged.assignment.sizes.clone();
        let customers = judged.assignment.rows.len();
        let stable = refit(&stage, &options, judged).await?;

        let segments = segments_batch(&names, &sizes, &stable.segments)?;
        stage
            .write_batches("segments", segments.schema(), vec![segments])
            .await?;
        let refits = refits_batch(&stable.refits)?;
        stage
            .write_batches("refits", refits.schema(), vec![refits])
            .await?;
        report(&mut stage, &stable, customers);
        for panel in panels::all(&names, &stable, customers) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

/// All refits, off the threads that serve.
async fn refit(
    stage: &StageContext,
    options: &StabilityOptions,
    judged: Judged,
) -> Result<Stable, StageError> {
    let Judged { rows, assignment } = judged;
    let columns = rows.chosen_columns(options.columns.as_deref())?;
    let seed = options.seed.unwrap_or_else(|| stage.seed());
    let sampled = sample_rows(assignment.rows.len(), options.sample, seed);
    let setting = Setting {
        k: options.k.unwrap_or(assignment.names.len()),
        refits: options.refits,
        seed,
        starts: options.starts,
        max_iterations: options.max_iterations,
        tolerance: options.tolerance,
        threads: stage.threads(),
    };
    check_count(&setting, sampled.len())?;
    let matrix = rows.matrix(&columns)?;
    let keys = rows.keys().clone();
    let reporter = stage.reporter();
    off_thread(move || {
        // `rows` holds the memory that the matrix counts against.
        let _reserved = rows;
        let of_sample: Vec<usize> = sampled
            .iter()
            .map(|place| assignment.rows[*place])
            .collect();
        let labels: Vec<u32> = sampled
            .iter()
            .map(|place| assignment.labels[*place])
            .collect();
        // A fault of a value is told by the customer who has it, so it is looked for in all rows.
        let fail = |error| from_kernel(&error, &keys, &columns);
        matrix.check().map_err(fail)?;
        let drawn_from = matrix.select(&of_sample);
        drop(matrix);
        let total = setting.refits as u64;
        let mut watcher = |done: usize| {
            reporter.progress("refitting", done as u64, Some(total), "refits");
            if reporter.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        refits::all(
            &drawn_from,
            &labels,
            assignment.names.len(),
            &setting,
            &mut watcher,
        )
        .map_err(fail)
    })
    .await
}

/// Refuses fewer customers than clusters, in the words of the options.
fn check_count(setting: &Setting, customers: usize) -> Result<(), StageError> {
    if customers == 0 {
        return Err(invalid(
            codes::TOO_FEW_ROWS,
            "`rows` has no customers with a segment to draw from",
            "look at the stages that make `rows` and `assignment`: an input or a filter may be empty",
        ));
    }
    if setting.k <= customers {
        return Ok(());
    }
    Err(invalid(
        codes::TOO_FEW_ROWS,
        format!(
            "{} of {}: there are too few customers",
            counted(setting.k, "segment"),
            counted(customers, "customer")
        ),
        format!("the largest `k` here is {customers}; or look why there are so few customers"),
    ))
}

fn segments_batch(
    names: &Names,
    sizes: &[usize],
    segments: &[SegmentStability],
) -> Result<RecordBatch, StageError> {
    let fields = vec![
        Field::new(SEGMENT, names.kind(), false),
        Field::new("customers", DataType::Int64, false),
        Field::new("refits", DataType::Int64, false),
        Field::new("jaccard_mean", DataType::Float64, true),
        Field::new("jaccard_min", DataType::Float64, true),
        Field::new("dissolved", DataType::Int64, false),
        Field::new("recovered", DataType::Int64, false),
    ];
    let counts = |value: fn(&SegmentStability) -> usize| -> ArrayRef {
        let counts = segments.iter().map(|segment| integer(value(segment)));
        Arc::new(Int64Array::from_iter_values(counts))
    };
    let floats = |value: fn(&SegmentStability) -> Option<f64>| -> ArrayRef {
        Arc::new(segments.iter().map(value).collect::<Float64Array>())
    };
    let columns = vec![
        names.column(0..segments.len()),
        Arc::new(Int64Array::from_iter_values(
            sizes.iter().copied().map(integer),
        )),
        counts(|segment| segment.refits),
        floats(|segment| segment.mean),
        floats(|segment| segment.min),
        counts(|segment| segment.dissolved),
        counts(|segment| segment.recovered),
    ];
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

fn refits_batch(refits: &[Refit]) -> Result<RecordBatch, StageError> {
    let fields = vec![
        Field::new("refit", DataType::Int64, false),
        Field::new("adjusted_rand", DataType::Float64, false),
        Field::new("inertia", DataType::Float64, false),
    ];
    let floats = |value: fn(&Refit) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(refits.iter().map(value)))
    };
    let columns = vec![
        Arc::new(Int64Array::from_iter_values(
            (1..=refits.len()).map(integer),
        )) as ArrayRef,
        floats(|refit| refit.adjusted_rand),
        floats(|refit| refit.inertia),
    ];
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

/// Metrics and remarks.
fn report(stage: &mut StageContext, stable: &Stable, customers: usize) {
    stage.metric("customers", float(stable.drawn_from));
    stage.metric("segments", float(stable.segments.len()));
    stage.metric("adjusted_rand_mean", stable.mean_agreement());
    if let Some(least) = stable.least_agreement() {
        stage.metric("adjusted_rand_min", least);
    }
    if let Some(least) = stable.least_jaccard() {
        stage.metric("jaccard_min", least);
    }
    if stable.drawn_from < customers {
        let fields = [
            ("sample", json!(stable.drawn_from)),
            ("customers", json!(customers)),
        ];
        stage.log(LogLevel::Info, "the refits are of a sample", fields);
    }
    let unseen = stable.segments.iter().filter(|segment| segment.refits == 0);
    let unseen = unseen.count();
    if unseen > 0 {
        let fields = [("segments", json!(unseen))];
        let message = "segments are so small that no refit drew a customer of them";
        stage.log(LogLevel::Warn, message, fields);
    }
}
