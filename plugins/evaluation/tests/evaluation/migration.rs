//! `evaluation/migration`.

use marquetry_plugin::PanelBody;
use serde_json::json;

use crate::support::{
    ids, integers, named, numbered, numbers, panels, refusal, rows, run, table, truths, warnings,
    words,
};

const KIND: &str = "evaluation/migration";

#[tokio::test]
async fn a_renumbering_is_no_migration() {
    let before = numbered(&[1, 2, 3, 4, 5, 6], &[0, 0, 0, 1, 1, 2]);
    // 0 became 2, 1 became 0, 2 became 1; customer 3 went from 0 to 1, 6 is gone, 7 is new.
    let after = numbered(&[7, 5, 4, 3, 2, 1], &[2, 0, 0, 0, 2, 2]);
    let inputs = [("before", before), ("after", after)];
    let options = json!({"before": "$before", "after": "$after"});
    let output = run(KIND, &inputs, options).await;
    let metrics = &output.outcome().metrics;
    let expected = [
        ("customers", 6.0),
        ("compared", 5.0),
        ("moved", 1.0),
        ("moved_share", 0.2),
        ("new", 1.0),
        ("gone", 1.0),
    ];
    for (name, value) in expected {
        assert_eq!(metrics[name], value, "{name}");
    }

    let moves = rows(&output, "moves");
    assert_eq!(
        integers(&moves, "customer_id"),
        (1..=7).map(Some).collect::<Vec<_>>()
    );
    let before = [Some(0), Some(0), Some(0), Some(1), Some(1), Some(2), None];
    assert_eq!(integers(&moves, "before"), before);
    let after = [Some(2), Some(2), Some(0), Some(0), Some(0), None, Some(2)];
    assert_eq!(integers(&moves, "after"), after);
    assert_eq!(
        truths(&moves, "moved"),
        [false, false, true, false, false, false, false]
    );

    let matrix = rows(&output, "matrix");
    assert_eq!(
        integers(&matrix, "before"),
        [Some(0), Some(0), Some(1), Some(2), None]
    );
    assert_eq!(
        integers(&matrix, "after"),
        [Some(0), Some(2), Some(0), None, Some(2)]
    );
    assert_eq!(
        integers(&matrix, "customers"),
        [Some(1), Some(2), Some(2), Some(1), Some(1)]
    );
    let share = [Some(1.0 / 3.0), Some(2.0 / 3.0), Some(1.0), Some(1.0), None];
    assert_eq!(numbers(&matrix, "share"), share);
    assert_eq!(truths(&matrix, "same"), [false, true, true, false, false]);

    assert_eq!(panels(&output), ["figures", "heatmap"]);
    let PanelBody::Heatmap {
        rows,
        columns,
        values,
        ..
    } = &output.panels[1].body
    else {
        panic!("{:?}", output.panels);
    };
    assert_eq!(rows, &["segment 0", "segment 1", "segment 2", "new"]);
    // In the order of what they are the same as, so that the diagonal is who stayed.
    assert_eq!(columns, &["segment 2", "segment 0", "gone"]);
    assert_eq!(values[0], [Some(2.0), Some(1.0), Some(0.0)]);
    assert_eq!(values[3], [Some(1.0), Some(0.0), None]);
}

#[tokio::test]
async fn names_are_matched_as_names_unless_overlap_is_asked_for() {
    let before = named(&[1, 2, 3], &[Some("loyal"), Some("loyal"), Some("lost")]);
    let after = named(&[1, 2, 3], &[Some("lost"), Some("lost"), Some("won back")]);
    let inputs = [("before", before), ("after", after)];
    let options = json!({"before": "$before", "after": "$after"});
    let output = run(KIND, &inputs, options).await;
    assert_eq!(output.outcome().metrics["moved"], 3.0);
    let words_after = words(&rows(&output, "moves"), "after");
    assert_eq!(words_after[2].as_deref(), Some("won back"));

    let options = json!({"before": "$before", "after": "$after", "match": "overlap"});
    let output = run(KIND, &inputs, options).await;
    assert_eq!(output.outcome().metrics["moved"], 0.0);
}

#[tokio::test]
async fn numbers_that_mean_something_are_matched_as_names() {
    let before = numbered(&[1, 2], &[0, 1]);
    let after = numbered(&[1, 2], &[1, 0]);
    let inputs = [("before", before), ("after", after)];
    let options = json!({"before": "$before", "after": "$after", "match": "names"});
    let output = run(KIND, &inputs, options).await;
    assert_eq!(output.outcome().metrics["moved_share"], 1.0);
}

#[tokio::test]
async fn with_nothing_before_everyone_is_new_and_it_says_so() {
    let after = numbered(&[1, 2, 3], &[0, 1, 1]);
    // As `${{ tables.segments }}` is null until something was published.
    for options in [
        json!({"before": null, "after": "$after"}),
        json!({"after": "$after"}),
    ] {
        let output = run(KIND, &[("after", after.clone())], options).await;
        let metrics = &output.outcome().metrics;
        assert_eq!((metrics["new"], metrics["compared"]), (3.0, 0.0));
        assert_eq!((metrics["moved_share"], metrics["gone"]), (0.0, 0.0));
        let moves = rows(&output, "moves");
        assert_eq!(integers(&moves, "before"), [None; 3]);
        assert_eq!(truths(&moves, "moved"), [false; 3]);
        assert_eq!(
            integers(&rows(&output, "matrix"), "customers"),
            [Some(1), Some(2)]
        );
        let told = "there is no earlier segmentation: every customer is new";
        assert!(output.logs.iter().any(|line| line.message == told));
        assert_eq!(panels(&output), ["figures"]);
    }
}

#[tokio::test]
async fn a_customer_without_a_segment_is_as_one_who_is_not_there() {
    let before = named(&[1, 2, 3, 4], &[Some("a"), None, Some("a"), None]);
    let after = named(&[1, 2, 3, 4], &[Some("a"), Some("a"), None, None]);
    let inputs = [("before", before), ("after", after)];
    let options = json!({"before": "$before", "after": "$after"});
    let output = run(KIND, &inputs, options).await;
    let metrics = &output.outcome().metrics;
    assert_eq!(
        (metrics["compared"], metrics["new"], metrics["gone"]),
        (1.0, 1.0, 1.0)
    );
    assert_eq!(rows(&output, "moves").num_rows(), 3);
}

#[tokio::test]
async fn nobody_in_common_and_nobody_at_all_are_results_and_not_errors() {
    let none = numbered(&[], &[]);
    let some = numbered(&[1, 2], &[0, 1]);
    let others = numbered(&[3], &[0]);
    for (before, after, new, gone) in [
        (none.clone(), some.clone(), 2.0, 0.0),
        (some.clone(), none.clone(), 0.0, 2.0),
        (some, others, 1.0, 2.0),
        (none.clone(), none, 0.0, 0.0),
    ] {
        let inputs = [("before", before), ("after", after)];
        let options = json!({"before": "$before", "after": "$after"});
        let output = run(KIND, &inputs, options).await;
        let metrics = &output.outcome().metrics;
        assert_eq!((metrics["new"], metrics["gone"]), (new, gone));
        assert_eq!(output.outcome().outputs["moves"].rows as f64, new + gone);
        assert_eq!(
            warnings(&output),
            ["no customer has a segment both before and after"]
        );
    }
}

#[tokio::test]
async fn sides_that_do_not_fit_are_refused() {
    let numbers = numbered(&[1, 2], &[0, 1]);
    let names = named(&[1, 2], &[Some("a"), Some("b")]);
    let doubled = numbered(&[2, 2], &[0, 1]);
    let by_text = table(vec![
        ("customer_id", crate::support::texts(&["x", "y"])),
        ("segment", ids(&[0, 1])),
    ]);
    let without = table(vec![("customer_id", ids(&[1])), ("cluster", ids(&[1]))]);
    let plain = json!({"before": "$before", "after": "$after"});
    let by_name = json!({"before": "$before", "after": "$after", "match": "names"});
    let by_guess = json!({"before": "$before", "after": "$after", "match": "guess"});
    let keyed = json!({"before": "$before", "after": "$after", "key": "segment"});
    let cases = [
        (
            numbers.clone(),
            names,
            by_name,
            "MQ0403",
            "`segment` is an integer in one of `before` and `after`",
        ),
        (
            by_text,
            numbers.clone(),
            plain.clone(),
            "MQ0403",
            "`customer_id` is an integer in one of `before` and `after`",
        ),
        (
            doubled,
            numbers.clone(),
            plain.clone(),
            "MQ0406",
            "customer_id 2 stands in `before` more than once",
        ),
        (
            numbers.clone(),
            without,
            plain,
            "MQ0403",
            "`after` has no column `segment`",
        ),
        (
            numbers.clone(),
            numbers.clone(),
            keyed,
            "MQ0113",
            "the key cannot be named `segment`",
        ),
        (
            numbers.clone(),
            numbers,
            by_guess,
            "MQ0113",
            "`match` must be",
        ),
    ];
    for (before, after, options, code, message) in cases {
        let inputs = [("before", before), ("after", after)];
        let refused = refusal(&run(KIND, &inputs, options).await);
        assert!(refused.1.contains(message), "{refused:?}, not {message}");
        assert_eq!(refused.0, code, "{message}");
    }
}
