//! Which response counts for which decision.

use marquetry_decisions::Learner;
use serde_json::{Value, json};

use crate::support::{DAY, Logged, Response, arms, book, fresh, learn, logged, response, unused};

fn beta() -> Learner {
    Learner::default()
}

const DECISIONS: [Logged; 6] = [
    logged("d1", "x"),
    logged("d2", "x"),
    logged("d3", "x"),
    logged("d4", "y"),
    logged("d5", "y"),
    logged("d6", "y"),
];

fn figures(output: &marquetry_plugin::testing::TestOutput, names: &[&str]) -> Vec<f64> {
    let metrics = &output.outcome().metrics;
    names.iter().map(|&name| metrics[name]).collect()
}

#[tokio::test]
async fn a_response_counts_from_its_decision_to_the_end_of_the_window() {
    let answers = [
        response("d1", 0, 1.0),
        response("d2", 7 * DAY, 1.0),
        response("d3", 7 * DAY + 1, 1.0),
        response("d4", -1, 1.0),
        // The second counts, which was the first in time.
        response("d5", 2 * DAY, 0.25),
        response("d5", DAY, 1.0),
        response("elsewhere", DAY, 1.0),
        (None, Some(DAY), Some(1.0)),
        (Some("d6"), Some(DAY), None),
    ];
    let more = json!({"max_unknown_share": 0.5});
    let output = learn(&fresh(beta()), &DECISIONS, &answers, more).await;
    let names = [
        "decisions",
        "responses",
        "late",
        "doubled",
        "unknown",
        "pending",
    ];
    assert_eq!(figures(&output, &names), [6.0, 9.0, 1.0, 1.0, 2.0, 0.0]);
    assert_eq!(figures(&output, &["reward_mean"]), [0.5]);
    assert_eq!(
        unused(&output),
        [
            " unknown_decision",
            "d3 late",
            "d4 before_decision",
            "d5 doubled",
            "d6 no_reward",
            "elsewhere unknown_decision",
        ]
    );
    let third = Some(1.0 / 3.0);
    let two_thirds = Some(2.0 / 3.0);
    assert_eq!(
        arms(&book(&output).await, None),
        [("x".to_owned(), 3, two_thirds), ("y".to_owned(), 3, third)]
    );
}

async fn mean(answers: &[Response], more: Value) -> f64 {
    let output = learn(&fresh(beta()), &DECISIONS[..1], answers, more).await;
    figures(&output, &["reward_mean"])[0]
}

#[tokio::test]
async fn of_several_responses_the_option_says_which_counts() {
    let answers = [
        response("d1", 3 * DAY, 0.125),
        response("d1", DAY, 0.25),
        response("d1", 2 * DAY, 0.5),
        // Too late for any of them.
        response("d1", 9 * DAY, 1.0),
    ];
    for (doubled, expected) in [
        ("first", 0.25),
        ("last", 0.125),
        ("max", 0.5),
        ("sum", 0.875),
    ] {
        let found = mean(&answers, json!({"doubled": doubled})).await;
        assert_eq!(found, expected, "{doubled}");
    }
    assert_eq!(mean(&answers, json!({})).await, 0.25);
    assert_eq!(mean(&answers, json!({"window": "1h"})).await, 0.0);
    assert_eq!(
        mean(&answers, json!({"window": "30d", "doubled": "max"})).await,
        1.0
    );
}

#[tokio::test]
async fn responses_without_times_count_whenever_they_came() {
    let answers = [(Some("d1"), None, Some(1.0)), response("d2", 99 * DAY, 1.0)];
    let decisions = &DECISIONS[..2];
    let timed = learn(&fresh(beta()), decisions, &answers, json!({})).await;
    assert_eq!(unused(&timed), ["d2 late"]);
    let timeless = learn(&fresh(beta()), decisions, &answers, json!({"time": null})).await;
    assert_eq!(figures(&timeless, &["reward_mean"]), [1.0]);
}

#[tokio::test]
async fn without_responses_or_decisions_the_policy_stays_what_it_was() {
    let none = learn(&fresh(beta()), &[], &[], json!({})).await;
    assert_eq!(figures(&none, &["decisions", "responses"]), [0.0, 0.0]);
    let silent = learn(&fresh(beta()), &DECISIONS, &[], json!({"missing": "skip"})).await;
    assert_eq!(figures(&silent, &["decisions"]), [0.0]);
    let untouched = book(&none).await.to_json().unwrap();
    assert_eq!(untouched, fresh(beta()).to_json().unwrap());
}
