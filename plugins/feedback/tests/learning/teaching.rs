//! What a policy makes of rewards, and what the outputs say of them.

use std::collections::BTreeMap;

use marquetry_decisions::{Learner, PolicyBook, PolicySpec};
use marquetry_policy::Policy;
use serde_json::json;

use crate::support::{
    DAY, Logged, bandit, book, fresh, learn, log, logged, numbers, response, responses, rows,
    stage, words,
};

#[tokio::test]
async fn a_linear_policy_learns_to_the_bit_what_its_algorithm_learns() {
    let linear = || Learner::LinearThompson {
        alpha: 0.3,
        ridge: 0.7,
    };
    const CONTEXTS: [&[f64]; 4] = [&[1.0, 0.1], &[1.0, 0.2], &[1.0, -3.7], &[1.0, 1.0 / 3.0]];
    let ids = ["d4", "d3", "d2", "d1"];
    let decisions: Vec<Logged> = (0..4)
        .map(|place| Logged {
            context: CONTEXTS[place],
            ..logged(ids[place], if place < 2 { "x" } else { "y" })
        })
        .collect();
    let answers = [response("d4", DAY, 0.1), response("d2", DAY, 17.3)];
    let output = learn(&fresh(linear()), &decisions, &answers, json!({})).await;

    let mut expected: Policy = fresh(linear()).policy(None).unwrap().clone();
    // In the order of the ids.
    for (place, reward) in [(3, 0.0), (2, 17.3), (1, 0.0), (0, 0.1)] {
        let arm = expected.arm(decisions[place].action).unwrap();
        expected.learn(CONTEXTS[place], arm, reward).unwrap();
    }
    assert_eq!(book(&output).await.policy(None), Some(&expected));
}

#[tokio::test]
async fn what_one_version_learned_the_next_goes_on_from() {
    let decisions = |first: usize| -> Vec<Logged> {
        const IDS: [&str; 4] = ["d1", "d2", "d3", "d4"];
        const ACTIONS: [&str; 4] = ["x", "y", "x", "y"];
        (first..first + 2)
            .map(|place| logged(IDS[place], ACTIONS[place]))
            .collect()
    };
    let answers = [[response("d1", DAY, 1.0)], [response("d4", DAY, 0.5)]];
    let first = learn(
        &fresh(Learner::default()),
        &decisions(0),
        &answers[0],
        json!({}),
    )
    .await;
    let newest = first.outcome().outputs["policy"].clone();
    let second = stage("feedback/bandit")
        .lake(first.lake)
        .run_number(2)
        .input("decisions", vec![log(&decisions(2))])
        .input("responses", vec![responses(&answers[1])])
        .policy("offers", Some((1, &newest)))
        .options(bandit(json!({}), json!({})))
        .run()
        .await;
    let earned = rows(&second, "policy");
    assert_eq!(words(&earned, "action"), ["x", "y"]);
    assert_eq!(numbers(&earned, "decisions"), [Some(2.0), Some(2.0)]);
    assert_eq!(numbers(&earned, "responses"), [Some(1.0), Some(1.0)]);
    assert_eq!(numbers(&earned, "reward_sum"), [Some(1.0), Some(0.5)]);
    assert_eq!(numbers(&earned, "reward_mean"), [Some(0.5), Some(0.25)]);
    // What this run taught is in `arms`, without what was learned before.
    let arms = rows(&second, "arms");
    assert_eq!(numbers(&arms, "decisions"), [Some(1.0), Some(1.0)]);
    assert_eq!(numbers(&arms, "reward_mean"), [Some(0.0), Some(0.5)]);

    let all: Vec<Logged> = decisions(0).into_iter().chain(decisions(2)).collect();
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    let at_once = learn(&fresh(Learner::default()), &all, &answers, json!({})).await;
    assert_eq!(
        book(&second).await.to_json().unwrap(),
        book(&at_once).await.to_json().unwrap()
    );
}

#[tokio::test]
async fn segments_learn_apart_and_their_intervals_are_wilsons_for_successes() {
    let spec = PolicySpec::of(&Learner::default(), 0.0, true, &[]).unwrap();
    let mut from = PolicyBook::new(spec).unwrap();
    from.know(Some("a"), &["x", "y"]).unwrap();
    const IDS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let decisions: Vec<Logged> = IDS
        .into_iter()
        .enumerate()
        .map(|(place, id)| Logged {
            segment: Some(if place < 8 { "a" } else { "b" }),
            ..logged(id, "x")
        })
        .collect();
    let answers = [
        response("1", DAY, 1.0),
        response("2", DAY, 1.0),
        response("9", DAY, 1.0),
    ];
    let output = learn(&from, &decisions, &answers, json!({})).await;
    let arms = rows(&output, "arms");
    assert_eq!(words(&arms, "segment"), ["a", "b"]);
    assert_eq!(numbers(&arms, "reward_mean"), [Some(0.25), Some(0.5)]);
    // SciPy 1.17.1: binomtest(2, 8).proportion_ci(method="wilson"), and of 1 in 2.
    let wilson = [
        (0.071_479_212_752_109_01, 0.590_724_569_689_831_1),
        (0.094_531_205_734_230_74, 0.905_468_794_265_769_2),
    ];
    for (place, (low, high)) in wilson.into_iter().enumerate() {
        let found = (
            numbers(&arms, "lower")[place],
            numbers(&arms, "upper")[place],
        );
        let is_near = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-12;
        assert!(is_near(found.0, low) && is_near(found.1, high), "{found:?}");
    }
    let book = book(&output).await;
    let mean = |segment| {
        book.policy(Some(segment))
            .unwrap()
            .arms()
            .next()
            .unwrap()
            .mean
    };
    assert_eq!((mean("a"), mean("b")), (Some(0.25), Some(0.5)));
}

/// Estimates by policy and estimator.
type Estimates = BTreeMap<(String, String), f64>;

fn estimates(output: &marquetry_plugin::testing::TestOutput) -> Estimates {
    let rows = rows(output, "estimates");
    let names = words(&rows, "policy")
        .into_iter()
        .zip(words(&rows, "estimator"));
    let values = numbers(&rows, "value");
    names.zip(values.into_iter().flatten()).collect()
}

#[tokio::test]
async fn estimates_of_other_policies_are_those_of_their_formulas() {
    // | id | segment | eligible | action | propensity | reward |
    // | 1  | a       | x y      | x      | 0.8        | 1      |
    // | 2  | a       | x y      | y      | 0.2        | 0      |
    // | 3  | b       | x y      | x      | 0.5        | 0      |
    // | 4  | b       | y        | y      | 1.0        | 1      |
    let of = |id, segment, action, propensity| Logged {
        segment: Some(segment),
        propensity,
        ..logged(id, action)
    };
    let decisions = [
        of("1", "a", "x", 0.8),
        of("2", "a", "y", 0.2),
        of("3", "b", "x", 0.5),
        Logged {
            eligible: &["y"],
            ..of("4", "b", "y", 1.0)
        },
    ];
    let answers = [response("1", DAY, 1.0), response("4", DAY, 1.0)];
    let output = learn(&fresh(Learner::default()), &decisions, &answers, json!({})).await;
    let found = estimates(&output);
    // The model: q(a, x) = 1, q(a, y) = 0, q(b, x) = 0, q(b, y) = 1, which is what was earned, so that the
    // doubly robust estimate is the direct one.
    // uniform: weights .5/.8, .5/.2, .5/.5, 1; v = .5, .5, .5, 1.
    let (w1, w2) = (0.625, 2.5);
    // always x, and uniformly where it is not eligible: weights 1/.8, 0, 2, 1; v = 1, 1, 0, 1.
    for (policy, estimator, expected) in [
        ("uniform", "ips", (w1 + 1.0) / 4.0),
        (
            "uniform",
            "self_normalised_ips",
            (w1 + 1.0) / (w1 + w2 + 2.0),
        ),
        ("uniform", "direct_method", 2.5 / 4.0),
        ("uniform", "doubly_robust", 2.5 / 4.0),
        ("always x", "ips", 2.25 / 4.0),
        ("always x", "self_normalised_ips", 2.25 / 4.25),
        ("always x", "direct_method", 3.0 / 4.0),
        ("always x", "doubly_robust", 3.0 / 4.0),
        // weights 0, 5, 0, 1; v = 0, 0, 1, 1.
        ("always y", "ips", 1.0 / 4.0),
        ("always y", "self_normalised_ips", 1.0 / 6.0),
        ("always y", "direct_method", 2.0 / 4.0),
        ("always y", "doubly_robust", 2.0 / 4.0),
    ] {
        let value = found[&(policy.to_owned(), estimator.to_owned())];
        assert!(
            (value - expected).abs() < 1e-12,
            "{policy}, {estimator}: {value}"
        );
    }
    assert!(found.contains_key(&("as learned".to_owned(), "doubly_robust".to_owned())));
    let rows = rows(&output, "estimates");
    let sizes = numbers(&rows, "effective_sample_size");
    let place = words(&rows, "policy")
        .iter()
        .position(|name| name == "always y");
    // (5 + 1)² / (25 + 1)
    assert!((sizes[place.unwrap()].unwrap() - 36.0 / 26.0).abs() < 1e-12);
    for (lower, upper) in numbers(&rows, "lower").iter().zip(numbers(&rows, "upper")) {
        assert!(lower.unwrap() <= upper.unwrap());
    }
}
