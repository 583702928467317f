//! What `personalization/offers` decides.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn each_customer_gets_an_eligible_action_with_its_probability() {
    let actions = json!([
        {"name": "discount", "when": "recency_days > 20"},
        {"name": "bundle", "when": "segment == \"even\""},
        {"name": "early_access", "when": "recency_days > 90 && segment == \"odd\""},
    ]);
    let decided = decide(100, with(offers(), json!({"actions": actions}))).await;
    let rows = rows(&decided, "decisions");
    // Of the first twenty only the even ones have something.
    assert_eq!(rows.num_rows(), 90);
    assert_eq!(decided.outcome().metrics["without_action"], 10.0);
    assert!(
        decided
            .logs
            .iter()
            .any(|line| line.message.contains("nothing is eligible"))
    );
    let ids = numbers(&rows, "customer_id");
    let (actions, propensities) = (texts(&rows, "action"), numbers(&rows, "propensity"));
    for row in 0..rows.num_rows() {
        let (id, even) = (ids[row], ids[row] % 2.0 == 0.0);
        let eligible = usize::from(id > 20.0) + usize::from(even) + usize::from(id > 90.0 && !even);
        // Nothing is learned yet, so all of them are equally likely.
        assert!(
            (propensities[row] - 1.0 / eligible as f64).abs() < 1e-9,
            "customer {id}"
        );
        match actions[row].as_str() {
            "discount" => assert!(id > 20.0),
            "bundle" => assert!(even),
            "early_access" => assert!(id > 90.0 && !even),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn another_attempt_decides_the_same_and_another_seed_does_not() {
    let (first, second) = (decide(200, offers()).await, decide(200, offers()).await);
    let of = |output: &_| {
        let rows = rows(output, "decisions");
        (texts(&rows, "decision_id"), texts(&rows, "action"))
    };
    assert_eq!(of(&first), of(&second));
    let other = decide(200, with(offers(), json!({"seed": 1}))).await;
    assert_eq!(of(&other).0, of(&first).0);
    assert_ne!(of(&other).1, of(&first).1);
}

#[tokio::test]
async fn a_cap_is_kept_and_propensities_are_those_of_what_was_left() {
    let actions = json!([{"name": "discount"}, {"name": "bundle", "cap": 30}]);
    let decided = decide(300, with(offers(), json!({"actions": actions}))).await;
    let rows = rows(&decided, "decisions");
    let mut counts: BTreeMap<(String, u64), usize> = BTreeMap::new();
    for (action, propensity) in texts(&rows, "action")
        .into_iter()
        .zip(numbers(&rows, "propensity"))
    {
        *counts
            .entry((action, (propensity * 2.0).round() as u64))
            .or_default() += 1;
    }
    assert_eq!(counts[&("bundle".to_owned(), 1)], 30);
    assert!(!counts.contains_key(&("bundle".to_owned(), 2)));
    // While the bundle was there, each was as likely; then the discount was all there was.
    let before = counts[&("discount".to_owned(), 1)];
    assert!(
        (5..80).contains(&before),
        "{before} discounts beside 30 bundles"
    );
    assert_eq!(counts[&("discount".to_owned(), 2)], 300 - 30 - before);
    // Who gets the last ones does not depend on the order of the keys.
    let ids = numbers(&rows, "customer_id");
    let actions = texts(&rows, "action");
    let last = (0..300)
        .rev()
        .find(|row| actions[*row] == "bundle")
        .unwrap();
    assert!(ids[last] > 150.0);

    let none = json!([{"name": "bundle", "cap": 0}]);
    let decided = decide(10, with(offers(), json!({"actions": none}))).await;
    assert_eq!(decided.outcome().metrics["without_action"], 10.0);
}

#[tokio::test]
async fn a_linear_policy_sees_the_columns_of_its_context() {
    let linear = json!({
        "algorithm": {"kind": "linear_thompson", "alpha": 0.5},
        "context": ["recency_days"],
    });
    let decided = decide(20, with(offers(), linear.clone())).await;
    let rows = rows(&decided, "decisions");
    let contexts = rows.column_by_name("context").unwrap();
    use arrow::array::AsArray;
    let third = contexts.as_list::<i32>().value(2);
    let third = third.as_primitive::<arrow::datatypes::Float64Type>();
    assert_eq!(third.values(), &[1.0, 3.0]);
}

#[tokio::test]
async fn what_cannot_be_decided_is_said_before_anything_is_written() {
    let cases: [(Value, &str, &str); 8] = [
        (json!({"actions": []}), "MQ0113", "`actions` is empty"),
        (
            json!({"actions": [{"name": "a"}, {"name": "a"}]}),
            "MQ0113",
            "names `a` twice",
        ),
        (
            json!({"actions": [{"name": "a", "when": "recency > 3"}]}),
            "MQ0202",
            "`when` of action `a`",
        ),
        (
            json!({"actions": [{"name": "a", "when": "recency_days + segment > 3"}]}),
            "MQ02",
            "customer_id 1",
        ),
        (json!({"decided_at": "yesterday"}), "MQ0113", "no moment"),
        (
            json!({"context": ["recency_days"]}),
            "MQ0113",
            "looks at none",
        ),
        (
            json!({"algorithm": {"kind": "lin_ucb"}}),
            "MQ0113",
            "names no column",
        ),
        (
            json!({"algorithm": {"kind": "epsilon_greedy", "epsilon": 1.5}}),
            "MQ0113",
            "`epsilon` is 1.5",
        ),
    ];
    for (changes, code, words) in cases {
        let refused = decide(10, with(offers(), changes.clone())).await;
        let (found, message) = refusal(&refused);
        assert!(
            found.starts_with(code.get(..4).unwrap()),
            "{changes}: {found} {message}"
        );
        assert!(message.contains(words), "{changes}: {message}");
    }
}
