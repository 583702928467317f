//! What a gate lets through, and what it says when it does not.
#![expect(clippy::unwrap_used, reason = "tests may fail by panicking")]

mod common;

use arrow::array::RecordBatch;
use common::{assignment, error_code, messages, run, table};
use marquetry_plugin::testing::TestOutput;
use marquetry_plugin::{LogLevel, PanelBody};
use serde_json::{Value, json};

async fn gate(rows: RecordBatch, options: Value) -> TestOutput {
    let mut options = options;
    options["rows"] = json!("$rows");
    run("evaluation/gate", &[("rows", rows)], options).await
}

fn check(value: Value) -> Value {
    json!({"checks": [{"name": "silhouette", "value": value, "min": 0.25}]})
}

#[tokio::test]
async fn rows_pass_unchanged_when_every_check_does() {
    let rows = assignment(&[1, 1, 1, 2, 2]);
    let options = json!({
        "checks": [
            {"name": "silhouette", "value": 0.25, "min": 0.25},
            {"name": "moved", "value": 0.1, "min": 0, "max": 0.3},
        ],
        "segments": {"min_share": 0.4, "max_share": 0.6, "min_count": 2, "max_count": 2},
    });
    let output = gate(rows.clone(), options).await;
    assert_eq!(output.outcome().metrics["checks"], 5.0);
    assert_eq!(output.outcome().metrics["failed"], 0.0);
    assert_eq!(common::rows(&output, "rows"), rows);
    // The manifest of the input itself: nothing was copied.
    assert!(
        output.outcome().outputs["rows"]
            .manifest
            .starts_with("inputs/")
    );
    assert_eq!(messages(&output, LogLevel::Info), ["a check passed"; 5]);
    let PanelBody::Table { columns, rows } = &output.panels[0].body else {
        unreachable!("{:?}", output.panels)
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["check", "value", "threshold", "result"]);
    assert_eq!(
        rows[1],
        [
            json!("moved"),
            json!(0.1),
            json!("0 to 0.3"),
            json!("passed")
        ]
    );
}

#[tokio::test]
async fn every_check_that_fails_is_named_with_value_and_threshold() {
    let options = json!({
        "checks": [
            {"name": "silhouette", "value": 0.125, "min": 0.25},
            {"name": "clusters", "value": 4, "min": 2},
            {"name": "moved", "value": 0.5, "max": 0.3},
            {"name": "agreement", "value": null, "min": 0.5},
        ],
        "segments": {"min_share": 0.3},
    });
    let output = gate(assignment(&[1, 1, 1, 1, 2]), options).await;
    assert_eq!(error_code(&output), "MQ0410");
    let message = output.error().to_string();
    assert!(
        message.starts_with(
            "4 of 5 checks failed: silhouette is 0.125, below the least of 0.25; moved is 0.5, above the \
             most of 0.3; agreement has no value: the stage that reports it did not in this run; share of \
             the smallest segment is 0.2, below the least of 0.3 [MQ0410]"
        ),
        "{message}"
    );
    assert!(output.outputs.is_empty());
}

#[tokio::test]
async fn a_gate_that_only_warns_lets_rows_through_and_says_so() {
    let mut options = check(json!(0.125));
    options["on_failure"] = json!("warn");
    let output = gate(assignment(&[1, 2]), options).await;
    assert_eq!(output.outcome().metrics["failed"], 1.0);
    assert_eq!(messages(&output, LogLevel::Warn), ["a check failed"]);
    assert_eq!(common::rows(&output, "rows").num_rows(), 2);
}

#[tokio::test]
async fn a_gate_without_rows_has_no_segments() {
    let options = json!({"segments": {"min_count": 1, "min_share": 0.01}});
    let output = gate(assignment(&[]), options).await;
    let message = output.error().to_string();
    assert!(
        message.starts_with(
            "2 of 2 checks failed: segments is 0, below the least of 1; share of the smallest"
        ),
        "{message}"
    );
    // What does not look at the rows does not mind that there are none.
    assert!(
        gate(assignment(&[]), check(json!(0.5)))
            .await
            .result
            .is_ok()
    );
}

#[tokio::test]
async fn thresholds_that_say_nothing_are_refused() {
    let twice = json!({"name": "a", "value": 1, "min": 0});
    let cases = [
        (json!({}), "the gate checks nothing"),
        (json!({"segments": {}}), "the gate checks nothing"),
        (
            json!({"checks": [{"name": "a", "value": 1}]}),
            "check `a` has neither `min` nor `max`",
        ),
        (
            json!({"checks": [{"name": "a", "value": 1, "min": 2, "max": 1}]}),
            "check `a`: `min` 2 is above `max` 1",
        ),
        (
            json!({"checks": [twice, twice]}),
            "two checks are called `a`",
        ),
    ];
    for (options, expected) in cases {
        let output = gate(assignment(&[1, 2]), options).await;
        let error = output.error().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn a_value_that_is_no_number_and_a_column_that_is_not_there_are_told() {
    let output = gate(assignment(&[1, 2]), check(json!("high"))).await;
    assert_eq!(error_code(&output), "MQ0113", "{:?}", output.error());
    let no_value = json!({"checks": [{"name": "silhouette", "min": 0.25}]});
    assert!(gate(assignment(&[1, 2]), no_value).await.result.is_err());
    let without = table(vec![("customer_id", common::ids(&[1, 2]))]);
    let output = gate(without, json!({"segments": {"min_count": 1}})).await;
    let error = output.error().to_string();
    assert!(
        error.starts_with("`rows` has no column `segment`"),
        "{error}"
    );
}
