//! Scripts that ask for too much get an error, on the stack of an ordinary thread, and the process
//! lives.
#![expect(clippy::unwrap_used, reason = "tests")]

use marquetry_script::{Cell, Columns, RowScript, ScriptError, ScriptErrorKind};
use serde_json::{Value, json};

/// One row without columns.
struct OneRow;

impl Columns for OneRow {
    fn rows(&self) -> usize {
        1
    }

    fn cell(&self, _: usize, _: usize) -> Cell<'_> {
        Cell::Null
    }
}

/// The value of a function of this body.
fn value(body: &str) -> Result<Value, ScriptError> {
    let script = RowScript::script(&format!("fn segment(row) {{ {body} }}"), &[])?;
    let mut values = script
        .evaluate_batch(&OneRow)
        .map_err(|failed| failed.error)?;
    Ok(values.pop().unwrap_or_default())
}

fn limit(body: &str) -> String {
    let error = value(body).unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Limit, "{body}: {error}");
    error.message
}

#[test]
fn replace_does_what_it_says() {
    for (call, expected) in [
        ("t.replace(\"-\", \"==\")", "a==b==c"),
        ("t.replace(\"-b\", '_')", "a_-c"),
        ("t.replace('-', \"\")", "abc"),
        ("t.replace('-', 'ä')", "aäbäc"),
        ("t.replace(\"\", \".\")", ".a.-.b.-.c."),
    ] {
        let found = value(&format!("let t = \"a-b-c\"; {call}; t"));
        assert_eq!(found, Ok(json!(expected)), "{call}");
    }
}

#[test]
fn replace_counts_before_it_makes() {
    // 200,000 times 200,000 bytes.
    let begin = "let s = \"\"; s.pad(200000, 'x'); let t = s;";
    for call in [
        "s.replace(\"x\", t)",
        "s.replace('x', t)",
        "s.replace(\"\", t)",
    ] {
        let said = limit(&format!("{begin} {call}; s"));
        assert!(
            said.starts_with("a value grows too large"),
            "{call}: {said}"
        );
    }
}

#[test]
fn values_nested_deeper_than_a_stack_bears_harm_nobody() {
    let (open, close) = ("[".repeat(6), "]".repeat(6));
    let deep = format!("let a = []; for n in 0..500 {{ a = {open}a{close}; }}");
    assert_eq!(value(&format!("{deep} a == a")), Ok(json!(true)));
    assert_eq!(
        value(&format!("{deep} a.to_string().len()")),
        Ok(json!(2 * (500 * 6 + 1)))
    );
    assert_eq!(
        limit(&format!("{deep} a")),
        "the result is nested too deeply"
    );
    let said = limit(&format!("{deep} loop {{ a = {open}a{close}; }}"));
    assert!(said.starts_with("a value grows too large"), "{said}");
    let mixed = "let a = []; for n in 0..500 { a = [#{m:[#{m:[#{m: a}]}]}]; }";
    assert_eq!(
        limit(&format!("{mixed} a")),
        "the result is nested too deeply"
    );
}

#[test]
fn what_a_script_throws_is_shown_by_its_beginning() {
    let error = value("let s = \"\"; s.pad(9000, 'x'); throw s").unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Runtime);
    assert!(error.message.starts_with("xxx") && error.message.ends_with(" …"));
    assert_eq!(error.message.chars().count(), 502);
}
