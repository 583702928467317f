//! Rules and scripts over the rows of a dataset.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::collections::BTreeSet;

use marquetry_script::{
    Cell, Columns, Limits, RowError, RowScript, Sandbox, ScriptError, ScriptErrorKind,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

const NAMES: [&str; 6] = ["orders", "spent", "country", "vip", "nothing", "rate"];

/// Rows whose columns are [`NAMES`], and which of them were looked at.
struct Rows {
    rows: Vec<[Cell<'static>; 6]>,
    read: RefCell<BTreeSet<usize>>,
}

impl Columns for Rows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        self.read.borrow_mut().insert(column);
        self.rows[row][column]
    }
}

fn rows(rows: Vec<[Cell<'static>; 6]>) -> Rows {
    let read = RefCell::default();
    Rows { rows, read }
}

fn row(orders: i64, spent: f64, country: &'static str) -> [Cell<'static>; 6] {
    let country = match country {
        "" => Cell::Null,
        text => Cell::Text(text),
    };
    let (orders, spent) = (Cell::Int(orders), Cell::Float(spent));
    [
        orders,
        spent,
        country,
        Cell::Bool(true),
        Cell::Null,
        Cell::Float(0.5),
    ]
}

fn two() -> Rows {
    rows(vec![row(3, 120.5, "UK"), row(0, 0.0, "")])
}

fn rule(source: &str) -> Result<RowScript, ScriptError> {
    RowScript::expression(source, &NAMES)
}

fn script(source: &str) -> Result<RowScript, ScriptError> {
    RowScript::script(source, &NAMES)
}

#[test]
fn a_rule_says_of_every_row_whether_it_matches() {
    for (source, expected) in [
        ("orders > 2 && spent >= 120", [true, false]),
        ("country == \"UK\"", [true, false]),
        ("country != \"FR\"", [true, true]),
        ("country in [\"UK\", \"FR\"]", [true, false]),
        ("country in [\"UK\", ()]", [true, true]),
        ("country !in [\"UK\"]", [false, true]),
        ("country < \"Z\"", [true, false]),
        ("is_null(country)", [false, true]),
        ("country.is_null()", [false, true]),
        ("country == ()", [false, true]),
        (
            "(country ?? \"none\").to_lower() == \"none\"",
            [false, true],
        ),
        ("vip", [true, true]),
        ("!vip || orders == 0", [false, true]),
        ("nothing", [false, false]),
        ("!nothing", [true, true]),
        ("nothing && vip", [false, false]),
        ("nothing > 1 || nothing <= 1", [false, false]),
        ("nothing + 1 == ()", [true, true]),
        ("orders == 3.0", [true, false]),
        ("orders / 2 == 1", [true, false]),
        ("orders * rate == 1.5", [true, false]),
        ("spent / orders > 40", [true, false]), // 0 / 0 is NaN
        ("()", [false, false]),
        ("orders in 1..10", [true, false]),
        ("min(orders, spent) == 3", [true, false]),
        ("`${country}-${orders}` == \"UK-3\"", [true, false]),
    ] {
        let matches = rule(source).unwrap().matches_batch(&two());
        assert_eq!(matches, Ok(expected.to_vec()), "{source}");
    }
}

#[test]
fn a_rule_reads_the_columns_that_it_names_and_no_others() {
    for source in ["spent > 1 && country == \"UK\"", "[spent, country] == []"] {
        let rule = rule(source).unwrap();
        assert_eq!(rule.columns().collect::<BTreeSet<_>>(), [1, 2].into());
        let batch = two();
        rule.matches_batch(&batch).unwrap();
        assert_eq!(*batch.read.borrow(), [1, 2].into(), "{source}");
    }
}

#[test]
fn one_evaluator_serves_all_rows_and_remembers_none() {
    let batch = two();
    for script in [
        rule("country").unwrap(),
        rule("[country]").unwrap(),
        script("fn segment(row) { row.country }").unwrap(),
    ] {
        let mut evaluator = script.evaluator();
        let uk = evaluator.value(&batch, 0).unwrap();
        assert_ne!(evaluator.value(&batch, 1).unwrap(), uk);
        assert_eq!(evaluator.value(&batch, 0).unwrap(), uk);
    }
}

#[test]
fn an_error_names_the_row_and_the_place() {
    let batch = rows(vec![
        row(3, 1.0, "UK"),
        row(0, 1.0, "UK"),
        row(0, 1.0, "UK"),
    ]);
    for source in ["10 / orders > 1", "[10 / orders] != []"] {
        let RowError { row, error } = rule(source).unwrap().matches_batch(&batch).unwrap_err();
        assert_eq!(row, 1, "{source}");
        assert!(error.message.contains("division of 10 by zero"), "{error}");
        assert_eq!(error.line, Some(1));
        assert_eq!(error.column, source.find('/').map(|at| at as u32 + 1));
    }
    let source = "fn segment(row) {\n  10 / row.orders\n}";
    let failed = script(source).unwrap().evaluate_batch(&batch).unwrap_err();
    assert_eq!(
        (failed.row, failed.error.line, failed.error.column),
        (1, Some(2), Some(6))
    );
}

#[test]
fn a_rule_must_give_true_false_or_null() {
    for (source, got) in [("orders", "int"), ("country", "string"), ("[vip]", "list")] {
        let failed = rule(source).unwrap().matches_batch(&two()).unwrap_err();
        assert_eq!(failed.error.kind, ScriptErrorKind::Type);
        assert_eq!(
            failed.error.to_string(),
            format!("a rule must give true or false, got {got} (line 1, column 1 of the script)")
        );
    }
}

#[test]
fn unknown_columns_and_functions_are_refused_before_any_row() {
    let said = |source: &str| {
        let error = rule(source).unwrap_err();
        (error.to_string(), error.help.unwrap_or_default())
    };
    let (message, help) = said("vip && spend > 1");
    assert_eq!(
        message,
        "there is no column `spend` (line 1, column 8 of the script)"
    );
    assert_eq!(help, "did you mean `spent`?");
    let (message, help) = said("customer_segment > 1");
    assert!(message.starts_with("there is no column `customer_segment`"));
    assert!(
        help.starts_with("the columns are `orders`, `spent`"),
        "{help}"
    );
    let (message, help) = said("country.too_lower() == \"uk\"");
    assert_eq!(
        message,
        "there is no function `too_lower` (line 1, column 9 of the script)"
    );
    assert_eq!(help, "did you mean `to_lower`?");
    let (_, help) = said("always()");
    assert!(help.contains("are for the `if` of a stage"), "{help}");
    assert!(RowScript::check_expression("any_column > 1").is_ok());
    assert!(RowScript::check_expression("any_column > ").is_err());
    assert!(RowScript::check_expression("nonsense(1)").is_err());
    assert!(RowScript::check_expression(" ").is_err());
}

#[test]
fn a_script_gives_a_value_for_every_row() {
    let source = r#"
        fn tier(spent) { if spent > 100 { "gold" } else { "none" } }
        fn segment(row) {
            let names = [tier(row.spent)];
            if row["country"] == "UK" { names.push("british"); }
            for name in names { if name == "none" { return (); } }
            names
        }
    "#;
    let values = script(source).unwrap().evaluate_batch(&two());
    assert_eq!(values, Ok(vec![json!(["gold", "british"]), Value::Null]));
}

#[test]
fn a_function_in_place_works_on_what_it_is_given() {
    let source = "fn segment(row) { [1, 2, 3].filter(|n| n > 1).map(|n| n * 10) }";
    let values = script(source).unwrap().evaluate_batch(&two()).unwrap();
    assert_eq!(values[0], json!([20, 30]));
    let error = script("fn segment(row) {\n  let k = 1;\n  [1].filter(|n| n > k)\n}").unwrap_err();
    assert_eq!((error.line, error.column), (Some(3), Some(22)));
    assert!(error.message.contains("does not see `k`"), "{error}");
}

#[test]
fn what_a_script_changes_in_one_row_is_not_there_in_the_next() {
    let source =
        "fn segment(row) { row.orders += 1; row.extra = 1; row.keys().len() + row.orders }";
    let batch = rows(vec![row(1, 1.0, "UK"); 3]);
    let values = script(source).unwrap().evaluate_batch(&batch).unwrap();
    assert_eq!(values, vec![json!(9), json!(9), json!(9)]);
}

#[test]
fn statements_around_the_functions_do_not_run() {
    let source = "throw \"outside\"; fn segment(row) { 1 }";
    let values = script(source).unwrap().evaluate_batch(&two()).unwrap();
    assert_eq!(values[0], json!(1));
}

#[test]
fn a_script_needs_a_segment_function_with_one_parameter() {
    let said = |source: &str| script(source).unwrap_err().to_string();
    assert_eq!(said(""), "the script has no function `segment`");
    assert_eq!(
        said("fn segments(row) { 1 }"),
        "the script has no function `segment`"
    );
    assert_eq!(said("fn segment() { 1 }"), "`fn segment` has 0 parameters");
    assert_eq!(
        said("fn segment(a, b) { 1 }"),
        "`fn segment` has 2 parameters"
    );
    // rhai tells functions of one name apart by their parameters.
    assert!(script("fn segment(a, b) { 1 } fn segment(row) { 2 } fn segment() { 3 }").is_ok());
}

#[test]
fn a_function_that_no_row_may_reach_is_checked_all_the_same() {
    let error = script("fn segment(row) {\n  if row.orders < 0 { total(row) }\n}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no function `total` (line 2, column 23 of the script)"
    );
    assert_eq!(
        error.help.unwrap(),
        "define it in the script: `fn total(…) { … }`"
    );
    let error = script("fn share(x) { x } fn segment(row) { sharee(row) }").unwrap_err();
    assert_eq!(error.help.unwrap(), "did you mean `share`?");
}

#[test]
fn texts_change_in_place_and_give_what_they_became() {
    let cells = rows(vec![row(1, 1.0, "  uk ")]);
    for source in [
        "fn segment(row) { row.country.trim() }",
        "fn segment(row) { let c = row.country; c.trim(); c }",
    ] {
        assert_eq!(
            script(source).unwrap().evaluate_batch(&cells),
            Ok(vec![json!("uk")])
        );
    }
}

#[test]
fn an_error_of_the_caller_stands_where_the_value_comes_from() {
    let error = rule("  vip").unwrap().value_error("odd", "be even");
    assert_eq!((error.line, error.column), (Some(1), Some(3)));
    let error = script("fn helper() { }\nfn segment(row) { 1 }")
        .unwrap()
        .value_error("odd", "be even");
    assert_eq!((error.line, error.column), (Some(2), Some(17)));
}

// Both ways of evaluating a rule.

/// An expression over columns, as text. Everything in it can be evaluated without rhai.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned),
        2 => prop::sample::select(&[
            "0", "1", "-1", "2", "7", "9223372036854775807", "-9223372036854775807",
            "9007199254740993", "0.0", "-0.0", "1.0", "0.5", "1e300", "2.5", "\"\"", "\"a\"",
            "\"UK\"", "\"1\"", "'a'", "true", "false", "()",
        ][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let operators = &[
            "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "??",
        ];
        let list = prop::collection::vec(
            prop::sample::select(&["1", "2.0", "()", "\"a\"", "\"UK\"", "true", "-3"][..]),
            0..4,
        );
        prop_oneof![
            8 => (inner.clone(), prop::sample::select(&operators[..]), inner.clone())
                .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            1 => inner.clone().prop_map(|a| format!("-({a})")),
            2 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => inner.clone().prop_map(|a| format!("is_null({a})")),
            1 => inner.clone().prop_map(|a| format!("is_true({a})")),
            2 => (inner.clone(), prop::sample::select(&["in", "!in"][..]), list)
                .prop_map(|(a, operator, list)| format!("({a} {operator} [{}])", list.join(", "))),
            1 => (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a} && {b} && {c})")),
        ]
    })
}

fn cell() -> impl Strategy<Value = Cell<'static>> {
    prop_oneof![
        2 => Just(Cell::Null),
        1 => any::<bool>().prop_map(Cell::Bool),
        2 => prop::sample::select(&[0, 1, -1, 2, 7, 1 << 53, i64::MAX, i64::MIN][..]).prop_map(Cell::Int),
        1 => any::<i64>().prop_map(Cell::Int),
        2 => prop::sample::select(
            &[0.0, -0.0, 1.0, 0.5, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY][..]
        ).prop_map(Cell::Float),
        2 => prop::sample::select(&["", "a", "UK", "uk", "ä", "1"][..]).prop_map(Cell::Text),
    ]
}

/// What a rule gives, or why it fails and in which line and column.
fn outcome(
    script: &RowScript,
    batch: &Rows,
) -> Result<Value, (ScriptErrorKind, String, Option<u32>)> {
    let mut values = script
        .evaluate_batch(batch)
        .map_err(|RowError { error, .. }| (error.kind, error.message, error.column))?;
    Ok(values.remove(0))
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(3),
        ..ProptestConfig::with_cases(1500)
    })]

    /// A rule in a list is evaluated by rhai, and alone directly: values, null, numbers of both
    /// kinds, overflow and errors are the same.
    #[test]
    fn the_fast_way_and_rhai_agree(source in expression(), cells in prop::array::uniform6(cell())) {
        let batch = rows(vec![cells]);
        let listed = rule(&format!("[{source}]"));
        let Ok(alone) = rule(&source) else {
            // A number between `&&`, say: the parser sees that already.
            prop_assert!(listed.is_err());
            return Ok(());
        };
        let (direct, by_rhai) = (outcome(&alone, &batch), outcome(&listed.unwrap(), &batch));
        match (direct, by_rhai) {
            (Ok(value), Ok(list)) => prop_assert_eq!(json!([value]), list),
            (Err((kind, message, column)), Err((rhai_kind, rhai_message, rhai_column))) => {
                prop_assert_eq!((kind, &message), (rhai_kind, &rhai_message));
                // What JSON does not hold is an error of the result as a whole.
                if !message.starts_with("the result is") {
                    prop_assert_eq!(column.map(|column| column + 1), rhai_column);
                }
            }
            (direct, by_rhai) => prop_assert!(false, "{direct:?}, by rhai {by_rhai:?}"),
        }
    }

    /// As conditions, in which NaN and infinite numbers are values like others.
    #[test]
    fn the_fast_way_and_rhai_match_the_same_rows(
        source in expression(),
        cells in prop::array::uniform6(cell()),
    ) {
        let batch = rows(vec![cells]);
        let said = |source: &str| {
            let matches = rule(source).ok()?.matches_batch(&batch);
            Some(matches.map_err(|RowError { error, .. }| (error.kind, error.message)))
        };
        // The element of a list is rhai's to take.
        prop_assert_eq!(said(&source), said(&format!("[{source}][0]")));
    }

    #[test]
    fn any_text_is_a_rule_or_is_refused(source in any::<String>()) {
        if let Ok(rule) = rule(&source) {
            let _ = rule.matches_batch(&two());
        }
        let _ = script(&source);
        if let Ok(script) = script(&format!("fn segment(row) {{ {source} }}")) {
            let _ = script.evaluate_batch(&two());
        }
    }
}

#[test]
fn a_text_that_grows_too_large_fails_in_both_ways() {
    let limits = Limits {
        string_bytes: 10,
        ..Limits::default()
    };
    let sandbox = Sandbox::new(limits);
    let batch = two();
    for source in ["country + \"123456789\"", "[country + \"123456789\"]"] {
        let rule = RowScript::expression_in(&sandbox, source, &NAMES).unwrap();
        let RowError { row, error } = rule.evaluate_batch(&batch).unwrap_err();
        assert_eq!((row, error.kind), (0, ScriptErrorKind::Limit), "{source}");
        assert_eq!(error.message, "a value grows too large: a text");
        assert!(error.column.is_some());
    }
}

// Both ways of evaluating a script.

/// An expression in a script, over `row`, the parameter `x` of the function `twice`, and variables.
fn in_script() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(&NAMES[..]).prop_map(|name| format!("row.{name}")),
        1 => Just("row[\"country\"]".to_owned()),
        2 => prop::sample::select(&["a", "b", "a", "missing"][..]).prop_map(str::to_owned),
        3 => prop::sample::select(&[
            "0", "1", "2.5", "-3", "9223372036854775807", "\"UK\"", "\"\"", "'a'", "true", "()",
        ][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let operators = &[
            "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "??",
        ];
        let functions = &[
            "abs", "floor", "ceiling", "round", "sqrt", "exp", "ln", "to_float", "is_nan",
            "is_null", "is_true", "len", "is_empty", "to_lower", "to_upper", "deep", "trim",
        ];
        let pairs = &["min", "max", "starts_with", "ends_with", "contains", "pick"];
        prop_oneof![
            8 => (inner.clone(), prop::sample::select(&operators[..]), inner.clone())
                .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            1 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => inner.clone().prop_map(|a| format!("-({a})")),
            3 => (prop::sample::select(&functions[..]), inner.clone())
                .prop_map(|(name, a)| format!("{name}({a})")),
            1 => (prop::sample::select(&functions[..15]), inner.clone())
                .prop_map(|(name, a)| format!("({a}).{name}()")),
            2 => (prop::sample::select(&pairs[..]), inner.clone(), inner.clone())
                .prop_map(|(name, a, b)| format!("{name}({a}, {b})")),
            1 => inner.clone().prop_map(|a| format!("({a} in [1, \"UK\", ()])")),
            1 => inner.clone().prop_map(|a| format!("`<${{{a}}}>`")),
            1 => Just("of_row(row)".to_owned()),
        ]
    })
    .boxed()
}

fn statements() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => in_script().prop_map(|a| format!("return {a};")),
        2 => in_script().prop_map(|a| format!("let a = {a};")),
        2 => in_script().prop_map(|a| format!("a = {a};")),
        1 => in_script().prop_map(|a| format!("const b = {a};")),
        1 => in_script().prop_map(|a| format!("{a};")),
        1 => Just("return;".to_owned()),
        1 => Just(";".to_owned()),
    ];
    let line = leaf.prop_recursive(3, 12, 3, |inner| {
        let lines = prop::collection::vec(inner, 0..3).prop_map(|lines| lines.join(" "));
        prop_oneof![
            3 => (in_script(), lines.clone()).prop_map(|(a, then)| format!("if {a} {{ {then} }}")),
            3 => (in_script(), lines.clone(), lines.clone())
                .prop_map(|(a, then, otherwise)| format!("if {a} {{ {then} }} else {{ {otherwise} }}")),
            1 => (in_script(), in_script(), lines.clone()).prop_map(|(a, b, then)| {
                format!("let a = if {a} {{ {then} {b} }} else {{ a }};")
            }),
            1 => lines.prop_map(|lines| format!("{{ {lines} }}")),
        ]
    });
    let end = prop_oneof![2 => in_script(), 1 => Just(String::new())];
    (prop::collection::vec(line, 0..4), end)
        .prop_map(|(lines, end)| format!("{} {end}", lines.join("\n  ")))
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(11),
        ..ProptestConfig::with_cases(3000)
    })]

    /// A script says the same compiled and interpreted: values, and errors with their places.
    #[test]
    fn a_compiled_script_and_rhai_agree(
        body in statements(),
        cells in prop::collection::vec(prop::array::uniform6(cell()), 1..6),
    ) {
        let source = format!(
            "fn deep(x) {{ if x == () {{ return \"none\"; }} let y = x; y }}\n\
             fn pick(x, y) {{ if x == y {{ x }} else {{ deep(y) }} }}\n\
             fn of_row(customer) {{ customer.orders ?? customer.country }}\n\
             fn segment(row) {{ let a = 1; let b = \"b\";\n  {body}\n}}"
        );
        let Ok(compiled) = script(&source) else { return Ok(()) };
        let batch = rows(cells);
        let interpreted = compiled.interpreted().evaluate_batch(&batch);
        prop_assert_eq!(compiled.evaluate_batch(&batch), interpreted, "{}", source);
    }
}

#[test]
fn scripts_of_the_usual_kind_are_compiled() {
    for (source, is_compiled) in [
        (
            "fn segment(row) { let s = row.spent ?? 0.0; if s > 9 { return \"gold\"; } \"tin\" }",
            true,
        ),
        (
            "fn tier(s) { if s > 9 { \"gold\" } else { \"tin\" } } fn segment(row) { let t = tier(row.spent); `${t}-${row.orders}` }",
            true,
        ),
        ("fn segment(row) { row.country.to_lower() }", true),
        (
            "fn fresh(row) { row.orders < 2 } fn segment(row) { if fresh(row) { \"new\" } }",
            true,
        ),
        ("fn segment(row) { segment(row) }", true),
        ("fn segment(row) { row.country.trim() }", false),
        ("fn segment(row) { row.orders += 1; 1 }", false),
        ("fn segment(row) { for n in 0..3 { } }", false),
        ("fn segment(row) { throw 1 }", false),
        ("fn segment(row) { row }", false),
        ("fn segment(row) { row.nothing_like_it }", false),
        ("fn segment(row) { row?.orders }", false),
    ] {
        assert_eq!(
            script(source).unwrap().is_compiled(),
            is_compiled,
            "{source}"
        );
    }
}

#[test]
fn a_compiled_script_reads_the_columns_that_it_names() {
    let script = script("fn segment(row) { if row.spent > 1 { row.country } }").unwrap();
    assert_eq!(script.columns().collect::<BTreeSet<_>>(), [1, 2].into());
}

#[test]
fn a_compiled_script_has_the_limits_of_all_scripts() {
    let batch = two();
    for source in [
        "fn segment(row) { segment(row) }",
        "fn again(n) { if n < 1 { return 0; } again(n - 1) + again(n - 1) } fn segment(row) { again(22) }",
        "fn again(n) { if n < 1 { return 0; } again(n - 1) } fn segment(row) { again(30) }",
    ] {
        let script = script(source).unwrap();
        assert!(script.is_compiled());
        let RowError { row, error } = script.evaluate_batch(&batch).unwrap_err();
        assert_eq!((row, error.kind), (0, ScriptErrorKind::Limit), "{source}");
    }
    let limits = Limits {
        string_bytes: 10,
        ..Limits::default()
    };
    let source = "fn segment(row) { let a = \"123456\"; a + a }";
    let script = RowScript::script_in(&Sandbox::new(limits), source, &NAMES).unwrap();
    let error = script.evaluate_batch(&batch).unwrap_err().error;
    assert_eq!(error.message, "a value grows too large: a text");
}
