//! The example of docs/plugins.md: a stage kind from its options to its test.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use datafusion::prelude::{col, lit};
use marquetry_plugin::testing::TestStage;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Options of `example/big_spenders`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The customers, one a row.
    customers: Input,
    /// The least that a big spender spent.
    #[serde(default = "threshold")]
    at_least: f64,
}

const fn threshold() -> f64 {
    100.0
}

struct BigSpenders {
    descriptor: StageDescriptor,
}

impl BigSpenders {
    fn new() -> Self {
        let descriptor = describe::<Options>("example/big_spenders", 1, "customers who spent much")
            .output(
                "spenders",
                "the rows of those who spent much, by customer_id",
            )
            .metric("spenders", "how many they are")
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for BigSpenders {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: Options = stage.options()?;
        let customers = stage.table(&options.customers).await?;
        if !customers
            .schema()
            .has_column_with_unqualified_name("monetary")
        {
            let error = StageError::invalid(
                codes::COLUMN_MISMATCH,
                "`customers` has no column `monetary`",
            );
            return Err(error.help("make it with `features/customer`"));
        }
        let spenders = customers
            .filter(col("monetary").gt_eq(lit(options.at_least)))?
            .sort(vec![col("customer_id").sort(true, false)])?;
        let written = stage.write("spenders", spenders).await?;
        stage.log(
            LogLevel::Info,
            "found big spenders",
            [("rows", json!(written.rows))],
        );
        #[expect(clippy::cast_precision_loss, reason = "a figure")]
        stage.metric("spenders", written.rows as f64);
        Ok(stage.finish())
    }
}

fn customers() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![3, 1, 2]));
    let money: ArrayRef = Arc::new(Float64Array::from(vec![250.0, 99.0, 100.0]));
    RecordBatch::try_from_iter([("customer_id", ids), ("monetary", money)]).unwrap()
}

#[tokio::test]
async fn those_who_spent_much_are_found() {
    let output = TestStage::new(Arc::new(BigSpenders::new()))
        .input("customers", vec![customers()])
        .options(json!({"customers": "$customers"}))
        .run()
        .await;
    assert_eq!(output.outcome().metrics["spenders"], 2.0);
    let ids: Vec<i64> = output.outputs["spenders"]
        .iter()
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect();
    assert_eq!(ids, [2, 3]);
    assert_eq!(output.logs[0].message, "found big spenders");
}

#[tokio::test]
async fn a_wrong_option_and_a_wrong_input_are_told() {
    let misspelt = TestStage::new(Arc::new(BigSpenders::new()))
        .input("customers", vec![customers()])
        .options(json!({"customers": "$customers", "at_leat": 5}))
        .run()
        .await;
    assert!(
        misspelt.error().to_string().contains("at_least"),
        "{}",
        misspelt.error()
    );

    let without = customers().project(&[0]).unwrap();
    let output = TestStage::new(Arc::new(BigSpenders::new()))
        .input("customers", vec![without])
        .options(json!({"customers": "$customers"}))
        .run()
        .await;
    assert_eq!(
        output.error().to_string(),
        "`customers` has no column `monetary` [MQ0403]; help: make it with `features/customer`"
    );
}
