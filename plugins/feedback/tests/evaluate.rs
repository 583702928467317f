//! `feedback/evaluate`: what it computes on logs small enough to compute by hand, and what it refuses. Its
//! figures on real logs are compared with pandas in the end-to-end tests (`campaigns`).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests may fail by panicking, and some results are exact"
)]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Float64Type;
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_plugin::{PanelBody, StageError, StageHandler};
use serde_json::{Value, json};

fn table<const COLUMNS: usize>(columns: [(&str, ArrayRef); COLUMNS]) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn texts<'a, V: Into<Option<&'a str>>>(values: impl IntoIterator<Item = V>) -> ArrayRef {
    Arc::new(values.into_iter().map(Into::into).collect::<StringArray>())
}

fn floats<V: Into<Option<f64>>>(values: impl IntoIterator<Item = V>) -> ArrayRef {
    Arc::new(values.into_iter().map(Into::into).collect::<Float64Array>())
}

async fn run(log: &RecordBatch, options: Value) -> TestOutput {
    let handlers = marquetry_feedback::handlers();
    let named =
        |handler: &Arc<dyn StageHandler>| handler.descriptor().kind.as_str() == "feedback/evaluate";
    let handler = handlers.into_iter().find(named).unwrap();
    let mut options = options;
    options["log"] = json!("$log");
    let stage = TestStage::new(handler).options(options);
    stage.input("log", vec![log.clone()]).run().await
}

fn message(output: &TestOutput) -> String {
    match output.error() {
        StageError::Invalid(diagnostic) => diagnostic.message.clone(),
        other => panic!("{other:?}"),
    }
}

fn rows(output: &TestOutput, name: &str) -> RecordBatch {
    let batches = &output.outputs[name];
    concat_batches(&batches[0].schema(), batches).unwrap()
}

fn text(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let values = batch.column_by_name(column).unwrap().as_string::<i32>();
    values.iter().map(|text| text.map(str::to_owned)).collect()
}

fn number(batch: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    let values = batch.column_by_name(column).unwrap();
    values.as_primitive::<Float64Type>().iter().collect()
}

/// The value of a policy by an estimator.
fn value(output: &TestOutput, policy: &str, estimator: &str) -> Option<f64> {
    let estimates = rows(output, "estimates");
    let names = text(&estimates, "policy")
        .into_iter()
        .zip(text(&estimates, "estimator"));
    let wanted = (Some(policy.to_owned()), Some(estimator.to_owned()));
    let row = names.into_iter().position(|names| names == wanted).unwrap();
    number(&estimates, "value")[row]
}

/// 4,000 decisions: in segment x action a earns 1 and b nothing, in y the other way round; a is taken with
/// probability 3/4 in x and 1/4 in y.
fn world() -> RecordBatch {
    let (mut segments, mut actions, mut shares, mut rewards) = (vec![], vec![], vec![], vec![]);
    for row in 0..4000 {
        let segment = if row % 2 == 0 { "x" } else { "y" };
        let best = if segment == "x" { "a" } else { "b" };
        let is_best = row / 2 % 4 != 0;
        let other = if best == "a" { "b" } else { "a" };
        segments.push(segment);
        actions.push(if is_best { best } else { other });
        shares.push(if is_best { 0.75 } else { 0.25 });
        rewards.push(if is_best { 1.0 } else { 0.0 });
    }
    table([
        ("segment", texts(segments)),
        ("action", texts(actions)),
        ("propensity", floats(shares)),
        ("reward", floats(rewards)),
    ])
}

#[tokio::test]
async fn policies_are_worth_what_they_would_have_earned() {
    let options = json!({"propensity": "propensity", "by": "segment"});
    let output = run(&world(), options).await;
    let metrics = &output.outcome().metrics;
    assert_eq!(
        (
            metrics["decisions"],
            metrics["actions"],
            metrics["segments"]
        ),
        (4000.0, 2.0, 2.0)
    );
    assert_eq!(metrics["logged_value"], 0.75);
    // Uniform: half of the decisions earn 1. One action for all: so do those of one segment. The best of each: all.
    for estimator in [
        "ips",
        "self_normalised_ips",
        "direct_method",
        "doubly_robust",
    ] {
        for (policy, worth) in [
            ("uniform", 0.5),
            ("always a", 0.5),
            ("always b", 0.5),
            ("best_by_segment", 1.0),
        ] {
            let found = value(&output, policy, estimator).unwrap();
            assert!(
                (found - worth).abs() < 1e-9,
                "{policy}, {estimator}: {found}"
            );
        }
    }
    assert_eq!(value(&output, "logged", "mean"), Some(0.75));
    assert!((metrics["best_by_segment_value"] - 1.0).abs() < 1e-9);

    let best = rows(&output, "best");
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(text(&best, "segment"), [None, some("x"), some("y")]);
    assert_eq!(text(&best, "action")[1..], [some("a"), some("b")]);
    assert_eq!(number(&best, "advantage")[1..], [Some(1.0), Some(1.0)]);
    let titles: Vec<&str> = output
        .panels
        .iter()
        .map(|panel| panel.title.as_str())
        .collect();
    assert_eq!(
        titles,
        [
            "What policies would have earned",
            "The best action of each segment",
            "What each action earned in each segment"
        ]
    );
    assert!(
        matches!(&output.panels[2].body, PanelBody::Heatmap { values, .. } if values[0] == [Some(1.0), Some(0.0)])
    );
}

#[tokio::test]
async fn the_order_of_rows_changes_nothing() {
    let world = world();
    let backwards = arrow::array::UInt32Array::from_iter_values((0..4000).rev());
    let turned = take_record_batch(&world, &backwards).unwrap();
    let options = json!({
        "propensity": "propensity",
        "by": "segment",
        "interval": {"kind": "bootstrap", "replicates": 200, "seed": 3},
    });
    let [one, two] = [
        run(&world, options.clone()).await,
        run(&turned, options).await,
    ];
    for name in ["estimates", "arms", "best"] {
        assert_eq!(rows(&one, name), rows(&two, name), "{name}");
    }
}

#[tokio::test]
async fn only_eligible_actions_are_taken_and_contexts_may_be_lists() {
    // c is eligible in the second half of the rows only, and earns 2; a and b earn their context.
    let (mut lists, mut actions, mut rewards, mut contexts) = (vec![], vec![], vec![], vec![]);
    for row in 0..600_u32 {
        let with_c = row >= 300;
        lists.push(if with_c {
            vec!["b", "c", "a"]
        } else {
            vec!["a", "b"]
        });
        let action = ["a", "b", "c"][(row % if with_c { 3 } else { 2 }) as usize];
        let context = f64::from(row / 6 % 2);
        actions.push(action);
        rewards.push(if action == "c" { 2.0 } else { context });
        contexts.push(vec![Some(1.0), Some(context)]);
    }
    let mut eligible = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    for list in lists {
        eligible.append_value(list.into_iter().map(Some));
    }
    let contexts =
        ListArray::from_iter_primitive::<Float64Type, _, _>(contexts.into_iter().map(Some));
    let log = table([
        ("eligible", Arc::new(eligible.finish())),
        ("action", texts(actions)),
        ("reward", floats(rewards)),
        ("context", Arc::new(contexts)),
    ]);
    let options =
        json!({"uniform": true, "eligible": "eligible", "context": ["context"], "ridge": 1e-9});
    let output = run(&log, options).await;
    // Uniform: 1/2 in the first half, (1/2 + 1/2 + 2) / 3 in the second.
    let uniform = value(&output, "uniform", "ips").unwrap();
    assert!((uniform - 0.75).abs() < 1e-9, "{uniform}");
    // Always c: uniform where it is not eligible, then 2.
    for estimator in ["direct_method", "doubly_robust"] {
        let c = value(&output, "always c", estimator).unwrap();
        assert!((c - 1.25).abs() < 1e-6, "{estimator}: {c}");
    }
}

#[tokio::test]
async fn an_interval_that_is_not_defined_is_null_and_the_value_is_not() {
    let bernstein = json!({
        "kind": "empirical_bernstein", "least_reward": 0.0, "largest_reward": 1.0, "largest_weight": 4.0,
    });
    let options = json!({"propensity": "propensity", "by": "segment", "policies": ["uniform"], "interval": bernstein});
    let output = run(&world(), options).await;
    let estimates = rows(&output, "estimates");
    let estimators: Vec<_> = text(&estimates, "estimator")
        .into_iter()
        .flatten()
        .collect();
    let lower = number(&estimates, "lower");
    for (estimator, lower) in estimators.iter().zip(lower) {
        assert_eq!(
            lower.is_none(),
            estimator == "self_normalised_ips",
            "{estimator}"
        );
    }
    assert!(value(&output, "uniform", "self_normalised_ips").is_some());
}

#[tokio::test]
async fn what_cannot_be_a_log_is_refused() {
    let good = world();
    let with = |name: &str, column: ArrayRef| {
        let columns = good.schema();
        let columns = columns
            .fields()
            .iter()
            .zip(good.columns())
            .map(|(field, old)| {
                let new = if field.name() == name { &column } else { old };
                (field.name().clone(), Arc::clone(new), true)
            });
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    };
    let propensity = json!({"propensity": "propensity"});
    let cases = [
        (
            with("reward", texts((0..4000).map(|_| "much"))),
            propensity.clone(),
            "column `reward` of `log` is of type Utf8, not a number",
        ),
        (
            with(
                "reward",
                floats((0..4000).map(|row| (row != 7).then_some(1.0))),
            ),
            propensity.clone(),
            "a decision has no value in column `reward`",
        ),
        (
            with("propensity", floats((0..4000).map(|_| 0.0))),
            propensity.clone(),
            "a decision for action `b` has the propensity 0 in column `propensity`",
        ),
        (
            with("propensity", floats((0..4000).map(|_| 1.5))),
            propensity.clone(),
            "a decision for action `b` has the propensity 1.5 in column `propensity`",
        ),
        (
            with("action", texts((0..4000).map(|_| None::<&str>))),
            propensity.clone(),
            "a decision has no action in column `action`",
        ),
        (
            good.clone(),
            json!({"propensity": "propensty"}),
            "`log` has no column `propensty`",
        ),
        (
            good.slice(0, 0),
            propensity,
            "`log` has 0 decisions: an estimate with an interval needs two or more",
        ),
        (
            good.clone(),
            json!({}),
            "neither of `propensity` and `uniform` are given",
        ),
        (
            good.clone(),
            json!({"uniform": true, "reward_model": "ridge"}),
            "the reward model `ridge` has no `context` to predict from",
        ),
        (
            good.clone(),
            json!({"uniform": true, "by": "action"}),
            "column `action` is named by two options",
        ),
        (
            good.clone(),
            json!({"uniform": true, "context": ["reward"]}),
            "`context` names `reward`, which is known only after the decision",
        ),
        (
            good.clone(),
            json!({"uniform": true, "eligible": "segment"}),
            "column `segment` of `log` is of type Utf8, not a list of actions",
        ),
        (
            good.clone(),
            json!({"uniform": true, "interval": {"kind": "bootstrap", "replicates": 3, "seed": 1}}),
            "option `replicates` is 3: it must be from 100 to 1,000,000",
        ),
    ];
    for (log, options, expected) in cases {
        let output = run(&log, options).await;
        assert_eq!(message(&output), expected);
        assert!(output.outputs.is_empty());
    }
}

#[tokio::test]
async fn an_action_outside_of_its_own_list_is_named() {
    let lists = ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([
        Some(vec![Some(1), Some(2)]),
        Some(vec![Some(1)]),
    ]);
    let log = table([
        ("action", Arc::new(Int64Array::from(vec![2, 2]))),
        ("reward", floats([0.0, 1.0])),
        ("eligible", Arc::new(lists)),
    ]);
    let output = run(&log, json!({"uniform": true, "eligible": "eligible"})).await;
    assert_eq!(
        message(&output),
        "a decision took action `2`, which is none of its eligible ones"
    );
}

#[tokio::test]
async fn integers_are_actions_in_the_order_of_their_values() {
    let log = table([
        (
            "action",
            Arc::new(Int64Array::from(vec![10, 9, 10, 9, 100])),
        ),
        ("reward", floats([0.5, 1.5, 2.5, 3.5, 1.0])),
    ]);
    let output = run(&log, json!({"uniform": true})).await;
    let arms = rows(&output, "arms");
    let names: Vec<_> = text(&arms, "action").into_iter().flatten().collect();
    assert_eq!(names, ["9", "10", "100"]);
    assert_eq!(
        number(&arms, "mean_reward"),
        [Some(2.5), Some(1.5), Some(1.0)]
    );
    assert!(arms.column_by_name("segment").unwrap().null_count() == 3);
    // A single reward that is no share says nothing of its spread.
    assert_eq!(number(&arms, "lower")[2], None);
}
