//! What segmentation/assign makes of odd input, and what it refuses.

use arrow::array::RecordBatch;
use marquetry_plugin::testing::TestOutput;
use serde_json::{Value, json};

use crate::support::{
    complaint, floats, ids, numbers, rows, run, segments, table, texts, warnings,
};

fn customers() -> RecordBatch {
    table([
        ("customer_id", ids([3, 1, 2])),
        ("x", floats([9.0, 1.0, 5.0])),
        ("y", floats([0.0, 0.0, 0.0])),
        ("country", texts(["DE", "FR", "DE"])),
    ])
}

fn centres() -> RecordBatch {
    table([
        ("segment", texts(["near", "far"])),
        ("customers", ids([10, 20])),
        ("x", floats([0.0, 10.0])),
        ("y", floats([0.0, 0.0])),
    ])
}

async fn assigned(rows: &RecordBatch, centres: &RecordBatch, more: Value) -> TestOutput {
    let mut options = json!({"rows": "$rows", "centres": "$centres"});
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    run(
        "segmentation/assign",
        &[("rows", rows), ("centres", centres)],
        options,
    )
    .await
}

async fn refusal(rows: &RecordBatch, centres: &RecordBatch) -> String {
    complaint(&assigned(rows, centres, json!({})).await)
}

#[tokio::test]
async fn segments_keep_their_names_and_ties_go_to_the_first() {
    let output = assigned(&customers(), &centres(), json!({})).await;
    // Sorted by name, `far` is the first: customer 2 is as far from both.
    assert_eq!(segments(&output), "1 near, 2 far, 3 far");
    assert_eq!(
        numbers(&rows(&output, "segments"), "distance"),
        [1.0, 5.0, 1.0]
    );
    assert_eq!(output.outcome().metrics["customers"], 3.0);
    assert_eq!(output.outcome().metrics["mean_distance"], 7.0 / 3.0);
}

#[tokio::test]
async fn columns_say_what_is_compared() {
    let output = assigned(&customers(), &centres(), json!({"columns": ["y"]})).await;
    assert_eq!(segments(&output), "1 far, 2 far, 3 far");
    // A column of that name counts customers, unless somebody says otherwise.
    let counting = table([
        ("customer_id", ids([1, 2])),
        ("customers", floats([9.0, 22.0])),
    ]);
    let output = assigned(&counting, &centres(), json!({"columns": ["customers"]})).await;
    assert_eq!(segments(&output), "1 near, 2 far");
}

#[tokio::test]
async fn no_customers_are_assigned_to_nothing_and_it_is_told() {
    let output = assigned(&customers().slice(0, 0), &centres(), json!({})).await;
    assert_eq!(segments(&output), "");
    assert_eq!(output.outcome().metrics["customers"], 0.0);
    assert!(!output.outcome().metrics.contains_key("mean_distance"));
    assert_eq!(
        warnings(&output),
        ["there are no customers to assign: option=\"rows\""]
    );
    let one = assigned(&customers().slice(0, 1), &centres().slice(0, 1), json!({})).await;
    assert_eq!(segments(&one), "3 near");
}

#[tokio::test]
async fn centres_and_customers_must_fit() {
    let all = customers();
    let with =
        |name, values: [Option<f64>; 2]| table([("segment", ids([0, 1])), (name, floats(values))]);
    let plain = [Some(0.0), Some(1.0)];
    for (centres, expected) in [
        (
            with("spend", plain),
            "`rows` has no column `spend` [MQ0403]; help: its columns are `customer_id`, `x`, `y`, `country`",
        ),
        (
            with("country", plain),
            "column `country` is of type Utf8, not a number [MQ0403]; help: leave it out of `columns`, or encode it with features/scale",
        ),
        (
            with("customer_id", plain),
            "`columns` names the key `customer_id` [MQ0113]; help: a key says who a row is, not what it is like: leave it out",
        ),
        (
            with("x", [Some(f64::NAN), None]),
            "segment 0 has NaN in column `x`, and 1 more row has none that can be used [MQ0406]; help: every centre needs a finite number in each column: look at the stage that makes `centres`",
        ),
        (
            with("x", plain).slice(0, 0),
            "`centres` has no rows [MQ0405]; help: it must have a row per segment, as the output `centres` of segmentation/kmeans",
        ),
        (
            table([("segment", ids([0, 0])), ("x", floats(plain))]),
            "segment 0 stands in `centres` more than once [MQ0406]; help: it must have a row per segment, as the output `centres` of segmentation/kmeans",
        ),
        (
            table([("segment", ids([0, 1])), ("x", texts(["a", "b"]))]),
            "`centres` has no numeric column besides `segment` and `customers` [MQ0403]; help: it must have the columns that the rows were clustered by",
        ),
        (
            table([("cluster", ids([0, 1])), ("x", floats(plain))]),
            "`centres` has no column `segment` [MQ0403]; help: its columns are `cluster`, `x`",
        ),
    ] {
        assert_eq!(refusal(&all, &centres).await, expected);
    }
}

#[tokio::test]
async fn customers_that_have_no_distance_are_named() {
    let with = |ids, x: [Option<f64>; 2]| {
        table([
            ("customer_id", ids),
            ("x", floats(x)),
            ("y", floats([0.0, 0.0])),
        ])
    };
    let centres = centres();
    for (rows, expected) in [
        (
            with(ids([1, 2]), [Some(0.0), None]),
            "customer_id 2 has no value in column `x` [MQ0406]; help: impute with features/scale, filter with features/sql, or leave the column out of `columns`",
        ),
        (
            with(texts(["a", "b"]), [Some(f64::INFINITY), Some(1.0)]),
            "customer_id \"a\" has inf in column `x` [MQ0406]; help: impute with features/scale, filter with features/sql, or leave the column out of `columns`",
        ),
        (
            with(ids([2, 2]), [Some(0.0), Some(1.0)]),
            "customer_id 2 stands in `rows` more than once [MQ0406]; help: there must be one row per key: aggregate with features/customer or features/sql",
        ),
        (
            with(ids([1, 2]), [Some(0.0), Some(-1e200)]),
            "the distance of customer_id 2 from every centre is beyond floating point [MQ0406]; help: scale the customers as those were scaled that the centres come from",
        ),
    ] {
        assert_eq!(refusal(&rows, &centres).await, expected);
    }
}
