//! What segmentation/rfm makes of tables of segments and of odd input, and what it refuses.

use arrow::array::RecordBatch;
use marquetry_plugin::PanelBody;
use marquetry_plugin::testing::TestOutput;
use serde_json::{Value, json};

use crate::support::{
    complaint, floats, ids, numbers, rows, run, segments, table, texts, warnings, words,
};

/// Ten customers, the first the worst in everything.
fn customers() -> RecordBatch {
    let values = || (1..=10).map(f64::from);
    table([
        ("customer_id", ids(1..=10)),
        ("recency_days", floats(values().rev())),
        ("frequency", floats(values())),
        ("monetary", floats(values().map(|value| value * 10.0))),
        ("country", texts(["DE"; 10])),
    ])
}

async fn scored(rows: &RecordBatch, more: Value) -> TestOutput {
    let mut options = json!({"rows": "$rows"});
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    run("segmentation/rfm", &[("rows", rows)], options).await
}

#[tokio::test]
async fn fifths_have_scores_names_and_panels() {
    let output = scored(&customers(), json!({})).await;
    let got = rows(&output, "segments");
    let names: Vec<&str> = got
        .schema_ref()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, ["customer_id", "r", "f", "m", "rfm", "segment"]);
    assert_eq!(
        words(&got, "rfm"),
        [
            "111", "111", "222", "222", "333", "333", "444", "444", "555", "555"
        ]
    );
    assert_eq!(
        segments(&output),
        "1 Lost, 2 Lost, 3 Hibernating, 4 Hibernating, 5 Need Attention, 6 Need Attention, 7 Loyal Customers, 8 Loyal Customers, 9 Champions, 10 Champions"
    );
    assert_eq!(output.outcome().metrics["customers"], 10.0);
    assert_eq!(output.outcome().metrics["segments"], 5.0);
    assert_eq!(warnings(&output), Vec::<String>::new());

    let PanelBody::Bars { bars, .. } = &output.panels[0].body else {
        panic!("{:?}", output.panels[0]);
    };
    // In the order of the table; customers and money.
    let shown: Vec<(&str, &[f64])> = bars
        .iter()
        .map(|bar| (bar.label.as_str(), bar.values.as_slice()))
        .collect();
    assert_eq!(shown[0], ("Champions", [2.0, 190.0].as_slice()));
    assert_eq!(shown[4], ("Lost", [2.0, 30.0].as_slice()));
    let PanelBody::Heatmap { values, .. } = &output.panels[1].body else {
        panic!("{:?}", output.panels[1]);
    };
    assert_eq!(
        (values[0][4], values[4][0], values[0][0]),
        (Some(2.0), Some(2.0), None)
    );
}

#[tokio::test]
async fn a_table_of_the_workflow_replaces_the_usual_one() {
    let segments_of = json!([
        {"name": "best", "r": [4, 5], "fm": [4, 5]},
        {"name": "middling", "r": [2, 3], "f": 3},
        {"name": "best", "m": 2},
        {"name": "rest"},
    ]);
    let output = scored(&customers(), json!({"segments": segments_of})).await;
    assert_eq!(
        segments(&output),
        "1 rest, 2 rest, 3 best, 4 best, 5 middling, 6 middling, 7 best, 8 best, 9 best, 10 best"
    );
    assert_eq!(output.outcome().metrics["segments"], 3.0);
    let PanelBody::Bars { bars, .. } = &output.panels[0].body else {
        panic!("{:?}", output.panels[0]);
    };
    // Rows of the same name are one segment.
    let sizes: Vec<(&str, f64)> = bars
        .iter()
        .map(|bar| (bar.label.as_str(), bar.values[0]))
        .collect();
    assert_eq!(sizes, [("best", 6.0), ("middling", 2.0), ("rest", 2.0)]);
}

#[tokio::test]
async fn what_a_table_leaves_out_is_told_before_anything_is_scored() {
    for (table, expected) in [
        (
            json!([{"name": "recent", "r": [2, 5]}, {"name": "gone", "r": 1, "f": [1, 4]}]),
            "`segments` names no segment for r 1, f 5, m 1; r 1, f 5, m 2; r 1, f 5, m 3, and 2 more [MQ0113]; help: end the table with a row without ranges, as in `- { name: others }`",
        ),
        (
            json!([{"name": "most", "m": [1, 4]}, {"name": "rich", "f": [2, 5]}, {"name": "new", "r": [2, 5]}]),
            "`segments` names no segment for r 1, f 1, m 5 [MQ0113]; help: end the table with a row without ranges, as in `- { name: others }`",
        ),
    ] {
        assert_eq!(
            complaint(&scored(&customers(), json!({"segments": table})).await),
            expected
        );
    }
}

#[tokio::test]
async fn rows_that_nothing_reaches_are_told() {
    let table = json!([{"name": "all"}, {"name": "vip", "r": 5}]);
    let output = scored(&customers(), json!({"segments": table})).await;
    assert_eq!(
        warnings(&output),
        ["no scores reach a row of the table: rows before it hold them all: row=2 segment=\"vip\""]
    );
}

#[tokio::test]
async fn tables_that_are_none_are_refused() {
    for (table, expected) in [
        (json!([]), "segments"),
        (json!([{"name": ""}]), "name"),
        (json!([{"name": "a", "r": 6}]), "r"),
        (json!([{"name": "a", "r": [0, 3]}]), "r"),
        (
            json!([{"name": "a", "f": [4, 2]}]),
            "4 to 2 is no range of scores: they go from 1 to 5, the lower first",
        ),
        (json!([{"name": "a", "x": 1}]), "x"),
        (json!([{"r": 1}]), "name"),
    ] {
        let said = complaint(&scored(&customers(), json!({"segments": table})).await);
        assert!(
            said.contains(expected) && said.contains("[MQ0113]"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn few_customers_have_the_lowest_scores_as_in_sql_and_it_is_told() {
    let none = scored(&customers().slice(0, 0), json!({})).await;
    assert_eq!(segments(&none), "");
    assert_eq!(none.outcome().metrics["customers"], 0.0);
    assert!(none.panels.is_empty());
    assert_eq!(
        warnings(&none),
        ["there are no customers to score: customers=0"]
    );

    let one = scored(&customers().slice(9, 1), json!({})).await;
    assert_eq!(words(&rows(&one, "segments"), "rfm"), ["111"]);
    assert_eq!(segments(&one), "10 Lost");
    let few =
        ["there are fewer customers than scores, so that nobody has the best ones: customers=1"];
    assert_eq!(warnings(&one), few);

    let three = scored(&customers().slice(7, 3), json!({})).await;
    assert_eq!(
        words(&rows(&three, "segments"), "rfm"),
        ["111", "222", "333"]
    );
}

#[tokio::test]
async fn equal_values_are_divided_by_the_key_and_it_is_told() {
    let same = table([
        ("customer_id", ids((1..=10).rev())),
        ("recency_days", floats([3.5; 10])),
        ("frequency", floats([1.0; 10])),
        ("monetary", floats((1..=10).map(f64::from))),
    ]);
    let output = scored(&same, json!({})).await;
    let got = rows(&output, "segments");
    let fifths = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0];
    assert_eq!(numbers(&got, "r"), fifths);
    assert_eq!(numbers(&got, "f"), fifths);
    assert_eq!(numbers(&got, "m"), {
        let mut m = fifths;
        m.reverse();
        m
    });
    let told =
        "customers with the same value have different scores: the order of the key divides them";
    assert_eq!(
        warnings(&output),
        [
            format!("{told}: column=\"recency_days\" customers=10 highest=5 lowest=1 value=3.5"),
            format!("{told}: column=\"frequency\" customers=10 highest=5 lowest=1 value=1.0"),
        ]
    );
}

#[tokio::test]
async fn one_column_may_stand_for_two() {
    let output = scored(&customers(), json!({"monetary": "frequency"})).await;
    let got = rows(&output, "segments");
    assert_eq!(numbers(&got, "m"), numbers(&got, "f"));
}

#[tokio::test]
async fn values_that_cannot_be_scored_are_named_with_column_and_customer() {
    let with = |column: usize, value: Option<f64>| {
        let mut columns = [
            [1.0, 2.0].map(Some),
            [1.0, 2.0].map(Some),
            [1.0, 2.0].map(Some),
        ];
        columns[column][1] = value;
        let [r, f, m] = columns;
        table([
            ("customer_id", ids([7, 8])),
            ("recency_days", floats(r)),
            ("frequency", floats(f)),
            ("monetary", floats(m)),
        ])
    };
    let help = |option: &str| {
        format!(
            "[MQ0406]; help: every customer needs a number there: put it right with features/sql, or name another column by `{option}`"
        )
    };
    for (column, value, expected, option) in [
        (
            0,
            None,
            "customer_id 8 has no value in column `recency_days`",
            "recency",
        ),
        (
            1,
            Some(f64::NAN),
            "customer_id 8 has NaN in column `frequency`",
            "frequency",
        ),
        (
            2,
            Some(f64::INFINITY),
            "customer_id 8 has inf in column `monetary`",
            "monetary",
        ),
    ] {
        let said = complaint(&scored(&with(column, value), json!({})).await);
        assert_eq!(said, format!("{expected} {}", help(option)));
    }
}

#[tokio::test]
async fn columns_and_keys_must_be_there_and_of_their_kind() {
    let all = customers();
    for (options, expected) in [
        (
            json!({"monetary": "country"}),
            "column `country` is of type Utf8, not a number [MQ0403]; help: every customer needs a number there: put it right with features/sql, or name another column by `monetary`",
        ),
        (
            json!({"frequency": "freqency"}),
            "`rows` has no column `freqency` [MQ0403]; help: did you mean `frequency`?",
        ),
        (
            json!({"key": "id"}),
            "`rows` has no column `id` [MQ0403]; help: its columns are `customer_id`, `recency_days`, `frequency`, `monetary`, `country`",
        ),
        (
            json!({"key": "country"}),
            "country \"DE\" stands in `rows` more than once [MQ0406]; help: there must be one row per key: aggregate with features/customer or features/sql",
        ),
        (
            json!({"key": "rfm"}),
            "the key cannot be named `rfm`: the output has a column of that name [MQ0113]; help: rename it in ingest/files or features/sql",
        ),
    ] {
        assert_eq!(complaint(&scored(&all, options).await), expected);
    }
}
