//! Who gets what, and with what probability.

use std::collections::BTreeMap;

use marquetry_decisions::{Learner, PolicyBook, PolicySpec};
use marquetry_plugin::PanelBody;
use serde_json::json;

use crate::support::{
    Decided, customers, decide, decided, lake, options, put_policy, segment, segments, stage,
};

fn spec(algorithm: Learner, per_segment: bool, context: &[&str]) -> PolicySpec {
    let context: Vec<String> = context.iter().map(|&name| name.to_owned()).collect();
    PolicySpec::of(&algorithm, 0.0, per_segment, &context).unwrap()
}

/// Teaches the policy of a segment how often each action is answered, of 100 times.
fn teach(book: &mut PolicyBook, segment: Option<&str>, rates: &[(&str, u32)]) {
    let names: Vec<&str> = rates.iter().map(|(name, _)| *name).collect();
    book.know(segment, &names).unwrap();
    for (name, rate) in rates {
        for answer in 0..100 {
            let reward = if answer < *rate { 1.0 } else { 0.0 };
            let policy = book.policy_mut(segment).unwrap();
            let arm = policy.arm(name).unwrap();
            policy.learn(&[], arm, reward).unwrap();
            book.earned.count(name, segment, reward, answer < *rate);
        }
    }
}

fn is_near(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-8
}

#[tokio::test]
async fn every_customer_gets_one_of_the_actions_whose_rules_hold() {
    let actions = json!([
        {"name": "discount", "when": "recency_days > 50"},
        {"name": "free_delivery"},
        {"name": "vip", "when": "segment == \"a\" && frequency >= 3"},
        {"name": "scored", "when": "score > 0.5"},
    ]);
    let output = decide(100, actions, json!({"segments": "$segments"})).await;
    let decided = decided(&output);
    assert_eq!(decided.len(), 100);
    for (place, it) in decided.iter().enumerate() {
        let id = place as i64 + 1;
        let mut expected = vec!["free_delivery"];
        if id > 50 {
            expected.insert(0, "discount");
        }
        if segment(id) == Some("a") && id % 7 >= 3 {
            expected.push("vip");
        }
        // A null score is no match.
        if id % 10 != 0 && id > 50 {
            expected.push("scored");
        }
        assert_eq!((it.customer, &it.eligible[..]), (id, &own(&expected)[..]));
        assert_eq!(it.segment.as_deref(), segment(id));
        assert_eq!(it.context, [1.0]);
        assert!(it.eligible.contains(&it.action), "{it:?}");
        // Nothing is known of any.
        let share = 1.0 / it.eligible.len() as f64;
        assert!(is_near(it.propensity, share), "{it:?}");
    }
    let metrics = &output.outcome().metrics;
    assert_eq!((metrics["customers"], metrics["decisions"]), (100.0, 100.0));
    assert_eq!(
        (metrics["without_action"], metrics["policy_version"]),
        (0.0, 0.0)
    );
    let PanelBody::Heatmap { rows, values, .. } = &output.panels[0].body else {
        panic!("{:?}", output.panels);
    };
    assert_eq!(rows, &["all customers", "a", "b"]);
    for shares in values {
        let total: f64 = shares.iter().flatten().sum();
        assert!(is_near(total, 100.0), "{shares:?}");
    }
}

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn each_segment_is_chosen_for_by_its_own_policy_with_its_probabilities() {
    let mut book = PolicyBook::new(spec(Learner::default(), true, &[])).unwrap();
    teach(&mut book, Some("a"), &[("x", 30), ("y", 38), ("z", 20)]);
    teach(&mut book, Some("b"), &[("x", 38), ("y", 30), ("z", 33)]);
    let lake = lake().await;
    let stored = put_policy(&lake, &book).await;
    let count = 4000;
    let output = stage()
        .lake(lake)
        .input("customers", vec![customers(count)])
        .input("segments", vec![segments(count)])
        .policy("offers", Some((3, &stored)))
        .options(options(
            json!([{"name": "x"}, {"name": "y"}, {"name": "z", "when": "frequency > 0"}]),
            json!({"segments": "$segments"}),
        ))
        .run()
        .await;
    let decided = decided(&output);
    assert_eq!(output.outcome().metrics["policy_version"], 3.0);
    // Customers without a segment have a policy that has learned nothing.
    book.know(None, &["x", "y", "z"]).unwrap();
    // By segment and eligible actions.
    type Group<'a> = (Option<&'a str>, &'a [String]);
    type Shares = (Vec<f64>, Vec<u32>);
    let mut tallies: BTreeMap<Group<'_>, Shares> = BTreeMap::new();
    for it in &decided {
        let key = (it.segment.as_deref(), it.eligible.as_slice());
        let (shares, counts) = tallies.entry(key).or_insert_with(|| {
            let policy = book.policy(it.segment.as_deref()).unwrap();
            let eligible = policy.eligible(&it.eligible).unwrap();
            let shares = policy.probabilities(&[], &eligible).unwrap();
            (shares, vec![0; it.eligible.len()])
        });
        let place = it.eligible.iter().position(|name| *name == it.action);
        let place = place.unwrap();
        assert_eq!(it.propensity, shares[place], "{it:?}");
        counts[place] += 1;
    }
    assert_eq!(tallies.len(), 6);
    for (key, (shares, counts)) in &tallies {
        let total = f64::from(counts.iter().sum::<u32>());
        for (share, count) in shares.iter().zip(counts) {
            let deviation = (total * share * (1.0 - share)).sqrt();
            let distance = (f64::from(*count) - total * share).abs();
            assert!(
                distance < 4.0 * deviation,
                "{key:?}: {shares:?}, {counts:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_linear_policy_looks_at_a_constant_and_the_columns_of_its_context() {
    let algorithm = Learner::LinearThompson {
        alpha: 0.2,
        ridge: 1.0,
    };
    let mut book = PolicyBook::new(spec(algorithm, false, &["recency_days", "frequency"])).unwrap();
    book.know(None, &["x", "y"]).unwrap();
    let policy = book.policy_mut(None).unwrap();
    let (x, y) = (policy.arm("x").unwrap(), policy.arm("y").unwrap());
    for step in 0..50_u32 {
        let recency = f64::from(step);
        let context = [1.0, recency, f64::from(step % 7)];
        policy.learn(&context, x, recency / 50.0).unwrap();
        policy.learn(&context, y, 1.0 - recency / 50.0).unwrap();
    }
    let lake = lake().await;
    let stored = put_policy(&lake, &book).await;
    let output = stage()
        .lake(lake)
        .input("customers", vec![customers(60)])
        .policy("offers", Some((1, &stored)))
        .options(options(
            json!([{"name": "x"}, {"name": "y"}]),
            json!({
                "algorithm": {"kind": "linear_thompson", "alpha": 0.2},
                "context": ["recency_days", "frequency"],
            }),
        ))
        .run()
        .await;
    let policy = book.policy(None).unwrap();
    let eligible = policy.eligible(["x", "y"]).unwrap();
    for it in decided(&output) {
        let id = it.customer;
        assert_eq!(it.context, [1.0, id as f64, (id % 7) as f64]);
        let shares = policy.probabilities(&it.context, &eligible).unwrap();
        let share = if it.action == "x" {
            shares[0]
        } else {
            shares[1]
        };
        assert_eq!(it.propensity, share);
    }
}

#[tokio::test]
async fn a_share_of_exploration_is_a_floor_under_every_propensity() {
    let mut book = PolicyBook::new(spec(Learner::default(), false, &[])).unwrap();
    teach(&mut book, None, &[("x", 1), ("y", 99)]);
    let lake = lake().await;
    let stored = put_policy(&lake, &book).await;
    let output = stage()
        .lake(lake)
        .input("customers", vec![customers(500)])
        .policy("offers", Some((1, &stored)))
        .options(options(
            json!([{"name": "x"}, {"name": "y"}]),
            json!({"explore": 0.2}),
        ))
        .run()
        .await;
    let decided = decided(&output);
    let rare = decided.iter().filter(|it| it.action == "x").count();
    assert!((20..=85).contains(&rare), "{rare} of 500, at a tenth");
    for it in decided {
        let share = if it.action == "x" { 0.1 } else { 0.9 };
        assert!(is_near(it.propensity, share), "{it:?}");
    }
}

#[tokio::test]
async fn propensities_are_right_where_actions_run_out() {
    // A decision weighted by one over its propensity stands for all that were eligible: over many runs the
    // weights of an action add up to the decisions in which it was eligible.
    let actions =
        json!([{"name": "gold", "cap": 7}, {"name": "silver", "cap": 9}, {"name": "base"}]);
    let (mut weights, mut eligible, mut variance) = (0.0, 0.0, 0.0);
    for seed in 0..40 {
        let output = decide(30, actions.clone(), json!({"seed": seed})).await;
        for it in decided(&output) {
            if !it.eligible.contains(&"gold".to_owned()) {
                continue;
            }
            eligible += 1.0;
            variance += it.eligible.len() as f64 - 1.0;
            if it.action == "gold" {
                weights += 1.0 / it.propensity;
            }
        }
    }
    let distance: f64 = weights - eligible;
    assert!(
        distance.abs() < 4.0 * f64::sqrt(variance),
        "{weights} of {eligible}"
    );
}

#[tokio::test]
async fn nobody_may_get_anything() {
    let actions = || json!([{"name": "late", "when": "recency_days > 70"}]);
    let nothing = decide(10, actions(), json!({})).await;
    assert_eq!(decided(&nothing), []);
    assert_eq!(nothing.outcome().metrics["without_action"], 10.0);
    let nobody = decide(0, actions(), json!({})).await;
    assert_eq!(decided(&nobody), []);
    assert_eq!(nobody.outcome().metrics["without_action"], 0.0);
}

#[tokio::test]
async fn every_attempt_at_a_run_decides_the_same_and_another_run_otherwise() {
    let of_run = async |number: u128, rows: Vec<_>| {
        let output = stage()
            .run_number(number)
            .input("customers", rows)
            .policy("offers", None)
            .options(options(json!([{"name": "x"}, {"name": "y"}]), json!({})))
            .run();
        decided(&output.await)
    };
    let all = customers(100);
    let first = of_run(1, vec![all.clone()]).await;
    // A retry may read the rows in another order.
    let parts = vec![all.slice(60, 40), all.slice(0, 60)];
    assert_eq!(of_run(1, parts).await, first);
    let second = of_run(2, vec![all]).await;
    let same = |of: fn(&Decided) -> &str| {
        let pairs = first.iter().zip(&second);
        pairs.filter(|(left, right)| of(left) == of(right)).count()
    };
    assert_eq!(same(|it| &it.id), 0);
    assert!((20..=80).contains(&same(|it| &it.action)));
}

#[tokio::test]
async fn an_action_that_is_new_in_the_catalogue_is_tried() {
    let mut book = PolicyBook::new(spec(Learner::default(), false, &[])).unwrap();
    teach(&mut book, None, &[("x", 10)]);
    let lake = lake().await;
    let stored = put_policy(&lake, &book).await;
    let output = stage()
        .lake(lake)
        .input("customers", vec![customers(50)])
        .policy("offers", Some((1, &stored)))
        .options(options(json!([{"name": "new"}, {"name": "x"}]), json!({})))
        .run()
        .await;
    let new = decided(&output);
    let new = new.iter().filter(|it| it.action == "new").count();
    // A mean of 0.1 or so against one that may be anything.
    assert!(new > 30, "{new}");
}
