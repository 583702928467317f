//! Whatever the text, reading it ends with a workflow or with errors, never with a panic; and what was
//! read survives JSON.

#![expect(clippy::unwrap_used, reason = "tests")]

mod catalogue;

use marquetry_script::{Expression, Template};
use marquetry_workflow::{Workflow, parse, render};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Reads a text and does with the outcome what every caller does.
fn read(text: &str) {
    match parse(
        "any.yaml",
        text,
        &catalogue::catalogue(),
        &catalogue::read_file,
    ) {
        Ok((workflow, bundle)) => {
            let json = serde_json::to_string(&workflow).unwrap();
            assert_eq!(serde_json::from_str::<Workflow>(&json).unwrap(), workflow);
            assert_eq!(workflow.topological_order().len(), workflow.stages.len());
            assert_eq!(bundle.workflow_text(), text);
        }
        Err(problems) => {
            assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                assert!(!problem.message.is_empty());
                assert!(
                    !problem.message.contains("YAML reader failed"),
                    "a panic inside: {text:?}"
                );
                if let Some(location) = &problem.location {
                    assert!(location.line >= 1 && location.column >= 1);
                }
            }
            let rendered = render(&problems, Some(text), false);
            assert!(!rendered.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}

/// A change of a text at some place: a character deleted, replaced, or something put in.
#[derive(Debug, Clone)]
enum Change {
    Delete(prop::sample::Index),
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, &'static str),
    MoveLine(prop::sample::Index, prop::sample::Index),
}

/// What breaks YAML, expressions and schemas in their own ways.
const PIECES: &[&str] = &[
    "\t",
    "\n",
    "\r",
    " ",
    "  ",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    ",",
    "- ",
    "#",
    " #",
    "&a ",
    "*a",
    "!",
    "!!str ",
    "|",
    ">",
    "%",
    "@",
    "`",
    "? ",
    "---\n",
    "...\n",
    "${{",
    "}}",
    "${{ ",
    "params",
    "stages.",
    "stages.orders",
    ".rows",
    ".outputs",
    "always()",
    "null",
    "~",
    "-1",
    "1e999",
    "0x",
    "\\",
    "\u{feff}",
    "\u{0}",
    "\u{85}",
    "\u{2028}",
    "ä",
    "🦀",
    "<<: ",
    "9223372036854775808",
    "true",
    "[]",
    "{}",
    "fn",
    "|x|",
    "if x { 1 }",
    "loop {}",
    "==",
    "&&",
    "??",
    "(",
    ")",
];

fn change() -> impl Strategy<Value = Change> {
    use prop::sample::{Index, select};
    prop_oneof![
        any::<Index>().prop_map(Change::Delete),
        (any::<Index>(), any::<char>()).prop_map(|(at, c)| Change::Replace(at, c)),
        (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::MoveLine(from, to)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for change in changes {
        if characters.is_empty() {
            break;
        }
        match change {
            Change::Delete(at) => {
                characters.remove(at.index(characters.len()));
            }
            Change::Replace(at, c) => {
                let at = at.index(characters.len());
                characters[at] = *c;
            }
            Change::Insert(at, piece) => {
                let at = at.index(characters.len());
                characters.splice(at..at, piece.chars());
            }
            Change::MoveLine(from, to) => {
                let text: String = characters.iter().collect();
                let mut lines: Vec<&str> = text.lines().collect();
                if !lines.is_empty() {
                    let line = lines.remove(from.index(lines.len()));
                    lines.insert(to.index(lines.len() + 1), line);
                }
                characters = lines.join("\n").chars().collect();
            }
        }
    }
    characters.into_iter().collect()
}

/// Text made of the pieces that the format is made of.
fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2),
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn any_mixture_of_yaml_is_read_or_refused(text in pieces()) {
        read(&text);
        read(&format!("marquetry: v1\nname: n\nstages:\n  a: {text}"));
    }

    #[test]
    fn a_good_workflow_with_changes_is_read_or_refused(
        changes in prop::collection::vec(change(), 1..6),
    ) {
        read(&changed(catalogue::GOOD, &changes));
    }

    #[test]
    fn any_expression_compiles_or_is_refused(text in prop_oneof![any::<String>(), pieces()]) {
        let scope = serde_json::Map::new();
        if let Ok(expression) = Expression::compile(&text) {
            let _ = expression.evaluate(&scope);
        }
        if let Ok(template) = Template::parse(&format!("${{{{{text}}}}} {text}")) {
            let _ = template.evaluate(&scope);
        }
    }
}
