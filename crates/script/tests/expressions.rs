//! `${{ … }}` and `if`: what expressions mean, and what they say when they are wrong.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use marquetry_script::{Expression, ScriptError, ScriptErrorKind, StatusFlags};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value, json};

fn scope() -> Map<String, Value> {
    let scope = json!({
        "params": {
            "k": 8, "share": 0.5, "on": true, "region": "uk", "tags": ["b", "a"], "none": null,
            "big": 9007199254740993_i64, "huge": 1e300, "ids": [],
        },
        "stages": {
            "orders": {"rows": 12, "status": "succeeded", "metrics": {}, "outputs": {"quarantine": {"rows": 1}}},
            "quality": {"rows": 3, "status": "failed", "metrics": {"silhouette": 0.25}, "outputs": {}},
        },
        "run": {"id": "r1", "submitted_at": "2026-01-02T03:04:05Z"},
    });
    scope.as_object().unwrap().clone()
}

fn value(source: &str) -> Result<Value, ScriptError> {
    Expression::compile(source)?.evaluate(&scope())
}

fn all_give(cases: &[(&str, Value)]) {
    for (source, expected) in cases {
        assert_eq!(value(source).as_ref(), Ok(expected), "{source}");
    }
}

#[test]
fn values_keep_their_types() {
    all_give(&[
        ("params.k", json!(8)),
        ("params.share", json!(0.5)),
        ("params.on", json!(true)),
        ("params.region", json!("uk")),
        ("params.tags", json!(["b", "a"])),
        ("params.none", Value::Null),
        ("params.big", json!(9007199254740993_i64)),
        ("params.huge", json!(1e300)),
        ("stages.quality.metrics", json!({"silhouette": 0.25})),
        ("stages.orders.outputs.quarantine.rows", json!(1)),
        ("params[\"k\"]", json!(8)),
        ("'a'", json!("a")),
        ("()", Value::Null),
    ]);
    // An integer that is too large for one is a float.
    let scope = json!({"n": u64::MAX});
    let expression = Expression::compile("n").unwrap();
    let value = expression.evaluate(scope.as_object().unwrap()).unwrap();
    assert_eq!(value, json!(u64::MAX as f64));
}

#[test]
fn operators_mean_what_the_documentation_says() {
    all_give(&[
        ("1 + 2 * 3 - 4 / 2 % 3", json!(5)),
        ("7 / 2", json!(3)),
        ("7 / 2.0", json!(3.5)),
        (
            "1 == 1.0 && 1 != 2 && 1 < 1.5 && 2 <= 2 && 3 > 2.5 && 3 >= 3",
            json!(true),
        ),
        (
            "\"a\" < \"b\" && \"Z\" < \"a\" && \"a\" == 'a'",
            json!(true),
        ),
        ("params.on && !false || false", json!(true)),
        ("params.none ?? 5", json!(5)),
        ("params.none ?? params.none ?? \"x\"", json!("x")),
        ("params.k ?? 1 / 0", json!(8)), // the default is not looked at
        ("\"a\" in params.tags && \"c\" !in params.tags", json!(true)),
        ("\"k\" in params", json!(true)),
        ("\"gio\" in params.region", json!(false)),
        ("3 in 1..3 || 3 in 1..=3", json!(true)),
        ("params.k in [1, 8.0]", json!(true)),
        ("[1, 2] + [3]", json!([1, 2, 3])),
        ("[1, [2]] == [1.0, [2]]", json!(true)),
        ("#{a: 1, b: [params.k]}", json!({"a": 1, "b": [8]})),
        ("#{a: 1} == #{a: 1.0}", json!(true)),
        ("\"k\" + 1 + 2.5 + true + ()", json!("k12.5true")),
        ("1 + \"k\"", json!("1k")),
        ("`${params.region}-${params.k + 1}`", json!("uk-9")),
        ("false && 1 / 0 == 1", json!(false)),
        ("true || 1 / 0 == 1", json!(true)),
    ]);
}

#[test]
fn null_is_a_value_for_equality_false_for_order_and_null_in_sums() {
    all_give(&[
        ("params.none == ()", json!(true)),
        ("params.none != 1", json!(true)),
        ("params.none == \"\"", json!(false)),
        (
            "params.none < 1 || params.none >= 1 || 1 > params.none",
            json!(false),
        ),
        ("params.none + 1", Value::Null),
        ("1 - params.none * 2", Value::Null),
        ("-params.none", Value::Null),
        ("params.none / 0", Value::Null),
        ("params.none && true", json!(false)),
        ("params.none || params.none", json!(false)),
        ("!params.none", json!(true)),
        (
            "[params.none && true, `${params.none || true}`]",
            json!([false, "true"]),
        ),
        ("params.none?.anything", Value::Null),
        ("params.none?[\"anything\"]", Value::Null),
        ("params.none in [1, ()]", json!(true)),
        ("sum([1, params.none])", Value::Null),
    ]);
}

/// For every documented function a call, as its receiver and further arguments, and what it gives.
fn examples() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        ("abs", "-3", "", json!(3)),
        ("abs", "-2.5", "", json!(2.5)),
        ("ceiling", "2.1", "", json!(3.0)),
        ("ceiling", "2", "", json!(2)),
        ("floor", "2.9", "", json!(2.0)),
        ("round", "2.5", "", json!(3.0)),
        ("int", "2.9", "", json!(2)),
        ("int", "-2.9", "", json!(-2)),
        ("min", "1", "2.5", json!(1.0)),
        ("min", "\"a\"", "\"b\"", json!("a")),
        ("max", "1", "2", json!(2)),
        ("sign", "-7", "", json!(-1)),
        ("sqrt", "9", "", json!(3.0)),
        ("sqrt", "2.25", "", json!(1.5)),
        ("exp", "0", "", json!(1.0)),
        ("ln", "1", "", json!(0.0)),
        ("log", "1000", "", json!(1000_f64.log10())),
        ("log", "8", "2", json!(8_f64.log(2.0))),
        ("sin", "0", "", json!(0.0)),
        ("cos", "0", "", json!(1.0)),
        ("tan", "0.0", "", json!(0.0)),
        ("asin", "1", "", json!(std::f64::consts::FRAC_PI_2)),
        ("acos", "1.0", "", json!(0.0)),
        ("atan", "0", "", json!(0.0)),
        ("to_degrees", "0", "", json!(0.0)),
        ("to_radians", "180", "", json!(std::f64::consts::PI)),
        ("is_nan", "0.0 / 0", "", json!(true)),
        ("is_nan", "1", "", json!(false)),
        ("is_finite", "1", "", json!(true)),
        ("is_infinite", "1.0 / 0", "", json!(true)),
        ("is_zero", "0.0", "", json!(true)),
        ("is_even", "4", "", json!(true)),
        ("is_odd", "4", "", json!(false)),
        ("to_int", "2.9", "", json!(2)),
        ("to_float", "2", "", json!(2.0)),
        ("len", "\"äö\"", "", json!(2)),
        ("len", "params.tags", "", json!(2)),
        ("len", "params.ids", "", json!(0)),
        ("contains", "\"abc\"", "\"b\"", json!(true)),
        ("contains", "params.tags", "\"a\"", json!(true)),
        ("contains", "#{a: 1}", "\"a\"", json!(true)),
        ("starts_with", "\"abc\"", "\"ab\"", json!(true)),
        ("ends_with", "\"abc\"", "\"ab\"", json!(false)),
        ("index_of", "\"abc\"", "\"c\"", json!(2)),
        ("index_of", "params.tags", "\"x\"", json!(-1)),
        ("sub_string", "\"abcd\"", "1, 2", json!("bc")),
        ("sub_string", "\"abcd\"", "2", json!("cd")),
        ("split", "\"a,b\"", "\",\"", json!(["a", "b"])),
        ("split", "params.tags", "1", json!(["a"])),
        ("trim", "\" a \"", "", json!("a")),
        ("replace", "params.region", "\"u\", \"U\"", json!("Uk")),
        ("replace", "\"a-b\"", "'-', ' '", json!("a b")),
        ("pad", "params.region", "5, \"ab\"", json!("ukaba")),
        ("pad", "params.region", "5, \"\"", json!("uk")),
        ("pad", "params.tags", "3, ()", json!(["b", "a", null])),
        ("to_upper", "params.region", "", json!("UK")),
        ("to_lower", "\"ÄB\"", "", json!("äb")),
        ("to_chars", "\"äb\"", "", json!(["ä", "b"])),
        ("parse_int", "\"42\"", "", json!(42)),
        ("parse_int", "\"ff\"", "16", json!(255)),
        ("parse_float", "\"4.5\"", "", json!(4.5)),
        ("to_string", "4.0", "", json!("4.0")),
        ("to_string", "[1, \"a\"]", "", json!("[1, \"a\"]")),
        ("is_empty", "params.ids", "", json!(true)),
        ("is_empty", "\"a\"", "", json!(false)),
        ("first", "params.tags", "", json!("b")),
        ("first", "[]", "", Value::Null),
        ("last", "params.tags", "", json!("a")),
        ("get", "params.tags", "-1", json!("a")),
        ("get", "params.tags", "7", Value::Null),
        ("get", "params", "\"nothing\"", Value::Null),
        ("keys", "stages", "", json!(["orders", "quality"])),
        ("values", "#{a: 1, b: 2}", "", json!([1, 2])),
        ("reverse", "params.tags", "", json!(["a", "b"])),
        ("sort", "params.tags", "", json!(["a", "b"])),
        ("sort", "[3, 1.5, -2]", "", json!([-2, 1.5, 3])),
        ("sum", "[1, 2]", "", json!(3)),
        ("sum", "[1, 2.5]", "", json!(3.5)),
        ("sum", "[]", "", json!(0)),
        ("dedup", "[1, 1.0, 2, 1]", "", json!([1, 2, 1])),
        ("extract", "[1, 2, 3]", "1", json!([2, 3])),
        ("extract", "[1, 2, 3]", "0, 2", json!([1, 2])),
        ("is_null", "params.none", "", json!(true)),
        ("is_true", "params.none", "", json!(false)),
        ("type_of", "params.region", "", json!("string")),
    ]
}

#[test]
fn every_function_works_as_a_call_and_as_a_method() {
    for (name, receiver, arguments, expected) in examples() {
        let comma = if arguments.is_empty() { "" } else { ", " };
        for source in [
            format!("{name}({receiver}{comma}{arguments})"),
            format!("({receiver}).{name}({arguments})"),
        ] {
            assert_eq!(value(&source).as_ref(), Ok(&expected), "{source}");
        }
    }
    all_give(&[("3 in range(1, 4) && 4 !in range(1, 4)", json!(true))]);
}

#[test]
fn the_documentation_lists_every_function_that_there_is() {
    let text = include_str!("../../../docs/workflows.md");
    let (_, list) = text.split_once("and these functions").unwrap();
    let (list, _) = list.split_once("Nothing changes in place").unwrap();
    let (_, list) = list.split_once("numbers:").unwrap();
    let documented: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
    let mut shown: BTreeSet<&str> = examples().iter().map(|(name, ..)| *name).collect();
    shown.insert("range");
    assert_eq!(documented, shown);
    // And the other way round: what rhai has besides is not reachable by chance.
    for name in [
        "push",
        "pop",
        "shift",
        "insert",
        "remove",
        "clear",
        "truncate",
        "drain",
        "retain",
        "append",
        "crop",
        "make_upper",
        "chars",
        "filter",
        "map",
        "reduce",
        "take",
        "sleep",
        "parse_json",
        "hypot",
    ] {
        for source in [
            format!("{name}([1])"),
            format!("[1].{name}()"),
            format!("params.tags.{name}"),
        ] {
            assert!(value(&source).is_err(), "{source}");
        }
    }
}

#[test]
fn nothing_changes_in_place() {
    all_give(&[
        (
            "[params.tags.sort(), params.tags]",
            json!([["a", "b"], ["b", "a"]]),
        ),
        (
            "[params.tags.reverse(), params.tags.pad(3, 1), params.tags.split(1), params.tags]",
            json!([["a", "b"], ["b", "a", 1], ["a"], ["b", "a"]]),
        ),
        (
            "params.region.replace(\"u\", \"\") + params.region.pad(3, \"!\") + params.region",
            json!("kuk!uk"),
        ),
    ]);
}

#[test]
fn what_an_expression_reads_is_known_before_it_runs() {
    let found = |source: &str| -> Vec<(usize, String)> {
        let expression = Expression::compile(source).unwrap();
        let references = expression.references().iter();
        references
            .map(|reference| (reference.offset, reference.path.join(".")))
            .collect()
    };
    for (source, expected) in [
        ("1 + 2", vec![]),
        ("params.k", vec![(0, "params.k")]),
        (
            "  stages.quality.metrics.silhouette > params.share",
            vec![
                (2, "stages.quality.metrics.silhouette"),
                (38, "params.share"),
            ],
        ),
        (
            "stages.orders.outputs.quarantine.rows",
            vec![(0, "stages.orders.outputs.quarantine.rows")],
        ),
        ("stages[\"orders\"].rows", vec![(0, "stages.orders.rows")]),
        ("stages?.orders?.rows", vec![(0, "stages.orders.rows")]),
        (
            "stages.orders.status.len()",
            vec![(0, "stages.orders.status")],
        ),
        (
            "params.tags[params.k].len",
            vec![(0, "params.tags"), (12, "params.k")],
        ),
        (
            "stages[params.region].rows",
            vec![(0, "stages"), (7, "params.region")],
        ),
        (
            "[stages.a, #{b: stages.b}][0]",
            vec![(1, "stages.a"), (16, "stages.b")],
        ),
        (
            "`${stages.a.rows} of ${stages.b.rows}`",
            vec![(3, "stages.a.rows"), (23, "stages.b.rows")],
        ),
        (
            "max(stages.a.rows, stages.b.rows) in [stages.c.rows]",
            vec![
                (4, "stages.a.rows"),
                (19, "stages.b.rows"),
                (38, "stages.c.rows"),
            ],
        ),
        (
            "!stages.a.x || -stages.b.y ?? stages.c.z",
            vec![(1, "stages.a.x"), (16, "stages.b.y"), (30, "stages.c.z")],
        ),
        (
            "1 in stages.a.rows..stages.b.rows",
            vec![(5, "stages.a.rows"), (20, "stages.b.rows")],
        ),
        ("\"stages.a\" + 'é' +\n  stages.b", vec![(21, "stages.b")]),
        (
            "/* stages.a */ stages.b // stages.c",
            vec![(15, "stages.b")],
        ),
    ] {
        let expected: Vec<(usize, String)> = expected
            .into_iter()
            .map(|(offset, path)| (offset, path.to_owned()))
            .collect();
        assert_eq!(found(source), expected, "{source}");
    }
    let is_reference = |source: &str| {
        Expression::compile(source)
            .unwrap()
            .as_reference()
            .is_some()
    };
    assert!(is_reference(" stages.orders "));
    assert!(
        !is_reference("stages.orders + 1")
            && !is_reference("(stages.orders)")
            && !is_reference("1")
    );
}

#[test]
fn an_expression_is_its_source() {
    let expression = Expression::compile("params.k  +1").unwrap();
    assert_eq!(
        serde_json::to_value(&expression).unwrap(),
        json!("params.k  +1")
    );
    assert_eq!(
        serde_json::from_value::<Expression>(json!("params.k  +1")).unwrap(),
        expression
    );
    assert_ne!(Expression::compile("params.k + 1").unwrap(), expression);
    assert!(serde_json::from_value::<Expression>(json!("params.k +")).is_err());
}

fn holds(source: &str, failed: bool, skipped: bool) -> Result<bool, ScriptError> {
    Expression::compile(source)?.holds(&scope(), StatusFlags { failed, skipped })
}

#[test]
fn a_condition_is_true_or_false_and_null_is_false() {
    for (source, expected) in [
        ("params.k > 5", true),
        ("params.none", false),
        ("params.none > 1", false),
        ("!params.none", true),
        ("stages.quality.metrics.silhouette > 0.2 && params.on", true),
    ] {
        assert_eq!(holds(source, false, false), Ok(expected), "{source}");
    }
    for (source, got) in [
        ("params.k", "int"),
        ("params.region", "string"),
        ("params.tags", "list"),
    ] {
        let error = holds(source, false, false).unwrap_err();
        assert_eq!(error.kind, ScriptErrorKind::Type);
        assert_eq!(
            error.to_string(),
            format!(
                "a condition must be true or false, got {got} (line 1, column 1 of the script)"
            )
        );
    }
}

#[test]
fn status_functions_say_how_the_needs_ended() {
    // Nothing failed; something was skipped; something failed; both.
    let ends = [(false, false), (false, true), (true, false), (true, true)];
    for (source, expected) in [
        ("always()", [true, true, true, true]),
        ("success()", [true, false, false, false]),
        ("failure()", [false, false, true, true]),
        ("!failure()", [true, true, false, false]),
        ("failure() && params.on", [false, false, true, true]),
        ("failure() && !params.on", [false, false, false, false]),
        ("success() || failure()", [true, false, true, true]),
        ("`${failure()}` == \"true\"", [false, false, true, true]),
        ("[failure()][0]", [false, false, true, true]),
        ("is_true(always())", [true, true, true, true]),
    ] {
        let said = ends.map(|(failed, skipped)| holds(source, failed, skipped).unwrap());
        assert_eq!(said, expected, "{source}");
    }
    let first = |source: &str| {
        let expression = Expression::compile(source).unwrap();
        expression.status_function().map(str::to_owned)
    };
    assert_eq!(first("params.on && failure()").as_deref(), Some("failure"));
    assert_eq!(first("params.on"), None);
    assert_eq!(first("\"always()\" == params.region"), None);
    // Outside of a condition nothing has failed.
    all_give(&[("success() && !failure() && always()", json!(true))]);
}

#[test]
fn status_functions_take_nothing_and_are_no_methods() {
    for source in [
        "always(1)",
        "failure(params.k)",
        "params.k.success()",
        "always",
    ] {
        assert!(holds(source, false, false).is_err(), "{source}");
    }
}

#[test]
fn an_expression_is_stopped_after_its_operations() {
    // Without loops of its own, what is long is its text: no text within the limit runs for long.
    let tags: String = (0..2_000)
        .map(|n| format!("params.tags.sort().len() + {n} > 0, "))
        .collect();
    assert!(value(&format!("[{tags}].len()")).is_ok());
}

/// What usual mistakes are told.
#[test]
fn mistakes_are_explained() {
    let mistakes = [
        "params.kk > 1",
        "parms.k",
        "params.nothing_like_it",
        "stages.quality.metric.silhouette",
        "stages.quality.metrics.recall",
        "params.k = 8",
        "params.k === 8",
        "params.on and params.k > 1",
        "params.region == 'uk'",
        "params.region == uk",
        "params.region == \"uk",
        "params.none == null",
        "params.k > \"5\"",
        "params.none.len()",
        "params.none.name",
        "params.tags.first",
        "params.tags[2]",
        "params.tags + 1 > 3",
        "params.tags.lenght()",
        "params.tags.filter(|t| t == \"a\")",
        "if params.on { 1 } else { 2 }",
        "params.on ? 1 : 2",
        "let k = 1; k",
        "print(params.k)",
        "import \"file\" as file",
        "(params.k + 1",
        "params.k +",
        "params.k 8",
        "sqrt(\"9\")",
        "min(params.none, 1)",
        "sum(params.tags)",
        "[1, \"a\"].sort()",
        "params.k / 0",
        "1.0 / 0",
        "1..5",
        "parse_int(params.region)",
        "\"C:\\data\"",
        "params.k && true",
        "params.k < params.on",
        "params.on < true",
        "-params.region",
        "stages.orders.rows && 1",
    ];
    let mut told = String::new();
    for source in mistakes {
        let error = value(source).expect_err(source);
        assert!(error.line.is_some(), "{source}: {error}");
        writeln!(told, "{source}\n  {}: {error}", error.code()).unwrap();
        if let Some(help) = error.help {
            writeln!(told, "  help: {help}").unwrap();
        }
    }
    insta::assert_snapshot!(told);
}

/// Expressions of what expressions are made of, mostly well formed.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(
        &[
            "params.k",
            "params.share",
            "params.on",
            "params.region",
            "params.tags",
            "params.none",
            "params.big",
            "params.huge",
            "params.ids",
            "stages.orders",
            "stages.quality.metrics.silhouette",
            "run.id",
            "params.missing",
            "1",
            "0",
            "-1",
            "0.5",
            "\"a\"",
            "'b'",
            "true",
            "()",
            "[]",
            "[1, 2]",
            "#{a: 1}",
            "1..3",
            "9223372036854775807",
            "always()",
            "failure()",
        ][..],
    )
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 3, |inner| {
        let functions: BTreeSet<&'static str> = examples().iter().map(|(name, ..)| *name).collect();
        let functions: Vec<&'static str> = functions.into_iter().chain(["range"]).collect();
        let operators = [
            "+", "-", "*", "/", "%", "**", "<<", ">>", "&", "|", "^", "==", "!=", "<", "<=", ">",
            ">=", "&&", "||", "??", "in", "!in", "..",
        ];
        let function = prop::sample::select(functions);
        prop_oneof![
            4 => (inner.clone(), prop::sample::select(operators.to_vec()), inner.clone())
                .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            3 => (function.clone(), inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            3 => (function.clone(), inner.clone(), inner.clone())
                .prop_map(|(name, a, b)| format!("({a}).{name}({b})")),
            1 => (function, inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(name, a, b, c)| format!("({a}).{name}({b}, {c})")),
            1 => inner.clone().prop_map(|a| format!("-{a}")),
            1 => inner.clone().prop_map(|a| format!("!{a}")),
            1 => inner.clone().prop_map(|a| format!("`x${{{a}}}y`")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("[{a}, {b}]")),
        ]
    })
}

/// Any JSON.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..5)
                .prop_map(|entries| entries.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(6),
        ..ProptestConfig::with_cases(3000)
    })]

    #[test]
    fn what_compiles_ends_with_a_value_or_an_error(source in expression()) {
        let Ok(compiled) = Expression::compile(&source) else { return Ok(()) };
        for outcome in [
            compiled.evaluate(&scope()),
            compiled.evaluate(&Map::new()),
            compiled.holds(&scope(), StatusFlags { failed: true, skipped: false }).map(Value::from),
        ] {
            if let Err(error) = outcome {
                prop_assert!(error.line.is_some(), "{source}: {error}");
                prop_assert!(!error.message.starts_with("the script engine failed"), "{source}");
                prop_assert!(!error.message.contains("&str"), "{source}: {error}");
            }
        }
        // Every path begins with a name that stands there in the source.
        let characters: Vec<char> = source.chars().collect();
        for reference in compiled.references() {
            let rest: String = characters[reference.offset..].iter().collect();
            prop_assert!(rest.starts_with(&reference.path[0]), "{source}: {reference:?}");
        }
    }

    #[test]
    fn any_text_compiles_or_is_refused(source in any::<String>()) {
        if let Ok(compiled) = Expression::compile(&source) {
            let _ = compiled.evaluate(&scope());
        }
    }

    #[test]
    fn any_value_passes_through(value in json_value()) {
        let scope: Map<String, Value> = [("x".to_owned(), value.clone())].into_iter().collect();
        let through = Expression::compile("x").unwrap().evaluate(&scope).unwrap();
        prop_assert_eq!(as_scripts_hold(through), as_scripts_hold(value));
    }
}

/// Integers beyond 64 bits as floats.
fn as_scripts_hold(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_none() => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(as_scripts_hold).collect(),
        Value::Object(entries) => {
            let entries = entries
                .into_iter()
                .map(|(name, value)| (name, as_scripts_hold(value)));
            Value::Object(entries.collect())
        }
        other => other,
    }
}
