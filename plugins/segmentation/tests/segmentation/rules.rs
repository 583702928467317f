//! What segmentation/rules makes of rules, scripts and odd tables. What it refuses is in `rule_errors`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampMillisecondArray};
use marquetry_plugin::testing::TestOutput;
use marquetry_plugin::{LogLevel, PanelBody};
use serde_json::{Value, json};

use crate::support::{complaint, floats, ids, rows, run, segments, stage, table, texts, warnings};

/// Five customers; the fourth has spent nothing that is known, the fifth is nobody in particular.
fn customers() -> RecordBatch {
    table([
        ("customer_id", ids([5, 4, 3, 2, 1])),
        (
            "monetary",
            floats([Some(5.0), None, Some(50.0), Some(500.0), Some(5000.0)]),
        ),
        ("frequency", ids([1, 0, 3, 2, 9])),
        (
            "country",
            texts([None, Some("DE"), Some("FR"), Some("DE"), Some("FR")]),
        ),
        ("Home Town", texts(["Bonn"; 5])),
    ])
}

async fn by_rules(rows: &RecordBatch, more: Value) -> TestOutput {
    let mut options = json!({"rows": "$rows"});
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    run("segmentation/rules", &[("rows", rows)], options).await
}

async fn by_script(script: &str, matching: &str) -> TestOutput {
    stage("segmentation/rules")
        .input("rows", vec![customers()])
        .file("scripts/lives.rhai", script)
        .options(json!({"rows": "$rows", "script": "scripts/lives.rhai", "match": matching}))
        .run()
        .await
}

fn rules() -> Value {
    json!([
        {"name": "vip", "when": "monetary > 1000 && frequency >= 5"},
        {"name": "german", "when": "country == \"DE\""},
        {"name": "buyer", "when": "monetary >= 50"},
    ])
}

#[tokio::test]
async fn the_first_rule_that_holds_counts() {
    let output = by_rules(&customers(), json!({"rules": rules()})).await;
    assert_eq!(
        segments(&output),
        "1 vip, 2 german, 3 buyer, 4 german, 5 other"
    );
    let metrics = &output.outcome().metrics;
    assert_eq!(
        (
            metrics["customers"],
            metrics["segments"],
            metrics["unmatched"]
        ),
        (5.0, 4.0, 1.0)
    );
    assert_eq!(warnings(&output), Vec::<String>::new());
    let PanelBody::Bars { bars, .. } = &output.panels[0].body else {
        panic!("{:?}", output.panels[0]);
    };
    // The largest first, then by name.
    let shown: Vec<(&str, f64)> = bars
        .iter()
        .map(|bar| (bar.label.as_str(), bar.values[0]))
        .collect();
    assert_eq!(
        shown,
        [
            ("german", 2.0),
            ("buyer", 1.0),
            ("other", 1.0),
            ("vip", 1.0)
        ]
    );
}

#[tokio::test]
async fn all_rules_that_hold_count() {
    let options = json!({"rules": rules(), "match": "all", "otherwise": "nobody"});
    let output = by_rules(&customers(), options).await;
    assert_eq!(
        segments(&output),
        "1 vip, 1 buyer, 2 german, 2 buyer, 3 buyer, 4 german, 5 nobody"
    );
    let metrics = &output.outcome().metrics;
    assert_eq!(
        (
            metrics["customers"],
            metrics["segments"],
            metrics["unmatched"]
        ),
        (5.0, 4.0, 1.0)
    );
}

#[tokio::test]
async fn rules_of_one_name_are_one_segment_and_otherwise_may_be_one_of_them() {
    let rules = json!([
        {"name": "a", "when": "frequency > 2"},
        {"name": "b", "when": "frequency == 2"},
        {"name": "a", "when": "monetary > 1000"},
    ]);
    let output = by_rules(
        &customers(),
        json!({"rules": rules, "match": "all", "otherwise": "b"}),
    )
    .await;
    assert_eq!(segments(&output), "1 a, 2 b, 3 a, 4 b, 5 b");
    let metrics = &output.outcome().metrics;
    assert_eq!((metrics["segments"], metrics["unmatched"]), (2.0, 2.0));
}

#[tokio::test]
async fn null_is_no_match() {
    let rules = json!([
        {"name": "little", "when": "monetary < 10"},
        {"name": "sum", "when": "monetary + 1 > 0"},
        {"name": "nothing", "when": "monetary"},
        {"name": "unknown", "when": "monetary == () && country != ()"},
    ]);
    let nulls = table([
        ("customer_id", ids([1])),
        ("monetary", floats([None])),
        ("country", texts(["DE"])),
    ]);
    let output = by_rules(&nulls, json!({"rules": rules})).await;
    assert_eq!(segments(&output), "1 unknown");
}

#[tokio::test]
async fn a_rule_that_holds_for_nobody_is_told() {
    let rules =
        json!([{"name": "rich", "when": "monetary > 1e9"}, {"name": "all", "when": "true"}]);
    let output = by_rules(&customers(), json!({"rules": rules})).await;
    assert_eq!(segments(&output), "1 all, 2 all, 3 all, 4 all, 5 all");
    assert_eq!(
        warnings(&output),
        ["a rule holds for no customer: rule=\"rich\""]
    );
}

#[tokio::test]
async fn no_customers_are_in_no_segment() {
    let output = by_rules(&customers().slice(0, 0), json!({"rules": rules()})).await;
    assert_eq!(segments(&output), "");
    assert_eq!(rows(&output, "segments").num_rows(), 0);
    assert_eq!(
        warnings(&output),
        ["there are no customers to put into segments: option=\"rows\""]
    );
    let one = by_rules(&customers().slice(4, 1), json!({"rules": rules()})).await;
    assert_eq!(segments(&one), "1 vip");
}

#[tokio::test]
async fn scripts_name_segments() {
    let script = "
        fn tier(spent) { if spent > 1000 { \"gold\" } else { \"silver\" } }
        fn segment(row) {
            if row.monetary == () { return; }
            `${tier(row.monetary)} of ${row[\"Home Town\"]}`
        }";
    let output = by_script(script, "first").await;
    assert_eq!(
        segments(&output),
        "1 gold of Bonn, 2 silver of Bonn, 3 silver of Bonn, 4 other, 5 silver of Bonn"
    );
    assert_eq!(output.outcome().metrics["unmatched"], 1.0);

    let script = "
        fn segment(row) {
            let all = [];
            if row.frequency > 1 { all.push(\"again\"); all.push(\"again\"); }
            if row.country == \"DE\" { all.push(\"german\"); }
            all
        }";
    let output = by_script(script, "all").await;
    assert_eq!(
        segments(&output),
        "1 again, 2 again, 2 german, 3 again, 4 german, 5 other"
    );
}

#[tokio::test]
async fn all_kinds_of_columns_are_read() {
    let times =
        TimestampMillisecondArray::from(vec![Some(1_735_689_600_000), None]).with_timezone("UTC");
    let kinds = table([
        ("id", texts(["a", "b"])),
        ("at", Arc::new(times) as ArrayRef),
        (
            "gold",
            Arc::new(BooleanArray::from(vec![Some(false), Some(true)])),
        ),
        ("share", floats([f64::NAN, 0.5])),
    ]);
    let rules = json!([
        {"name": "gold", "when": "gold"},
        {"name": "new year", "when": "at >= \"2025-01-01\" && at == \"2025-01-01T00:00:00\" && !(share > 0) && !(share <= 0)"},
    ]);
    let output = by_rules(&kinds, json!({"rules": rules, "key": "id"})).await;
    let got = rows(&output, "segments");
    assert_eq!(crate::support::words(&got, "id"), ["a", "b"]);
    assert_eq!(crate::support::words(&got, "segment"), ["new year", "gold"]);
}

#[tokio::test]
async fn many_customers_come_in_the_order_of_the_key() {
    // More than are evaluated at once.
    let count = 20_000;
    let many = table([
        ("customer_id", ids((0..count).map(|row| row * 7919 % count))),
        ("n", ids((0..count).map(|row| row * 7919 % count))),
    ]);
    let rules =
        json!([{"name": "even", "when": "n % 2 == 0"}, {"name": "last", "when": "n == 19999"}]);
    let output = by_rules(&many, json!({"rules": rules, "otherwise": "odd"})).await;
    let got = rows(&output, "segments");
    let keys = crate::support::numbers(&got, "customer_id");
    assert!(keys.iter().copied().eq((0..count).map(|key| key as f64)));
    let names = crate::support::words(&got, "segment");
    let expected = (0..count).map(|key| match key {
        19_999 => "last",
        key if key % 2 == 0 => "even",
        _ => "odd",
    });
    assert!(names.iter().map(String::as_str).eq(expected));
    assert_eq!(output.outcome().metrics["unmatched"], 9_999.0);
}

#[tokio::test]
async fn the_log_says_which_rules_run_as_expressions() {
    let said = |output: &TestOutput| -> Vec<String> {
        let lines = output.logs.iter();
        lines
            .filter(|line| line.level == LogLevel::Info)
            .map(|line| {
                let fields = line.fields.iter();
                let fields: Vec<String> = fields
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!("{}: {}", line.message, fields.join(" "))
            })
            .collect()
    };
    let rules = json!([
        {"name": "vip", "when": "monetary > 1000"},
        {"name": "long", "when": "(country ?? \"\").len() > 2"},
        {"name": "again", "when": "frequency * 2 > 3"},
    ]);
    let output = by_rules(&customers(), json!({"rules": rules})).await;
    assert_eq!(
        said(&output),
        ["rules are evaluated: expressions=[\"vip\",\"again\"] row_by_row=[\"long\"]"]
    );
    assert_eq!(
        segments(&output),
        "1 vip, 2 again, 3 again, 4 other, 5 other"
    );
    for (script, how) in [
        ("fn segment(row) { row.country }", "compiled"),
        (
            "fn segment(row) { for n in 0..1 { } row.country }",
            "interpreted",
        ),
    ] {
        assert_eq!(
            said(&by_script(script, "first").await),
            [format!(
                "a script is evaluated row by row: as=\"{how}\" script=\"scripts/lives.rhai\""
            )]
        );
    }
}

#[tokio::test]
async fn a_batch_that_fails_as_a_whole_is_taken_row_by_row() {
    // The product overflows, but only for who is in a segment before; so no row fails.
    let rules = json!([
        {"name": "large", "when": "n > 4611686018427387904"},
        {"name": "mixed", "when": "n == 1 || (n != 3 && n * 2 > 5)"},
        {"name": "share", "when": "n != 0 && 10 / n == 3"},
    ]);
    let table = table([
        ("customer_id", ids(0..6)),
        ("n", ids([i64::MAX, 0, 1, 2, 3, 7])),
    ]);
    let output = by_rules(&table, json!({"rules": rules.clone()})).await;
    assert_eq!(
        segments(&output),
        "0 large, 1 other, 2 mixed, 3 other, 4 share, 5 mixed"
    );
    let output = by_rules(&table, json!({"rules": rules, "match": "all"})).await;
    assert_eq!(
        complaint(&output),
        "rule `mixed`: 9223372036854775807 * 2 is out of range for integers (line 1, column 24 of the rule), at customer_id 0 [MQ0202]"
    );
}

#[tokio::test]
async fn keys_and_options_must_make_sense() {
    let all = customers();
    for (options, expected) in [
        (
            json!({}),
            "there is neither `rules` nor `script` [MQ0113]; help: write the rules in the workflow, or in a file with `fn segment(row)`: one of them",
        ),
        (
            json!({"rules": rules(), "script": "a.rhai"}),
            "there is both `rules` and `script` [MQ0113]; help: write the rules in the workflow, or in a file with `fn segment(row)`: one of them",
        ),
        (
            json!({"rules": rules(), "key": "country"}),
            "1 row of `rows` have no `country` [MQ0406]; help: rows are told apart by their key: filter those without, or name another `key`",
        ),
        (
            json!({"rules": rules(), "key": "custmer_id"}),
            "`rows` has no column `custmer_id` [MQ0403]; help: did you mean `customer_id`?",
        ),
        (
            json!({"rules": rules(), "key": "segment"}),
            "the key cannot be named `segment`: the output has a column of that name [MQ0113]; help: rename it in ingest/files or features/sql",
        ),
        (
            json!({"rules": [{"name": "a", "when": "monetry > 0"}]}),
            "rule `a`: there is no column `monetry` (line 1, column 1 of the rule) [MQ0201]; help: did you mean `monetary`?",
        ),
    ] {
        assert_eq!(complaint(&by_rules(&all, options).await), expected);
    }
}
