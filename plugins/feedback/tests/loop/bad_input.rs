//! What cannot be learned from.

use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn responses_that_belong_to_no_decision_fail_the_stage_when_there_are_many() {
    let decided = decide(10, offers()).await;
    let foreign = responses(&[
        ("a", "2025-01-02T00:00:00Z", 1.0),
        ("b", "2025-01-02T00:00:00Z", 1.0),
    ]);
    let refused = learn(&decided, foreign, bandit(&decided)).await;
    let (code, message) = refusal(&refused);
    assert_eq!(code, "MQ0409");
    assert!(
        message.contains("2 of 2 responses") && message.contains("\"a\""),
        "{message}"
    );
}

#[tokio::test]
async fn a_reward_that_the_policy_cannot_take_is_named_with_its_decision() {
    let decided = decide(10, offers()).await;
    let id = texts(&rows(&decided, "decisions"), "decision_id")[4].clone();
    for (reward, shown) in [(1.5, "1.5"), (-0.1, "-0.1"), (f64::NAN, "NaN")] {
        let wrong = responses(&[(&id, "2025-01-02T00:00:00Z", reward)]);
        let (code, message) = refusal(&learn(&decided, wrong, bandit(&decided)).await);
        assert_eq!(code, "MQ0409");
        assert!(
            message.contains(&id) && message.contains(shown),
            "{message}"
        );
    }
    let clip = with(bandit(&decided), json!({"rewards": "clip"}));
    let wrong = responses(&[(&id, "2025-01-02T00:00:00Z", 1.5)]);
    let learned = learn(&decided, wrong, clip).await;
    assert_eq!(learned.outcome().metrics["clipped"], 1.0);
    assert_eq!(learned.outcome().metrics["reward_mean"], 0.1);
}

#[tokio::test]
async fn a_policy_of_another_shape_is_not_used() {
    let decided = decide(10, offers()).await;
    let published = |dataset: Value| json!({"policy": policy(3, dataset)});
    let stored = json!(decided.outcome().outputs["policy"]);
    let shapes = [
        (json!({"algorithm": {"kind": "ucb1"}}), "`beta_thompson`"),
        (json!({"per_segment": false}), "one policy a segment"),
    ];
    for (changes, words) in shapes {
        let options = with(with(offers(), published(stored.clone())), changes);
        let refused = stage("personalization/offers")
            .lake(decided.lake.clone())
            .input("customers", vec![customers(10)])
            .input("segments", vec![segments(10)])
            .options(options)
            .run()
            .await;
        let (code, message) = refusal(&refused);
        assert_eq!(code, "MQ0408");
        assert!(message.contains(words), "{message}");
    }
    // Something else is published under the name.
    let foreign = json!(decided.outcome().outputs["decisions"]);
    let refused = learn(
        &decided,
        responses(&[]),
        with(bandit(&decided), published(foreign)),
    )
    .await;
    let (code, message) = refusal(&refused);
    assert_eq!(code, "MQ0408");
    assert!(message.contains("policy `offers@3`"), "{message}");
}

#[tokio::test]
async fn a_policy_without_a_beginning_and_actions_that_it_does_not_know_are_told() {
    let decided = decide(10, offers()).await;
    let mut options = bandit(&decided);
    options["from"] = Value::Null;
    let (code, message) = refusal(&learn(&decided, responses(&[]), options).await);
    assert_eq!(code, "MQ0113");
    assert!(
        message.contains("no version of policy `offers`"),
        "{message}"
    );

    // A policy that learned about two actions, and decisions for a third.
    let learned = learn(&decided, responses(&[]), bandit(&decided)).await;
    let taught = json!(learned.outcome().outputs["policy"]);
    let other = stage("personalization/offers")
        .lake(decided.lake.clone())
        .input("customers", vec![customers(10)])
        .input("segments", vec![segments(10)])
        .options(with(offers(), json!({"actions": [{"name": "voucher"}]})))
        .run()
        .await;
    let without_from = json!({"policy": policy(1, taught.clone()), "from": null});
    let options = with(bandit(&other), without_from);
    let (_, message) = refusal(&learn(&other, responses(&[]), options).await);
    assert!(
        message.contains("`voucher`") && message.contains("discount"),
        "{message}"
    );
    // The policy that decided knows it, so the catalogue grew.
    let options = with(bandit(&other), json!({"policy": policy(1, taught)}));
    let grown = learn(&other, responses(&[]), options).await;
    let actions = texts(&rows(&grown, "policy"), "action");
    assert!(actions.contains(&"voucher".to_owned()) && actions.contains(&"bundle".to_owned()));
}

#[tokio::test]
async fn a_window_that_is_none_is_told() {
    let decided = decide(10, offers()).await;
    let options = with(bandit(&decided), json!({"window": "a week"}));
    let (code, message) = refusal(&learn(&decided, responses(&[]), options).await);
    assert_eq!(code, "MQ0113");
    assert!(message.contains("`window`"), "{message}");
}

#[tokio::test]
async fn no_decisions_teach_nothing_and_say_so() {
    let decided = decide(
        10,
        with(offers(), json!({"actions": [{"name": "a", "cap": 0}]})),
    )
    .await;
    let learned = learn(&decided, responses(&[]), bandit(&decided)).await;
    assert_eq!(learned.outcome().metrics["decisions"], 0.0);
    assert!(
        learned
            .logs
            .iter()
            .any(|line| line.message.contains("nothing to learn"))
    );
}
