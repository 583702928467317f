//! What segments brought in, against pandas, SciPy and DuckDB (`fixtures/value.py`), and at the edges.
#![expect(clippy::unwrap_used, reason = "tests may fail by panicking")]

mod common;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use common::{
    assignment, count, error_code, floats, ids, integers, messages, numbers, rows, run, table,
    texts,
};
use marquetry_plugin::testing::TestOutput;
use marquetry_plugin::{LogLevel, PanelBody};
use serde_json::{Value, json};

/// A CSV file below `plugins`, its column `ts` as times.
fn fixture(path: &str) -> RecordBatch {
    let path = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("..")
        .join(path);
    let format = Format::default().with_header(true);
    let (inferred, _) = format
        .infer_schema(File::open(&path).unwrap(), None)
        .unwrap();
    let fields = inferred.fields().iter().map(|field| {
        let kind = match field.name().as_str() {
            "ts" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            _ => field.data_type().clone(),
        };
        Field::new(field.name(), kind, true)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(Arc::clone(&schema))
        .with_header(true)
        .build(File::open(&path).unwrap())
        .unwrap();
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn times(times: &[&str]) -> ArrayRef {
    let kind = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    cast(&texts(times), &kind).unwrap()
}

/// Customer, order, time, quantity; everything costs 10.
fn orders(lines: &[(i64, i64, &str, i64)]) -> RecordBatch {
    let column = |value: fn(&(i64, i64, &str, i64)) -> i64| -> ArrayRef {
        ids(&lines.iter().map(value).collect::<Vec<_>>())
    };
    let at: Vec<&str> = lines.iter().map(|line| line.2).collect();
    table(vec![
        ("customer_id", column(|line| line.0)),
        ("order_id", column(|line| line.1)),
        ("quantity", column(|line| line.3)),
        ("unit_price", floats(&vec![10.0; lines.len()])),
        ("ts", times(&at)),
    ])
}

async fn value(segments: RecordBatch, orders: RecordBatch, options: Value) -> TestOutput {
    let mut with = json!({
        "assignment": "$segments",
        "orders": "$orders",
        "from": "2025-01-01",
        "until": "2025-02-01",
    });
    for (name, value) in options.as_object().unwrap() {
        with[name] = value.clone();
    }
    let inputs = [("segments", segments), ("orders", orders)];
    run("evaluation/value", &inputs, with).await
}

#[tokio::test]
async fn figures_and_intervals_are_those_of_pandas_scipy_and_duckdb() {
    let options = json!({
        "cancelled": "cancelled",
        "timezone": "Europe/London",
        "from": "2023-05-01",
        "until": "2023-09-01T12:00:00",
        "margin": 0.35,
        "cost_per_order": 1.25,
    });
    let output = value(
        fixture("evaluation/tests/fixtures/value_assignment.csv"),
        fixture("features/tests/fixtures/orders.csv"),
        options,
    )
    .await;
    let found = rows(&output, "segments");
    let expected = fixture("evaluation/tests/fixtures/value_segments.csv");
    assert_eq!(found.num_rows(), 4);
    assert_eq!(found.num_columns(), expected.num_columns());
    for field in expected.schema().fields() {
        let name = field.name();
        let column = |batch: &RecordBatch| -> Vec<Option<f64>> {
            let floats = cast(batch.column_by_name(name).unwrap(), &DataType::Float64).unwrap();
            let floats = floats.as_primitive::<Float64Type>();
            floats.iter().collect()
        };
        for (found, expected) in column(&found).into_iter().zip(column(&expected)) {
            let is_same = match (found, expected) {
                (Some(found), Some(expected)) => {
                    f64::abs(found - expected) <= 1e-9 * f64::abs(expected).max(1e-3)
                }
                (found, expected) => found == expected,
            };
            assert!(is_same, "{name}: {found:?}, expected {expected:?}");
        }
    }
    let metrics = &output.outcome().metrics;
    let total: f64 = numbers(&expected, "profit").iter().flatten().sum();
    assert!(
        (metrics["profit_total"] - total).abs() < 1e-9,
        "{metrics:?}"
    );
    assert_eq!(metrics["active_share"], 15.0 / 70.0);
    assert_eq!(
        messages(&output, LogLevel::Warn),
        ["customers that ordered in the window have no segment and count nowhere"]
    );
    assert_eq!(output.panels.len(), 4);
    // Returns cost a segment more than it earned, and a loss has no place on a Lorenz curve.
    assert!(!metrics.contains_key("concentration"));
}

#[tokio::test]
async fn an_order_belongs_to_the_window_of_its_first_line() {
    let lines = orders(&[
        // Begins before midnight in Berlin and so before the window.
        (1, 1, "2024-12-31T22:59:59Z", 1),
        (1, 1, "2025-01-01T10:00:00Z", 5),
        (2, 2, "2024-12-31T23:00:00Z", 1),
        (2, 3, "2025-01-31T22:59:59Z", 2),
        (2, 3, "2025-02-02T00:00:00Z", 4),
        (3, 4, "2025-01-31T23:00:00Z", 1),
    ]);
    let output = value(
        assignment(&[0, 0, 1]),
        lines,
        json!({"timezone": "Europe/Berlin"}),
    )
    .await;
    let customers = rows(&output, "customers");
    assert_eq!(integers(&customers, "customer_id"), [Some(2)]);
    assert_eq!(integers(&customers, "orders"), [Some(2)]);
    assert_eq!(numbers(&customers, "profit"), [Some(70.0)]);
    let segments = rows(&output, "segments");
    assert_eq!(numbers(&segments, "active_share"), [Some(0.5), Some(0.0)]);
    assert_eq!(
        numbers(&segments, "share_of_profit"),
        [Some(1.0), Some(0.0)]
    );
    assert_eq!(numbers(&segments, "lift"), [Some(1.5), Some(0.0)]);
    assert_eq!(numbers(&segments, "repeat_share"), [Some(1.0), None]);
    // The first of its two orders is the first moment of the window.
    assert_eq!(numbers(&segments, "first_order_days"), [Some(0.0), None]);
    // Two of three customers have all of the profit.
    let concentration = output.outcome().metrics["concentration"];
    assert!((concentration - 1.0 / 3.0).abs() < 1e-12, "{concentration}");
    // One customer has no spread to make an interval of.
    assert_eq!(numbers(&segments, "profit_per_customer_low")[1], None);
}

#[tokio::test]
async fn without_orders_or_customers_nothing_was_earned() {
    let none = value(assignment(&[0, 1]), orders(&[]), json!({})).await;
    let metrics = &none.outcome().metrics;
    assert_eq!(
        (metrics["profit_total"], metrics["active_share"]),
        (0.0, 0.0)
    );
    let segments = rows(&none, "segments");
    assert_eq!(numbers(&segments, "share_of_profit"), [None, None]);
    let PanelBody::Bars { series, .. } = &none.panels[1].body else {
        unreachable!("{:?}", none.panels)
    };
    assert_eq!(series.len(), 1);

    let one = orders(&[(1, 1, "2025-01-05T00:00:00Z", 1)]);
    let nobody = value(assignment(&[]), one, json!({})).await;
    assert!(!nobody.outcome().metrics.contains_key("active_share"));
    assert_eq!(count(&nobody, "segments"), 0);
}

#[tokio::test]
async fn a_window_without_a_moment_is_refused() {
    for until in ["2025-01-01", "2024-01-01"] {
        let output = value(assignment(&[0]), orders(&[]), json!({"until": until})).await;
        assert_eq!(error_code(&output), "MQ0113");
        let error = output.error().to_string();
        let expected = format!("the window from 2025-01-01 until {until} holds no moment");
        assert!(error.starts_with(&expected), "{error}");
    }
    let output = value(assignment(&[0]), orders(&[]), json!({"until": "later"})).await;
    let error = output.error().to_string();
    assert!(
        error.starts_with("`until`: `later` is no date or time"),
        "{error}"
    );
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_told() {
    let line = || orders(&[(1, 1, "2025-01-05T00:00:00Z", 1)]);
    let twice = table(vec![
        ("customer_id", ids(&[1, 1])),
        ("segment", ids(&[0, 1])),
    ]);
    let by_text = table(vec![("customer_id", texts(&["a"])), ("segment", ids(&[0]))]);
    let cases = [
        (
            twice,
            json!({}),
            "customer_id 1 stands in `assignment` more than once",
        ),
        (
            by_text,
            json!({}),
            "`customer_id` is an integer in one of `assignment` and `orders`",
        ),
        (
            assignment(&[0]),
            json!({"columns": {"quantity": "pieces"}}),
            "`orders` has no column `pieces`",
        ),
        (
            assignment(&[0]),
            json!({"key": "id"}),
            "`assignment` has no column `id`",
        ),
        (
            assignment(&[0]),
            json!({"key": "orders"}),
            "the key cannot be named `orders`",
        ),
    ];
    for (segments, options, expected) in cases {
        let output = value(segments, line(), options).await;
        let error = output.error().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let output = value(assignment(&[0]), line(), json!({"margin": 1.5})).await;
    assert_eq!(error_code(&output), "MQ0113");
}
