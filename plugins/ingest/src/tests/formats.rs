//! Each format, read as it should be.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use serde_json::json;

use super::{ingest, refused, try_ingest};

pub(super) fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[tokio::test]
async fn csv_is_renamed_cast_and_given_constants() {
    let text = "\u{feff}InvoiceNo,CustomerID,InvoiceDate,Price\r\n536365,17850.0,2010-12-01 08:26:00,2.55\r\nC5,,2010-12-02 10:00:00,-1\r\n";
    let options = json!({ "columns": {
        "order_id": { "from": "InvoiceNo" },
        "customer_id": { "from": "CustomerID", "type": "int64" },
        "ts": { "from": "InvoiceDate", "type": "timestamp" },
        "unit_price": { "from": "Price", "type": "float64" },
        "channel": { "value": "web" },
    }});
    let ingested = ingest("a.csv", text, options).await;
    assert_eq!(
        ingested.lines(),
        [
            "536365|17850|2010-12-01T08:26:00Z|2.55|web",
            "C5|-|2010-12-02T10:00:00Z|-1.0|web"
        ]
    );
    assert_eq!(
        ingested.columns(),
        [
            "order_id Utf8",
            "customer_id Int64",
            "ts Timestamp(µs, \"UTC\")",
            "unit_price Float64",
            "channel Utf8"
        ]
    );
}

#[tokio::test]
async fn csv_without_options_is_typed_by_all_its_values() {
    let text = "id,code,price,day,,ok\n1,007,1.5,2010-12-01,a,true\n2,8,2,2010-12-02,,false\n";
    let ingested = ingest("a.csv", text, json!({})).await;
    assert_eq!(
        ingested.columns(),
        [
            "id Int64",
            "code Utf8",
            "price Float64",
            "day Date32",
            "column_5 Utf8",
            "ok Boolean"
        ]
    );
    assert_eq!(ingested.lines()[1], "2|8|2.0|2010-12-02|-|false");
    assert_eq!(ingested.counts.rejections.total(), 0);
}

#[tokio::test]
async fn csv_dialects_and_other_columns() {
    let text = "# made by hand\n'a;b';1\nc;2\n";
    let options = json!({
        "csv": { "delimiter": ";", "quote": "'", "header": false, "comment": "#" },
        "columns": { "number": { "from": "column_2", "type": "int64" } },
        "other_columns": "keep",
    });
    let ingested = ingest("a.csv", text, options).await;
    assert_eq!(ingested.lines(), ["1|a;b", "2|c"]);
    assert_eq!(
        ingest("a.tsv", "a\tb\n1\t2\n", json!({})).await.lines(),
        ["1|2"]
    );
}

#[tokio::test]
async fn csv_columns_may_stand_in_another_order_in_every_file() {
    let files = [
        ("1.csv", "a,b\n1,2\n"),
        ("2.csv", "x,b,a\n0,4,3\n"),
        ("3.csv", "b,a\n"),
    ];
    let options = json!({ "columns": { "a": "int64", "b": "int64" } });
    assert_eq!(
        try_ingest(&files, options).await.unwrap().lines(),
        ["1|2", "3|4"]
    );
}

#[tokio::test]
async fn packed_files_are_unpacked() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"a,b\n1,2\n").unwrap();
    let zstd = zstd::encode_all(b"a,b\n3,4\n".as_slice(), 1).unwrap();
    let files = [("1.csv.gz", gzip.finish().unwrap()), ("2.csv.zst", zstd)];
    assert_eq!(
        try_ingest(&files, json!({})).await.unwrap().lines(),
        ["1|2", "3|4"]
    );
    let diagnostic = refused("1.csv.gz", b"a,b\n1,2\n", json!({})).await;
    assert_eq!(diagnostic.code.as_str(), "MQ0402");
}

#[tokio::test]
async fn ndjson_keeps_its_types() {
    let text = "{\"id\":1,\"name\":\"a\",\"tags\":[1,2],\"price\":1}\n\n{\"id\":2,\"price\":1.5,\"ok\":true}\r\n";
    let ingested = ingest("a.ndjson", text, json!({})).await;
    assert_eq!(
        ingested.columns(),
        [
            "id Int64",
            "name Utf8",
            "tags Utf8",
            "price Float64",
            "ok Boolean"
        ]
    );
    assert_eq!(ingested.lines(), ["1|a|[1,2]|1.0|-", "2|-|-|1.5|true"]);
    let options = json!({ "columns": {
        "at": { "from": "price", "type": "timestamp", "format": "unix_seconds" },
        "id": "string",
    }});
    let text = "{\"id\":1,\"price\":60}";
    assert_eq!(
        ingest("a.jsonl", text, options).await.lines(),
        ["1970-01-01T00:01:00Z|1"]
    );
}

#[tokio::test]
async fn a_json_key_that_no_object_has_is_a_mistake() {
    let text = "{\"customerId\":1}\n{\"customerId\":2}\n";
    let options = json!({ "columns": { "customer_id": "int64" } });
    let diagnostic = refused("a.ndjson", text, options).await;
    assert_eq!(diagnostic.code.as_str(), "MQ0403");
    assert!(
        diagnostic
            .help
            .unwrap()
            .contains("did you mean `customerId`?")
    );
    let with_default = json!({ "columns": { "customer_id": { "type": "int64", "default": 0 } } });
    assert_eq!(
        ingest("a.ndjson", text, with_default).await.lines(),
        ["0", "0"]
    );
}

#[tokio::test]
async fn fixed_width_by_place_and_by_blanks() {
    let places = json!({
        "format": "fixed_width",
        "fixed_width": { "skip_lines": 1, "fields": [
            { "name": "id", "start": 1, "width": 5 },
            { "name": "day", "start": 6, "width": 8 },
            { "name": "value", "start": 14, "width": 8 },
        ]},
        "columns": {
            "id": "int64",
            "day": { "type": "date", "format": "%Y%m%d" },
            "value": "float64",
        },
    });
    let text = "id   day     value\r\n0000119970101   11.77\r\n0000219970112\r\n";
    let ingested = ingest("a.txt", text, places).await;
    assert_eq!(ingested.lines(), ["1|1997-01-01|11.77"]);
    assert_eq!(
        ingested.rejections(),
        ["2|3|-|-|the line ends before character 14, where a field begins"]
    );
    let blanks = json!({
        "fixed_width": { "fields": [{ "name": "id" }, { "name": "value" }] },
        "columns": { "id": "int64", "value": "float64" },
    });
    let ingested = ingest("a.txt", " 1  2.5\n 2\n", blanks).await;
    assert_eq!(ingested.lines(), ["1|2.5"]);
    assert_eq!(
        ingested.rejections(),
        ["2|2|-|-|1 fields where `fixed_width.fields` names 2"]
    );
    let half = json!({ "fixed_width": { "fields": [{ "name": "id", "start": 1 }] } });
    assert!(
        refused("a.txt", "1", half)
            .await
            .message
            .contains("both `start` and `width`")
    );
}

#[tokio::test]
async fn parquet_is_cast_checked_and_shown() {
    let file = parquet(vec![
        (
            "id",
            Arc::new(Float64Array::from(vec![
                Some(1.0),
                Some(2.5),
                None,
                Some(f64::NAN),
            ])) as ArrayRef,
        ),
        (
            "name",
            Arc::new(StringArray::from(vec!["a", "b", "c", "d"])) as ArrayRef,
        ),
        (
            "at",
            Arc::new(TimestampMillisecondArray::from(vec![0, 1, 2, 3])) as ArrayRef,
        ),
    ]);
    let options = json!({ "columns": {
        "customer": { "from": "id", "type": "int64", "not_null": true },
        "name": {},
        "at": { "type": "timestamp", "timezone": "Europe/London" },
    }});
    let ingested = ingest("a.parquet", &file, options).await;
    // London was an hour ahead of UTC all through 1970.
    assert_eq!(ingested.lines(), ["1|a|1969-12-31T23:00:00Z"]);
    assert_eq!(
        ingested.rejections(),
        [
            "2|-|customer|2.5|has a fraction, and the column is int64",
            "3|-|customer|-|no value, and the column is not_null",
            "4|-|customer|NaN|not a whole number (int64)",
        ]
    );
    assert_eq!(
        ingested.raw()[0],
        r#"{"id":"2.5","name":"b","at":"1970-01-01T00:00:00.001"}"#
    );
    assert!(!ingested.is_unchanged);
}

#[tokio::test]
async fn parquet_that_needs_no_change_is_recognised() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None]);
    let file = parquet(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("tags", Arc::new(lists) as ArrayRef),
    ]);
    let unchanged = async |options| ingest("a.parquet", &file, options).await.is_unchanged;
    assert!(unchanged(json!({})).await);
    assert!(unchanged(json!({ "columns": { "id": "int64", "tags": {} } })).await);
    assert!(unchanged(json!({ "columns": { "id": "int64" }, "other_columns": "keep" })).await);
    assert!(!unchanged(json!({ "columns": { "id": "int64" } })).await);
    assert!(!unchanged(json!({ "columns": { "id": "float64", "tags": {} } })).await);
    assert!(!unchanged(json!({ "columns": { "key": { "from": "id" }, "tags": {} } })).await);
    assert!(!unchanged(json!({ "columns": { "tags": {}, "id": {} } })).await);
    assert!(!unchanged(json!({ "unique": ["id"] })).await);
    assert!(!unchanged(json!({ "columns": { "id": { "not_null": true }, "tags": {} } })).await);
}

#[tokio::test]
async fn parquet_files_with_other_columns_are_refused() {
    let first = parquet(vec![(
        "id",
        Arc::new(Int64Array::from(vec![1])) as ArrayRef,
    )]);
    let second = parquet(vec![(
        "id",
        Arc::new(StringArray::from(vec!["2"])) as ArrayRef,
    )]);
    let files = [("1.parquet", first), ("2.parquet", second)];
    let error = try_ingest(&files, json!({}))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("1.parquet and 2.parquet have different columns: `id`"),
        "{error}"
    );
    // With a type they are read as one.
    let typed = json!({ "columns": { "id": { "type": "int64", "min": 0 } } });
    assert_eq!(try_ingest(&files, typed).await.unwrap().lines(), ["1", "2"]);
    let kept = json!({ "columns": { "id": {} } });
    let error = try_ingest(&files, kept).await.err().unwrap().to_string();
    assert!(
        error.contains("2.parquet has the column `id` as Utf8"),
        "{error}"
    );
}
