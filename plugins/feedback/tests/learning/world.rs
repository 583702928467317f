//! The sample's customers, of whom it is known what they like.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, TimestampMicrosecondType};
use marquetry_decisions::decisions_schema;
use marquetry_plugin::testing::TestOutput;
use marquetry_sample::{Group, OFFERS, response_rate};
use serde_json::{Value, json};

use crate::support::{DAY, complaint, numbers, rows, stage, words};

/// Order lines of the sample: some 900 customers.
const ROWS: u64 = 20_000;

fn customers(seed: u64) -> RecordBatch {
    marquetry_sample::customers(ROWS, seed).unwrap()
}

/// The planted groups as an assignment: what a perfect segmentation finds.
fn segments(customers: &RecordBatch) -> RecordBatch {
    let column = |name: &str| Arc::clone(customers.column_by_name(name).unwrap());
    let columns = [
        ("customer_id", column("customer_id")),
        ("segment", column("planted_group")),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn catalogue() -> Value {
    OFFERS.iter().map(|name| json!({"name": name})).collect()
}

/// The reward that uniform choice expects of these customers.
fn uniform_reward(customers: &RecordBatch) -> f64 {
    let groups = customers.column_by_name("planted_group").unwrap();
    let mut total = 0.0;
    for group in groups.as_string::<i32>().iter().flatten() {
        let group: Group = group.parse().unwrap();
        let rates = OFFERS.map(|offer| response_rate(group, offer).unwrap());
        total += rates.iter().sum::<f64>() / rates.len() as f64;
    }
    total / groups.len() as f64
}

/// Rounds of `personalization/offers`, `feedback/respond` and `feedback/bandit`, as a workflow runs them, each
/// round a run; gives the mean reward of each round.
async fn rounds(seed: u64, rounds: u64) -> Vec<f64> {
    let customers = customers(seed);
    let segments = segments(&customers);
    let mut lake = None;
    let mut newest = None;
    let mut means = Vec::new();
    for round in 0..rounds {
        let number = u128::from(3 * round) + 1;
        let policy = newest.as_ref().map(|newest| (round, newest));
        let mut offers = stage("personalization/offers")
            .run_number(number)
            .input("customers", vec![customers.clone()])
            .input("segments", vec![segments.clone()])
            .policy("offers", policy)
            .options(json!({
                "customers": "$customers",
                "segments": "$segments",
                "policy": "$offers",
                "actions": catalogue(),
                "decided_at": "2025-01-31T08:00:00Z",
                "seed": seed,
            }));
        if let Some(lake) = lake.take() {
            offers = offers.lake(lake);
        }
        let offers = offers.run().await;
        let outputs = &offers.outcome().outputs;
        let (decisions, used) = (outputs["decisions"].clone(), outputs["policy"].clone());

        let answers = stage("feedback/respond")
            .lake(offers.lake.clone())
            .run_number(number + 1)
            .dataset("decisions", &decisions)
            .options(json!({
                "decisions": "$decisions",
                "sample": {"rows": ROWS, "seed": seed},
                "seed": seed,
            }))
            .run()
            .await;
        let answers = answers.outcome().outputs["responses"].clone();

        let learned = stage("feedback/bandit")
            .lake(offers.lake.clone())
            .run_number(number + 2)
            .dataset("decisions", &decisions)
            .dataset("responses", &answers)
            .dataset("from", &used)
            .policy("offers", policy)
            .options(json!({
                "decisions": "$decisions",
                "responses": "$responses",
                "from": "$from",
                "policy": "$offers",
            }))
            .run()
            .await;
        let outcome = learned.outcome();
        means.push(outcome.metrics["reward_mean"]);
        newest = Some(outcome.outputs["policy"].clone());
        lake = Some(learned.lake);
    }
    means
}

#[tokio::test]
async fn the_loop_of_offers_responses_and_learning_beats_uniform_choice_in_each_of_ten_seeds() {
    for seed in 1..=10 {
        let means = rounds(seed, 6).await;
        let late = means[3..].iter().sum::<f64>() / 3.0;
        let uniform = uniform_reward(&customers(seed));
        assert!(
            late > uniform + 0.02,
            "seed {seed}: {means:?}, uniform {uniform}"
        );
    }
}

#[tokio::test]
async fn customers_respond_as_often_as_is_planted_and_the_same_each_time() {
    let customers = customers(3);
    let ids = customers.column(0).as_primitive::<Int64Type>();
    let groups = customers.column(1).as_string::<i32>();
    // Every customer gets every offer ten times.
    let mut decided = Vec::new();
    for (id, group) in ids.iter().flatten().zip(groups.iter().flatten()) {
        for offer in OFFERS {
            decided.extend((0..10).map(|time| (id, group, offer, format!("{id} {offer} {time}"))));
        }
    }
    let log = decisions_of(
        decided.iter().map(|it| it.0),
        decided.iter().map(|it| it.3.as_str()),
        decided.iter().map(|it| it.2),
    );
    let answer = async |seed: u64| {
        let options = json!({
            "decisions": "$decisions",
            "sample": {"rows": ROWS, "seed": 3},
            "seed": seed,
        });
        let stage = stage("feedback/respond").input("decisions", vec![log.clone()]);
        rows(&stage.options(options).run().await, "responses")
    };
    let answers = answer(1).await;
    assert_eq!(answer(1).await, answers);
    assert_ne!(answer(2).await.num_rows(), answers.num_rows());
    assert!(
        numbers(&answers, "reward")
            .iter()
            .all(|reward| *reward == Some(1.0))
    );
    let times = answers.column_by_name("ts").unwrap();
    for at in times.as_primitive::<TimestampMicrosecondType>().values() {
        assert!((1..=5 * DAY).contains(at), "{at}");
    }
    let who: BTreeMap<&str, (&str, &str)> = decided
        .iter()
        .map(|it| (it.3.as_str(), (it.1, it.2)))
        .collect();
    let mut counts: BTreeMap<(&str, &str), (f64, f64)> = BTreeMap::new();
    for pair in who.values() {
        counts.entry(*pair).or_default().0 += 1.0;
    }
    for id in words(&answers, "decision_id") {
        counts.entry(who[id.as_str()]).or_default().1 += 1.0;
    }
    assert_eq!(counts.len(), Group::ALL.len() * OFFERS.len());
    for ((group, offer), (decisions, responses)) in counts {
        let rate = response_rate(group.parse().unwrap(), offer).unwrap();
        let deviation = (decisions * rate * (1.0 - rate)).sqrt();
        let distance: f64 = responses - decisions * rate;
        assert!(
            distance.abs() < 4.5 * deviation,
            "{group}, {offer}: {responses} of {decisions} at {rate}"
        );
    }
}

/// A log with these columns, and others that answers do not look at, taken at 0.
fn decisions_of<'a>(
    customers: impl Iterator<Item = i64>,
    ids: impl Iterator<Item = &'a str>,
    actions: impl Iterator<Item = &'a str>,
) -> RecordBatch {
    let customers: ArrayRef = Arc::new(Int64Array::from_iter_values(customers));
    let schema = decisions_schema(Field::new("customer_id", DataType::Int64, false));
    let decided_at = schema.field_with_name("decided_at").unwrap();
    let zeros = Int64Array::from(vec![0; customers.len()]);
    let decided_at = arrow::compute::cast(&zeros, decided_at.data_type()).unwrap();
    RecordBatch::try_from_iter([
        ("customer_id", customers),
        (
            "decision_id",
            Arc::new(StringArray::from_iter_values(ids)) as ArrayRef,
        ),
        ("action", Arc::new(StringArray::from_iter_values(actions))),
        ("decided_at", decided_at),
    ])
    .unwrap()
}

#[tokio::test]
async fn customers_and_offers_that_are_none_of_the_sample_are_refused() {
    let answer = async |customer: i64, offer: &'static str| {
        let log = decisions_of(
            [customer].into_iter(),
            ["1"].into_iter(),
            [offer].into_iter(),
        );
        let options = json!({"decisions": "$decisions", "sample": {"rows": ROWS, "seed": 3}});
        let stage = stage("feedback/respond").input("decisions", vec![log]);
        complaint(&stage.options(options).run().await)
    };
    let message = answer(5, "bundle").await;
    assert!(
        message.contains("customer 5 is none of the sample"),
        "{message}"
    );
    let message = answer(10_001, "yacht").await;
    assert!(message.contains("no opinion on `yacht`"), "{message}");
}

async fn simulate(seed: u64, more: Value) -> TestOutput {
    let customers = customers(seed);
    let segments = segments(&customers);
    let mut options = json!({
        "customers": "$customers",
        "segments": "$segments",
        "sample": {"rows": ROWS, "seed": seed},
        "actions": catalogue(),
        "rounds": 8,
        "seed": seed,
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    stage("feedback/simulate")
        .input("customers", vec![customers])
        .input("segments", vec![segments])
        .options(options)
        .run()
        .await
}

#[tokio::test]
async fn a_seed_gives_one_simulation_whatever_the_caps_are() {
    let curve = async |more| rows(&simulate(5, more).await, "curve");
    let once = curve(json!({})).await;
    assert_eq!(curve(json!({})).await, once);
    assert_ne!(curve(json!({"seed": 6})).await, once);
    let capped: Value = OFFERS
        .iter()
        .map(|name| json!({"name": name, "cap": 3}))
        .collect();
    assert_eq!(curve(json!({"actions": capped})).await, once);
}
