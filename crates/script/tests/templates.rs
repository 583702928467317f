//! Scalars with `${{ … }}` in them.

#![expect(clippy::unwrap_used, reason = "tests")]

use marquetry_script::{Piece, ScriptError, ScriptErrorKind, Template};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value, json};

fn scope() -> Map<String, Value> {
    let scope = json!({
        "params": {"k": 8, "share": 0.5, "on": true, "region": "uk", "tags": ["a", "b"], "none": null},
        "stages": {"orders": {"rows": 12}},
    });
    scope.as_object().unwrap().clone()
}

fn value(text: &str) -> Result<Value, ScriptError> {
    Template::parse(text)?.evaluate(&scope())
}

#[test]
fn one_expression_and_nothing_else_keeps_its_type() {
    for (text, expected) in [
        ("${{ params.k }}", json!(8)),
        ("  ${{params.k}}\n", json!(8)),
        ("${{ params.share }}", json!(0.5)),
        ("${{ params.on }}", json!(true)),
        ("${{ params.region }}", json!("uk")),
        ("${{ params.tags }}", json!(["a", "b"])),
        ("${{ params.none }}", Value::Null),
        ("${{ params.none ?? 3 }}", json!(3)),
        ("${{ params.k > 5 }}", json!(true)),
        ("${{ #{ a: #{ b: 1 }} }}", json!({"a": {"b": 1}})),
        ("${{ #{ a: #{ b: 1 }}}}", json!({"a": {"b": 1}})),
        ("${{ stages.orders }}", json!({"rows": 12})),
    ] {
        let template = Template::parse(text).unwrap();
        assert!(matches!(template, Template::Whole(_)), "{text}");
        assert_eq!(template.evaluate(&scope()), Ok(expected), "{text}");
    }
}

#[test]
fn within_text_a_value_is_put_in_as_text() {
    for (text, expected) in [
        ("data/${{ params.region }}/*.csv", "data/uk/*.csv"),
        ("${{ params.k }}${{ params.k }}", "88"),
        (
            "${{ params.k }} ${{ params.share }} ${{ params.on }}",
            "8 0.5 true",
        ),
        ("k=${{ params.none ?? \"-\" }}.", "k=-."),
        ("${{ 1.0 }}!", "1.0!"),
        ("ä${{ \"ö\" }}ü", "äöü"),
        ("no placeholder", "no placeholder"),
        ("", ""),
    ] {
        assert_eq!(value(text), Ok(json!(expected)), "{text}");
    }
}

#[test]
fn null_lists_and_maps_have_no_text() {
    for (text, noun, column) in [
        ("a ${{ params.none }}", "null", 6),
        ("ä ${{ params.tags }}", "a list", 6),
        ("a ${{ stages.orders }}", "a map", 6),
    ] {
        let error = value(text).unwrap_err();
        assert_eq!(error.kind, ScriptErrorKind::Type);
        assert!(
            error
                .message
                .contains(&format!("is {noun}, which cannot stand inside text")),
            "{error}"
        );
        assert_eq!((error.line, error.column), (Some(1), Some(column)));
        assert!(error.help.is_some());
    }
}

#[test]
fn a_second_dollar_makes_text_of_a_placeholder() {
    for (text, expected) in [
        ("$${{ params.k }}", "${{ params.k }}"),
        ("$$${{", "$${{"),
        ("$${{ $${{", "${{ ${{"),
        ("$${{${{ params.k }}", "${{8"),
        ("a $ b {{ c }} ${ d }", "a $ b {{ c }} ${ d }"),
        ("}}", "}}"),
    ] {
        assert_eq!(value(text), Ok(json!(expected)), "{text}");
    }
}

#[test]
fn braces_in_texts_and_comments_close_nothing() {
    for (text, expected) in [
        (r#"${{ "}}" }}"#, json!("}}")),
        (r#"${{ "\"}}" }}"#, json!("\"}}")),
        ("${{ `}}` }}", json!("}}")),
        ("${{ `\\` }}", json!("\\")),
        ("${{ '}' }}", json!("}")),
        (r##"${{ #"\}}"# }}"##, json!("\\}}")),
        (r###"${{ ##"a"#}}"## }}"###, json!("a\"#}}")),
        ("${{ params.k /* it's }} /* \" */ */ }}", json!(8)),
        ("${{ params.k // it's\n }}", json!(8)),
        ("${{ params.k // it's }}", json!(8)),
        ("${{ 16 / params.k / 2 }}", json!(1)),
    ] {
        assert_eq!(value(text), Ok(expected), "{text}");
    }
}

#[test]
fn an_error_is_placed_within_the_text() {
    for (text, line, column) in [
        ("${{ params.k", 1, 1),
        ("a\nä ${{ ", 2, 3),
        ("${{ }}", 1, 4),
        ("a ${{ 1 + }}", 1, 11),
        ("ää ${{ nonsense(1) }}", 1, 8),
        ("a\nb ${{ 1 / 0 }}", 2, 9),
        ("a\nb ${{\n  1 / 0 }}", 3, 5),
        ("${{ params.k }} ${{ params.kk }}", 1, 28),
        ("${{ params.k }} ${{ 1.0 / 0 }}", 1, 21),
    ] {
        let error = value(text).unwrap_err();
        assert_eq!(
            (error.line, error.column),
            (Some(line), Some(column)),
            "{text}: {error}"
        );
    }
}

#[test]
fn expressions_know_where_they_stand() {
    let template =
        Template::parse("ä ${{ params.k }}\n${{stages.orders.rows + params.k}}").unwrap();
    let places: Vec<(usize, String)> = template
        .expressions()
        .flat_map(|expression| {
            let offset = expression.offset();
            let references = expression.references().iter();
            references.map(move |reference| (offset + reference.offset, reference.path.join(".")))
        })
        .collect();
    let expected = [
        (6, "params.k"),
        (21, "stages.orders.rows"),
        (42, "params.k"),
    ];
    assert_eq!(
        places,
        expected.map(|(offset, path)| (offset, path.to_owned()))
    );
}

#[test]
fn thousands_of_placeholders_are_read_and_a_huge_text_is_refused() {
    let template = Template::parse(&"é${{ params.k }}".repeat(5_000)).unwrap();
    assert_eq!(template.expressions().count(), 5_000);
    let last = template.expressions().last().unwrap();
    assert_eq!(last.offset(), 16 * 4_999 + 4);
    let big = json!({"text": "x".repeat(100_000)});
    let template = Template::parse("${{ text }} ${{ text }} ${{ text }}").unwrap();
    let error = template.evaluate(big.as_object().unwrap()).unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Limit);
    assert_eq!(error.message, "a value grows too large: a text");
}

/// Text in which placeholders, dollars and braces meet in every way.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(&[
            "${{ params.k }}", "${{params.region}}", "$${{", "${{", "}}", "$", "{", "}", " ", "\n",
            "ä", "\"", "'", "`", "#", "/*", "*/", "//", "\\", "params", "1 + ",
        ][..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(5),
        ..ProptestConfig::with_cases(3000)
    })]

    #[test]
    fn any_text_is_read_or_refused_and_survives_json(text in prop_oneof![text(), any::<String>()]) {
        match Template::parse(&text) {
            Ok(template) => {
                let written = serde_json::to_value(&template).unwrap();
                let read: Template = serde_json::from_value(written).unwrap();
                let same = match (&template, &read) {
                    // White space around a whole value is not kept.
                    (Template::Whole(a), Template::Whole(b)) => a == b,
                    (a, b) => a == b,
                };
                prop_assert!(same, "{template:?} was read back as {read:?}");
                let value = template.evaluate(&scope());
                prop_assert_eq!(read.evaluate(&scope()).ok(), value.ok());
            }
            Err(error) => {
                let (line, column) = (error.line.unwrap(), error.column.unwrap());
                let lines: Vec<&str> = text.split('\n').collect();
                let within = lines[line as usize - 1].chars().count();
                prop_assert!(column as usize <= within + 1, "{error} in {text:?}");
            }
        }
    }

    #[test]
    fn text_around_placeholders_stays_as_it_is(before in "[^$]*", after in "[^$]*") {
        let template = Template::parse(&format!("{before}${{{{ params.k }}}}{after}x")).unwrap();
        let expected = format!("{before}8{after}x");
        prop_assert_eq!(template.evaluate(&scope()), Ok(Value::String(expected)));
        let pieces = match template {
            Template::Mixed(pieces) => pieces,
            other => return Err(TestCaseError::fail(format!("{other:?} is not mixed"))),
        };
        prop_assert!(pieces.iter().any(|piece| matches!(piece, Piece::Expression(_))));
    }
}
