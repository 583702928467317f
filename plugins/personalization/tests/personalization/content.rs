//! `personalization/content`: what customers are told, and what is refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use marquetry_plugin::testing::TestOutput;
use marquetry_plugin::{LogLevel, PanelBody};
use serde_json::{Value, json};

use crate::support::{message, rows, stage, table, texts};

fn text<const ROWS: usize>(values: [Option<&str>; ROWS]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Four customers; 2 has no name, 3 no city, 4 neither.
fn customers() -> RecordBatch {
    table([
        ("customer_id", Arc::new(Int64Array::from(vec![4, 3, 2, 1]))),
        (
            "first_name",
            text([None, Some("Cleo"), None, Some("<Ada> & Co")]),
        ),
        ("city", text([None, None, Some("Rome"), Some("Oslo")])),
        (
            "spent",
            Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 12.345])),
        ),
        ("since", Arc::new(Date32Array::from(vec![0, 1, 2, 365]))),
    ])
}

/// 1 and 2 are vip, 3 is new, 4 has none.
fn segments() -> RecordBatch {
    table([
        ("customer_id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("segment", text([Some("vip"), Some("vip"), Some("new")])),
    ])
}

async fn run(with_segments: bool, options: Value) -> TestOutput {
    let mut options = options;
    options["rows"] = json!("$rows");
    let mut stage = stage("personalization/content")
        .input("rows", vec![customers()])
        .file(
            "vip.txt",
            "Dear {{ first_name }},\n{% if spent > 10 %}thank you{% else %}hello{% endif %}\n",
        )
        .file("broken.txt", "Dear\n{{ first_name\n");
    if with_segments {
        options["segments"] = json!("$segments");
        stage = stage.input("segments", vec![segments()]);
    }
    stage.options(options).run().await
}

fn column(output: &TestOutput, name: &str, column: &str) -> Vec<String> {
    let values = texts(&rows(output, name), column).into_iter();
    values
        .map(|value| value.unwrap_or_else(|| "-".to_owned()))
        .collect()
}

#[tokio::test]
async fn each_customer_gets_the_template_of_the_segment_in_each_channel() {
    let options = json!({
        "templates": [
            {"segment": "vip", "channel": "email", "subject": "For\n{{ city }}", "body_file": "vip.txt"},
            {"channel": "email", "body": "{{ segment | default('nobody') }} since {{ since }}"},
            {"segment": "vip", "channel": "html", "body": "<b>{{ first_name }}</b> {{ spent | round(1) }}"},
        ],
        "missing": "skip",
    });
    let output = run(true, options).await;
    assert_eq!(
        column(&output, "messages", "customer_id"),
        ["1", "1", "3", "4"]
    );
    assert_eq!(
        column(&output, "messages", "segment"),
        ["vip", "vip", "new", "-"]
    );
    assert_eq!(
        column(&output, "messages", "channel"),
        ["email", "html", "email", "email"]
    );
    assert_eq!(
        column(&output, "messages", "subject"),
        ["For Oslo", "-", "-", "-"]
    );
    assert_eq!(
        column(&output, "messages", "body"),
        [
            "Dear <Ada> & Co,\nthank you",
            "<b>&lt;Ada&gt; &amp; Co</b> 12.3",
            "new since 1970-01-02",
            "nobody since 1970-01-01",
        ]
    );
    // 2 is vip and has no name: two messages, one field.
    assert_eq!(column(&output, "missing", "customer_id"), ["2"]);
    assert_eq!(column(&output, "missing", "field"), ["first_name"]);
    let metrics = &output.outcome().metrics;
    assert_eq!(
        (metrics["messages"], metrics["skipped"], metrics["missing"]),
        (4.0, 2.0, 1.0)
    );
    assert_eq!(
        (metrics["customers"], metrics["without_template"]),
        (4.0, 0.0)
    );
    let PanelBody::Text(examples) = &output.panels[0].body else {
        panic!("{:?}", output.panels);
    };
    let headings: Vec<&str> = examples.iter().map(|it| it.heading.as_str()).collect();
    assert_eq!(headings, ["email", "new, email", "vip, email", "vip, html"]);
    assert_eq!(examples[2].text, "For Oslo\nDear <Ada> & Co,\nthank you");
}

#[tokio::test]
async fn whatever_a_message_lacks_is_named_with_how_many_lack_it() {
    let options = json!({"templates": [{"channel": "sms", "body": "{{ first_name | upper }} in {{ city }}"}]});
    let output = run(false, options).await;
    assert_eq!(
        message(&output),
        "messages need what is missing: `city` of 2 customers, `first_name` of 2 customers"
    );
    assert!(output.outputs.is_empty());
}

#[tokio::test]
async fn a_fallback_stands_in_and_the_gap_is_told() {
    let template = json!([{"channel": "sms", "body": "{{ first_name }} in {{ city }}"}]);
    let both = json!({"first_name": "friend", "city": 7});
    let options = json!({"templates": template, "missing": "fallback", "fallback": both});
    let output = run(false, options).await;
    let bodies = column(&output, "messages", "body");
    assert_eq!(bodies[1..], ["friend in Rome", "Cleo in 7", "friend in 7"]);
    assert_eq!(
        column(&output, "missing", "customer_id"),
        ["2", "3", "4", "4"]
    );
    assert_eq!(
        column(&output, "missing", "field"),
        ["first_name", "city", "city", "first_name"]
    );

    let options =
        json!({"templates": template, "missing": "fallback", "fallback": {"city": "town"}});
    let output = run(false, options).await;
    assert_eq!(
        message(&output),
        "messages need what is missing: `first_name` of 2 customers"
    );
}

#[tokio::test]
async fn a_template_that_asks_first_lacks_nothing() {
    let body = "{% if city %}{{ city }}{% else %}your town{% endif %}, {{ first_name | default('friend') }}";
    let output = run(
        false,
        json!({"templates": [{"channel": "sms", "body": body}]}),
    )
    .await;
    let bodies = column(&output, "messages", "body");
    assert_eq!(
        bodies[1..],
        ["Rome, friend", "your town, Cleo", "your town, friend"]
    );
    assert_eq!(rows(&output, "missing").num_rows(), 0);
}

#[tokio::test]
async fn customers_without_a_template_and_templates_without_customers_are_told() {
    let options = json!({"templates": [
        {"segment": "vip", "channel": "sms", "body": "hello"},
        {"segment": "vpi", "channel": "sms", "body": "hello"},
    ]});
    let output = run(true, options).await;
    assert_eq!(output.outcome().metrics["without_template"], 2.0);
    let warnings = output
        .logs
        .iter()
        .filter(|line| line.level == LogLevel::Warn);
    let warnings: Vec<&str> = warnings.map(|line| line.message.as_str()).collect();
    assert_eq!(warnings, ["a template is for a segment that nobody is in"]);
}

#[tokio::test]
async fn faults_of_templates_are_told_with_their_place() {
    let one = |body: &str| json!({"templates": [{"channel": "sms", "body": body}]});
    let file = json!({"templates": [{"channel": "sms", "body_file": "broken.txt"}]});
    let cases = [
        (
            file,
            "template `templates[0].body` (`broken.txt`), line 2: unexpected end of input, expected end of variable block",
        ),
        (
            one("Hello\n{{ frst_name }}"),
            "template `templates[0].body` reads `frst_name`: `rows` has no column `frst_name`",
        ),
        (
            one("{{ segment }}"),
            "template `templates[0].body` reads `segment`, but the customers have none",
        ),
        (
            one("a\nb {{ spent | shout }}"),
            "template `templates[0].body`, line 2: unknown filter: filter shout is unknown (for customer_id 1)",
        ),
        (
            one("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"),
            "template `templates[0].body`, line 1: engine ran out of fuel (for customer_id 1)",
        ),
        (
            json!({"templates": [{"channel": "sms", "body": "a", "body_file": "vip.txt"}]}),
            "both of `body` and `body_file` of template 1 are given",
        ),
        (
            json!({"templates": [{"segment": "vip", "channel": "sms", "body": "a"}]}),
            "templates are for segments, but the customers have none",
        ),
        (
            json!({"templates": [{"channel": "sms", "body": "a"}, {"channel": "sms", "body": "b"}]}),
            "templates 1 and 2 are both for customers without a template of their own in channel `sms`",
        ),
        (
            json!({"templates": [{"channel": "sms", "body": "a"}], "fallback": {"city": "b"}}),
            "`fallback` is given, but `missing` does not ask for it",
        ),
        (
            json!({"templates": [{"channel": "sms", "body": "a"}], "missing": "fallback", "fallback": {"city": "b"}}),
            "`fallback` names `city`, which no template reads",
        ),
    ];
    for (options, expected) in cases {
        let output = run(false, options).await;
        assert_eq!(message(&output), expected);
    }
}
