//! Who moved, who is new and who is gone.
#![expect(clippy::unwrap_used, reason = "tests may fail by panicking")]

mod common;

use arrow::array::{Array, RecordBatch};
use common::{assignment, error_code, ids, integers, messages, rows, run, table, texts, truths};
use marquetry_plugin::testing::TestOutput;
use marquetry_plugin::{LogLevel, PanelBody};
use serde_json::{Value, json};

async fn migrate(before: Option<RecordBatch>, after: RecordBatch, by: &str) -> TestOutput {
    let mut inputs = vec![("after", after)];
    let mut options = json!({"before": Value::Null, "after": "$after", "match": by});
    if let Some(before) = before {
        inputs.push(("before", before));
        options["before"] = json!("$before");
    }
    run("evaluation/migration", &inputs, options).await
}

fn named(customers: &[i64], segments: &[&str]) -> RecordBatch {
    table(vec![
        ("customer_id", ids(customers)),
        ("segment", texts(segments)),
    ])
}

fn segments(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    use arrow::array::AsArray;
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

#[tokio::test]
async fn customers_move_come_and_go() {
    let before = named(&[4, 1, 2, 3], &["b", "a", "a", "b"]);
    let after = named(&[1, 3, 2, 5], &["a", "b", "b", "a"]);
    let output = migrate(Some(before), after, "names").await;
    let moves = rows(&output, "moves");
    assert_eq!(integers(&moves, "customer_id"), [1, 2, 3, 4, 5].map(Some));
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(
        segments(&moves, "before"),
        [text("a"), text("a"), text("b"), text("b"), None]
    );
    assert_eq!(
        segments(&moves, "after"),
        [text("a"), text("b"), text("b"), None, text("a")]
    );
    assert_eq!(
        truths(&moves, "moved"),
        [false, true, false, false, false].map(Some)
    );
    let metrics = &output.outcome().metrics;
    assert_eq!(metrics["moved_share"], 1.0 / 3.0);
    assert_eq!(
        (metrics["customers"], metrics["new"], metrics["gone"]),
        (4.0, 1.0, 1.0)
    );
    let matrix = rows(&output, "matrix");
    assert_eq!(integers(&matrix, "customers"), [1; 5].map(Some));
    let same = truths(&matrix, "same");
    assert_eq!(same.iter().filter(|same| **same == Some(true)).count(), 2);
    let PanelBody::Heatmap {
        rows,
        columns,
        values,
        ..
    } = &output.panels[1].body
    else {
        unreachable!("{:?}", output.panels)
    };
    assert_eq!(rows.last().unwrap(), "new");
    assert_eq!(columns.last().unwrap(), "gone");
    let total: f64 = values.iter().flatten().flatten().sum();
    assert_eq!(total, 5.0);
}

#[tokio::test]
async fn a_renumbering_is_no_migration_by_overlap_and_is_one_by_names() {
    let before = || Some(assignment(&[0, 0, 0, 1, 1, 2, 2]));
    let after = || assignment(&[2, 2, 2, 0, 0, 1, 0]);
    let by_overlap = migrate(before(), after(), "overlap").await;
    assert_eq!(by_overlap.outcome().metrics["moved_share"], 1.0 / 7.0);
    let moved = truths(&rows(&by_overlap, "moves"), "moved");
    assert_eq!(moved.iter().position(|moved| *moved == Some(true)), Some(6));
    let by_names = migrate(before(), after(), "names").await;
    assert_eq!(by_names.outcome().metrics["moved_share"], 1.0);
}

#[tokio::test]
async fn a_segment_without_a_counterpart_gives_all_its_customers_away() {
    let before = Some(assignment(&[0, 0, 0, 1, 1]));
    let output = migrate(before, assignment(&[5, 5, 5, 5, 5]), "overlap").await;
    assert_eq!(output.outcome().metrics["moved_share"], 2.0 / 5.0);
}

#[tokio::test]
async fn before_anything_was_published_everybody_is_new() {
    for by in ["names", "overlap"] {
        let output = migrate(None, assignment(&[0, 1, 1]), by).await;
        let metrics = &output.outcome().metrics;
        assert_eq!((metrics["new"], metrics["moved_share"]), (3.0, 0.0));
        let moves = rows(&output, "moves");
        assert_eq!(moves.column_by_name("before").unwrap().null_count(), 3);
        assert_eq!(truths(&moves, "moved"), [Some(false); 3]);
        assert_eq!(
            messages(&output, LogLevel::Info),
            ["nothing was published before: every customer is new, and nobody moved"]
        );
    }
}

#[tokio::test]
async fn empty_assignments_have_nobody_to_move() {
    let nobody = || assignment(&[]);
    for (before, after) in [
        (None, nobody()),
        (Some(nobody()), nobody()),
        (Some(nobody()), assignment(&[1, 2])),
        (Some(assignment(&[1, 2])), nobody()),
        (Some(named(&[1], &["a"])), nobody()),
    ] {
        for by in ["names", "overlap"] {
            let output = migrate(before.clone(), after.clone(), by).await;
            assert_eq!(output.outcome().metrics["moved_share"], 0.0);
        }
    }
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_told() {
    let cases = [
        (
            named(&[1, 1], &["a", "b"]),
            "customer_id 1 stands in `before` more than once",
        ),
        (
            table(vec![("customer_id", ids(&[1]))]),
            "`before` has no column `segment`",
        ),
        (
            table(vec![("customer_id", texts(&["a"])), ("segment", ids(&[1]))]),
            "`customer_id` is an integer in one of `before` and `after`",
        ),
        (
            named(&[1, 2], &["a", "b"]),
            "`segment` is an integer in one of `before` and `after`, and a text in the other",
        ),
    ];
    for (before, expected) in cases {
        let output = migrate(Some(before), assignment(&[1, 2]), "names").await;
        let error = output.error().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let keyed = table(vec![("moved", ids(&[1])), ("segment", ids(&[1]))]);
    let options = json!({"after": "$after", "key": "moved"});
    let output = run("evaluation/migration", &[("after", keyed)], options).await;
    let error = output.error().to_string();
    assert!(
        error.starts_with("the key cannot be named `moved`: the output has a column of that name"),
        "{error}"
    );
    // By overlap names need not be alike.
    let by_overlap = migrate(
        Some(named(&[1, 2], &["a", "b"])),
        assignment(&[1, 2]),
        "overlap",
    );
    assert_eq!(by_overlap.await.outcome().metrics["moved_share"], 0.0);
    let many: Vec<i32> = (0..1001).collect();
    let output = migrate(None, assignment(&many), "overlap").await;
    assert_eq!(error_code(&output), "MQ0406");
}
