//! What cannot be learned from: an error, and nothing of a policy.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, RecordBatch};
use arrow::datatypes::Float64Type;
use marquetry_decisions::Learner;
use serde_json::{Value, json};

use crate::support::{
    DAY, Logged, Response, bandit, complaint, fresh, learn, log, logged, numbers, response,
    responses, rows, stage, words,
};

const TWO: [Logged; 2] = [logged("d1", "x"), logged("d2", "y")];

async fn refused(
    algorithm: Learner,
    decisions: &[Logged],
    answers: &[Response],
    more: Value,
) -> String {
    let output = learn(&fresh(algorithm), decisions, answers, more).await;
    assert!(
        output.outputs.is_empty(),
        "nothing of a failed attempt shows"
    );
    complaint(&output)
}

#[tokio::test]
async fn rewards_that_the_policy_cannot_learn_from_are_an_error_that_names_the_decision() {
    let mean = || Learner::EpsilonGreedy {
        epsilon: 0.1,
        initial_mean: 0.0,
    };
    for (algorithm, reward, rule) in [
        (Learner::default(), f64::INFINITY, "rewards from 0 to 1"),
        (mean(), f64::INFINITY, "a finite number"),
        (mean(), f64::NAN, "a finite number"),
    ] {
        let answers = [response("d2", DAY, reward)];
        let message = refused(algorithm, &TWO, &answers, json!({})).await;
        assert!(message.contains("MQ0409"), "{message}");
        let expected = format!("the reward of decision \"d2\" is {reward}");
        assert!(
            message.contains(&expected) && message.contains(rule),
            "{message}"
        );
    }
    // Beyond what sums can hold.
    let answers = [response("d2", DAY, 1e200)];
    let message = refused(mean(), &TWO, &answers, json!({})).await;
    assert!(message.contains("1e100"), "{message}");
    // Money is no probability, and other policies take it as it is.
    let output = learn(
        &fresh(mean()),
        &TWO,
        &[response("d2", DAY, 49.9)],
        json!({}),
    )
    .await;
    assert_eq!(output.outcome().metrics["reward_mean"], 24.95);
}

#[tokio::test]
async fn rewards_may_be_clipped_to_what_the_policy_can_learn_from() {
    let answers = [response("d1", DAY, 3.0), response("d2", DAY, -1.0)];
    let clip = json!({"rewards": "clip"});
    let output = learn(&fresh(Learner::default()), &TWO, &answers, clip).await;
    assert_eq!(output.outcome().metrics["clipped"], 2.0);
    let earned = rows(&output, "policy");
    assert_eq!(words(&earned, "action"), ["x", "y"]);
    assert_eq!(numbers(&earned, "reward_sum"), [Some(1.0), Some(0.0)]);
    let answers = [response("d1", DAY, f64::NAN)];
    let clip = json!({"rewards": "clip"});
    let message = refused(Learner::default(), &TWO, &answers, clip).await;
    assert!(message.contains("is NaN"), "{message}");
}

#[tokio::test]
async fn a_log_that_cannot_be_is_an_error() {
    let not_eligible = Logged {
        eligible: &["y"],
        ..logged("d3", "x")
    };
    let never = Logged {
        propensity: 0.0,
        ..logged("d3", "x")
    };
    let more_than_sure = Logged {
        propensity: 1.25,
        ..logged("d3", "x")
    };
    let not_a_number = Logged {
        propensity: f64::NAN,
        ..logged("d3", "x")
    };
    for (decisions, expected) in [
        (
            vec![TWO[0], TWO[0]],
            "decision \"d1\" stands in `decisions` twice",
        ),
        (vec![not_eligible], "the action `x` was not eligible"),
        (vec![never], "the propensity is 0"),
        (vec![more_than_sure], "the propensity is 1.25"),
        (vec![not_a_number], "the propensity is NaN"),
    ] {
        let message = refused(Learner::default(), &decisions, &[], json!({})).await;
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_table_that_is_no_log_names_the_column_that_is_missing() {
    let (_, from) = marquetry_decisions::policy_batch(&fresh(Learner::default())).unwrap();
    let output = stage("feedback/bandit")
        .input("decisions", vec![responses(&[response("d1", 0, 1.0)])])
        .input("responses", vec![responses(&[])])
        .input("from", vec![from])
        .policy("offers", None)
        .options(bandit(json!({"from": "$from"}), json!({})))
        .run()
        .await;
    let message = complaint(&output);
    assert!(
        message.contains("`decisions` has no column `segment`"),
        "{message}"
    );
}

#[tokio::test]
async fn options_that_mean_nothing_are_refused() {
    for (more, expected) in [
        (
            json!({"as_of": "later"}),
            "`as_of` is \"later\", which is no moment",
        ),
        (
            json!({"reward": "revenue"}),
            "`responses` has no column `revenue`",
        ),
        (json!({"max_unknown_share": 2}), "max_unknown_share"),
    ] {
        let answers = [response("d1", DAY, 1.0)];
        let message = refused(Learner::default(), &TWO, &answers, more).await;
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_context_of_another_length_than_the_policy_looks_at_is_a_policy_of_another_shape() {
    let linear = Learner::LinUcb {
        alpha: 1.0,
        ridge: 1.0,
    };
    let message = refused(linear, &TWO, &[], json!({})).await;
    assert!(message.contains("MQ0408"), "{message}");
    let expected = "decision \"d1\" has a context of 1 numbers, and the policy looks at 2";
    assert!(message.contains(expected), "{message}");
}

#[tokio::test]
async fn the_policy_that_decided_and_the_one_that_learns_must_have_one_shape() {
    let first = learn(&fresh(Learner::default()), &TWO, &[], json!({})).await;
    let newest = first.outcome().outputs["policy"].clone();
    let other = fresh(Learner::Ucb1 { alpha: 1.0 });
    let (_, from) = marquetry_decisions::policy_batch(&other).unwrap();
    let output = stage("feedback/bandit")
        .lake(first.lake)
        .run_number(2)
        .input("decisions", vec![log(&TWO)])
        .input("responses", vec![responses(&[])])
        .input("from", vec![from])
        .policy("offers", Some((1, &newest)))
        .options(bandit(json!({"from": "$from"}), json!({})))
        .run()
        .await;
    let message = complaint(&output);
    assert!(message.contains("MQ0408"), "{message}");
    let expected = "it learns by `beta_thompson`, and the stage says `ucb1`";
    assert!(message.contains(expected), "{message}");
}

#[tokio::test]
async fn a_context_with_a_gap_is_refused() {
    let log = log(&TWO);
    let gaps = ListArray::from_iter_primitive::<Float64Type, _, _>([
        Some(vec![Some(1.0), None]),
        Some(vec![Some(1.0), Some(2.0)]),
    ]);
    let place = log.schema().index_of("context").unwrap();
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (field, column) in log.schema().fields().iter().zip(log.columns()) {
        columns.push((field.name().clone(), Arc::clone(column)));
    }
    columns[place].1 = Arc::new(gaps);
    let log = RecordBatch::try_from_iter(columns).unwrap();
    let (_, from) = marquetry_decisions::policy_batch(&fresh(Learner::default())).unwrap();
    let output = stage("feedback/bandit")
        .input("decisions", vec![log])
        .input("responses", vec![responses(&[])])
        .input("from", vec![from])
        .policy("offers", None)
        .options(bandit(json!({"from": "$from"}), json!({})))
        .run()
        .await;
    let message = complaint(&output);
    assert!(
        message.contains("column `context` of `decisions`"),
        "{message}"
    );
}
