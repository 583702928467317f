#![expect(clippy::unwrap_used, reason = "tests")]

use marquetry_types::{DATASET_KEY, OutputDescriptor, StageDescriptor};
use serde_json::{Value, json};

use super::check_options;

fn kind(options: Value) -> StageDescriptor {
    StageDescriptor {
        kind: "test/kind".parse().unwrap(),
        version: 1,
        summary: String::new(),
        description: String::new(),
        options,
        outputs: vec![OutputDescriptor::new("rows", "the rows")],
        metrics: Vec::new(),
        example: String::new(),
        is_pure: false,
    }
}

/// What is wrong with options, with its help.
fn problem(schema: &Value, options: Value) -> Option<(String, Option<String>)> {
    check_options(&kind(schema.clone()), &options)
        .err()
        .map(|diagnostic| (diagnostic.message, diagnostic.help))
}

fn message(schema: &Value, options: Value) -> String {
    problem(schema, options).map_or_else(|| "fits".to_owned(), |(message, _)| message)
}

/// As schemars writes an enum whose variants are documented, an optional block, and a tagged enum.
fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "init": {"oneOf": [
                {"description": "Spread out.", "type": "string", "const": "plus_plus"},
                {"description": "Anywhere.", "type": "string", "const": "random"},
            ]},
            "csv": {"anyOf": [{"$ref": "#/$defs/Csv"}, {"type": "null"}]},
            "scale": {"oneOf": [
                {"type": "object", "properties": {"method": {"const": "standard"}}, "required": ["method"]},
                {"type": "object", "properties": {"method": {"const": "clip"}, "low": {"type": "number"}},
                 "required": ["method", "low"]},
            ]},
            "k": {"anyOf": [{"type": "integer", "minimum": 2}, {"$ref": "#/$defs/Range"}]},
            "rows": {"$ref": "#/$defs/Input"},
            "before": {"x-marquetry": "dataset", "type": ["object", "null"], "required": [DATASET_KEY]},
        },
        "additionalProperties": false,
        "$defs": {
            "Csv": {"type": "object", "properties": {"delimiter": {"type": "string", "maxLength": 1}},
                    "additionalProperties": false},
            "Range": {"type": "object", "properties": {"from": {"type": "integer"}}, "required": ["from"]},
            "Input": {"x-marquetry": "dataset", "type": "object"},
        },
    })
}

#[test]
fn options_that_fit_pass() {
    let dataset = json!({DATASET_KEY: {"manifest": "m", "digest": "d", "rows": 1, "bytes": 1}});
    let options = json!({"init": "random", "csv": null, "scale": {"method": "clip", "low": 0.5},
                         "k": 8, "rows": dataset});
    assert_eq!(problem(&schema(), options), None);
}

#[test]
fn alternatives_are_told_by_the_one_that_was_meant() {
    let schema = schema();
    assert_eq!(
        message(&schema, json!({"init": "kmeans"})),
        "options of `test/kind`: `init` must be one of `plus_plus`, `random`, got the text `kmeans`"
    );
    assert_eq!(
        message(&schema, json!({"init": 3})),
        "options of `test/kind`: `init` must be one of `plus_plus`, `random`, got the number `3`"
    );
    assert_eq!(
        message(&schema, json!({"csv": {"delimitr": ";"}})),
        "options of `test/kind`: `csv` has no option `delimitr`"
    );
    assert_eq!(
        message(&schema, json!({"csv": ";"})),
        "options of `test/kind`: `csv` must be a mapping, got the text `;`"
    );
    assert_eq!(
        message(&schema, json!({"scale": {"method": "log"}})),
        "options of `test/kind`: `scale.method` must be one of `standard`, `clip`, got the text `log`"
    );
    assert_eq!(
        message(&schema, json!({"scale": {"method": "clip"}})),
        "options of `test/kind`: `scale` needs the option `low`"
    );
    assert_eq!(
        message(&schema, json!({"k": 1})),
        "options of `test/kind`: `k` must be at least 2, got the number `1`"
    );
    assert_eq!(
        message(&schema, json!({"k": "8"})),
        "options of `test/kind`: `k` must be a whole number or a mapping, got the text `8`"
    );
    assert_eq!(
        message(&schema, json!({"k": {"from": "2"}})),
        "options of `test/kind`: `k.from` must be a whole number, got the text `2`"
    );
}

#[test]
fn only_an_optional_dataset_may_be_null() {
    assert_eq!(message(&schema(), json!({"before": null})), "fits");
    let with_a_text = message(&schema(), json!({"before": "orders"}));
    assert!(with_a_text.contains("takes a dataset"), "{with_a_text}");
    let required = json!({
        "type": "object",
        "properties": {"rows": {"x-marquetry": "dataset", "type": "object"}},
    });
    let nothing = message(&required, json!({"rows": null}));
    assert!(
        nothing.contains("takes a dataset, got nothing"),
        "{nothing}"
    );
}

#[test]
fn a_text_is_no_dataset() {
    let (message, help) = problem(&schema(), json!({"rows": "orders"})).unwrap();
    assert_eq!(
        message,
        "`rows` of `test/kind` takes a dataset, got the text `orders`"
    );
    assert_eq!(
        help.unwrap(),
        "refer to the output of a stage: `\"${{ stages.NAME }}\"`"
    );
}

#[test]
fn a_schema_that_is_none_is_an_error_and_no_panic() {
    let broken = json!({"type": "objekt", "properties": 3});
    assert!(message(&broken, json!({})).contains("schema that cannot be used"));
}
