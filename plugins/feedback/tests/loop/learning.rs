//! What `feedback/bandit` learns.

use serde_json::{Value, json};

use crate::support::*;

/// The ids of decisions with an action in a segment.
fn decisions_of(
    decided: &marquetry_plugin::testing::TestOutput,
    action: &str,
    segment: &str,
) -> Vec<String> {
    let rows = rows(decided, "decisions");
    let (ids, actions) = (texts(&rows, "decision_id"), texts(&rows, "action"));
    let segments = texts(&rows, "segment");
    (0..ids.len())
        .filter(|row| actions[*row] == action && segments[*row] == segment)
        .map(|row| ids[row].clone())
        .collect()
}

#[tokio::test]
async fn a_policy_learns_what_each_segment_likes_and_the_next_run_does_so() {
    let decided = decide(400, offers()).await;
    // Everybody even likes the bundle, everybody odd the discount.
    let mut liked = decisions_of(&decided, "bundle", "even");
    liked.extend(decisions_of(&decided, "discount", "odd"));
    let rewards: Vec<_> = liked
        .iter()
        .map(|id| (id.as_str(), "2025-01-02T00:00:00Z", 1.0))
        .collect();
    let learned = learn(&decided, responses(&rewards), bandit(&decided)).await;
    let metrics = &learned.outcome().metrics;
    assert_eq!(metrics["decisions"], 400.0);
    assert_eq!(metrics["reward_mean"], liked.len() as f64 / 400.0);

    let arms = rows(&learned, "arms");
    let means: Vec<_> = texts(&arms, "action")
        .into_iter()
        .zip(texts(&arms, "segment"))
        .zip(numbers(&arms, "reward_mean"))
        .map(|((action, segment), mean)| format!("{action} {segment} {mean}"))
        .collect();
    assert_eq!(
        means,
        [
            "bundle even 1",
            "bundle odd 0",
            "discount even 0",
            "discount odd 1"
        ]
    );

    let next = stage("personalization/offers")
        .lake(learned.lake.clone())
        .input("customers", vec![customers(400)])
        .input("segments", vec![segments(400)])
        .options(with(
            offers(),
            json!({"policy": policy(1, json!(learned.outcome().outputs["policy"]))}),
        ))
        .run()
        .await;
    let decisions = rows(&next, "decisions");
    let (actions, segments) = (texts(&decisions, "action"), texts(&decisions, "segment"));
    let right = (0..400).filter(|row| (actions[*row] == "bundle") == (segments[*row] == "even"));
    assert_eq!(
        right.count(),
        400,
        "100 rewards and 100 failures leave no doubt"
    );
    assert_eq!(numbers(&decisions, "policy_version"), vec![1.0; 400]);
}

#[tokio::test]
async fn what_is_learned_adds_up_over_versions_and_the_state_survives_the_lake() {
    let decided = decide(60, offers()).await;
    let none = responses(&[("x", "2025-01-02T00:00:00Z", 1.0)]);
    let allow = json!({"max_unknown_share": 1.0});
    let first = learn(
        &decided,
        none.clone(),
        with(bandit(&decided), allow.clone()),
    )
    .await;
    let again = json!({"policy": policy(1, json!(first.outcome().outputs["policy"]))});
    let mut options = with(with(bandit(&decided), allow), again);
    let second = stage("feedback/bandit")
        .lake(first.lake.clone())
        .input("responses", vec![none])
        .options(options.take())
        .run()
        .await;
    let total = |output| {
        numbers(&rows(output, "policy"), "decisions")
            .iter()
            .sum::<f64>()
    };
    assert_eq!((total(&first), total(&second)), (60.0, 120.0));
    assert_eq!(
        numbers(&rows(&second, "arms"), "decisions")
            .iter()
            .sum::<f64>(),
        60.0
    );
    let state = |output: &marquetry_plugin::testing::TestOutput| {
        let schema = output.outputs["policy"][0].schema();
        let state: Value = serde_json::from_str(&schema.metadata()["marquetry.policy"]).unwrap();
        let policies = state["policies"].as_array().unwrap().clone();
        let arms = policies
            .iter()
            .flat_map(|policy| policy["state"]["arms"].as_array().unwrap().clone());
        arms.map(|arm| arm["count"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((state(&first), state(&second)), (60, 120));
}

#[tokio::test]
async fn late_early_and_doubled_responses_are_put_aside_with_their_reason() {
    let decided = decide(10, offers()).await;
    let ids = texts(&rows(&decided, "decisions"), "decision_id");
    let came = responses(&[
        (&ids[0], "2025-01-02T00:00:00Z", 1.0),
        (&ids[0], "2025-01-03T00:00:00Z", 0.5),
        (&ids[1], "2025-01-08T00:00:01Z", 1.0),
        (&ids[2], "2024-12-31T23:59:59Z", 1.0),
        (&ids[3], "2025-01-08T00:00:00Z", 1.0),
        ("nobody", "2025-01-02T00:00:00Z", 1.0),
    ]);
    let options = with(bandit(&decided), json!({"max_unknown_share": 0.2}));
    let learned = learn(&decided, came.clone(), options.clone()).await;
    let unused = rows(&learned, "unused");
    let mut reasons = texts(&unused, "reason");
    reasons.sort();
    assert_eq!(
        reasons,
        ["before_decision", "doubled", "late", "unknown_decision"]
    );
    let metrics = &learned.outcome().metrics;
    assert_eq!(
        metrics["reward_mean"], 0.2,
        "the first response, and the one at the end of the window"
    );
    assert_eq!(
        metrics["decisions"], 10.0,
        "without a response the reward is 0"
    );

    for (doubled, mean) in [("last", 0.15), ("max", 0.2), ("sum", 0.25)] {
        let changes = json!({"doubled": doubled, "rewards": "clip"});
        let learned = learn(&decided, came.clone(), with(options.clone(), changes)).await;
        let found = learned.outcome().metrics["reward_mean"];
        // A sum of 1.5 is clipped to 1, the most that a Beta posterior learns from.
        let expected = if doubled == "sum" { 0.2 } else { mean };
        assert!((found - expected).abs() < 1e-12, "{doubled}: {found}");
    }
    let skip = json!({"missing": "skip"});
    let learned = learn(&decided, came.clone(), with(options.clone(), skip)).await;
    assert_eq!(learned.outcome().metrics["decisions"], 2.0);
    let open = json!({"as_of": "2025-01-05T00:00:00Z"});
    let learned = learn(&decided, came, with(options, open)).await;
    assert_eq!(learned.outcome().metrics["pending"], 8.0);
    assert_eq!(learned.outcome().metrics["decisions"], 2.0);
}

#[tokio::test]
async fn other_policies_are_judged_on_the_same_decisions() {
    let decided = decide(2000, with(offers(), json!({"per_segment": false}))).await;
    let log = rows(&decided, "decisions");
    let (ids, actions) = (texts(&log, "decision_id"), texts(&log, "action"));
    // The discount earns 0.6, the bundle 0.2; which decisions earn follows from their places.
    let earned: Vec<_> = (0..ids.len())
        .filter(|row| row % 10 < if actions[*row] == "discount" { 6 } else { 2 })
        .map(|row| (ids[row].as_str(), "2025-01-02T00:00:00Z", 1.0))
        .collect();
    let learned = learn(&decided, responses(&earned), bandit(&decided)).await;
    let rows = rows(&learned, "estimates");
    let (policies, estimators) = (texts(&rows, "policy"), texts(&rows, "estimator"));
    let (values, lower, upper) = (
        numbers(&rows, "value"),
        numbers(&rows, "lower"),
        numbers(&rows, "upper"),
    );
    for (policy, expected) in [
        ("uniform", 0.4),
        ("always discount", 0.6),
        ("always bundle", 0.2),
        ("as learned", 0.6),
    ] {
        for estimator in [
            "ips",
            "self_normalised_ips",
            "direct_method",
            "doubly_robust",
        ] {
            let row = (0..rows.num_rows())
                .find(|row| policies[*row] == policy && estimators[*row] == estimator);
            let row = row.unwrap();
            assert!(
                (values[row] - expected).abs() < 0.05,
                "{policy} by {estimator}: {}",
                values[row]
            );
            assert!(lower[row] <= values[row] && values[row] <= upper[row]);
        }
    }
}
