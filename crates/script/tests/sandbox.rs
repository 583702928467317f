//! Whatever a script does, it ends: with a value, or with an error that says where, and without much
//! memory on the way.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use marquetry_script::{
    Cell, Columns, Expression, Limits, RowScript, Sandbox, ScriptError, ScriptErrorKind,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value, json};

struct OneRow;

impl Columns for OneRow {
    fn rows(&self) -> usize {
        1
    }

    fn cell(&self, _: usize, _: usize) -> Cell<'_> {
        Cell::Int(7)
    }
}

fn script_in(sandbox: &Sandbox, source: &str) -> Result<Value, ScriptError> {
    let script = RowScript::script_in(sandbox, source, &["n"])?;
    let values = script.evaluate_batch(&OneRow);
    values
        .map(|mut values| values.remove(0))
        .map_err(|failed| failed.error)
}

/// What a script whose `segment` has this body gives.
fn body(source: &str) -> Result<Value, ScriptError> {
    script_in(
        Sandbox::shared(),
        &format!("fn segment(row) {{\n{source}\n}}"),
    )
}

fn expression(source: &str) -> Result<Value, ScriptError> {
    Expression::compile(source)?.evaluate(&Map::new())
}

/// Asserts that the limits end it, and that the error has a place.
fn is_stopped(outcome: Result<Value, ScriptError>, message: &str, source: &str) {
    let source: String = source.chars().take(200).collect();
    let error = outcome.expect_err(&source);
    assert_eq!(error.kind, ScriptErrorKind::Limit, "{source}: {error}");
    assert!(error.message.starts_with(message), "{source}: {error}");
    assert!(
        error.line.is_some() && error.column.is_some(),
        "{source}: {error}"
    );
    assert!(error.help.is_some(), "{source}: {error}");
}

/// Asserts that it is refused, with a place.
fn is_refused(outcome: Result<Value, ScriptError>, source: &str) -> ScriptError {
    let error = outcome.expect_err(source);
    assert!(
        error.line.is_some() && error.column.is_some(),
        "{source}: {error}"
    );
    error
}

#[test]
fn what_does_not_end_is_stopped() {
    for source in [
        "loop { }",
        "while true { let x = 1; }",
        "do { } while true",
        "do { } until false",
        "for i in 0..9223372036854775807 { }",
        "for i in range(0, 9223372036854775807, 2) { }",
        "for i in range(0.0, 1.0, 1e-300) { }",
        "let a = [1]; while a.len() > 0 { a.push(a.shift()); }",
        // It cannot save itself.
        "try { loop { } } catch { 1 }",
        "loop { try { loop { } } catch { } }",
        // Calls that call twice, within the limit on depth.
        "fib(1000)",
    ] {
        let source = format!(
            "fn fib(n) {{ if n < 980 {{ 1 }} else {{ fib(n - 1) + fib(n - 1) }} }} fn segment(row) {{ {source} }}"
        );
        is_stopped(
            script_in(Sandbox::shared(), &source),
            "it runs for too long",
            &source,
        );
    }
}

#[test]
fn a_script_is_stopped_by_counting_and_not_by_a_clock() {
    let steps = |operations: u64, count: u64| {
        let sandbox = Sandbox::new(Limits {
            operations,
            ..Limits::default()
        });
        script_in(
            &sandbox,
            &format!("fn segment(row) {{ let n = 0; while n < {count} {{ n += 1; }} n }}"),
        )
    };
    assert_eq!(steps(1_000, 50), Ok(json!(50)));
    is_stopped(steps(1_000, 1_000), "it runs for too long", "1000 steps");
    assert_eq!(steps(100_000, 5_000), Ok(json!(5_000)));
    // The same count every time.
    let fits = |count: &u64| steps(1_000, *count).is_ok();
    let most: Vec<u64> = (0..3)
        .map(|_| (0..1_000).take_while(fits).last().unwrap())
        .collect();
    assert!(
        most[0] > 50 && most.iter().all(|count| *count == most[0]),
        "{most:?}"
    );
}

#[test]
fn every_row_and_every_expression_has_a_budget_of_its_own() {
    struct Many;
    impl Columns for Many {
        fn rows(&self) -> usize {
            100
        }
        fn cell(&self, _: usize, _: usize) -> Cell<'_> {
            Cell::Null
        }
    }
    let limits = Limits {
        operations: 1_000,
        ..Limits::default()
    };
    let source = "fn segment(row) { let n = 0; while n < 100 { n += 1; } n }";
    let script = RowScript::script_in(&Sandbox::new(limits), source, &[]).unwrap();
    assert_eq!(script.evaluate_batch(&Many).unwrap(), vec![json!(100); 100]);
}

#[test]
fn recursion_is_stopped() {
    for source in [
        "fn segment(row) { segment(row) }",
        "fn a(n) { b(n + 1) } fn b(n) { a(n + 1) } fn segment(row) { a(0) }",
        "fn a(n) { [n].map(|x| a(x)) } fn segment(row) { a(0) }",
        "fn a(n) { 1 + [[[[a(n)]]]].len() } fn segment(row) { a(0) }",
        "fn segment(row) { let f = segment; f.call(row) }",
        "fn a(n) { try { a(n) } catch { a(n) } } fn segment(row) { a(0) }",
    ] {
        let outcome = script_in(Sandbox::shared(), source);
        is_stopped(outcome, "functions call each other too deeply", source);
    }
}

#[test]
fn what_grows_is_stopped() {
    for source in [
        "let s = \"x\"; loop { s += s; }",
        "let s = \"x\"; loop { s = s + s; }",
        "let s = \"x\"; loop { s = `${s}${s}`; }",
        "let s = \"x\"; loop { s = s.replace(\"x\", \"xx\"); }",
        "let s = \"x\"; s.pad(200000, \"x\"); s.replace(\"\", s); s.len()",
        "let s = \"x\"; s.pad(200000, \"x\"); s.replace('x', s); s.len()",
        "let s = \"\"; s.pad(9223372036854775807, \"x\");",
        "let s = \"\"; s.pad(200000, '🦀');",
        "let s = \"x\"; s.pad(200000, \"x\"); s.split(\"\").len()",
        "let s = \"x\"; s.pad(200000, \"x\"); s.to_chars().len()",
        "let s = \"x\"; s.pad(200000, \"\\u0000\"); [s].to_string().len()",
        "let a = [1]; loop { a += a; }",
        "let a = [1]; loop { a.append(a); }",
        "let a = [1]; loop { a = a + a; }",
        "let a = [1]; loop { a = [a, a]; }",
        "let a = []; loop { a.push(1); a.push(2); a.push(3); a.append(a.extract(0, 1000)); }",
        "let a = []; a.pad(9223372036854775807, 1);",
        "let a = []; a.pad(4611686018427387904, [1, 2, 3]);",
        "let s = \"\"; s.pad(200000, 'x'); let a = []; loop { a.push(s); }",
        "let a = []; a.pad(9999, 0); let m = #{}; loop { m.a = a; m.b = a; a = [m.a]; }",
        "let m = #{}; m.a = 1; loop { m = #{ a: m, b: m }; }",
    ] {
        is_stopped(body(source), "a value grows too large", source);
    }
    // What the whole process ever took, the other tests included.
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let mut lines = status.lines();
        let peak = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 512 * 1024, "{kib} KiB");
    }
}

#[test]
fn a_list_in_a_list_in_a_list_is_given_back_to_64_levels() {
    let nested = |levels: usize| {
        body(&format!(
            "let a = []; for n in 0..{levels} {{ a = [a]; }} a"
        ))
    };
    assert!(nested(60).is_ok());
    is_stopped(nested(100), "the result is nested too deeply", "100 levels");
    is_stopped(
        nested(1500),
        "the result is nested too deeply",
        "1500 levels",
    );
    let limits = Limits {
        array_len: 1_000,
        map_len: 1_000,
        ..Limits::default()
    };
    for source in [
        "let a = []; loop { a = [[[[[a]]]]]; }",
        "let a = #{}; loop { a = #{ a: #{ a: a } }; }",
        "let a = #{}; loop { a = #{ a: [[a]] }; }",
    ] {
        let source = format!("fn segment(row) {{ {source} }}");
        let outcome = script_in(&Sandbox::new(limits), &source);
        is_stopped(outcome, "a value grows too large", &source);
    }
}

fn after(start: &str, repeated: &str, count: usize) -> String {
    format!("{start}{}", repeated.repeat(count))
}

#[test]
fn what_is_nested_too_deeply_is_refused_before_it_runs() {
    let deep = 40_000;
    for source in [
        "(".repeat(deep),
        "[".repeat(deep),
        "#{a:".repeat(deep),
        format!("{}true", "!".repeat(deep)),
        format!("{}1", "- ".repeat(deep)),
        after("1", "+1", deep),
        after("true", "&&true", deep),
        after("1", "??1", deep),
        after("2", "**2", deep),
        after("a", ".a", deep),
        after("a", "?.a", deep),
        after("a", "[0]", deep),
        after("a", ".abs()", deep / 2),
        after("`", "${`", deep / 2),
        "abs(".repeat(deep),
    ] {
        is_stopped(expression(&source), "it is nested too deeply", &source);
    }
    for source in [
        "{".repeat(deep),
        after("if row.n > 1 { 1 } ", "else if row.n > 2 { 2 } ", deep / 10),
        "if true {".repeat(deep / 10),
        "|x| ".repeat(deep),
    ] {
        is_stopped(body(&source), "it is nested too deeply", &source);
    }
}

#[test]
fn what_is_long_is_read_or_refused() {
    let source = "x".repeat(Limits::default().source_bytes + 1);
    for outcome in [expression(&source), body(&source)] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, ScriptErrorKind::Limit);
        assert!(
            error.message.contains("bytes, more than the 262144"),
            "{error}"
        );
    }
    let list = format!("[{}]", "1,".repeat(100_000));
    is_stopped(expression(&list), "a literal is too large", "a long list");
    assert_eq!(body(&"row.n;".repeat(40_000)), Ok(json!(7)));
    // Beyond what rhai counts, places stay at its end.
    let error = expression(&format!("{}zz", " ".repeat(70_000))).unwrap_err();
    assert_eq!((error.line, error.column), (Some(1), Some(65_535)));
    let error = expression(&format!("{}zz", "\n".repeat(70_000))).unwrap_err();
    assert_eq!(error.line, Some(65_535));
    // Nor does it matter where they end.
    for source in [
        "/*", "\"", "`", "`${", "#{", "'", "\\", "#\"", "1..", "a.", "a?.", "a::",
    ] {
        is_refused(expression(source), source);
    }
}

#[test]
fn functions_and_variables_are_counted() {
    let functions: String = (0..300).map(|n| format!("fn f{n}() {{ {n} }} ")).collect();
    let source = format!("{functions} fn segment(row) {{ 1 }}");
    is_stopped(
        script_in(Sandbox::shared(), &source),
        "it defines too many functions",
        &source,
    );
    let variables: String = (0..300).map(|n| format!("let v{n} = {n}; ")).collect();
    is_stopped(
        body(&variables),
        "it declares too many variables",
        &variables,
    );
}

#[test]
fn nothing_outside_is_reached() {
    for name in ["eval", "print", "debug", "sleep", "exit", "parse_json"] {
        let source = format!("{name}(\"1\")");
        for outcome in [
            body(&source),
            body(&format!("if row.n > 100 {{ {source} }}")),
        ] {
            let error = is_refused(outcome, &source);
            assert_eq!(error.kind, ScriptErrorKind::Syntax);
            assert_eq!(
                error.message,
                format!("`{name}` is not available in scripts")
            );
            assert!(
                error
                    .help
                    .unwrap()
                    .contains("they reach no file, clock or console")
            );
        }
        is_refused(expression(&source), &source);
    }
    for source in [
        "import \"std\" as std;",
        "export let x = 1;",
        "std::fs::read(\"/etc/passwd\")",
        "open(\"/etc/passwd\")",
        "open_file(\"/etc/passwd\")",
        "timestamp()",
        "now()",
        "rand()",
        "env(\"HOME\")",
        "Fn(\"sleep\").call(1000)",
        "\"sleep\".call(1000)",
        "let name = \"sle\"; name += \"ep\"; Fn(name).call(1000)",
        "let f = sleep; f.call(1000)",
        "|x| x.curry(1)",
        "get_fn_metadata_list()",
    ] {
        is_refused(body(source), source);
    }
}

#[test]
fn a_function_keeps_nothing_from_around_it() {
    // Else it could make a circle, which is never freed, or a chain as long as its operations.
    for source in [
        "let f = 1; f = |x| f; 1",
        "let f = |x| x; loop { let g = f; f = |x| g.call(x); }",
        "let a = [1]; let f = || { a.push(a); a }; f.call()",
        "[1].map(|x| [2].map(|y| x + y))",
    ] {
        let error = is_refused(body(source), source);
        assert!(
            error
                .message
                .starts_with("a function in place does not see"),
            "{error}"
        );
    }
}

#[test]
fn arithmetic_has_a_value_or_an_error_with_a_place() {
    let min = "(-9223372036854775807 - 1)";
    for (source, expected) in [
        ("7 / 2", json!(3)),
        ("-7 / 2", json!(-3)),
        ("-7 % 3", json!(-1)),
        ("7.0 / 2", json!(3.5)),
        ("1 << 63", json!(i64::MIN)),
        ("1 << 64", json!(0)),
        ("1 << 9223372036854775807", json!(0)),
        ("-1 >> 64", json!(-1)),
        ("8 << -2", json!(2)),
        ("2 ** 62", json!(1_i64 << 62)),
        ("0.1 + 0.2 == 0.3", json!(false)),
        ("0.0 / 0 == 0.0 / 0", json!(false)),
        ("0.0 / 0 != 0.0 / 0", json!(true)),
        ("0.0 / 0 < 1", json!(false)),
        ("0.0 / 0 >= 1", json!(false)),
        ("1 / 0.0 > 9223372036854775807", json!(true)),
        ("9007199254740993 == 9007199254740992.0", json!(true)),
        ("9007199254740993 == 9007199254740992", json!(false)),
        ("-0.0 == 0", json!(true)),
        ("[1, 2, 3][-1]", json!(3)),
        ("[1, 2, 3].get(9)", Value::Null),
        ("\"abc\".sub_string(-2, 100)", json!("bc")),
        (
            "\"abc\".sub_string(9223372036854775807, 9223372036854775807)",
            json!(""),
        ),
        ("[1, 2, 3].extract(-9223372036854775807, 2)", json!([1, 2])),
        ("\"abc\".index_of(\"c\", -9223372036854775807)", json!(2)),
        ("\"a,b\".split(\",\", -1)", json!(["a,b"])),
        (
            "(9223372036854775807 in 0..9223372036854775807)",
            json!(false),
        ),
    ] {
        assert_eq!(expression(source), Ok(expected), "{source}");
    }
    assert_eq!(expression(&format!("{min} % -1")), Ok(json!(0)));
    for (source, expected) in [
        (
            "9223372036854775807 + 1",
            "9223372036854775807 + 1 is out of range for integers",
        ),
        (
            "-9223372036854775807 - 2",
            "-9223372036854775807 - 2 is out of range for integers",
        ),
        (
            "4611686018427387904 * 2",
            "4611686018427387904 * 2 is out of range for integers",
        ),
        (
            &format!("{min} / -1"),
            "-9223372036854775808 / -1 is out of range for integers",
        ),
        (
            &format!("-{min}"),
            "-(-9223372036854775808) is out of range for integers",
        ),
        (
            &format!("abs({min})"),
            "abs(-9223372036854775808) is out of range for integers",
        ),
        ("1 / 0", "division of 1 by zero"),
        ("1 % 0", "division of 1 by zero"),
        ("2 ** 64", "exponential overflow: 2 ** 64"),
        ("2 ** -1", "integer raised to a negative power: 2 ** -1"),
        (
            "to_int(1e300)",
            "the float 1e300 is out of range for integers",
        ),
        (
            "to_int(0.0 / 0)",
            "the float NaN is out of range for integers",
        ),
        ("1.0 / 0", "the result is inf, not a number"),
        ("[0.0 / 0]", "the result is NaN, not a number"),
        ("[1, 2][2]", "there is no element 2: the list has 2"),
        ("[1, 2][-3]", "there is no element -3: the list has 2"),
        ("[][0]", "there is no element 0: the list has 0"),
        ("\"abc\"[3]", "there is no character 3: the text has 3"),
    ] {
        let error = is_refused(expression(source), source);
        assert_eq!(error.message, expected, "{source}");
    }
    // And in scripts, where values change in place.
    for (source, expected) in [
        (
            "let x = 9223372036854775807; x += 1; x",
            "addition overflow: 9223372036854775807 + 1",
        ),
        ("let x = 1; x /= 0; x", "division by zero: 1 / 0"),
        (
            "let x = 1; x %= 0; x",
            "modulo division by zero or overflow: 1 % 0",
        ),
        (
            "let a = [1]; a[5] = 1; a",
            "there is no element 5: the list has 1",
        ),
    ] {
        assert_eq!(
            is_refused(body(source), source).message,
            expected,
            "{source}"
        );
    }
}

#[test]
fn a_comparison_that_contradicts_itself_does_no_harm() {
    let source = "let a = []; for i in 0..1000 { a.push(i); } a.sort(|x, y| if (x * 7919) % 13 > 5 { 1 } else { -1 }); a.len()";
    match body(source) {
        Ok(value) => assert_eq!(value, json!(1000)),
        Err(error) => assert!(error.help.unwrap().contains("contradicts itself")),
    }
}

/// What scripts are made of, good and bad.
const PIECES: &[&str] = &[
    "row.n",
    "row",
    ".",
    "?.",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "#{a: ",
    "1",
    "9223372036854775807",
    "-",
    "0.0",
    "1e308",
    "\"a\"",
    "`${",
    "}`",
    "'a'",
    "true",
    "()",
    "+",
    "*",
    "/",
    "%",
    "**",
    "<<",
    "==",
    "<",
    "&&",
    "||",
    "!",
    "??",
    " in ",
    "..",
    "..=",
    ",",
    ";",
    "let x = ",
    "x",
    "x += ",
    "if ",
    " else ",
    "while ",
    "loop ",
    "for i in ",
    "switch ",
    "=>",
    "|y| ",
    "y",
    "return ",
    "throw ",
    "try ",
    " catch ",
    "break;",
    "fn f(a) ",
    "f",
    "this",
    ".call(",
    ".len()",
    ".pad(5, ",
    ".push(",
    ".map(",
    ".sort()",
    ".replace(",
    ".split(",
    ".sub_string(",
    ".extract(",
    ".pop()",
    "range(",
    "min(",
    "parse_int(",
    "to_string(",
    "type_of(",
    "is_def_var(",
    "// ",
    "/*",
    "\n",
    "\u{0}",
    "ä",
];

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(4),
        ..ProptestConfig::with_cases(2000)
    })]

    #[test]
    fn any_mixture_of_rhai_ends_with_a_value_or_an_error(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30),
    ) {
        let sandbox = Sandbox::new(Limits { operations: 20_000, ..Limits::default() });
        let source = pieces.concat();
        for outcome in [
            script_in(&sandbox, &format!("fn segment(row) {{ {source} }}")),
            script_in(&sandbox, &source),
            expression(&source),
        ] {
            if let Err(error) = outcome {
                prop_assert!(!error.message.is_empty());
                prop_assert!(!error.message.starts_with("the script engine failed"), "{source}");
            }
        }
    }
}
