//! `evaluation/gate`.

use marquetry_plugin::{LogLevel, PanelBody};
use serde_json::{Value, json};

use crate::support::{floats, ids, named, numbered, refusal, rows, run, table, warnings};

const KIND: &str = "evaluation/gate";

fn check(name: &str, value: Value, min: Option<f64>, max: Option<f64>) -> Value {
    json!({"name": name, "value": value, "min": min, "max": max})
}

#[tokio::test]
async fn rows_pass_a_gate_whose_checks_hold_without_being_copied() {
    let segments = numbered(&[1, 2, 3, 4], &[0, 0, 1, 1]);
    let checks = [
        check("silhouette", json!(0.31), Some(0.2), None),
        check("moved", json!(0), None, Some(0.3)),
    ];
    let options = json!({"rows": "$segments", "checks": checks, "segments": {"min_share": 0.5, "max_share": 0.6, "min_count": 2}});
    let output = run(KIND, &[("segments", segments.clone())], options).await;
    let outcome = output.outcome();
    assert_eq!(rows(&output, "rows"), segments);
    assert!(
        outcome.outputs["rows"]
            .manifest
            .starts_with("inputs/segments"),
        "{outcome:?}"
    );
    assert_eq!(
        (outcome.metrics["checks"], outcome.metrics["failed"]),
        (5.0, 0.0)
    );
    let held = output
        .logs
        .iter()
        .filter(|line| line.message == "a check holds");
    assert_eq!(held.count(), 5);
    let PanelBody::Table { columns, rows } = &output.panels[0].body else {
        panic!("{:?}", output.panels);
    };
    assert_eq!(columns.len(), 5);
    assert_eq!(
        rows[0],
        [
            json!("silhouette"),
            json!(0.31),
            json!(0.2),
            json!(null),
            json!("yes")
        ]
    );
    assert_eq!(rows[2][0], json!("share of segment `0`"));
}

#[tokio::test]
async fn a_gate_that_closes_names_every_check_that_failed_and_lets_nothing_through() {
    let segments = named(
        &[1, 2, 3, 4, 5, 6, 7, 8],
        &[
            Some("a"),
            Some("a"),
            Some("a"),
            Some("a"),
            Some("a"),
            Some("a"),
            Some("b"),
            None,
        ],
    );
    let checks = [
        check("silhouette", json!(0.12), Some(0.2), None),
        check("stability", json!(0.9), Some(0.75), None),
        check("moved", json!(0.5), None, Some(0.3)),
        check("agreement", Value::Null, Some(0.1), None),
    ];
    let options = json!({"rows": "$segments", "checks": checks, "segments": {"min_share": 0.2, "max_share": 0.7}});
    let output = run(KIND, &[("segments", segments)], options).await;
    let expected = "5 of 6 checks did not hold: silhouette is 0.12, less than 0.2; moved is 0.5, more than 0.3; \
         agreement has no value; share of segment `b` is 0.125, less than 0.2; \
         share of segment `a` is 0.75, more than 0.7";
    assert_eq!(refusal(&output), ("MQ0410".to_owned(), expected.to_owned()));
    assert!(output.outputs.is_empty() && output.panels.is_empty());
    // The log has those that held too.
    let told = |level| {
        output
            .logs
            .iter()
            .filter(|line| line.level == level)
            .count()
    };
    assert_eq!((told(LogLevel::Warn), told(LogLevel::Info)), (5, 1));
}

#[tokio::test]
async fn a_gate_that_only_warns_lets_rows_through_and_says_what_is_wrong() {
    let segments = numbered(&[1, 2], &[0, 1]);
    let checks = [check("silhouette", json!(0.1), Some(0.2), None)];
    let options = json!({"rows": "$segments", "checks": checks, "on_failure": "warn"});
    let output = run(KIND, &[("segments", segments)], options).await;
    assert_eq!(output.outcome().metrics["failed"], 1.0);
    assert_eq!(rows(&output, "rows").num_rows(), 2);
    assert_eq!(warnings(&output), ["a check does not hold"]);
    let caption = output.panels[0].caption.as_ref().unwrap();
    assert!(caption.contains("only warns"), "{caption}");
}

#[tokio::test]
async fn no_segments_at_all_keep_no_threshold() {
    let options = json!({"rows": "$segments", "segments": {"max_share": 0.9}});
    for segments in [numbered(&[], &[]), named(&[1, 2], &[None, None])] {
        let output = run(KIND, &[("segments", segments)], options.clone()).await;
        let expected = "1 of 1 check did not hold: share of a segment has no value";
        assert_eq!(refusal(&output).1, expected);
    }
}

#[tokio::test]
async fn rows_of_any_shape_pass_checks_of_values() {
    let anything = table(vec![("x", floats(&[1.0]))]);
    let options = json!({"rows": "$rows", "checks": [check("x", json!(1), Some(1.0), Some(1.0))]});
    let output = run(KIND, &[("rows", anything)], options).await;
    assert_eq!(output.outcome().metrics["checks"], 1.0);
}

#[tokio::test]
async fn a_gate_that_cannot_fail_or_cannot_hold_is_refused() {
    let twice = [
        check("a", json!(1), Some(0.0), None),
        check("a", json!(2), Some(0.0), None),
    ];
    let one = |check: Value| json!({"rows": "$rows", "checks": [check]});
    let cases = [
        (
            json!({"rows": "$rows"}),
            "MQ0113",
            "there is nothing to check",
        ),
        (
            json!({"rows": "$rows", "checks": twice}),
            "MQ0113",
            "two checks are named `a`",
        ),
        (
            one(check("a", json!(1), None, None)),
            "MQ0113",
            "check `a` has neither `min` nor `max`",
        ),
        (
            one(check("a", json!(1), Some(2.0), Some(1.0))),
            "MQ0113",
            "check `a` wants at least 2 and at most 1",
        ),
        (
            one(json!({"name": "a", "min": 1})),
            "MQ0113",
            "`checks[0]` needs the option `value`",
        ),
        (
            one(json!({"name": "a", "value": "0.5", "min": 1})),
            "MQ0113",
            "`checks[0].value` must be",
        ),
        (
            json!({"rows": "$rows", "segments": {}}),
            "MQ0113",
            "`segments` has no threshold",
        ),
        (
            json!({"rows": "$rows", "segments": {"min_share": 1.5}}),
            "MQ0113",
            "`segments.min_share` must be at most 1",
        ),
        (
            json!({"rows": "$rows", "segments": {"min_share": 0.5}}),
            "MQ0403",
            "`segment` of `rows` is of type Float64",
        ),
    ];
    let floating = table(vec![
        ("customer_id", ids(&[1])),
        ("segment", floats(&[1.5])),
    ]);
    for (options, code, message) in cases {
        let refused = refusal(&run(KIND, &[("rows", floating.clone())], options).await);
        assert!(refused.1.contains(message), "{refused:?}, not {message}");
        assert_eq!(refused.0, code, "{message}");
    }
    let without = table(vec![("customer_id", ids(&[1])), ("segments", ids(&[1]))]);
    let options = json!({"rows": "$rows", "segments": {"min_count": 5}});
    let refused = refusal(&run(KIND, &[("rows", without)], options).await);
    assert_eq!(refused.1, "`rows` has no column `segment`");
}
