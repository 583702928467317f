//! The stage kind `evaluation/clusters`.

mod indices;
mod panels;
mod sizes;

use std::sync::Arc;

use async_trait::async_trait;
use marquetry_kernels::adjusted_rand;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted, from_kernel, off_thread};
use marquetry_types::{Outcome, StageDescriptor};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::assignment::Assignment;
use indices::{Indices, Setting};
use sizes::Sizes;

const DESCRIPTION: &str = "\
Says how well segments are separated, how large they are and what they bring in.\n\n\
silhouette (Rousseeuw 1987), from -1 to 1: how much closer customers are to their own segment than to the \
next; exact up to `exact_up_to` customers, beyond that exact within a sample that the report states. \
davies_bouldin (1979): 0 is best. calinski_harabasz (1974): more is better. adjusted_rand_index (Hubert and \
Arabie 1985): agreement with the assignment `against`, 1 for the same segments, 0 as by chance. All four are \
as scikit-learn defines them, over the columns as they are: give the scaled rows that were clustered.\n\n\
With fewer than two segments, or one for each customer, the first three are not defined and are left out. \
The silhouette costs O(sample² x columns), all else O(customers x columns).";

const EXAMPLE: &str = "\
rows: ${{ stages.scaled }}
assignment: ${{ stages.segments }}
revenue_from: ${{ stages.customers }}
";

/// Options of `evaluation/clusters`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClustersOptions {
    /// The customers as they were clustered, one a row.
    rows: Input,
    /// Their segments: the key and `segment`.
    assignment: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    key: String,
    /// The columns to compare; all numeric ones but the key.
    #[serde(default)]
    #[schemars(length(min = 1))]
    columns: Option<Vec<String>>,
    /// The column with the money that a customer brings in; `monetary` where it is there.
    #[serde(default)]
    revenue: Option<String>,
    /// The customers with that column, where `rows` are scaled: the sum of scaled money says nothing.
    #[serde(default)]
    revenue_from: Option<Input>,
    /// Another assignment to compare with: the key and `segment`.
    #[serde(default)]
    against: Option<Input>,
    /// Up to how many customers the silhouette is exact.
    #[serde(default = "exact_up_to")]
    #[schemars(range(max = 200_000))]
    exact_up_to: usize,
    /// Of how many customers, drawn by the seed, the silhouette is taken beyond that.
    #[serde(default = "sample")]
    #[schemars(range(min = 10, max = 200_000))]
    sample: usize,
    /// Names the draw of the sample. Without it the stage's own seed is taken, the same in every run.
    #[serde(default)]
    seed: Option<u64>,
}

const fn exact_up_to() -> usize {
    20_000
}

const fn sample() -> usize {
    10_000
}

/// `evaluation/clusters`.
#[derive(Debug)]
pub(crate) struct Clusters {
    descriptor: StageDescriptor,
}

impl Default for Clusters {
    fn default() -> Self {
        let summary = "judge segments: separation, sizes, revenue, agreement";
        let descriptor = describe::<ClustersOptions>("evaluation/clusters", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "sizes",
                "segment, customers, share (0 to 1), revenue and revenue_share, null where unknown",
            )
            .metric("customers", "customers that have a segment")
            .metric("clusters", "segments that have customers")
            .metric("silhouette", "mean silhouette, -1 to 1")
            .metric(
                "silhouette_customers",
                "customers of whom the silhouette was taken",
            )
            .metric("davies_bouldin", "Davies-Bouldin index, 0 is best")
            .metric(
                "calinski_harabasz",
                "Calinski-Harabasz index, more is better",
            )
            .metric(
                "adjusted_rand_index",
                "agreement with `against`, 1 is the same",
            )
            .metric(
                "smallest_share",
                "share of customers in the smallest segment, 0 to 1",
            )
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Clusters {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: ClustersOptions = stage.options()?;
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns: None,
        };
        let rows = KeyedRows::read(&stage, wanted).await?;
        let assignment =
            Assignment::read(&stage, "assignment", &options.assignment, rows.keys()).await?;
        let indices = measure(&stage, &options, &rows, &assignment).await?;
        let agreement = match &options.against {
            Some(input) => agreement(&stage, input, &rows, &assignment).await?,
            None => None,
        };
        let revenue = sizes::revenue(&stage, &options.revenue_option(), &rows, &assignment).await?;
        let sizes = Sizes::new(&assignment, revenue);

        let batch = sizes.batch(&assignment.names)?;
        stage
            .write_batches("sizes", batch.schema(), vec![batch])
            .await?;
        report(&mut stage, &indices, &sizes, agreement);
        for panel in panels::all(&indices, &sizes, &assignment.names, agreement) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

impl ClustersOptions {
    fn revenue_option(&self) -> sizes::RevenueOption<'_> {
        sizes::RevenueOption {
            column: self.revenue.as_deref(),
            from: self.revenue_from.as_ref(),
            key: &self.key,
        }
    }
}

/// The indices, computed off the threads that serve.
async fn measure(
    stage: &StageContext,
    options: &ClustersOptions,
    rows: &KeyedRows,
    assignment: &Assignment,
) -> Result<Indices, StageError> {
    let columns = rows.chosen_columns(options.columns.as_deref())?;
    let matrix = rows.matrix(&columns)?;
    let keys = rows.keys().clone();
    let assignment = Arc::new(assignment.clone());
    let setting = Setting {
        exact_up_to: options.exact_up_to,
        sample: options.sample,
        seed: options.seed.unwrap_or_else(|| stage.seed()),
        threads: stage.threads(),
    };
    stage.progress("measuring separation", 0, None, "customers");
    off_thread(move || {
        let with_segment = matrix.select(&assignment.rows);
        indices::measure(&with_segment, &assignment.labels, &setting)
            .map_err(|error| from_kernel(&error, &keys, &columns))
    })
    .await
}

/// The adjusted Rand index of the customers that both assignments have; none where there are none.
async fn agreement(
    stage: &StageContext,
    input: &Input,
    rows: &KeyedRows,
    assignment: &Assignment,
) -> Result<Option<f64>, StageError> {
    let other = Assignment::read(stage, "against", input, rows.keys()).await?;
    let of_row = other.label_of_rows(rows.len());
    let both = assignment.rows.iter().zip(&assignment.labels);
    let (left, right): (Vec<u32>, Vec<u32>) = both
        .filter_map(|(row, label)| Some((*label, of_row[*row]?)))
        .unzip();
    if left.is_empty() {
        return Ok(None);
    }
    let index =
        adjusted_rand(&left, &right).map_err(|error| from_kernel(&error, rows.keys(), &[]))?;
    Ok(Some(index))
}

/// Metrics and remarks.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn report(stage: &mut StageContext, indices: &Indices, sizes: &Sizes, agreement: Option<f64>) {
    stage.metric("customers", sizes.total as f64);
    stage.metric("clusters", sizes.segments.len() as f64);
    let smallest = sizes
        .segments
        .iter()
        .map(|segment| segment.share)
        .reduce(f64::min);
    let optional = [
        ("silhouette", indices.silhouette),
        (
            "silhouette_customers",
            indices.silhouette.map(|_| indices.silhouette_rows as f64),
        ),
        ("davies_bouldin", indices.davies_bouldin),
        ("calinski_harabasz", indices.calinski_harabasz),
        ("adjusted_rand_index", agreement),
        ("smallest_share", smallest),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            stage.metric(name, value);
        }
    }
    if indices.davies_bouldin.is_none() {
        let fields = [
            ("segments", json!(sizes.segments.len())),
            ("customers", json!(sizes.total)),
        ];
        let message =
            "separation is not defined: it needs 2 segments or more, and fewer than customers";
        stage.log(LogLevel::Warn, message, fields);
    }
}
