//! The stage kind `segmentation/assign`: customers to the segments of centres that are there.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema};
use async_trait::async_trait;
use marquetry_kernels::assign;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted, check_key, from_kernel, invalid, off_thread};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::centres::Centres;
use crate::output::{SEGMENT, numbered};

const DESCRIPTION: &str = "\
Puts every customer into the segment whose centre is nearest, by Euclidean distance over the columns of the \
centres; of centres equally near, into the first. The centres are those of segmentation/kmeans, of this run or \
an earlier one, or any dataset with a column `segment`. Scale new customers as those were scaled that the \
centres come from (features/scale applies fitted parameters again).\n\n\
O(customers x segments x columns).";

const EXAMPLE: &str = "\
rows: ${{ stages.scaled_new_customers }}
centres: ${{ stages.segments.outputs.centres }}
";

/// Options of `segmentation/assign`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AssignOptions {
    /// The customers, one a row.
    rows: Input,
    /// The centres: a column `segment`, and the columns to compare.
    centres: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    key: String,
    /// The columns to compare; all numeric ones of the centres but `segment` and `customers`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    columns: Option<Vec<String>>,
}

/// `segmentation/assign`.
#[derive(Debug)]
pub(crate) struct Assign {
    descriptor: StageDescriptor,
}

impl Default for Assign {
    fn default() -> Self {
        let summary = "put customers into the segments of given centres";
        let descriptor = describe::<AssignOptions>("segmentation/assign", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "segments",
                "the key, segment as the centres name it, and the distance from its centre",
            )
            .metric("customers", "rows assigned")
            .metric(
                "mean_distance",
                "mean distance from the nearest centre: it grows when customers drift away",
            )
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Assign {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: AssignOptions = stage.options()?;
        check_key(&options.key, &[SEGMENT, "distance"])?;
        let centres = Centres::read(&stage, &options.centres, options.columns.as_deref()).await?;
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns: Some(&centres.columns),
        };
        let rows = KeyedRows::read(&stage, wanted).await?;
        let columns = rows.chosen_columns(Some(&centres.columns))?;
        let points = rows.matrix(&columns)?;
        let segments = centres.segments.clone();

        let threads = stage.threads();
        let keys = rows.keys().clone();
        let found = off_thread(move || {
            if points.rows() == 0 {
                return Ok(None);
            }
            let found = assign(&points, &centres.points, threads)
                .map_err(|error| from_kernel(&error, &keys, &columns))?;
            let distances = &found.squared_distances;
            match distances.iter().position(|squared| !squared.is_finite()) {
                None => Ok(Some(found)),
                Some(row) => Err(invalid(
                    codes::BAD_VALUE,
                    format!(
                        "the distance of {} from every centre is beyond floating point",
                        keys.shown(row)
                    ),
                    "scale the customers as those were scaled that the centres come from",
                )),
            }
        })
        .await?;
        let (labels, squared) = found.map_or_else(Default::default, |found| {
            (found.labels, found.squared_distances)
        });

        // Segments keep the names that the centres have for them.
        let batch = numbered(rows.keys(), &labels, &squared)?;
        let names = take(&segments.array(), &UInt32Array::from(labels), None)?;
        let fields = vec![
            rows.keys().field(),
            Field::new(SEGMENT, names.data_type().clone(), false),
            batch.schema().field(2).clone(),
        ];
        let columns = vec![
            Arc::clone(batch.column(0)),
            names,
            Arc::clone(batch.column(2)),
        ];
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        stage
            .write_batches("segments", batch.schema(), vec![batch])
            .await?;

        #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
        let count = squared.len() as f64;
        stage.metric("customers", count);
        if squared.is_empty() {
            stage.log(
                LogLevel::Warn,
                "there are no customers to assign",
                [("option", json!("rows"))],
            );
        } else {
            stage.metric(
                "mean_distance",
                squared.iter().map(|squared| squared.sqrt()).sum::<f64>() / count,
            );
        }
        Ok(stage.finish())
    }
}
