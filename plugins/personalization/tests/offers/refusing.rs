//! What the stage refuses, and how it says so.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::Schema;
use marquetry_decisions::{Learner, PolicyBook, PolicySpec, policy_batch};
use serde_json::{Value, json};

use crate::support::{
    complaint, customers, decide, decided, lake, options, put, put_policy, segments, stage, table,
};

async fn refused(actions: Value, more: Value) -> String {
    complaint(&decide(20, actions, more).await)
}

#[tokio::test]
async fn a_rule_that_fails_names_action_place_and_customer() {
    let message = refused(
        json!([{"name": "x"}, {"name": "y", "when": "recencydays > 3"}]),
        json!({}),
    );
    let message = message.await;
    assert!(
        message.contains("`when` of action `y` at line 1"),
        "{message}"
    );
    assert!(
        message.contains("did you mean `recency_days`?"),
        "{message}"
    );
    let when = "recency_days % (frequency - 5) == 0";
    let message = refused(json!([{"name": "y", "when": when}]), json!({})).await;
    assert!(message.contains("for customer_id 5"), "{message}");
    let message = refused(json!([{"name": "y", "when": "recency_days"}]), json!({})).await;
    assert!(message.contains("action `y`"), "{message}");
    // Without `segments` there is no segment to read.
    let message = refused(
        json!([{"name": "y", "when": "segment == \"a\""}]),
        json!({}),
    );
    let message = message.await;
    assert!(message.contains("`segment`"), "{message}");
}

#[tokio::test]
async fn a_context_must_be_there_for_every_customer() {
    for (column, expected) in [
        ("recencydays", "`customers` has no column `recencydays`"),
        ("score", "customer_id 10 has no value in column `score`"),
    ] {
        let more = json!({"algorithm": {"kind": "lin_ucb"}, "context": [column]});
        let message = refused(json!([{"name": "x"}]), more).await;
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_key_must_not_be_named_as_a_column_of_the_log() {
    let rows = customers(3);
    let batch = table([("action", Arc::clone(rows.column(0)))]);
    let output = stage()
        .input("customers", vec![batch])
        .policy("offers", None)
        .options(options(json!([{"name": "x"}]), json!({"key": "action"})))
        .run()
        .await;
    let message = complaint(&output);
    assert!(
        message.contains("the key cannot be named `action`"),
        "{message}"
    );
}

#[tokio::test]
async fn a_key_that_stands_twice_is_refused() {
    let rows = customers(3);
    let output = stage()
        .input("customers", vec![rows.clone(), rows])
        .policy("offers", None)
        .options(options(json!([{"name": "x"}]), json!({})))
        .run()
        .await;
    let message = complaint(&output);
    assert!(message.contains("customer_id 1 stands in"), "{message}");
}

/// Runs the stage with a published policy.
async fn with_policy(spec: PolicySpec, more: Value) -> Result<(), String> {
    let mut book = PolicyBook::new(spec).unwrap();
    book.know(None, &["x"]).unwrap();
    book.know(Some("a"), &["x"]).unwrap();
    let lake = lake().await;
    let stored = put_policy(&lake, &book).await;
    let output = stage()
        .lake(lake)
        .input("customers", vec![customers(20)])
        .input("segments", vec![segments(20)])
        .policy("offers", Some((2, &stored)))
        .options(options(json!([{"name": "x"}]), more))
        .run()
        .await;
    match &output.result {
        Ok(_) => {
            decided(&output);
            Ok(())
        }
        Err(_) => Err(complaint(&output)),
    }
}

fn spec(algorithm: Learner, per_segment: bool, context: &[&str]) -> PolicySpec {
    let context: Vec<String> = context.iter().map(|&name| name.to_owned()).collect();
    PolicySpec::of(&algorithm, 0.0, per_segment, &context).unwrap()
}

#[tokio::test]
async fn a_policy_of_another_shape_is_refused() {
    let linear = |ridge| Learner::LinUcb { alpha: 1.0, ridge };
    let lin_ucb = |context: &[&str]| json!({"algorithm": {"kind": "lin_ucb"}, "context": context});
    for (spec, more, expected) in [
        (
            spec(Learner::Ucb1 { alpha: 1.0 }, false, &[]),
            json!({}),
            "it learns by `ucb1`, and the stage says `beta_thompson`",
        ),
        (
            spec(Learner::default(), true, &[]),
            json!({}),
            "it has one policy a segment, and the stage wants one policy for all",
        ),
        (
            spec(Learner::default(), false, &[]),
            json!({"segments": "$segments"}),
            "it has one policy for all, and the stage wants one policy a segment",
        ),
        (
            spec(linear(1.0), false, &["recency_days"]),
            lin_ucb(&["recency_days", "frequency"]),
            "its context is [recency_days], and the stage says [recency_days, frequency]",
        ),
        (
            spec(linear(2.0), false, &["recency_days"]),
            lin_ucb(&["recency_days"]),
            "ridge 2 cannot go on with a linear model of 2 dimensions and ridge 1",
        ),
    ] {
        let message = with_policy(spec, more).await.unwrap_err();
        assert!(message.contains("MQ0408"), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_policy_may_go_on_with_other_parameters_of_its_algorithm() {
    let first = spec(Learner::Ucb1 { alpha: 1.0 }, false, &[]);
    let more = json!({"algorithm": {"kind": "ucb1", "alpha": 0.5}, "explore": 0.1});
    assert_eq!(with_policy(first, more).await, Ok(()));
}

#[tokio::test]
async fn parameters_with_all_their_digits_are_read_as_they_were_written() {
    // 0.1 + 0.2 as an expression in a workflow gives it, and neighbours that a hasty reader rounds otherwise.
    for step in 0..200_u64 {
        let odd = f64::from_bits((0.1_f64 + 0.2).to_bits() + step * 7_919);
        let mut first = spec(Learner::default(), false, &[]);
        first.explore = odd;
        first.algorithm = Learner::Softmax {
            temperature: odd,
            initial_mean: odd,
        };
        let mut book = PolicyBook::new(first).unwrap();
        book.know(None, &["x"]).unwrap();
        let text = book.to_json().unwrap();
        let read = PolicyBook::from_json(&text).unwrap();
        assert_eq!(read.spec(), book.spec());
    }
}

/// Runs the stage with a dataset for a policy that carries this state, if any.
async fn with_state(state: Option<String>) -> String {
    let book = PolicyBook::new(spec(Learner::default(), false, &[])).unwrap();
    let (schema, batch) = policy_batch(&book).unwrap();
    let metadata = state.map(|state| ("marquetry.policy".to_owned(), state));
    let metadata: HashMap<String, String> = metadata.into_iter().collect();
    let schema = Arc::new(Schema::new(schema.fields().clone()).with_metadata(metadata));
    let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).unwrap();
    let lake = lake().await;
    let stored = put(&lake, schema, &batch).await;
    let output = stage()
        .lake(lake)
        .input("customers", vec![customers(3)])
        .policy("offers", Some((5, &stored)))
        .options(options(json!([{"name": "x"}]), json!({})))
        .run()
        .await;
    complaint(&output)
}

#[tokio::test]
async fn what_is_no_policy_is_refused_with_its_name_and_version() {
    let mut book = PolicyBook::new(spec(Learner::default(), false, &[])).unwrap();
    book.know(None, &["x"]).unwrap();
    let good = book.to_json().unwrap();
    let cut = good.get(..good.len() / 2).unwrap().to_owned();
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        good.replace(from, to)
    };
    for (state, expected) in [
        (None, "it carries no state of one"),
        (Some(String::new()), ""),
        (Some(cut), ""),
        (
            Some(changed("{\"format\":1,\"spec\"", "{\"format\":2,\"spec\"")),
            "its format is 2, and this version reads 1",
        ),
        (
            Some(changed("\"total\":\"0.0\"", "\"total\":\"NaN\"")),
            "the sum must be",
        ),
        (Some(changed("\"count\":0", "\"count\":-1")), ""),
        (
            Some(changed("\"explore\":0.0,\"per", "\"explore\":0.5,\"per")),
            "is made from other options",
        ),
    ] {
        let message = with_state(state).await;
        assert!(message.contains("MQ0408"), "{message}");
        let begin = "policy `offers@5` cannot be read as a policy: ";
        assert!(message.contains(begin), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_table_under_the_name_of_a_policy_is_refused() {
    let lake = lake().await;
    let batch = table([("x", Arc::new(Float64Array::from(vec![1.0])) as _)]);
    let stored = put(&lake, batch.schema(), &batch).await;
    let output = stage()
        .lake(lake)
        .input("customers", vec![customers(3)])
        .policy("offers", Some((1, &stored)))
        .options(options(json!([{"name": "x"}]), json!({})))
        .run()
        .await;
    let message = complaint(&output);
    assert!(message.contains("it carries no state of one"), "{message}");
}
