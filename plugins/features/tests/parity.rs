//! The stages against DuckDB, pandas and NumPy on the same 1,500 lines, to a relative 1e-9. See
//! `fixtures/expected.py` for how the expected results were made and by which versions.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use marquetry_plugin::StageHandler;
use marquetry_plugin::testing::{TestOutput, TestStage};
use serde_json::{Value, json};

/// A fixture, its column `ts` as times.
fn fixture(name: &str) -> RecordBatch {
    let path = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("tests/fixtures")
        .join(name);
    let format = Format::default().with_header(true);
    let (inferred, _) = format
        .infer_schema(File::open(&path).unwrap(), None)
        .unwrap();
    let fields = inferred.fields().iter().map(|field| {
        let is_time = field.name() == "ts";
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let kind = if is_time {
            time
        } else {
            field.data_type().clone()
        };
        Field::new(field.name(), kind, true)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true);
    let reader = reader.build(File::open(&path).unwrap()).unwrap();
    concat_batches(&schema, &reader.map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

async fn run(
    kind: &str,
    inputs: &[(&str, &RecordBatch)],
    options: Value,
    threads: usize,
) -> TestOutput {
    let handlers = marquetry_features::handlers();
    let named = |handler: &Arc<dyn StageHandler>| handler.descriptor().kind.as_str() == kind;
    let handler = handlers.into_iter().find(named).unwrap();
    let mut stage = TestStage::new(handler).options(options).threads(threads);
    for (name, batch) in inputs {
        // In parts, so that there is something to put together.
        let parts = (0..batch.num_rows()).step_by(400);
        let parts = parts.map(|from| batch.slice(from, 400.min(batch.num_rows() - from)));
        stage = stage.input(name, parts.collect());
    }
    stage.run().await
}

fn rows(output: &TestOutput, name: &str) -> RecordBatch {
    let batches = &output.outputs[name];
    concat_batches(&batches[0].schema(), batches).unwrap()
}

/// Every column of `expected`, by `prefix` and name, in `got`: numbers to 1e-9, all else exactly.
fn assert_same(expected: &RecordBatch, got: &RecordBatch, prefix: &str) {
    assert_eq!(got.num_rows(), expected.num_rows());
    let mut compared = 0;
    for (index, field) in expected.schema().fields().iter().enumerate() {
        let Some(name) = field.name().strip_prefix(prefix) else {
            continue;
        };
        let found = got.column_by_name(name).unwrap();
        compared += 1;
        if field.data_type().is_numeric() {
            let (found, wanted) = (numbers(found), numbers(expected.column(index)));
            for (row, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let is_same = match (found, wanted) {
                    (Some(found), Some(wanted)) => {
                        (found - wanted).abs() <= 1e-9 * wanted.abs().max(1e-3)
                    }
                    (found, wanted) => found.is_none() && wanted.is_none(),
                };
                assert!(is_same, "{name}, row {row}: {found:?}, not {wanted:?}");
            }
        } else {
            let text = |column| cast(column, &DataType::Utf8).unwrap();
            let (found, wanted) = (text(found), text(expected.column(index)));
            assert_eq!(
                found.as_string::<i32>(),
                wanted.as_string::<i32>(),
                "{name}"
            );
        }
    }
    assert!(
        compared > 5,
        "only {compared} columns of `{prefix}` were compared"
    );
}

fn numbers(column: &ArrayRef) -> Vec<Option<f64>> {
    let numbers = cast(column, &DataType::Float64).unwrap();
    numbers.as_primitive::<Float64Type>().iter().collect()
}

async fn customers(threads: usize) -> TestOutput {
    let options = json!({
        "orders": "$orders",
        "cancelled": "cancelled",
        "timezone": "Europe/London",
        "top": ["country", "channel"],
    });
    run(
        "features/customer",
        &[("orders", &fixture("orders.csv"))],
        options,
        threads,
    )
    .await
}

#[tokio::test]
async fn customers_are_those_of_duckdb_and_pandas_on_one_thread_and_on_two() {
    let expected = fixture("customers.csv");
    for threads in [1, 2] {
        let output = customers(threads).await;
        assert_same(&expected, &rows(&output, "customers"), "");
        assert_eq!(output.outcome().metrics["customers"], 35.0);
    }
}

#[tokio::test]
async fn scaled_columns_are_those_of_numpy() {
    let log1p = [
        "recency_days",
        "frequency",
        "gap_mean_days",
        "gap_std_days",
        "distinct_products",
        "tenure_days",
    ];
    let mut columns = log1p.to_vec();
    columns.extend(["weekend_share", "hour_sin", "hour_cos", "cancel_rate"]);
    let expected = fixture("scaled.csv");
    let input = fixture("customers.csv");

    let options =
        json!({"rows": "$rows", "columns": columns, "log1p": log1p, "impute": {"value": 0.0}});
    let output = run("features/scale", &[("rows", &input)], options, 2).await;
    assert_same(&expected, &rows(&output, "rows"), "standard_");

    let options =
        json!({"rows": "$rows", "columns": columns, "impute": "median", "scale": "min_max"});
    let output = run("features/scale", &[("rows", &input)], options, 2).await;
    assert_same(&expected, &rows(&output, "rows"), "min_max_");
}

/// Lines of two customers around the nights in which the clocks of London change.
fn around_changes_of_clocks() -> RecordBatch {
    let lines = [
        // Sunday 00:30 GMT; at 01:00 GMT it becomes 02:00 BST.
        (1, 1, "2024-03-31T00:30:00Z"),
        (1, 2, "2024-03-31T01:30:00Z"),
        // Saturday 23:30 UTC is Sunday 00:30 BST.
        (1, 3, "2024-10-26T23:30:00Z"),
        // 01:30 twice: first BST, then GMT.
        (2, 4, "2024-10-27T00:30:00Z"),
        (2, 5, "2024-10-27T01:30:00Z"),
    ];
    let mut text = "customer_id,order_id,product_id,quantity,unit_price,ts\n".to_owned();
    for (customer, order, ts) in lines {
        text.push_str(&format!("{customer},{order},7,1,2.0,{ts}\n"));
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("customer_id", DataType::Int64, true),
        Field::new("order_id", DataType::Int64, true),
        Field::new("product_id", DataType::Int64, true),
        Field::new("quantity", DataType::Int64, true),
        Field::new("unit_price", DataType::Float64, true),
        Field::new(
            "ts",
            DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
            true,
        ),
    ]));
    let reader = ReaderBuilder::new(schema).with_header(true);
    reader
        .build(text.as_bytes())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn hours_and_days_follow_the_clocks_and_gaps_do_not() {
    let lines = around_changes_of_clocks();
    let options = json!({"orders": "$orders", "timezone": "Europe/London"});
    let output = run("features/customer", &[("orders", &lines)], options, 1).await;
    let got = rows(&output, "customers");
    let column = |name: &str| numbers(got.column_by_name(name).unwrap());
    // Hours 0, 2, 0 and 1, 1.
    let angle = std::f64::consts::TAU / 24.0;
    let close = |got: Option<f64>, wanted: f64| (got.unwrap() - wanted).abs() < 1e-12;
    assert!(close(column("hour_sin")[0], (2.0 * angle).sin() / 3.0));
    assert!(close(column("hour_sin")[1], angle.sin()));
    assert_eq!(column("weekend_share"), [Some(1.0), Some(1.0)]);
    // An hour passed between the two orders, whatever the clocks said.
    assert!(close(column("gap_mean_days")[1], 1.0 / 24.0));
    // The midnight after Sunday 01:30 GMT is 22 hours and a half later.
    assert!(close(column("recency_days")[1], 22.5 / 24.0));
}

#[tokio::test]
async fn one_customer_and_none_at_all_are_tables_too() {
    let lines = around_changes_of_clocks();
    let options = json!({"orders": "$orders"});
    let one = run(
        "features/customer",
        &[("orders", &lines.slice(0, 1))],
        options.clone(),
        2,
    )
    .await;
    let got = rows(&one, "customers");
    assert_eq!(got.num_rows(), 1);
    for name in ["gap_mean_days", "gap_std_days"] {
        assert!(got.column_by_name(name).unwrap().is_null(0), "{name}");
    }

    let cancelled = {
        let columns = lines.columns().iter().cloned();
        let all: ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![
            true;
            lines.num_rows()
        ]));
        let names = lines.schema();
        let names = names.fields().iter().map(|field| field.name().clone());
        let named = names.chain(["void".to_owned()]).zip(columns.chain([all]));
        RecordBatch::try_from_iter(named).unwrap()
    };
    let options = json!({"orders": "$orders", "cancelled": "void"});
    let none = run("features/customer", &[("orders", &cancelled)], options, 2).await;
    assert_eq!(none.outcome().metrics["customers"], 0.0);
    let count: usize = none.outputs["customers"]
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert_eq!(count, 0);
}
