//! `personalization/recommend` against NumPy (`fixtures/expected.py`), and what it refuses.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use marquetry_plugin::PanelBody;
use marquetry_plugin::testing::TestOutput;
use serde_json::{Value, json};

use crate::support::{csv, fixture, message, numbers, rows, stage, table, texts};

async fn run(
    orders: &RecordBatch,
    segments: Option<&RecordBatch>,
    options: &Value,
    threads: usize,
) -> TestOutput {
    let mut options = options.clone();
    options["orders"] = json!("$orders");
    // In parts, so that there is something to put together.
    let parts = (0..orders.num_rows().max(1)).step_by(100);
    let parts = parts.map(|from| orders.slice(from, 100.min(orders.num_rows() - from)));
    let mut stage = stage("personalization/recommend").input("orders", parts.collect());
    if let Some(segments) = segments {
        options["segments"] = json!("$segments");
        stage = stage.input("segments", vec![segments.clone()]);
    }
    stage.options(options).threads(threads).run().await
}

/// Compares an output with rows of JSON: numbers relatively to 1e-9, texts exactly.
fn assert_rows(output: &TestOutput, name: &str, columns: &[&str], expected: &Value, what: &str) {
    let batch = rows(output, name);
    let expected = expected.as_array().unwrap();
    assert_eq!(batch.num_rows(), expected.len(), "{what}, {name}");
    for (place, column) in columns.iter().enumerate() {
        if expected.first().is_some_and(|row| row[place].is_string()) {
            let found = texts(&batch, column);
            for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert_eq!(
                    found.as_deref(),
                    expected[place].as_str(),
                    "{what}, {name}, {column}, row {row}"
                );
            }
        } else {
            let found = numbers(&batch, column);
            for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
                let wanted = expected[place].as_f64().unwrap();
                let is_same = (found - wanted).abs() <= 1e-9 * wanted.abs();
                assert!(
                    is_same,
                    "{what}, {name}, {column}, row {row}: {found}, not {wanted}"
                );
            }
        }
    }
}

#[tokio::test]
async fn recommendations_are_those_of_numpy_on_one_thread_and_on_two() {
    let (orders, segments) = (csv("orders.csv"), csv("segments.csv"));
    let expected: Value = serde_json::from_str(&fixture("recommend.json")).unwrap();
    for case in expected["cases"].as_array().unwrap() {
        let what = case["options"].to_string();
        for threads in [1, 2] {
            let output = run(&orders, Some(&segments), &case["options"], threads).await;
            let items = ["item", "similar", "score", "support"];
            assert_rows(&output, "items", &items, &case["items"], &what);
            let customers = ["customer_id", "rank", "item", "score", "because_of"];
            assert_rows(&output, "customers", &customers, &case["customers"], &what);
            let segments = ["segment", "rank", "item", "score", "support"];
            assert_rows(&output, "segments", &segments, &case["segments"], &what);
            let metrics = &output.outcome().metrics;
            assert_eq!(metrics["customers"], 91.0);
            assert_eq!(metrics["items"], 30.0);
            // The order of everything.
            let cut = if case["options"]["most_items"] == 10 {
                1.0
            } else {
                0.0
            };
            assert_eq!(metrics["cut_baskets"], cut);
        }
    }
}

fn ids(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Customers 1 to 4 who bought 7 and 8, and one who bought 7 only.
fn few() -> RecordBatch {
    let customers = ids([1, 1, 2, 2, 3, 3, 4, 4, 5]);
    let products = ids([7, 8, 8, 7, 7, 8, 7, 8, 7]);
    table([("customer_id", customers), ("product_id", products)])
}

#[tokio::test]
async fn what_was_bought_is_left_out_and_reasons_are_given() {
    let output = run(&few(), None, &json!({"min_support": 2}), 2).await;
    let customers = rows(&output, "customers");
    assert_eq!(numbers(&customers, "customer_id"), [5.0]);
    assert_eq!(numbers(&customers, "item"), [8.0]);
    assert_eq!(numbers(&customers, "because_of"), [7.0]);
    let score = 4.0 / (5.0_f64 * 4.0).sqrt();
    assert_eq!(numbers(&customers, "score"), [score]);
    let metrics = &output.outcome().metrics;
    assert_eq!((metrics["pairs"], metrics["recommended_share"]), (2.0, 0.2));
    let PanelBody::Table { rows: shown, .. } = &output.panels[0].body else {
        panic!("{:?}", output.panels);
    };
    assert_eq!(
        shown,
        &[vec![json!("7"), json!("8"), json!(score), json!(4)]],
        "a pair is shown once"
    );
    assert_eq!(rows(&output, "segments").num_rows(), 0);
}

#[tokio::test]
async fn too_little_support_is_no_recommendation() {
    let output = run(&few(), None, &json!({"min_support": 5}), 1).await;
    let metrics = &output.outcome().metrics;
    assert_eq!((metrics["pairs"], metrics["recommended_share"]), (0.0, 0.0));
    let logged: Vec<&str> = output
        .logs
        .iter()
        .map(|line| line.message.as_str())
        .collect();
    assert_eq!(logged, ["no two products are together in enough baskets"]);
}

#[tokio::test]
async fn what_cannot_be_orders_is_refused() {
    let orders = few();
    let segments = table([
        (
            "customer_id",
            Arc::new(StringArray::from(vec!["1", "2"])) as ArrayRef,
        ),
        ("segment", ids([0, 1])),
    ]);
    let strangers = table([("customer_id", ids([100, 200])), ("segment", ids([0, 1]))]);
    let cases = [
        (
            None,
            json!({"product": "produkt_id"}),
            "`orders` has no column `produkt_id`",
        ),
        (
            None,
            json!({"basket": "product_id"}),
            "column `product_id` is named by two options",
        ),
        (
            Some(&segments),
            json!({}),
            "`customer_id` is an integer in one of `orders` and `segments`, and a text in the other",
        ),
        (
            Some(&strangers),
            json!({}),
            "no customer of `orders` is in `segments`",
        ),
    ];
    for (segments, options, expected) in cases {
        let output = run(&orders, segments, &options, 1).await;
        assert_eq!(message(&output), expected);
    }
    let output = run(&orders.slice(0, 0), None, &json!({}), 1).await;
    assert_eq!(
        message(&output),
        "`orders` has no line with a `customer_id` and a `product_id`"
    );
}
