#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

fn spec(declaration: Value) -> ParamSpec {
    serde_json::from_value(declaration).unwrap()
}

fn workflow(params: &[(&str, Value)]) -> Workflow {
    Workflow {
        outputs: indexmap::IndexMap::new(),
        name: "retail".to_owned(),
        description: None,
        params: params
            .iter()
            .map(|(name, declaration)| ((*name).to_owned(), spec(declaration.clone())))
            .collect(),
        stages: indexmap::IndexMap::new(),
        concurrency: None,
        schedules: Vec::new(),
        tables: std::collections::BTreeSet::new(),
    }
}

fn text(name: &str, value: &str) -> BTreeMap<String, ParamInput> {
    BTreeMap::from([(name.to_owned(), ParamInput::Text(value.to_owned()))])
}

fn value(name: &str, value: Value) -> BTreeMap<String, ParamInput> {
    BTreeMap::from([(name.to_owned(), ParamInput::Value(value))])
}

/// The one value, or the one error with its help.
fn resolved(declaration: Value, given: &BTreeMap<String, ParamInput>) -> Result<Value, String> {
    match workflow(&[("p", declaration)]).resolve_params(given) {
        Ok(values) => Ok(values["p"].clone()),
        Err(problems) => Err(problems.to_string()),
    }
}

#[test]
fn text_becomes_the_type_of_its_parameter() {
    let cases = [
        ("string", "8", json!("8")),
        ("int", " 8 ", json!(8)),
        ("int", "-3", json!(-3)),
        ("float", "8", json!(8.0)),
        ("float", "2.5e-1", json!(0.25)),
        ("bool", "true", json!(true)),
        ("list", "", json!([])),
        ("list", "a, 2,true,0.5", json!(["a", 2, true, 0.5])),
        ("list", "[\"a,b\", 1]", json!(["a,b", 1])),
    ];
    for (kind, given, expected) in cases {
        assert_eq!(
            resolved(json!({"type": kind}), &text("p", given)),
            Ok(expected),
            "{kind} from {given}"
        );
    }
}

#[test]
fn text_that_is_not_of_the_type_is_refused() {
    let cases = [
        ("int", "8.5"),
        ("int", "eight"),
        ("int", "9223372036854775808"),
        ("float", "NaN"),
        ("float", "1e999"),
        ("bool", "yes"),
        ("list", "[1, 2"),
        ("list", "[[1]]"),
        ("list", "[null]"),
    ];
    for (kind, given) in cases {
        let error = resolved(json!({"type": kind}), &text("p", given)).unwrap_err();
        assert!(error.contains("[MQ0303]"), "{kind} from {given}: {error}");
        assert!(error.contains("must be"), "{kind} from {given}: {error}");
    }
}

#[test]
fn numbers_of_clients_that_know_only_doubles_are_integers_where_they_are_whole() {
    let int = || json!({"type": "int"});
    assert_eq!(resolved(int(), &value("p", json!(8.0))), Ok(json!(8)));
    assert!(resolved(int(), &value("p", json!(8.5))).is_err());
    assert!(resolved(int(), &value("p", json!(1e300))).is_err());
    assert_eq!(
        resolved(json!({"type": "float"}), &value("p", json!(8))),
        Ok(json!(8.0))
    );
    assert!(resolved(int(), &value("p", json!(null))).is_err());
    assert!(resolved(json!({"type": "string"}), &value("p", json!(8))).is_err());
}

#[test]
fn bounds_and_allowed_values_hold_and_are_told() {
    let bounded = || json!({"type": "int", "min": 2, "max": 64});
    assert_eq!(resolved(bounded(), &text("p", "2")), Ok(json!(2)));
    assert_eq!(resolved(bounded(), &text("p", "64")), Ok(json!(64)));
    assert_eq!(
        resolved(bounded(), &text("p", "65")).unwrap_err(),
        "the parameter `p` must be a whole number from 2 to 64, got `65` [MQ0303]; \
         help: write it as in `--set p=8`"
    );
    let named = || json!({"type": "string", "allowed": ["daily", "weekly"]});
    assert_eq!(
        resolved(named(), &text("p", "weekl")).unwrap_err(),
        "the parameter `p` must be one of `daily`, `weekly`, got `weekl` [MQ0303]; \
         help: did you mean `weekly`?"
    );
    let each = || json!({"type": "list", "allowed": ["a", "b"]});
    assert_eq!(resolved(each(), &text("p", "b,a")), Ok(json!(["b", "a"])));
    assert!(resolved(each(), &text("p", "b,c")).is_err());
    let large = i64::MAX;
    let exact = json!({"type": "int", "max": large - 1});
    assert!(resolved(exact, &text("p", &large.to_string())).is_err());
}

#[test]
fn every_problem_is_told_at_once() {
    let workflow = workflow(&[
        (
            "orders",
            json!({"type": "string", "description": "where the orders are"}),
        ),
        ("segments", json!({"type": "int", "default": 8})),
    ]);
    let mut given = text("segmnts", "6");
    given.extend(text("segments", "x"));
    let problems = workflow.resolve_params(&given).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "workflow `retail` has no parameter `segmnts` [MQ0301]; help: did you mean `segments`?\n\
         the parameter `orders` (where the orders are) has no value [MQ0302]; \
         help: give it one: `--set orders=text`\n\
         the parameter `segments` must be a whole number, got `x` [MQ0303]; \
         help: write it as in `--set segments=8`"
    );
}

#[test]
fn defaults_stand_in_and_the_order_is_that_of_the_file() {
    let workflow = workflow(&[
        ("b", json!({"type": "int", "default": 1})),
        ("a", json!({"type": "bool", "default": false})),
    ]);
    let values = workflow.resolve_params(&text("a", "true")).unwrap();
    let values: Vec<_> = values.into_iter().collect();
    assert_eq!(
        values,
        [("b".to_owned(), json!(1)), ("a".to_owned(), json!(true))]
    );
}
