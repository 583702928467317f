//! The real files in `../shared/data`, with counts that were taken by other tools (see the README
//! there). Skipped where they are not.

use arrow::array::{Array, AsArray};
use serde_json::json;

use super::{ingest_local, real_data};

#[tokio::test]
async fn online_retail() {
    let Some(folder) = real_data("online_retail/by-day") else {
        return;
    };
    let options = json!({
        "path": "unused",
        "max_rejected_share": 0,
        "columns": {
            "order_id": { "from": "InvoiceNo", "not_null": true },
            "product_id": { "from": "StockCode", "not_null": true },
            "description": { "from": "Description" },
            "quantity": { "from": "Quantity", "type": "int64" },
            "ts": { "from": "InvoiceDate", "type": "timestamp" },
            "unit_price": { "from": "UnitPrice", "type": "float64" },
            "customer_id": { "from": "CustomerID", "type": "int64" },
            "country": { "from": "Country" },
        },
    });
    let ingested = ingest_local(&folder, ".csv", options).await;
    assert_eq!(ingested.counts.read, 541_909);
    assert_eq!(ingested.counts.accepted, 541_909);
    assert_eq!(ingested.rows.column(6).null_count(), 135_080);
    let orders = ingested.rows.column(0).as_string::<i32>();
    let cancellations = orders
        .iter()
        .flatten()
        .filter(|order| order.starts_with('C'))
        .count();
    assert_eq!(cancellations, 9288);
}

#[tokio::test]
async fn cdnow() {
    let Some(folder) = real_data("cdnow") else {
        return;
    };
    let columns = json!({
        "customer_id": "int64",
        "date": { "type": "date", "format": "%Y%m%d", "not_null": true },
        "cds": { "type": "int64", "min": 1 },
        "value": { "type": "float64", "min": 0 },
    });
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| json!({ "name": name }))
            .collect::<Vec<_>>()
    };
    let master = json!({
        "path": "unused",
        "max_rejected_share": 0,
        "fixed_width": { "skip_lines": 1, "fields": names(&["customer_id", "date", "cds", "value"]) },
        "columns": columns,
    });
    let ingested = ingest_local(&folder, "master.txt", master).await;
    assert_eq!(ingested.counts.accepted, 69_659);
    let sample = json!({
        "path": "unused",
        "max_rejected_share": 0,
        "fixed_width": { "fields": names(&["master_id", "customer_id", "date", "cds", "value"]) },
        "columns": columns,
    });
    let ingested = ingest_local(&folder, "sample.txt", sample).await;
    assert_eq!(ingested.counts.accepted, 6919);
    let places = json!({
        "path": "unused",
        "max_rejected_share": 0,
        "fixed_width": { "skip_lines": 1, "fields": [
            { "name": "customer_id", "start": 2, "width": 5 },
            { "name": "date", "start": 8, "width": 8 },
            { "name": "cds", "start": 16, "width": 3 },
            { "name": "value", "start": 19, "width": 8 },
        ]},
        "columns": columns,
    });
    let by_place = ingest_local(&folder, "master.txt", places).await;
    assert_eq!(by_place.counts.accepted, 69_659);
}

#[tokio::test]
async fn hillstrom_and_open_bandit_are_typed_by_their_values() {
    let Some(folder) = real_data(".") else { return };
    let options = json!({ "path": "unused", "max_rejected_share": 0 });
    let hillstrom = ingest_local(&folder, "hillstrom.csv", options.clone()).await;
    assert_eq!(hillstrom.counts.accepted, 64_000);
    assert_eq!(
        hillstrom.columns()[..3],
        ["recency Int64", "history_segment Utf8", "history Float64"]
    );
    let bandit = ingest_local(&folder, "random/all.csv", options).await;
    assert_eq!(bandit.counts.accepted, 10_000);
    assert_eq!(
        bandit.columns()[..3],
        [
            "column_1 Int64",
            "timestamp Timestamp(µs, \"UTC\")",
            "item_id Int64"
        ]
    );
}
