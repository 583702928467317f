//! Files that are not what they should be: one bad record costs itself, a bad file gets a clear error,
//! and nothing panics.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::formats::parquet;
use super::{ingest, refused, try_ingest};

fn two_columns() -> Value {
    json!({ "columns": { "a": "int64", "b": "string" } })
}

#[tokio::test]
async fn quoted_line_breaks_count_in_lines_and_not_in_records() {
    let text = "a,b\r\n1,\"x\r\ny\"\r\n\r\nz,\"p\nq\"\n3,r\nw,s";
    let ingested = ingest("a.csv", text, two_columns()).await;
    assert_eq!(ingested.lines(), ["1|x\r\ny", "3|r"]);
    assert_eq!(
        ingested.rejections(),
        [
            "2|5|a|z|not a whole number (int64)",
            "4|8|a|w|not a whole number (int64)"
        ]
    );
    assert_eq!(ingested.raw()[0], "z,\"p\nq\"");
}

#[tokio::test]
async fn ragged_rows_bad_quotes_and_invalid_text_are_rejected_alone() {
    let text = b"a,b\n1,x\n2\n3,y,z\n4,\"p\"q\n5,\xff\n6,ok\n7,\"open\n8,end\n";
    let ingested = ingest("a.csv", text, two_columns()).await;
    assert_eq!(ingested.lines(), ["1|x", "6|ok", "8|end"]);
    assert_eq!(
        ingested.rejections(),
        [
            "2|3|-|-|1 fields where the header has 2",
            "3|4|-|-|3 fields where the header has 2",
            "4|5|-|-|text after a closing quote",
            "5|6|-|-|not valid UTF-8",
            "7|8|-|-|a quote is opened and not closed",
        ]
    );
    assert_eq!(ingested.raw()[3], "5,\u{fffd}");
}

#[tokio::test]
async fn bad_json_is_rejected_alone() {
    let text = b"{\"a\":1,\"b\":\"x\"}\n{\"a\":\n[1]\n7\nnonsense\n{\"a\":2,\"a\":3}\n{\"a\":\"x\"}\n\xff\n{\"a\":1e400}\n{\"a\":4,\"b\":null}\n{\"a\":[1]}\n";
    let ingested = ingest("a.ndjson", text, two_columns()).await;
    assert_eq!(ingested.lines(), ["1|x", "4|-"]);
    assert_eq!(
        ingested.rejections(),
        [
            "2|2|-|-|not valid JSON: EOF while parsing a value",
            "3|3|-|-|not a JSON object",
            "4|4|-|-|not a JSON object",
            "5|5|-|-|not valid JSON",
            "6|6|-|-|not valid JSON: the key `a` stands twice",
            "7|7|a|x|not a whole number (int64)",
            "8|8|-|-|not valid UTF-8",
            "9|9|-|-|not valid JSON: number out of range",
            "11|11|a|[1]|not a whole number (int64)",
        ]
    );
}

#[tokio::test]
async fn a_wrong_header_shows_the_header() {
    let diagnostic = refused("orders.csv", "A;b\n1;x\n", two_columns()).await;
    assert_eq!(diagnostic.code.as_str(), "MQ0403");
    assert_eq!(
        diagnostic.message,
        "orders.csv has no column `a`; it has A;b"
    );
    let files = [("1.csv", "a,b\n1,x\n"), ("2.csv", "a,c\n1,x\n")];
    let error = try_ingest(&files, json!({}))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("2.csv has no column `b`; it has a, c"),
        "{error}"
    );
    let files = [("1.csv", "a\n1\n"), ("2.csv", "a,c\n1,x\n")];
    let error = try_ingest(&files, json!({}))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("1.csv has no column `c`; it has a"),
        "{error}"
    );
    let twice = refused("a.csv", "a,a\n1,2\n", json!({})).await;
    assert!(twice.message.contains("`a` twice"), "{twice}");
}

#[tokio::test]
async fn empty_files() {
    let empty = refused("a.csv", "", two_columns()).await;
    assert_eq!(empty.code.as_str(), "MQ0402");
    assert!(
        empty.message.contains("a.csv cannot be read: it is empty"),
        "{empty}"
    );
    assert_eq!(
        refused("a.csv", "\n\n", two_columns()).await.code.as_str(),
        "MQ0402"
    );
    assert_eq!(
        ingest("a.csv", "a,b\n", two_columns()).await.lines(),
        [""; 0]
    );
    assert_eq!(
        ingest("a.csv", "a,b", json!({})).await.columns(),
        ["a Utf8", "b Utf8"]
    );
    assert_eq!(ingest("a.ndjson", "", two_columns()).await.counts.read, 0);
    assert_eq!(
        refused("a.parquet", "", json!({})).await.code.as_str(),
        "MQ0402"
    );
}

#[tokio::test]
async fn truncated_and_damaged_parquet() {
    let whole = parquet(vec![(
        "id",
        Arc::new(Int64Array::from_iter_values(0..5000)) as ArrayRef,
    )]);
    for length in [1, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        let diagnostic = refused("a.parquet", &whole[..length], json!({})).await;
        assert_eq!(diagnostic.code.as_str(), "MQ0402", "{length}");
        assert!(
            diagnostic.message.starts_with("a.parquet cannot be read"),
            "{diagnostic}"
        );
    }
    let csv = refused("a.parquet", "a,b\n1,2\n3,4\n", json!({})).await;
    assert_eq!(csv.code.as_str(), "MQ0402");
    let mut damaged = whole.clone();
    for byte in &mut damaged[4..200] {
        *byte = 0xff;
    }
    assert_eq!(
        refused("a.parquet", &damaged, json!({}))
            .await
            .code
            .as_str(),
        "MQ0402"
    );
}

#[tokio::test]
async fn formats_must_be_clear() {
    let unknown = refused("a.txt", "a", json!({})).await;
    assert!(
        unknown.message.contains("does not say its format"),
        "{unknown}"
    );
    let files = [("a.csv", "a\n1\n"), ("b.ndjson", "{}")];
    let error = try_ingest(&files, json!({}))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("several formats: a.csv is csv, b.ndjson is ndjson"),
        "{error}"
    );
    let utf16 = refused("a.csv", b"\xff\xfea\0", json!({})).await;
    assert!(utf16.message.contains("UTF-16"), "{utf16}");
    let delimiter = refused("a.csv", "a\n", json!({ "csv": { "delimiter": "é" } })).await;
    assert!(
        delimiter.message.contains("`csv.delimiter` is 'é'"),
        "{delimiter}"
    );
}

/// Bytes that are likely to upset a parser.
fn nasty_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(b"\",\n\r{}[]:abt0123.-eE\\ ".to_vec()),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..200)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    // `try_ingest` asserts that what was read was accepted, dropped or rejected.
    #[test]
    fn any_bytes_are_accepted_rejected_or_refused_as_csv(bytes in nasty_bytes()) {
        let mut file = b"a,b\n".to_vec();
        file.extend_from_slice(&bytes);
        let ingested = run(try_ingest(&[("a.csv", &file)], two_columns())).unwrap();
        prop_assert!(ingested.counts.read >= ingested.counts.accepted);
        let _ = run(try_ingest(&[("a.csv", &bytes)], json!({})));
    }

    #[test]
    fn inferred_types_reject_nothing_but_malformed_records(bytes in nasty_bytes()) {
        if let Ok(ingested) = run(try_ingest(&[("a.csv", &bytes)], json!({}))) {
            let fields = ingested.rejected.column(3);
            prop_assert_eq!(fields.null_count(), fields.len());
        }
    }

    #[test]
    fn any_bytes_are_accepted_rejected_or_refused_as_ndjson(bytes in nasty_bytes()) {
        let _ = run(try_ingest(&[("a.ndjson", &bytes)], two_columns()));
        let _ = run(try_ingest(&[("a.ndjson", &bytes)], json!({})));
    }

    #[test]
    fn any_bytes_are_refused_as_parquet(bytes in nasty_bytes()) {
        let ingested = run(try_ingest(&[("a.parquet", &bytes)], json!({})));
        prop_assert!(ingested.is_err(), "accepted as Parquet");
    }
}
