//! The same seed gives the same segments and figures, whatever the threads, the order of the rows and
//! the parts that they come in.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use marquetry_plugin::testing::TestOutput;
use serde_json::{Value, json};

use crate::support::{floats, ids, numbers, rows, stage, table};

/// Customers in four clouds of different size, some in between; enough for several chunks of a sum.
fn clouds() -> RecordBatch {
    let mut state = 9_u64;
    let mut unit = move || {
        // Steele, Lea and Flood's SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for row in 0..5000 {
        let cloud = f64::from([0, 0, 0, 1, 1, 2, 2, 2, 2, 3][row % 10]);
        columns[0].push(cloud * 4.0 + unit() + unit());
        columns[1].push((cloud - 1.5).abs() * 2.0 + unit() + unit());
        columns[2].push(unit() * 1e-3 + 0.1);
    }
    let [x, y, z] = columns;
    table([
        ("customer_id", ids(0..5000)),
        ("x", floats(x)),
        ("y", floats(y)),
        ("z", floats(z)),
    ])
}

/// The same rows in another order.
fn shuffled(batch: &RecordBatch) -> RecordBatch {
    let count = u32::try_from(batch.num_rows()).unwrap();
    // 1237 and the number of rows have no common factor.
    let order = UInt32Array::from_iter_values((0..count).map(|row| row * 1237 % count));
    take_record_batch(batch, &order).unwrap()
}

async fn run(batch: &RecordBatch, part: usize, threads: usize, options: &Value) -> TestOutput {
    let parts = (0..batch.num_rows()).step_by(part);
    let parts = parts.map(|from| batch.slice(from, part.min(batch.num_rows() - from)));
    stage("segmentation/kmeans")
        .input("rows", parts.collect())
        .threads(threads)
        .options(options.clone())
        .run()
        .await
}

fn assert_same(left: &TestOutput, right: &TestOutput, what: &str) {
    assert_eq!(left.outcome().metrics, right.outcome().metrics, "{what}");
    for output in ["segments", "centres"] {
        assert!(
            rows(left, output) == rows(right, output),
            "{what}: {output} differ"
        );
    }
    assert_eq!(left.panels, right.panels, "{what}");
}

async fn assert_same_every_run(options: Value, segments: usize) {
    let batch = clouds();
    let first = run(&batch, 5000, 1, &options).await;
    assert_eq!(rows(&first, "centres").num_rows(), segments);
    assert_same(&first, &run(&batch, 5000, 1, &options).await, "again");
    assert_same(
        &first,
        &run(&batch, 5000, 2, &options).await,
        "on two threads",
    );
    assert_same(
        &first,
        &run(&shuffled(&batch), 700, 3, &options).await,
        "in another order",
    );
}

#[tokio::test]
async fn one_number_of_segments_gives_the_same_every_time() {
    assert_same_every_run(json!({"rows": "$rows", "k": 7, "seed": 42}), 7).await;
}

#[tokio::test]
async fn a_range_gives_the_same_every_time_and_finds_the_clouds() {
    // A sample smaller than the rows, so that it is drawn.
    let options = json!({
        "rows": "$rows", "columns": ["x", "y"], "k": {"min": 2, "max": 6}, "seed": 42, "silhouette_sample": 900,
    });
    assert_same_every_run(options, 4).await;
}

#[tokio::test]
async fn without_a_seed_it_is_the_stages_own() {
    let batch = clouds();
    let options = json!({"rows": "$rows", "k": 9, "starts": 1, "max_iterations": 2});
    let with = |seed: u64| {
        let stage = stage("segmentation/kmeans").input("rows", vec![batch.clone()]);
        stage.options(options.clone()).seed(seed).run()
    };
    let (left, right, other) = (with(1).await, with(1).await, with(2).await);
    assert_same(&left, &right, "again");
    assert_ne!(
        numbers(&rows(&left, "centres"), "x"),
        numbers(&rows(&other, "centres"), "x")
    );
    let mut named = options.clone();
    named["seed"] = json!(2);
    let named = stage("segmentation/kmeans")
        .input("rows", vec![batch.clone()])
        .options(named);
    assert_same(
        &named.seed(1).run().await,
        &other,
        "the option says what the stage's seed says",
    );
}
