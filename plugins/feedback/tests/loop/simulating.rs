//! How fast policies learn among the sample's customers.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use serde_json::{Value, json};

use crate::support::*;

const ROWS: u64 = 20_000;

/// The sample's customers, in segments that are their planted groups.
fn sample() -> (RecordBatch, RecordBatch) {
    let all = marquetry_sample::customers(ROWS, 1).unwrap();
    let column = |name: &str| Arc::clone(all.column_by_name(name).unwrap()) as ArrayRef;
    let customers = RecordBatch::try_from_iter([("customer_id", column("customer_id"))]).unwrap();
    let segments = RecordBatch::try_from_iter([
        ("customer_id", column("customer_id")),
        ("segment", column("planted_group")),
    ])
    .unwrap();
    (customers, segments)
}

async fn simulate(changes: Value) -> marquetry_plugin::testing::TestOutput {
    let (customers, segments) = sample();
    let actions: Vec<_> = marquetry_sample::OFFERS
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    let options = json!({
        "customers": "$customers",
        "segments": "$segments",
        "sample": {"rows": ROWS, "seed": 1},
        "actions": actions,
        "rounds": 10,
    });
    stage("feedback/simulate")
        .input("customers", vec![customers])
        .input("segments", vec![segments])
        .options(with(options, changes))
        .run()
        .await
}

#[tokio::test]
async fn a_policy_beats_uniform_choice_in_every_seed_of_ten() {
    for seed in 1..=10 {
        let simulated = simulate(json!({"seed": seed})).await;
        let metrics = &simulated.outcome().metrics;
        let (learning, uniform) = (metrics["reward_learning"], metrics["reward_uniform"]);
        let oracle = metrics["reward_oracle"];
        assert!(
            uniform < learning && learning < oracle,
            "seed {seed}: {metrics:?}"
        );
        assert!(metrics["gained"] > 0.5, "seed {seed}: {metrics:?}");
    }
}

#[tokio::test]
async fn the_curve_nears_the_oracle_and_regret_grows_more_slowly() {
    let simulated = simulate(json!({})).await;
    let curve = rows(&simulated, "curve");
    let policies = texts(&curve, "policy");
    let of = |policy: &str, column: &str| {
        let values = numbers(&curve, column);
        let rows = (0..curve.num_rows()).filter(|row| policies[*row] == policy);
        rows.map(|row| values[row]).collect::<Vec<_>>()
    };
    let regret = of("learning", "cumulative_regret");
    assert_eq!(regret.len(), 10);
    let (first, last) = (regret[0], regret[9] - regret[8]);
    assert!(last < first / 3.0, "{regret:?}");
    assert!(
        of("oracle", "cumulative_regret")
            .iter()
            .all(|regret| *regret == 0.0)
    );
    assert_eq!(simulated.panels.len(), 1);
    let again = simulate(json!({})).await;
    assert_eq!(
        rows(&again, "curve"),
        curve,
        "a simulation is the same every time"
    );
}

#[tokio::test]
async fn a_world_that_is_not_the_samples_is_told() {
    let unknown = json!({"actions": [{"name": "voucher"}]});
    let (_, message) = refusal(&simulate(unknown).await);
    assert!(message.contains("`voucher`"), "{message}");
    let other = json!({"sample": {"rows": 100, "seed": 1}});
    let (_, message) = refusal(&simulate(other).await);
    assert!(message.contains("none of the sample"), "{message}");
}

#[tokio::test]
async fn the_samples_customers_respond_as_often_as_they_like_an_offer() {
    let (customers, segments) = sample();
    let decided = stage("personalization/offers")
        .input("customers", vec![customers])
        .input("segments", vec![segments])
        .options(with(offers(), json!({"actions": [{"name": "discount"}]})))
        .run()
        .await;
    let responded = stage("feedback/respond")
        .lake(decided.lake.clone())
        .options(json!({"decisions": output(&decided, "decisions"), "sample": {"rows": ROWS, "seed": 1}}))
        .run()
        .await;
    let decisions = rows(&decided, "decisions");
    let groups = texts(&decisions, "segment");
    let expected: f64 = groups
        .iter()
        .map(|group| marquetry_sample::response_rate(group.parse().unwrap(), "discount").unwrap())
        .sum();
    let found = responded.outcome().metrics["responses"];
    // Four standard deviations of a sum of that many.
    assert!(
        (found - expected).abs() < 4.0 * expected.sqrt(),
        "{found} of {expected}"
    );
    let learned = stage("feedback/bandit")
        .lake(responded.lake.clone())
        .options(with(
            bandit(&decided),
            json!({"responses": output(&responded, "responses")}),
        ))
        .run()
        .await;
    assert_eq!(
        learned.outcome().metrics["late"],
        0.0,
        "everybody answers within the window"
    );
    let unused = learned.outputs["unused"].iter();
    assert_eq!(unused.map(RecordBatch::num_rows).sum::<usize>(), 0);
}
