//! Whole stages: what they write, measure, say and refuse.
#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "tests may fail by panicking, and some results are exact"
)]

mod common;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use common::{assignment, close, floats, ids, messages, numbers, rows, run, table, texts};
use marquetry_plugin::testing::TestOutput;
use marquetry_plugin::{LogLevel, PanelBody};
use serde_json::json;

/// Six customers in two places, spending 10 and 30 each.
fn customers() -> RecordBatch {
    table(vec![
        ("customer_id", ids(&[6, 5, 4, 3, 2, 1])),
        ("x", floats(&[11.0, 10.0, 10.0, 0.0, 0.0, 1.0])),
        ("y", floats(&[10.0, 11.0, 10.0, 1.0, 0.0, 0.0])),
        ("monetary", floats(&[30.0, 30.0, 30.0, 10.0, 10.0, 10.0])),
        ("country", texts(&["DE", "DE", "FR", "FR", "FR", "FR"])),
    ])
}

fn warnings(output: &TestOutput) -> Vec<&str> {
    messages(output, LogLevel::Warn)
}

#[tokio::test]
async fn clusters_are_measured_sized_and_compared() {
    let inputs = [
        ("rows", customers()),
        ("segments", assignment(&[1, 1, 1, 2, 2, 2])),
        ("other", assignment(&[0, 0, 1, 1, 1, 1])),
    ];
    let options = json!({
        "rows": "$rows",
        "assignment": "$segments",
        "columns": ["x", "y"],
        "against": "$other",
    });
    let output = run("evaluation/clusters", &inputs, options).await;
    let metrics = &output.outcome().metrics;
    assert_eq!((metrics["customers"], metrics["clusters"]), (6.0, 2.0));
    // scikit-learn 1.9.1 on the same points: silhouette_score, davies_bouldin_score,
    // calinski_harabasz_score, and adjusted_rand_score of the two assignments.
    assert!(
        close(metrics["silhouette"], 0.9196222281154851),
        "{metrics:?}"
    );
    assert!(
        close(metrics["davies_bouldin"], 0.09249505911485191),
        "{metrics:?}"
    );
    assert!(
        close(metrics["calinski_harabasz"], 450.00000000000006),
        "{metrics:?}"
    );
    assert!(
        close(metrics["adjusted_rand_index"], 0.32432432432432434),
        "{metrics:?}"
    );
    assert_eq!(metrics["smallest_share"], 0.5);

    let sizes = rows(&output, "sizes");
    let names = sizes.column_by_name("segment").unwrap();
    assert_eq!(names.as_primitive::<Int64Type>().values(), &[1, 2]);
    assert_eq!(numbers(&sizes, "revenue"), [Some(30.0), Some(90.0)]);
    assert_eq!(numbers(&sizes, "revenue_share"), [Some(0.25), Some(0.75)]);
    assert!(warnings(&output).is_empty(), "{:?}", warnings(&output));
}

#[tokio::test]
async fn what_only_one_input_has_is_left_out_and_told() {
    let inputs = [
        ("rows", customers()),
        ("segments", assignment(&[1, 1, 2, 2])),
    ];
    let options = json!({"rows": "$rows", "assignment": "$segments", "columns": ["x", "y"]});
    let output = run("evaluation/clusters", &inputs, options).await;
    assert_eq!(output.outcome().metrics["customers"], 4.0);
    assert_eq!(
        warnings(&output),
        ["customers are left out that only one input has"]
    );
}

#[tokio::test]
async fn one_segment_has_sizes_and_no_separation() {
    let inputs = [("rows", customers()), ("segments", assignment(&[3; 6]))];
    let options = json!({"rows": "$rows", "assignment": "$segments"});
    let output = run("evaluation/clusters", &inputs, options).await;
    let metrics = &output.outcome().metrics;
    assert!(!metrics.contains_key("silhouette"), "{metrics:?}");
    assert_eq!(metrics["smallest_share"], 1.0);
    assert_eq!(
        warnings(&output),
        ["separation is not defined: it needs 2 segments or more, and fewer than customers"]
    );
}

#[tokio::test]
async fn no_customers_are_no_segments() {
    let inputs = [
        ("rows", customers().slice(0, 0)),
        ("segments", assignment(&[])),
    ];
    let options = json!({"rows": "$rows", "assignment": "$segments"});
    for kind in ["evaluation/clusters", "evaluation/profile"] {
        let output = run(kind, &inputs, options.clone()).await;
        assert!(output.result.is_ok(), "{kind}: {:?}", output.result);
    }
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_told_apart() {
    let by_text = table(vec![
        ("customer_id", texts(&["a", "b"])),
        ("segment", texts(&["x", "y"])),
    ]);
    let of_floats = table(vec![
        ("customer_id", ids(&[1, 2])),
        ("segment", floats(&[1.0, 2.0])),
    ]);
    let strangers = table(vec![
        ("customer_id", ids(&[70, 71])),
        ("segment", texts(&["x", "y"])),
    ]);
    let not_finite = table(vec![
        ("customer_id", ids(&[1, 2, 3])),
        ("x", floats(&[1.0, f64::NAN, 2.0])),
    ]);
    let cases = [
        (
            customers(),
            by_text,
            "`customer_id` is an integer in one of `rows` and `assignment`, and a text in the other",
        ),
        (
            customers(),
            of_floats,
            "`segment` of `assignment` is of type Float64",
        ),
        (
            customers(),
            strangers,
            "no customer of `rows` is in `assignment`",
        ),
        (
            not_finite,
            assignment(&[1, 2, 2]),
            "customer_id 2 has NaN in column `x`",
        ),
    ];
    for (rows, segments, expected) in cases {
        let inputs = [("rows", rows), ("segments", segments)];
        let options = json!({"rows": "$rows", "assignment": "$segments"});
        let output = run("evaluation/clusters", &inputs, options).await;
        let error = output.error().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn a_profile_has_effects_names_and_sentences() {
    let inputs = [
        ("rows", customers()),
        ("segments", assignment(&[1, 1, 1, 2, 2, 2])),
    ];
    let columns = ["monetary", "x", "country"];
    let options = json!({"rows": "$rows", "assignment": "$segments", "columns": columns});
    let output = run("evaluation/profile", &inputs, options).await;

    let profile = rows(&output, "profile");
    let column = profile.column_by_name("column").unwrap();
    let column: Vec<_> = column.as_string::<i32>().iter().flatten().collect();
    assert_eq!(column, ["monetary", "x", "country"].repeat(2));
    // Nothing varies within the segments in `monetary`, so it has no effect size; of `x`, means 1/3 and
    // 31/3, variances 1/3 both: d = -10 / sqrt(1/3).
    let effect = numbers(&profile, "effect");
    assert_eq!((effect[0], effect[2]), (None, None));
    assert!(
        close(effect[1].unwrap(), -10.0 * 3.0_f64.sqrt()),
        "{effect:?}"
    );
    assert_eq!(numbers(&profile, "lift")[5], Some(2.0));

    let names = rows(&output, "names");
    let text = |name: &str| {
        let column = names.column_by_name(name).unwrap().as_string::<i32>();
        column
            .iter()
            .flatten()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(text("name"), ["Low x, country FR", "High x, country DE"]);
    assert!(
        text("sentence")[1].contains("country is DE for 67% of them, 2.0 times the share overall"),
        "{:?}",
        text("sentence")
    );
    let shown: Vec<_> = output
        .panels
        .iter()
        .map(|panel| std::mem::discriminant(&panel.body))
        .collect();
    let text_panel = std::mem::discriminant(&PanelBody::Text(Vec::new()));
    assert!(shown.contains(&text_panel), "{:?}", output.panels);
    assert!(profile.column_by_name("mean").unwrap().is_valid(0));
}
