#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::f64::consts::TAU;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::Float64Type;
use marquetry_plugin::testing::{TestOutput, TestStage};
use marquetry_plugin::{StageError, StageHandler};
use marquetry_types::codes;
use serde_json::{Value, json};

use super::Customer;

/// Customer, order, product, quantity, price, time, cancelled, country.
type Line = (
    Option<i64>,
    &'static str,
    &'static str,
    i64,
    f64,
    &'static str,
    bool,
    &'static str,
);

/// Customer 2 has orders on Saturday the 4th, Monday the 6th and Friday the 10th of January 2025, and a
/// cancelled one on the 20th; customer 1 has one order; a line is nobody's; customer 3 cancelled.
const LINES: [Line; 8] = [
    (
        Some(2),
        "a",
        "tea",
        2,
        1.5,
        "2025-01-04T06:10:00Z",
        false,
        "fr",
    ),
    (
        Some(2),
        "a",
        "jam",
        1,
        4.0,
        "2025-01-04T06:40:00Z",
        false,
        "de",
    ),
    (
        Some(2),
        "b",
        "tea",
        1,
        2.0,
        "2025-01-06T06:10:00Z",
        false,
        "de",
    ),
    (
        Some(2),
        "c",
        "tea",
        3,
        1.0,
        "2025-01-10T18:10:00Z",
        false,
        "fr",
    ),
    (
        Some(2),
        "d",
        "cup",
        9,
        9.0,
        "2025-01-20T06:10:00Z",
        true,
        "it",
    ),
    (
        Some(1),
        "e",
        "cup",
        5,
        2.0,
        "2025-01-05T23:30:00Z",
        false,
        "it",
    ),
    (
        None,
        "f",
        "cup",
        7,
        2.0,
        "2025-02-05T23:30:00Z",
        false,
        "it",
    ),
    (
        Some(3),
        "g",
        "cup",
        7,
        2.0,
        "2025-01-05T23:30:00Z",
        true,
        "it",
    ),
];

fn batch(lines: &[Line]) -> RecordBatch {
    let times = lines
        .iter()
        .map(|line| line.5.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let columns: [(&str, ArrayRef); 8] = [
        (
            "customer_id",
            Arc::new(lines.iter().map(|line| line.0).collect::<Int64Array>()),
        ),
        (
            "order_id",
            Arc::new(StringArray::from_iter_values(
                lines.iter().map(|line| line.1),
            )),
        ),
        (
            "product_id",
            Arc::new(StringArray::from_iter_values(
                lines.iter().map(|line| line.2),
            )),
        ),
        (
            "quantity",
            Arc::new(Int64Array::from_iter_values(
                lines.iter().map(|line| line.3),
            )),
        ),
        (
            "unit_price",
            Arc::new(Float64Array::from_iter_values(
                lines.iter().map(|line| line.4),
            )),
        ),
        (
            "ts",
            Arc::new(TimestampMillisecondArray::from_iter_values(times)),
        ),
        (
            "void",
            Arc::new(
                lines
                    .iter()
                    .map(|line| Some(line.6))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "country",
            Arc::new(StringArray::from_iter_values(
                lines.iter().map(|line| line.7),
            )),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

async fn run(lines: &[Line], more: Value) -> TestOutput {
    let mut options = json!({"orders": "$orders", "cancelled": "void", "top": ["country"]});
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    let handler: Arc<dyn StageHandler> = Arc::new(Customer::default());
    TestStage::new(handler)
        .input("orders", vec![batch(lines)])
        .options(options)
        .run()
        .await
}

/// A column as numbers, none for null.
fn numbers(output: &TestOutput, column: &str) -> Vec<Option<f64>> {
    let mut all = Vec::new();
    for batch in &output.outputs["customers"] {
        let column = arrow::compute::cast(
            batch.column_by_name(column).unwrap(),
            &arrow::datatypes::DataType::Float64,
        );
        all.extend(column.unwrap().as_primitive::<Float64Type>().iter());
    }
    all
}

fn assert_column(output: &TestOutput, column: &str, expected: [Option<f64>; 2]) {
    let got = numbers(output, column);
    assert_eq!(got.len(), expected.len(), "{column}: {got:?}");
    for (got, expected) in got.iter().zip(expected) {
        let is_same = match (got, expected) {
            (Some(got), Some(expected)) => (got - expected).abs() < 1e-12,
            (got, expected) => got.is_none() && expected.is_none(),
        };
        assert!(is_same, "{column}: {got:?}, not {expected:?}");
    }
}

#[tokio::test]
async fn figures_equal_those_computed_by_hand() {
    let output = run(&LINES, json!({})).await;
    // The last line that counts is on the 10th, so days are counted to the 11th, 00:00.
    assert_column(&output, "customer_id", [Some(1.0), Some(2.0)]);
    let minutes = |minutes: f64| Some(minutes / 1440.0);
    assert_column(
        &output,
        "recency_days",
        [minutes(5.0 * 1440.0 + 30.0), minutes(350.0)],
    );
    assert_column(
        &output,
        "tenure_days",
        [minutes(5.0 * 1440.0 + 30.0), minutes(6.0 * 1440.0 + 1070.0)],
    );
    assert_column(&output, "frequency", [Some(1.0), Some(3.0)]);
    assert_column(&output, "items", [Some(5.0), Some(7.0)]);
    assert_column(&output, "distinct_products", [Some(1.0), Some(2.0)]);
    assert_column(&output, "monetary", [Some(10.0), Some(12.0)]);
    assert_column(&output, "avg_order_value", [Some(10.0), Some(4.0)]);
    // Gaps of 2 and 4.5 days: mean 3.25, sample deviation 2.5 / sqrt 2.
    assert_column(&output, "gap_mean_days", [None, Some(3.25)]);
    assert_column(&output, "gap_std_days", [None, Some(2.5 / 2.0_f64.sqrt())]);
    assert_column(&output, "weekend_share", [Some(1.0), Some(1.0 / 3.0)]);
    let late = 23.0 * TAU / 24.0;
    assert_column(&output, "hour_sin", [Some(late.sin()), Some(1.0 / 3.0)]);
    assert_column(&output, "hour_cos", [Some(late.cos()), Some(0.0)]);
    assert_column(&output, "cancel_rate", [Some(0.0), Some(0.25)]);
    let top = output.outputs["customers"][0]
        .column_by_name("top_country")
        .unwrap()
        .clone();
    let top = arrow::compute::cast(&top, &arrow::datatypes::DataType::Utf8).unwrap();
    assert_eq!(top.as_string::<i32>(), &StringArray::from(vec!["it", "de"]));

    let metrics: Vec<_> = output
        .outcome()
        .metrics
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        metrics,
        [
            "customers=2",
            "lines=5",
            "lines_without_customer=1",
            "orders=4"
        ]
    );
    let schema = output.outputs["customers"][0].schema();
    let names: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(
        names.join(" "),
        "customer_id recency_days tenure_days frequency items distinct_products monetary avg_order_value \
         gap_mean_days gap_std_days weekend_share hour_sin hour_cos cancel_rate top_country"
    );
}

#[tokio::test]
async fn hours_and_days_are_those_of_the_time_zone() {
    // In Auckland (UTC+13) Sunday 23:30 is Monday 12:30; the last line is on the 11th, 07:10, so days
    // are counted to the 12th, 00:00, which is the 11th, 11:00 in UTC.
    let output = run(&LINES, json!({"timezone": "Pacific/Auckland"})).await;
    assert_column(&output, "weekend_share", [Some(0.0), Some(2.0 / 3.0)]);
    let recency = numbers(&output, "recency_days");
    assert!(
        (recency[1].unwrap() - (16.0 + 5.0 / 6.0) / 24.0).abs() < 1e-12,
        "{recency:?}"
    );
    assert!((numbers(&output, "hour_cos")[0].unwrap() + 1.0).abs() < 1e-12);
}

#[tokio::test]
async fn a_given_moment_counts_unless_lines_follow_it() {
    let output = run(&LINES, json!({"as_of": "2025-01-12"})).await;
    assert!((numbers(&output, "recency_days")[1].unwrap() - (1.0 + 350.0 / 1440.0)).abs() < 1e-12);
    let output = run(&LINES, json!({"as_of": "2025-01-10"})).await;
    assert!(
        output
            .error()
            .to_string()
            .contains("lines after 2025-01-10"),
        "{}",
        output.error()
    );
}

#[tokio::test]
async fn no_lines_give_no_customers() {
    let output = run(&[], json!({})).await;
    assert!(numbers(&output, "customer_id").is_empty());
    assert_eq!(
        output.outcome().metrics["customers"].to_bits(),
        0.0_f64.to_bits()
    );
}

#[tokio::test]
async fn a_missing_column_is_named_with_its_neighbour() {
    let output = run(&LINES, json!({"columns": {"quantity": "quantiti"}})).await;
    let StageError::Invalid(diagnostic) = output.error() else {
        panic!("{:?}", output.error())
    };
    assert_eq!(diagnostic.code, codes::COLUMN_MISMATCH);
    assert_eq!(diagnostic.message, "`orders` has no column `quantiti`");
    assert_eq!(diagnostic.help.as_deref(), Some("did you mean `quantity`?"));
}

#[tokio::test]
async fn columns_of_other_types_and_values_that_are_none_are_refused() {
    let output = run(&LINES, json!({"columns": {"ts": "country"}})).await;
    assert!(
        output
            .error()
            .to_string()
            .contains("not a timestamp or a date"),
        "{}",
        output.error()
    );
    let mut lines = LINES;
    lines[0].4 = f64::NAN;
    let output = run(&lines, json!({})).await;
    assert!(
        output.error().to_string().contains("1 line has no value"),
        "{}",
        output.error()
    );
}

/// The same lines, with texts for customers.
fn with_text_customers(batch: &RecordBatch) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[0] = arrow::compute::cast(&columns[0], &arrow::datatypes::DataType::Utf8).unwrap();
    let names = batch.schema();
    let names = names.fields().iter().map(|field| field.name().clone());
    let named = names
        .zip(columns)
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

/// Both ways to the same figures: in memory, and by queries.
#[tokio::test]
async fn lines_in_memory_and_by_queries_give_the_same() {
    // A linear congruential generator (Knuth's MMIX): seeded, and all that is needed.
    let mut state = 7_u64;
    let mut draw = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let places = ["fr", "de", "it"];
    let times = [
        "2025-01-04T06:10:00Z",
        "2025-03-30T00:59:00Z",
        "2025-03-30T01:01:00Z",
        "2025-06-01T23:30:00Z",
        "2025-10-26T00:30:00Z",
        "2025-10-26T01:30:00Z",
    ];
    for round in 1..20 {
        let lines: Vec<Line> = (0..round * 10)
            .map(|_| {
                (
                    (draw(9) > 0).then(|| draw(6) as i64 - 3),
                    names[draw(7) as usize],
                    names[draw(4) as usize],
                    draw(9) as i64 - 2,
                    draw(1000) as f64 / 16.0,
                    times[draw(6) as usize],
                    draw(5) == 0,
                    places[draw(3) as usize],
                )
            })
            .collect();
        let batch = batch(&lines);
        let batch = if round % 2 == 0 {
            with_text_customers(&batch)
        } else {
            batch
        };
        let mut both = Vec::new();
        for is_in_memory in [true, false] {
            let handler: Arc<dyn StageHandler> = Arc::new(Customer {
                is_in_memory,
                ..Customer::default()
            });
            let options = json!({
                "orders": "$orders", "cancelled": "void", "top": ["country"],
                "where": "unit_price > 1", "timezone": "Europe/London",
            });
            let output = TestStage::new(handler)
                .input("orders", vec![batch.clone()])
                .options(options)
                .run()
                .await;
            let schema = output.outputs["customers"][0].schema();
            let all = &output.outputs["customers"];
            let all = arrow::compute::concat_batches(&schema, all).unwrap();
            both.push((all, output.outcome().metrics.clone()));
        }
        let [(memory, of_memory), (queries, of_queries)] = &both[..] else {
            panic!("two ways")
        };
        assert_eq!(of_memory, of_queries, "round {round}");
        assert_eq!(memory.num_rows(), queries.num_rows(), "round {round}");
        let fields = memory.schema().fields().clone();
        for (index, field) in fields.iter().enumerate() {
            let other = queries.schema().field(index).clone();
            assert_eq!(
                (field.name(), field.data_type()),
                (other.name(), other.data_type())
            );
            let (left, right) = (memory.column(index), queries.column(index));
            if *field.data_type() != arrow::datatypes::DataType::Float64 {
                assert_eq!(left, right, "{} in round {round}", field.name());
                continue;
            }
            let pairs = left.as_primitive::<Float64Type>().iter();
            for (left, right) in pairs.zip(right.as_primitive::<Float64Type>().iter()) {
                let is_same = match (left, right) {
                    (Some(left), Some(right)) => (left - right).abs() <= 1e-9,
                    (left, right) => left.is_none() && right.is_none(),
                };
                assert!(
                    is_same,
                    "{} in round {round}: {left:?}, {right:?}",
                    field.name()
                );
            }
        }
    }
}
