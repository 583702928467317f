//! `evaluation/value`, against DuckDB, pandas and SciPy. See `fixtures/expected.py` for how the expected
//! results were made and by which versions.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use serde_json::{Value, json};

use crate::support::{
    floats, ids, integers, named, numbered, numbers, panels, refusal, rows, run, table, texts,
    warnings, words,
};

const KIND: &str = "evaluation/value";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A CSV file, its column `ts` as times.
fn fixture(name: &str) -> RecordBatch {
    let open = || File::open(path(name)).unwrap();
    let format = Format::default().with_header(true);
    let (inferred, _) = format.infer_schema(open(), None).unwrap();
    let fields = inferred.fields().iter().map(|field| {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let kind = match field.name().as_str() {
            "ts" => time,
            _ => field.data_type().clone(),
        };
        Field::new(field.name(), kind, true)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true);
    let batches: Vec<_> = reader.build(open()).unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn as_floats(batch: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    let column = cast(batch.column_by_name(column).unwrap(), &DataType::Float64).unwrap();
    column.as_primitive::<Float64Type>().iter().collect()
}

/// All columns of `expected`, in `got`: numbers to 1e-9, texts exactly.
fn assert_same(expected: &RecordBatch, got: &RecordBatch) {
    assert_eq!(got.num_rows(), expected.num_rows());
    assert_eq!(got.num_columns(), expected.num_columns());
    for field in expected.schema().fields() {
        let name = field.name();
        if *field.data_type() == DataType::Utf8 {
            // An empty text in CSV is a null here.
            let wanted = words(expected, name).into_iter();
            let wanted: Vec<_> = wanted
                .map(|text| text.filter(|text| !text.is_empty()))
                .collect();
            assert_eq!(words(got, name), wanted, "{name}");
            continue;
        }
        let pairs = as_floats(got, name)
            .into_iter()
            .zip(as_floats(expected, name));
        for (row, (got, wanted)) in pairs.enumerate() {
            let is_same = match (got, wanted) {
                (Some(got), Some(wanted)) => (got - wanted).abs() <= 1e-9 * wanted.abs().max(1e-3),
                (got, wanted) => got == wanted,
            };
            assert!(is_same, "{name}, row {row}: {got:?}, not {wanted:?}");
        }
    }
}

#[tokio::test]
async fn segments_customers_and_totals_are_those_of_duckdb_pandas_and_scipy() {
    let inputs = [
        ("orders", fixture("../features/tests/fixtures/orders.csv")),
        ("segments", fixture("tests/fixtures/assignment.csv")),
    ];
    let options = json!({
        "assignment": "$segments",
        "orders": "$orders",
        "cancelled": "cancelled",
        "from": "2024-01-01",
        "until": "2024-06-01",
        "timezone": "Europe/Berlin",
        "margin": 0.4,
        "cost_per_order": 1.5,
    });
    let output = run(KIND, &inputs, options).await;
    let metrics = &output.outcome().metrics;
    assert_same(
        &fixture("tests/fixtures/value.csv"),
        &rows(&output, "segments"),
    );
    assert_same(
        &fixture("tests/fixtures/value_customers.csv"),
        &rows(&output, "customers"),
    );
    let text = std::fs::read_to_string(path("tests/fixtures/value.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let expected = expected["metrics"].as_object().unwrap();
    assert_eq!(metrics.len(), expected.len(), "{metrics:?}");
    for (name, value) in expected {
        let (got, wanted) = (metrics[name.as_str()], value.as_f64().unwrap());
        assert!(
            (got - wanted).abs() <= 1e-9 * wanted.abs(),
            "{name}: {got}, not {wanted}"
        );
    }
    assert_eq!(panels(&output), ["figures", "bars", "bars", "table"]);
}

/// Lines of orders: customer, order, amount, day of 1970.
fn lines(of: &[(Option<i64>, i64, f64, i64)]) -> RecordBatch {
    let customers: Vec<Option<i64>> = of.iter().map(|line| line.0).collect();
    let orders: Vec<i64> = of.iter().map(|line| line.1).collect();
    let amounts: Vec<f64> = of.iter().map(|line| line.2).collect();
    let days = of.iter().map(|line| i32::try_from(line.3).unwrap());
    table(vec![
        (
            "customer_id",
            Arc::new(arrow::array::Int64Array::from(customers)),
        ),
        ("order_id", ids(&orders)),
        ("total", floats(&amounts)),
        (
            "ts",
            Arc::new(days.map(Some).collect::<arrow::array::Date32Array>()),
        ),
    ])
}

fn options() -> Value {
    json!({
        "assignment": "$segments",
        "orders": "$orders",
        "columns": {"amount": "total"},
        "from": "1970-01-02",
        "until": "1970-01-11",
    })
}

#[tokio::test]
async fn the_window_holds_its_start_and_not_its_end_and_an_order_is_where_it_began() {
    let orders = lines(&[
        (Some(1), 10, 100.0, 0), // before it
        (Some(1), 11, 5.0, 1),   // its first moment
        (Some(1), 11, 7.0, 30),  // a later line of the same order
        (Some(2), 12, 50.0, 10), // its end
        (Some(3), 13, 2.0, 9),
        (None, 14, 9.0, 5),
        (Some(9), 15, 1.0, 5), // has no segment
    ]);
    let inputs = [
        ("orders", orders),
        ("segments", numbered(&[1, 2, 3], &[0, 0, 1])),
    ];
    let output = run(KIND, &inputs, options()).await;
    let segments = rows(&output, "segments");
    assert_eq!(integers(&segments, "orders"), [Some(1), Some(1)]);
    assert_eq!(numbers(&segments, "revenue"), [Some(12.0), Some(2.0)]);
    // Without margin and costs profit is revenue.
    assert_eq!(numbers(&segments, "profit"), [Some(12.0), Some(2.0)]);
    assert_eq!(
        numbers(&segments, "first_order_days"),
        [Some(0.0), Some(8.0)]
    );
    assert_eq!(numbers(&segments, "profit_low")[1], None);
    let metrics = &output.outcome().metrics;
    assert_eq!(metrics["orders_without_segment"], 1.0);
    assert_eq!(metrics["lines_without_customer"], 1.0);
    assert_eq!(warnings(&output), ["lines without a customer are left out"]);
}

#[tokio::test]
async fn nobody_and_nothing_are_results_that_are_told() {
    let some = lines(&[(Some(1), 10, 1.0, 3)]);
    let early = lines(&[(Some(1), 10, 1.0, 0)]);
    let cases = [
        (
            some.slice(0, 0),
            numbered(&[1], &[0]),
            "there are no orders in the window",
        ),
        (
            early,
            numbered(&[1], &[0]),
            "there are no orders in the window",
        ),
        (
            some.clone(),
            numbered(&[], &[]),
            "no customer has a segment",
        ),
        (some, named(&[1], &[None]), "no customer has a segment"),
    ];
    for (orders, segments, told) in cases {
        let output = run(
            KIND,
            &[("orders", orders), ("segments", segments)],
            options(),
        )
        .await;
        assert_eq!(warnings(&output), [told], "{:?}", output.result);
        assert_eq!(output.outcome().metrics["profit_total"], 0.0);
    }
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused() {
    let orders = lines(&[(Some(1), 10, 1.0, 3)]);
    let unknown = lines(&[(Some(1), 10, f64::NAN, 3), (Some(1), 11, f64::INFINITY, 3)]);
    let by_text = table(vec![("customer_id", texts(&["a"])), ("segment", ids(&[1]))]);
    let by_float = table(vec![
        ("customer_id", floats(&[1.0])),
        ("segment", ids(&[1])),
    ]);
    let unnamed = table(vec![
        ("customer_id", ids(&[1])),
        ("segment", floats(&[1.0])),
    ]);
    let good = numbered(&[1], &[0]);
    let with = |key: &str, value: Value| {
        let mut options = options();
        options[key] = value;
        options
    };
    let cases = [
        (
            &orders,
            &good,
            with("until", json!("1970-01-02")),
            "MQ0113",
            "the window from 1970-01-02 until 1970-01-02 has no time",
        ),
        (
            &orders,
            &good,
            with("from", json!("soon")),
            "MQ0113",
            "`from`: `soon` is no date or time",
        ),
        (
            &orders,
            &good,
            with("timezone", json!("Mars/Base")),
            "MQ0113",
            "`timezone`: there is no time zone",
        ),
        (
            &orders,
            &good,
            with("margin", json!(1.2)),
            "MQ0113",
            "`margin` must be at most 1",
        ),
        (
            &orders,
            &good,
            with("key", json!("customer")),
            "MQ0403",
            "`assignment` has no column `customer`",
        ),
        (
            &orders,
            &good,
            with("key", json!("orders")),
            "MQ0113",
            "the key cannot be named `orders`",
        ),
        (
            &orders,
            &good,
            with("columns", json!({})),
            "MQ0403",
            "`orders` has no column `quantity`",
        ),
        (
            &orders,
            &good,
            with("cancelled", json!("total")),
            "MQ0403",
            "column `total` of `orders` is of type Float64, not true or false",
        ),
        (
            &unknown,
            &good,
            options(),
            "MQ0406",
            "2 lines have no value that can be used in column `total`",
        ),
        (
            &orders,
            &by_text,
            options(),
            "MQ0403",
            "`customer_id` is a text in `assignment`, and `customer_id` is an integer in `orders`",
        ),
        (
            &orders,
            &by_float,
            options(),
            "MQ0403",
            "the key `customer_id` of `assignment` is of type Float64",
        ),
        (
            &orders,
            &unnamed,
            options(),
            "MQ0403",
            "`segment` of `assignment` is of type Float64",
        ),
        (
            &orders,
            &numbered(&[1, 1], &[0, 1]),
            options(),
            "MQ0406",
            "customer_id 1 stands in `assignment` more than once",
        ),
    ];
    for (orders, segments, options, code, message) in cases {
        let inputs = [("orders", orders.clone()), ("segments", segments.clone())];
        let refused = refusal(&run(KIND, &inputs, options).await);
        assert!(refused.1.contains(message), "{refused:?}, not {message}");
        assert_eq!(refused.0, code, "{message}");
    }
}
