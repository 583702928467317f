//! Rules and scripts that fail: they end soon, and the message says which, where in it, and at whom.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use marquetry_plugin::StageError;
use serde_json::json;

use crate::support::{complaint, floats, ids, run, stage, table, texts};

/// A script that fails must do so within this, on a slow machine and built without optimisation; one
/// that is not stopped takes minutes, or all memory.
const SOON: Duration = Duration::from_secs(20);

/// Four customers, and trouble with the third.
fn customers() -> RecordBatch {
    table([
        ("customer_id", ids([40, 30, 20, 10])),
        ("orders", ids([2, 0, 4, 5])),
        (
            "monetary",
            floats([Some(5.0), None, Some(50.0), Some(500.0)]),
        ),
        ("country", texts([Some("DE"), None, Some("FR"), Some("DE")])),
    ])
}

/// What is said of a rule.
async fn rule(when: &str) -> String {
    let rules = json!([{"name": "nobody", "when": "orders < 0"}, {"name": "odd", "when": when}]);
    let options = json!({"rows": "$rows", "rules": rules});
    let begin = Instant::now();
    let said = complaint(&run("segmentation/rules", &[("rows", &customers())], options).await);
    assert!(begin.elapsed() < SOON, "{when}: {:?}", begin.elapsed());
    said
}

/// What is said of a script.
async fn script(text: &str, matching: &str) -> String {
    let stage = stage("segmentation/rules")
        .input("rows", vec![customers()])
        .file("lives.rhai", text)
        .options(json!({"rows": "$rows", "script": "lives.rhai", "match": matching}));
    let begin = Instant::now();
    let said = complaint(&stage.run().await);
    assert!(begin.elapsed() < SOON, "{text}: {:?}", begin.elapsed());
    said
}

#[tokio::test]
async fn a_rule_that_fails_on_one_customer_names_the_customer() {
    // How the reason is worded is the script crate's.
    for (when, reason, place) in [
        (
            "10 / orders > 3",
            "division of 10 by zero",
            "(line 1, column 4 of the rule), at customer_id 30 [MQ0202]",
        ),
        (
            "orders > 9 ||\n  10 % orders == 1",
            "division of 10 by zero",
            "(line 2, column 6 of the rule), at customer_id 30 [MQ0202]",
        ),
        (
            "country.len() > 2",
            "`len (null)`",
            "(line 1, column 9 of the rule), at customer_id 30 [MQ0204]; help: a value is null here",
        ),
        (
            "(monetary ?? \"none\") > 7",
            "a value of type string cannot be compared with one of type int",
            "(line 1, column 22 of the rule), at customer_id 30 [MQ0204]",
        ),
        (
            "9223372036854775803 + orders > 0",
            "9223372036854775803 + 5 is out of range",
            "(line 1, column 21 of the rule), at customer_id 10 [MQ0202]",
        ),
    ] {
        let said = rule(when).await;
        assert!(said.starts_with("rule `odd`: "), "{said}");
        assert!(said.contains(reason) && said.contains(place), "{said}");
    }
}

#[tokio::test]
async fn a_rule_of_the_wrong_type_says_what_it_gives() {
    let help = "help: compare the value with something, as in `x > 0`";
    for (when, expected) in [
        (
            "orders",
            "a rule must give true or false, got int (line 1, column 1 of the rule), at customer_id 10",
        ),
        (
            "  monetary * 2",
            "a rule must give true or false, got float (line 1, column 3 of the rule), at customer_id 10",
        ),
        (
            "country",
            "a rule must give true or false, got string (line 1, column 1 of the rule), at customer_id 10",
        ),
        (
            "[orders]",
            "a rule must give true or false, got list (line 1, column 1 of the rule), at customer_id 10",
        ),
    ] {
        assert_eq!(
            rule(when).await,
            format!("rule `odd`: {expected} [MQ0204]; {help}")
        );
    }
}

#[tokio::test]
async fn a_script_that_fails_on_one_customer_names_the_customer() {
    for (text, place, reason, customer) in [
        (
            "// shares\nfn share(n) { 10 / n }\nfn segment(row) {\n  `${share(row.orders)}`\n}",
            "lives.rhai:2:18: ",
            "division of 10 by zero (in function `share`)",
            "at customer_id 30 [MQ0202]",
        ),
        (
            "fn segment(row) {\n  if row.country.len() > 2 { \"long\" } else { \"short\" }\n}",
            "lives.rhai:2:18: ",
            "`len (null)`",
            "at customer_id 30 [MQ0204]; help: a value is null here",
        ),
        (
            "fn segment(row) { row.monetry }",
            "lives.rhai:1:23: ",
            "`monetry`",
            "at customer_id 10 [MQ0202]; help: did you mean `monetary`?",
        ),
        (
            "fn segment(row) {\n  if row.orders == 0 { throw \"nothing ordered\" }\n  \"a\"\n}",
            "lives.rhai:2:24: ",
            "nothing ordered",
            "at customer_id 30 [MQ0202]",
        ),
    ] {
        let said = script(text, "first").await;
        assert!(said.starts_with(place), "{said}");
        assert!(said.contains(reason) && said.contains(customer), "{said}");
    }
}

#[tokio::test]
async fn a_script_of_the_wrong_type_says_what_it_gives() {
    let first = "help: it must give the name of a segment, a text of a letter or more, or null";
    let all = "help: it must give the name of a segment, an array of names, or null";
    for (text, matching, expected) in [
        ("fn segment(row) { row.orders }", "first", format!("lives.rhai:1:17: `segment` gives 5, at customer_id 10 [MQ0204]; {first}")),
        ("\n\nfn segment(row)\n{ \"\" }", "first", format!("lives.rhai:4:1: `segment` gives \"\", at customer_id 10 [MQ0204]; {first}")),
        ("fn segment(row) { [\"a\"] }", "first", format!("lives.rhai:1:17: `segment` gives [\"a\"], at customer_id 10 [MQ0204]; {first}")),
        ("fn segment(row) { [\"a\", row.orders] }", "all", format!("lives.rhai:1:17: `segment` gives [\"a\",5], at customer_id 10 [MQ0204]; {all}")),
        ("fn segment(row) { #{ a: 1 } }", "all", format!("lives.rhai:1:17: `segment` gives {{\"a\":1}}, at customer_id 10 [MQ0204]; {all}")),
        ("fn segment(row) { 0.0 / 0.0 }", "first", "lives.rhai:1:17: the result is NaN, not a number, at customer_id 10 [MQ0204]; help: look for a division by zero, or the root or logarithm of a negative number".to_owned()),
    ] {
        assert_eq!(script(text, matching).await, expected);
    }
    // What is huge is not shown whole.
    let said = script("fn segment(row) { let a = []; a.pad(9000, 7); a }", "all").await;
    assert!(
        said.contains("`segment` gives [7,7,") && said.len() < 400,
        "{said}"
    );
    let said = script(
        "fn segment(row) { let a = \"\"; a.pad(9000, 'x'); throw a }",
        "all",
    )
    .await;
    assert!(
        said.contains("xxx …, at customer_id 10") && said.len() < 700,
        "{said}"
    );
}

#[tokio::test]
async fn loops_without_an_end_are_stopped() {
    let help = "at customer_id 10 [MQ0203]; help: look for a loop without an end; a script has a fixed number of operations";
    for (text, place) in [
        // rhai does not say where in a loop it was stopped: it is the place of the function.
        (
            "fn segment(row) {\n  while true { }\n}",
            "lives.rhai:1:17: ",
        ),
        (
            "fn segment(row) {\n  loop { let x = row.orders; }\n}",
            "lives.rhai:1:17: ",
        ),
        (
            "fn segment(row) { for i in 0..9223372036854775807 { } }",
            "lives.rhai:1:",
        ),
    ] {
        let said = script(text, "first").await;
        assert!(said.starts_with(place), "{said}");
        assert!(
            said.ends_with(help) && said.contains("it runs for too long"),
            "{said}"
        );
    }
    let said = script("fn segment(row) {\n  segment(row)\n}", "first").await;
    assert!(
        said.starts_with("lives.rhai:1:17: functions call each other too deeply"),
        "{said}"
    );
    assert!(said.contains("at customer_id 10 [MQ0203]"), "{said}");
    let said = rule("range(0, 9223372036854775807).map(|n| n * 2).len() > orders").await;
    assert!(said.starts_with("rule `odd`: "), "{said}");
}

#[tokio::test]
async fn values_that_grow_without_an_end_are_stopped() {
    for text in [
        // A text and a list that double; lists and texts in lists.
        "fn segment(row) {\n  let s = \"x\";\n  loop { s += s; }\n}",
        "fn segment(row) {\n  let a = [1];\n  loop { let b = a; a.append(b); }\n}",
        "fn segment(row) {\n  let a = [];\n  loop { a = [a, a]; }\n}",
        "fn segment(row) {\n  let a = []; let s = \"\"; s.pad(200000, 'x');\n  loop { a.push(s); }\n}",
        // At once.
        "fn segment(row) {\n  let s = \"\";\n  s.pad(1000000000000, 'x');\n}",
        "fn segment(row) {\n  let a = [];\n  a.pad(1000000000000, 1);\n}",
        // Two texts within the limit, of which one call makes 40 GB.
        "fn segment(row) {\n  let s = \"\"; s.pad(200000, 'x'); let t = s;\n  s.replace(\"x\", t);\n  s\n}",
        "fn segment(row) {\n  let s = \"\"; s.pad(200000, 'x'); let t = s;\n  s.replace('x', t);\n  s\n}",
    ] {
        let said = script(text, "first").await;
        let place = said.split(": ").next().unwrap();
        assert!(place.starts_with("lives.rhai:"), "{said}");
        assert!(
            said.contains("a value grows too large") && said.contains("at customer_id 10 [MQ0203]"),
            "{text}\n{said}"
        );
    }
}

#[tokio::test]
async fn values_nested_without_an_end_are_stopped() {
    // Some levels at once: each step copies them all.
    let (open, close) = ("[".repeat(6), "]".repeat(6));
    let text = format!("fn segment(row) {{\n  let a = [];\n  loop {{ a = {open}a{close}; }}\n}}");
    let said = script(&text, "first").await;
    assert!(
        said.starts_with("lives.rhai:") && said.contains("a value grows too large"),
        "{said}"
    );
    assert!(said.contains("at customer_id 10 [MQ0203]"), "{said}");
    // Deeper than an ordinary stack bears, and given back.
    let text = format!(
        "fn segment(row) {{\n  let a = [];\n  for n in 0..500 {{ a = {open}a{close}; }}\n  a\n}}"
    );
    assert_eq!(
        script(&text, "all").await,
        "lives.rhai:1:17: the result is nested too deeply, at customer_id 10 [MQ0203]; help: lists and maps may be nested to 64 levels"
    );
    let said = script(&text.replace("\n  a\n", "\n  a == [] || a == a\n"), "all").await;
    assert!(said.contains("`segment` gives true"), "{said}");
}

#[tokio::test]
async fn one_customer_is_not_put_into_thousands_of_segments() {
    let text = "fn segment(row) {\n  let a = [];\n  for n in 0..2000 { a.push(`s${n}`); }\n  a\n}";
    assert_eq!(
        script(text, "all").await,
        "lives.rhai:1:17: `segment` gives 2000 names, at customer_id 10 [MQ0204]; help: a customer may be in 1000 segments at most"
    );
}

#[tokio::test]
async fn scripts_that_do_not_parse_are_refused_where_they_break() {
    for (text, expected) in [
        ("fn segment(row) {\n  let x = ;\n}", "lives.rhai:2:11: "),
        (
            "fn segments(row) { 1 }",
            "lives.rhai: the script has no function `segment` [MQ0201]; help: define `fn segment(row) { … }`, which gives the segment",
        ),
        (
            "fn segment() { 1 }",
            "lives.rhai: `fn segment` has 0 parameters [MQ0201]; help: give it one, the row: `fn segment(row) { … }`",
        ),
        (
            "fn segment(row) {\n  eval(\"1\")\n}",
            "lives.rhai:2:3: `eval` is not available in scripts [MQ0201]; help: scripts read",
        ),
        (
            "",
            "lives.rhai: the script has no function `segment` [MQ0201]",
        ),
    ] {
        let said = script(text, "first").await;
        assert!(said.starts_with(expected), "{said}");
    }
    let said = rule("orders >").await;
    assert!(
        said.starts_with("rule `odd`: ")
            && said.contains("of the rule")
            && said.contains("[MQ0201]"),
        "{said}"
    );
}

#[tokio::test]
async fn who_asks_it_to_stop_is_heard_at_the_next_customer() {
    let cancellation = tokio_util::sync::CancellationToken::new();
    let count = 5000;
    let many = table([("customer_id", ids(0..count))]);
    // Half of the operations that a customer may take, for each of them.
    let text = "fn segment(row) { let n = 0; while n < 100000 { n += 1; } \"a\" }";
    let running = stage("segmentation/rules")
        .input("rows", vec![many])
        .file("slow.rhai", text)
        .options(json!({"rows": "$rows", "script": "slow.rhai"}))
        .cancellation(cancellation.clone())
        .run();
    let begin = Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancellation.cancel();
    };
    let (output, ()) = tokio::join!(running, stop);
    assert_eq!(*output.error(), StageError::Cancelled);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}
