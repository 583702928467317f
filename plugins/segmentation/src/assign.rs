//! The stage kind `segmentation/assign`: customers to the segments of centres that are there.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use marquetry_kernels::{Assignment, assign};
use marquetry_passes::{NearestCentre, Scan, unless_too_large, write_by_key};
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{
    KeyedRows, Keys, Wanted, check_key, choose_columns, from_kernel, invalid, off_thread,
};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::centres::Centres;
use crate::output::{SEGMENT, numbered, numbered_schema};

const DESCRIPTION: &str = "\
Puts every customer into the segment whose centre is nearest, by Euclidean distance over the columns of the \
centres; of centres equally near, into the first. The centres are those of segmentation/kmeans, of this run or \
an earlier one, or any dataset with a column `segment`. Scale new customers as those were scaled that the \
centres come from (features/scale applies fitted parameters again).\n\n\
O(customers x segments x columns). Where customers do not fit into memory, or `parallelism` is `cluster`, it is \
a query that workers share.";

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
    /// Whether customers may be read into memory, as they are where they fit.
    is_in_memory: bool,
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
        Self {
            descriptor,
            is_in_memory: true,
        }
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
        let loaded = if self.is_in_memory && !stage.is_spread() {
            unless_too_large(&stage, KeyedRows::read(&stage, wanted).await)?
        } else {
            None
        };
        let distances = match loaded {
            Some(rows) => in_memory(&mut stage, rows, centres).await?,
            None => by_query(&mut stage, wanted, &centres).await?,
        };

        #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
        let count = distances.customers as f64;
        stage.metric("customers", count);
        if distances.customers == 0 {
            stage.log(
                LogLevel::Warn,
                "there are no customers to assign",
                [("option", json!("rows"))],
            );
        } else {
            stage.metric("mean_distance", distances.sum / count);
        }
        Ok(stage.finish())
    }
}

/// What is known of customers whose segments are written.
#[derive(Debug, Default)]
struct Distances {
    customers: u64,
    /// The sum of the distances, in the order of the key.
    sum: f64,
}

impl Distances {
    fn add(&mut self, squared_distances: &[f64]) {
        self.customers += squared_distances.len() as u64;
        for squared in squared_distances {
            self.sum += squared.sqrt();
        }
    }
}

/// Assigns customers in memory and writes their segments.
async fn in_memory(
    stage: &mut StageContext,
    rows: KeyedRows,
    centres: Centres,
) -> Result<Distances, StageError> {
    let columns = rows.chosen_columns(Some(&centres.columns))?;
    let points = rows.matrix(&columns)?;
    let keys = rows.keys().clone();
    let threads = stage.threads();
    let mut distances = Distances::default();
    let batch = off_thread(move || {
        let found = if points.rows() == 0 {
            Assignment {
                labels: Vec::new(),
                squared_distances: Vec::new(),
            }
        } else {
            assign(&points, &centres.points, threads)
                .map_err(|error| from_kernel(&error, &keys, &columns))?
        };
        distances.add(&found.squared_distances);
        let batch = assigned(&keys, &found, &centres)?;
        Ok((batch, distances))
    });
    let (batch, distances) = batch.await?;
    stage
        .write_batches("segments", batch.schema(), vec![batch])
        .await?;
    Ok(distances)
}

/// The same by a query over customers that stay where they are.
async fn by_query(
    stage: &mut StageContext,
    wanted: Wanted<'_>,
    centres: &Centres,
) -> Result<Distances, StageError> {
    let scan = Scan::open(stage, wanted).await?;
    let schema = stage.table(wanted.input).await?.schema().as_arrow().clone();
    choose_columns(wanted.option, &schema, wanted.key, wanted.columns)?;
    let all: Vec<usize> = (0..scan.columns().len()).collect();
    let (_, numbers) = scan.finite(&all).await?;
    let query = NearestCentre::query(&scan, &numbers, &centres.points)?;
    let schema = schema_of(scan.key_field(), centres);
    let mut distances = Distances::default();
    write_by_key(stage, "segments", &scan, query, schema, |keys, batch| {
        let places = NearestCentre::of(batch, 1)?;
        let found = Assignment {
            labels: places.labels,
            squared_distances: places.squared_distances,
        };
        distances.add(&found.squared_distances);
        assigned(keys, &found, centres)
    })
    .await?;
    Ok(distances)
}

/// The columns of the output, given that of the key. Segments keep the names that the centres have for them.
fn schema_of(key: Field, centres: &Centres) -> SchemaRef {
    let numbered = numbered_schema(key);
    let segment = Field::new(SEGMENT, centres.segments.field().data_type().clone(), false);
    let fields = [
        numbered.field(0).clone(),
        segment,
        numbered.field(2).clone(),
    ];
    Arc::new(Schema::new(fields.to_vec()))
}

/// Rows of the output.
fn assigned(keys: &Keys, found: &Assignment, centres: &Centres) -> Result<RecordBatch, StageError> {
    let distances = &found.squared_distances;
    if let Some(row) = distances.iter().position(|squared| !squared.is_finite()) {
        return Err(invalid(
            codes::BAD_VALUE,
            format!(
                "the distance of {} from every centre is beyond floating point",
                keys.shown(row)
            ),
            "scale the customers as those were scaled that the centres come from",
        ));
    }
    let batch = numbered(keys, &found.labels, distances)?;
    let labels = UInt32Array::from(found.labels.clone());
    let names = take(&centres.segments.array(), &labels, None)?;
    let columns = vec![
        Arc::clone(batch.column(0)),
        names,
        Arc::clone(batch.column(2)),
    ];
    Ok(RecordBatch::try_new(
        schema_of(keys.field(), centres),
        columns,
    )?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::compute::concat_batches;
    use marquetry_plugin::testing::{TestOutput, TestStage};

    use super::*;

    fn run(is_in_memory: bool, rows: &RecordBatch) -> TestOutput {
        let stage = Assign {
            is_in_memory,
            ..Assign::default()
        };
        let names: ArrayRef = Arc::new(StringArray::from(vec!["far", "near"]));
        let places: ArrayRef = Arc::new(Float64Array::from(vec![40.0, -3.5]));
        let centres = RecordBatch::try_from_iter([(SEGMENT, names), ("x", places)]).unwrap();
        let stage = TestStage::new(Arc::new(stage))
            .input("rows", vec![rows.clone()])
            .input("centres", vec![centres])
            .options(json!({"rows": "$rows", "centres": "$centres"}));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(stage.run())
    }

    #[test]
    fn a_query_assigns_as_memory_does_and_refuses_in_the_same_words() {
        let customers = |keys: Vec<i64>, x: Vec<f64>| {
            let keys: ArrayRef = Arc::new(Int64Array::from(keys));
            let x: ArrayRef = Arc::new(Float64Array::from(x));
            RecordBatch::try_from_iter([("customer_id", keys), ("x", x)]).unwrap()
        };
        let many = (0..9000).map(|row| f64::from(row * 7919 % 9001) * 0.01);
        for rows in [
            customers((0..9000).rev().collect(), many.collect()),
            customers(Vec::new(), Vec::new()),
            customers(vec![1, 2], vec![1.0, f64::NAN]),
            customers(vec![1, 1], vec![1.0, 2.0]),
            customers(vec![2, 1, 3], vec![0.0, -1e300, 1e300]),
        ] {
            let [memory, query] = [true, false].map(|way| run(way, &rows));
            let (left, right) = match (&memory.result, &query.result) {
                (Ok(left), Ok(right)) => (left, right),
                (left, right) => {
                    assert_eq!(left.as_ref().err(), right.as_ref().err());
                    continue;
                }
            };
            assert_eq!(left.metrics, right.metrics);
            let [left, right] = [&memory, &query].map(|output| {
                let batches = &output.outputs["segments"];
                let first = batches.first();
                first.map(|first| concat_batches(&first.schema(), batches).unwrap())
            });
            assert!(left == right);
        }
    }
}
