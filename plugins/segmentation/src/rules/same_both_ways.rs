//! Rules over whole columns say what the interpreter says of each row: of random rules over random
//! columns, the segments are the same, or the error is.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use marquetry_plugin::StageError;

use super::names::Names;
use super::options::Matching;
use super::program::{Found, Program, Watch};

const NAMES: [&str; 8] = ["i", "j", "f", "g", "t", "v", "b", "c"];

struct Rows;

impl Watch for Rows {
    fn check_cancelled(&self) -> Result<(), StageError> {
        Ok(())
    }

    fn shown(&self, row: usize) -> String {
        format!("row {row}")
    }
}

type Row = (
    (Option<i64>, Option<i64>),
    (Option<f64>, Option<f64>),
    (Option<&'static str>, Option<&'static str>),
    (Option<bool>, Option<bool>),
);

fn integer() -> impl Strategy<Value = Option<i64>> {
    let known = [
        0,
        1,
        -1,
        2,
        3,
        7,
        1 << 53,
        (1 << 53) + 1,
        i64::MAX - 1,
        i64::MAX,
        i64::MIN,
    ];
    prop_oneof![
        2 => Just(None),
        // Mostly small, so that not every batch fails.
        6 => (-3..8_i64).prop_map(Some),
        2 => prop::sample::select(known.to_vec()).prop_map(Some),
    ]
}

fn float() -> impl Strategy<Value = Option<f64>> {
    let known = [
        0.0,
        -0.0,
        1.0,
        2.5,
        -1.0,
        1e300,
        9_007_199_254_740_992.0,
        9_223_372_036_854_775_807.0,
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    prop_oneof![
        1 => Just(None),
        4 => prop::sample::select(known.to_vec()).prop_map(Some),
    ]
}

fn text() -> impl Strategy<Value = Option<&'static str>> {
    let known = ["", "a", "UK", "uk", "ä", "a longer text than views hold"];
    prop_oneof![
        1 => Just(None),
        4 => prop::sample::select(known.to_vec()).prop_map(Some),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        (integer(), integer()),
        (float(), float()),
        (text(), text()),
        (any::<Option<bool>>(), any::<Option<bool>>()),
    );
    prop::collection::vec(row, 0..80)
}

fn batch(rows: &[Row]) -> RecordBatch {
    let of = |array: ArrayRef| array;
    RecordBatch::try_from_iter([
        (
            "i",
            of(Arc::new(
                rows.iter().map(|row| row.0.0).collect::<Int64Array>(),
            )),
        ),
        (
            "j",
            of(Arc::new(
                rows.iter().map(|row| row.0.1).collect::<Int64Array>(),
            )),
        ),
        (
            "f",
            of(Arc::new(
                rows.iter().map(|row| row.1.0).collect::<Float64Array>(),
            )),
        ),
        (
            "g",
            of(Arc::new(
                rows.iter().map(|row| row.1.1).collect::<Float64Array>(),
            )),
        ),
        (
            "t",
            of(Arc::new(
                rows.iter().map(|row| row.2.0).collect::<StringArray>(),
            )),
        ),
        (
            "v",
            of(Arc::new(
                rows.iter().map(|row| row.2.1).collect::<StringViewArray>(),
            )),
        ),
        (
            "b",
            of(Arc::new(
                rows.iter().map(|row| row.3.0).collect::<BooleanArray>(),
            )),
        ),
        (
            "c",
            of(Arc::new(
                rows.iter().map(|row| row.3.1).collect::<BooleanArray>(),
            )),
        ),
    ])
    .unwrap()
}

/// A number: what is compared is mostly of one kind, or no rule would be translated.
fn number() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(&NAMES[..4]).prop_map(str::to_owned),
        2 => prop::sample::select(&[
            "0", "1", "-1", "2", "7", "9223372036854775807", "9007199254740993", "0.0", "-0.0",
            "2.5", "1e300", "9223372036854775807.0",
        ][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let operators = &["+", "-", "*", "/", "%", "??"];
        prop_oneof![
            6 => (inner.clone(), prop::sample::select(&operators[..]), inner.clone())
                .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            1 => inner.prop_map(|a| format!("-({a})")),
        ]
    })
    .boxed()
}

fn words() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => prop::sample::select(&["t", "v"][..]).prop_map(str::to_owned),
        2 => prop::sample::select(&["\"\"", "\"a\"", "\"UK\"", "'a'"][..]).prop_map(str::to_owned),
    ];
    prop_oneof![
        4 => leaf.clone(),
        1 => (leaf.clone(), leaf).prop_map(|(a, b)| format!("({a} ?? {b})")),
    ]
    .boxed()
}

fn rule() -> BoxedStrategy<String> {
    let comparisons = &["==", "!=", "<", "<=", ">", ">="];
    let comparison = || prop::sample::select(&comparisons[..]);
    let any_value = prop_oneof![
        number(),
        words(),
        Just("b".to_owned()),
        Just("()".to_owned())
    ];
    let leaf = prop_oneof![
        8 => (number(), comparison(), number()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        4 => (words(), comparison(), words()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (any_value.clone(), comparison(), any_value.clone())
            .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        2 => prop::sample::select(&["b", "c", "(b ?? true)", "(b == c)", "(b != c)", "true", "(b ?? c)"][..])
            .prop_map(str::to_owned),
        1 => any_value.prop_map(|a| format!("is_null({a})")),
        1 => (number(), prop::sample::select(&[
            "in [1, 2]", "in [1, 2.5, ()]", "!in [0, 1, 2, 3, 7]", "in []", "in [-0.0]", "in [\"a\", 1]",
        ][..])).prop_map(|(a, list)| format!("({a} {list})")),
        1 => (words(), prop::sample::select(&[
            "in [\"a\", \"\"]", "in [\"a\", \"UK\", \"uk\", \"ä\", ()]", "!in [()]",
        ][..])).prop_map(|(a, list)| format!("({a} {list})")),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            3 => (inner.clone(), prop::sample::select(&["&&", "||"][..]), inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            2 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => inner.clone().prop_map(|a| format!("is_true({a})")),
            1 => (inner.clone(), prop::sample::select(&["??", "==", "!="][..]), inner)
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        ]
    })
    .boxed()
}

/// Pairs of a row and a name, and how many rows are in no segment; or the error.
type Said = Result<(Vec<(u32, String)>, usize), String>;

fn said(program: &Program, batch: &RecordBatch) -> Said {
    let mut names: Names = program.names.clone();
    let found: Found = program
        .evaluate(batch, &mut names, &Rows)
        .map_err(|error| format!("{error:?}"))?;
    let rows = match found.rows {
        Some(rows) => rows,
        None => (0..).take(found.names.len()).collect(),
    };
    let texts = found
        .names
        .iter()
        .map(|name| names.text(*name as usize).to_owned());
    Ok((rows.into_iter().zip(texts).collect(), found.unmatched))
}

fn program(rules: &[String], matching: Matching, batch: &RecordBatch) -> Option<Program> {
    let names = ["x", "y", "x"];
    let rules = names.into_iter().zip(rules.iter().map(String::as_str));
    Program::of_rules(rules, matching, "other".to_owned(), &batch.schema()).ok()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(6),
        ..ProptestConfig::with_cases(3000)
    })]

    #[test]
    fn columns_and_rows_say_the_same(
        rules in prop::collection::vec(rule(), 1..4),
        rows in rows(),
        is_all in any::<bool>(),
    ) {
        let matching = if is_all { Matching::All } else { Matching::First };
        let batch = batch(&rows);
        let Some(by_columns) = program(&rules, matching, &batch) else { return Ok(()) };
        let by_rows = program(&rules, matching, &batch).unwrap().by_row();
        prop_assert_eq!(said(&by_columns, &batch), said(&by_rows, &batch), "{:?}", rules);
    }
}

/// The property would hold of rules that are never translated.
#[test]
fn most_random_rules_of_one_kind_are_translated_and_many_say_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, TestRunner};
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(6),
        ..Config::default()
    });
    let (mut translated, mut answered, mut all) = (0, 0, 0);
    for _ in 0..500 {
        let rule = rule().new_tree(&mut runner).unwrap().current();
        let batch = batch(&rows().new_tree(&mut runner).unwrap().current());
        let Some(program) = program(std::slice::from_ref(&rule), Matching::First, &batch) else {
            continue;
        };
        all += 1;
        if !program.ways().0.is_empty() {
            translated += 1;
            answered += usize::from(said(&program, &batch).is_ok());
        }
    }
    assert!(translated * 10 > all * 6, "{translated} of {all}");
    assert!(answered * 2 > translated, "{answered} of {translated}");
}

#[test]
fn rules_that_might_mix_types_are_left_to_the_interpreter() {
    let batch = batch(&[]);
    for (rule, is_translated) in [
        ("i > 1 && f <= 2.5", true),
        ("f <= 3 * (g ?? 0)", true),
        ("i + j > 0", true),
        ("10 / i > 1", true),
        ("t == v", true),
        ("t in [\"a\", \"b\"]", true),
        ("b && !(c ?? true)", true),
        ("i == ()", true),
        ("i > \"1\"", false),
        ("t + v == \"ab\"", false),
        ("i", false),
        ("b < c", false),
        ("i && b", false),
        ("t.len() > 1", false),
        ("i in [1, \"a\"]", false),
    ] {
        let program = program(&[rule.to_owned()], Matching::First, &batch).unwrap();
        assert_eq!(program.ways().0.len(), usize::from(is_translated), "{rule}");
    }
}
