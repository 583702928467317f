//! `evaluation/stability`. The kernels' `tests/stability.rs` holds its figures to scikit-learn's, on given
//! resamples.

use arrow::array::RecordBatch;
use serde_json::json;

use crate::support::{
    floats, ids, integers, named, numbered, numbers, panels, refusal, rows, run, table,
};

/// Forty customers around 0 and forty around 50.
fn customers() -> RecordBatch {
    let keys: Vec<i64> = (0..80).collect();
    let x: Vec<f64> = (0..80_u32)
        .map(|row| f64::from(row / 40 * 50) + f64::from(row * 7 % 11))
        .collect();
    table(vec![("customer_id", ids(&keys)), ("x", floats(&x))])
}

fn split(of: impl Fn(i64) -> i64) -> RecordBatch {
    let keys: Vec<i64> = (0..80).collect();
    let segments: Vec<i64> = keys.iter().map(|key| of(*key)).collect();
    numbered(&keys, &segments)
}

#[tokio::test]
async fn segments_that_are_there_come_back_in_every_refit() {
    let inputs = [
        ("rows", customers()),
        ("segments", split(|key| 9 - key / 40)),
    ];
    let options = json!({"rows": "$rows", "assignment": "$segments", "refits": 8});
    let output = run("evaluation/stability", &inputs, options).await;
    let metrics = &output.outcome().metrics;
    for name in ["adjusted_rand_mean", "adjusted_rand_min", "jaccard_min"] {
        assert_eq!(metrics[name], 1.0, "{name}");
    }
    let segments = rows(&output, "segments");
    assert_eq!(integers(&segments, "segment"), [Some(8), Some(9)]);
    assert_eq!(integers(&segments, "customers"), [Some(40); 2]);
    assert_eq!(integers(&segments, "recovered"), [Some(8); 2]);
    assert_eq!(integers(&segments, "dissolved"), [Some(0); 2]);
    assert_eq!(rows(&output, "refits").num_rows(), 8);
    assert_eq!(panels(&output), ["figures", "bars"]);
}

#[tokio::test]
async fn a_group_cut_at_random_does_not_and_the_whole_one_does() {
    let inputs = [
        ("rows", customers()),
        (
            "segments",
            split(|key| if key < 40 { 0 } else { 1 + key % 2 }),
        ),
    ];
    let options = json!({"rows": "$rows", "assignment": "$segments", "k": 2});
    let output = run("evaluation/stability", &inputs, options).await;
    let segments = rows(&output, "segments");
    let mean = numbers(&segments, "jaccard_mean");
    assert_eq!(mean[0], Some(1.0));
    assert!(mean[1].unwrap() < 0.7 && mean[2].unwrap() < 0.7, "{mean:?}");
    let metrics = &output.outcome().metrics;
    assert!(metrics["jaccard_min"] < 0.7 && metrics["adjusted_rand_mean"] < 0.9);
}

#[tokio::test]
async fn a_seed_names_the_refits_and_a_sample_is_told() {
    let inputs = [("rows", customers()), ("segments", split(|key| key % 3))];
    let options = |seed: u64, sample: u64| json!({"rows": "$rows", "assignment": "$segments", "refits": 5, "seed": seed, "sample": sample});
    let kind = "evaluation/stability";
    let one = run(kind, &inputs, options(1, 1000)).await;
    let same = run(kind, &inputs, options(1, 1000)).await;
    let other = run(kind, &inputs, options(2, 1000)).await;
    assert_eq!(rows(&one, "refits"), rows(&same, "refits"));
    assert_ne!(rows(&one, "refits"), rows(&other, "refits"));

    let sampled = run(kind, &inputs, options(1, 50)).await;
    assert_eq!(sampled.outcome().metrics["customers"], 50.0);
    let caption = sampled.panels[0].caption.as_ref().unwrap();
    assert!(
        caption.contains("a sample of 50 of 80 customers"),
        "{caption}"
    );
    assert!(
        sampled
            .logs
            .iter()
            .any(|line| line.message == "the refits are of a sample")
    );
}

#[tokio::test]
async fn what_cannot_be_refitted_is_refused() {
    let few = numbered(&[1, 2, 3], &[0, 1, 1]);
    let none = numbered(&[], &[]);
    let unassigned = named(&[1, 2], &[None, None]);
    let doubled = numbered(&[1, 1], &[0, 1]);
    let with_nan = table(vec![
        ("customer_id", ids(&[0, 1, 2])),
        ("x", floats(&[1.0, f64::NAN, 2.0])),
    ]);
    let all = json!({"rows": "$rows", "assignment": "$segments"});
    let with = |key: &str, value: serde_json::Value| {
        let mut options = all.clone();
        options[key] = value;
        options
    };
    let cases = [
        (
            customers(),
            few.clone(),
            with("k", json!(4)),
            "MQ0405",
            "4 segments of 3 customers",
        ),
        (
            customers(),
            few.clone(),
            with("refits", json!(0)),
            "MQ0113",
            "`refits` must be at least 1",
        ),
        (
            customers(),
            few.clone(),
            with("columns", json!(["y"])),
            "MQ0403",
            "`rows` has no column `y`",
        ),
        (
            customers().slice(0, 0),
            none,
            all.clone(),
            "MQ0405",
            "`rows` has no customers with a segment",
        ),
        (
            customers(),
            unassigned,
            all.clone(),
            "MQ0405",
            "`rows` has no customers with a segment",
        ),
        (
            customers(),
            doubled,
            all.clone(),
            "MQ0406",
            "customer_id 1 stands in `assignment` more than once",
        ),
        (
            with_nan,
            few,
            all.clone(),
            "MQ0406",
            "customer_id 1 has NaN in column `x`",
        ),
    ];
    for (rows, segments, options, code, message) in cases {
        let inputs = [("rows", rows), ("segments", segments)];
        let output = run("evaluation/stability", &inputs, options).await;
        let refused = refusal(&output);
        assert!(refused.1.contains(message), "{refused:?}, not {message}");
        assert_eq!(refused.0, code, "{message}");
    }
}
