//! Whether segments come back in refits. The kernels are held to scikit-learn in
//! `plugins/kernels/tests/stability.rs`.
#![expect(clippy::unwrap_used, reason = "tests may fail by panicking")]

mod common;

use arrow::array::RecordBatch;
use common::{
    assignment, count, error_code, floats, ids, integers, messages, numbers, rows, run, table,
};
use marquetry_plugin::LogLevel;
use marquetry_plugin::testing::TestOutput;
use serde_json::{Value, json};

/// Sixty customers in three places far apart, within which they differ a little.
fn customers() -> RecordBatch {
    let keys: Vec<i64> = (1..=60).collect();
    let values: Vec<f64> = (0..60_u32)
        .map(|row| f64::from(row / 20) * 100.0 + f64::from(row * 7 % 20))
        .collect();
    table(vec![("customer_id", ids(&keys)), ("x", floats(&values))])
}

fn by_place() -> RecordBatch {
    assignment(&(0..60).map(|row| row / 20).collect::<Vec<i32>>())
}

async fn judge(rows: RecordBatch, segments: RecordBatch, options: Value) -> TestOutput {
    let mut options = options;
    options["rows"] = json!("$rows");
    options["assignment"] = json!("$segments");
    let inputs = [("rows", rows), ("segments", segments)];
    run("evaluation/stability", &inputs, options).await
}

#[tokio::test]
async fn segments_that_are_far_apart_always_come_back() {
    let output = judge(customers(), by_place(), json!({"refits": 8, "seed": 3})).await;
    let metrics = &output.outcome().metrics;
    assert_eq!(
        (metrics["adjusted_rand_mean"], metrics["adjusted_rand_min"]),
        (1.0, 1.0)
    );
    assert_eq!((metrics["jaccard_min"], metrics["customers"]), (1.0, 60.0));
    let segments = rows(&output, "segments");
    assert_eq!(integers(&segments, "segment"), [0, 1, 2].map(Some));
    assert_eq!(integers(&segments, "recovered"), [Some(8); 3]);
    assert_eq!(integers(&segments, "dissolved"), [Some(0); 3]);
    let refits = rows(&output, "refits");
    assert_eq!(
        integers(&refits, "refit"),
        (1..=8).map(Some).collect::<Vec<_>>()
    );
    assert!(
        numbers(&refits, "inertia")
            .iter()
            .all(|inertia| inertia.unwrap() > 0.0)
    );
    assert_eq!(output.panels.len(), 2);
}

#[tokio::test]
async fn a_segment_that_is_half_of_a_place_dissolves() {
    // Segment 0 is the even and 1 the odd customers of one place, 2 is both other places.
    let segments: Vec<i32> = (0..60)
        .map(|row| if row < 20 { row % 2 } else { 2 })
        .collect();
    let output = judge(
        customers(),
        assignment(&segments),
        json!({"refits": 8, "seed": 3}),
    )
    .await;
    let of_segments = rows(&output, "segments");
    let means = numbers(&of_segments, "jaccard_mean");
    assert!(means.iter().all(|mean| mean.unwrap() < 0.75), "{means:?}");
    assert_eq!(integers(&of_segments, "recovered"), [Some(0); 3]);
    let worst = means.iter().flatten().copied().reduce(f64::min);
    assert_eq!(output.outcome().metrics.get("jaccard_min").copied(), worst);
    assert!(output.outcome().metrics["adjusted_rand_mean"] < 0.8);
}

#[tokio::test]
async fn a_seed_names_the_refits() {
    let segments = || assignment(&(0..60).map(|row| row % 3).collect::<Vec<i32>>());
    let refits = |output: &TestOutput| numbers(&rows(output, "refits"), "adjusted_rand");
    let options = |seed: u64| json!({"refits": 4, "seed": seed, "columns": ["x"]});
    let first = judge(customers(), segments(), options(1)).await;
    let again = judge(customers(), segments(), options(1)).await;
    assert_eq!(refits(&first), refits(&again));
    let inertia = |output: &TestOutput| numbers(&rows(output, "refits"), "inertia");
    let other = judge(customers(), segments(), options(2)).await;
    assert_ne!(inertia(&first), inertia(&other));
}

#[tokio::test]
async fn a_sample_is_told() {
    let output = judge(customers(), by_place(), json!({"sample": 30, "refits": 2})).await;
    assert_eq!(output.outcome().metrics["customers"], 30.0);
    assert_eq!(
        messages(&output, LogLevel::Info),
        ["refits are made of a sample"]
    );
}

#[tokio::test]
async fn no_customers_or_one_segment_say_little() {
    let none = judge(customers().slice(0, 0), assignment(&[]), json!({})).await;
    assert!(!none.outcome().metrics.contains_key("adjusted_rand_mean"));
    assert_eq!(count(&none, "segments"), 0);
    let one = judge(customers(), assignment(&[4; 60]), json!({"refits": 2})).await;
    assert_eq!(one.outcome().metrics["jaccard_min"], 1.0);
    for output in [none, one] {
        assert_eq!(
            messages(&output, LogLevel::Warn),
            ["stability says something of 2 segments or more only"]
        );
    }
}

#[tokio::test]
async fn what_cannot_be_clustered_is_refused() {
    let output = judge(customers(), by_place(), json!({"refits": 0})).await;
    assert_eq!(error_code(&output), "MQ0113");
    let output = judge(customers(), by_place(), json!({"columns": ["z"]})).await;
    assert_eq!(error_code(&output), "MQ0403");
    let gap = table(vec![
        ("customer_id", ids(&[1, 2, 3])),
        ("x", floats(&[Some(1.0), None, Some(2.0)])),
    ]);
    let output = judge(gap, assignment(&[1, 2, 2]), json!({})).await;
    let error = output.error().to_string();
    assert!(
        error.starts_with("customer_id 2 has no value in column `x`"),
        "{error}"
    );
    let twice = table(vec![
        ("customer_id", ids(&[1, 1])),
        ("segment", ids(&[1, 2])),
    ]);
    let output = judge(customers(), twice, json!({})).await;
    let error = output.error().to_string();
    assert!(
        error.contains("stands in `assignment` more than once"),
        "{error}"
    );
}
