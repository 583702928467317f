//! The script `workflows/scripts/lifecycle.rhai` and the rules in `workflows/retail.yaml` say the same.

use arrow::array::RecordBatch;
use serde_json::{Value, json};

use crate::support::{floats, ids, segments, stage, table};

const WORKFLOW: &str = include_str!("../../../../workflows/retail.yaml");
const SCRIPT: &str = include_str!("../../../../workflows/scripts/lifecycle.rhai");

/// The rules of the stage `lifecycle`, which stand on a line each.
fn rules() -> Vec<Value> {
    let stage = WORKFLOW.split("  lifecycle:\n").nth(1).unwrap();
    let lines = stage.lines().map(str::trim);
    let rules: Vec<Value> = lines
        .take_while(|line| !line.starts_with("otherwise:"))
        .filter_map(|line| line.strip_prefix("- { name: "))
        .map(|rule| {
            let (name, when) = rule.split_once(", when: \"").unwrap();
            json!({"name": name, "when": when.strip_suffix("\" }").unwrap()})
        })
        .collect();
    assert_eq!(rules.len(), 4, "{rules:?}");
    rules
}

/// Customers on both sides of every limit, and with every column missing where it may be.
fn customers() -> RecordBatch {
    let mut rows = Vec::new();
    for tenure in [0.0, 60.0, 60.5, 400.0] {
        for recency in [0.0, 60.0, 61.0, 90.0, 180.0, 181.0, 300.0] {
            for frequency in [1, 2, 3, 10] {
                for gap in [
                    None,
                    Some(0.0),
                    Some(20.0),
                    Some(30.0),
                    Some(60.0),
                    Some(100.0),
                ] {
                    rows.push((tenure, recency, frequency, gap));
                }
            }
        }
    }
    table([
        ("customer_id", ids((0..).take(rows.len()))),
        ("tenure_days", floats(rows.iter().map(|row| row.0))),
        ("recency_days", floats(rows.iter().map(|row| row.1))),
        ("frequency", ids(rows.iter().map(|row| row.2))),
        ("gap_mean_days", floats(rows.iter().map(|row| row.3))),
    ])
}

#[tokio::test]
async fn the_script_says_what_the_rules_say() {
    let customers = customers();
    let by_rules = stage("segmentation/rules")
        .input("rows", vec![customers.clone()])
        .options(json!({"rows": "$rows", "rules": rules(), "otherwise": "cooling"}))
        .run()
        .await;
    let by_script = stage("segmentation/rules")
        .input("rows", vec![customers])
        .file("scripts/lifecycle.rhai", SCRIPT)
        .options(json!({
            "rows": "$rows",
            "script": "scripts/lifecycle.rhai",
            "otherwise": "cooling"
        }))
        .run()
        .await;
    let by_rules = segments(&by_rules);
    for segment in ["new", "active", "slipping", "lapsed", "cooling"] {
        assert!(by_rules.contains(segment), "nobody is {segment}");
    }
    assert_eq!(segments(&by_script), by_rules);
}
