//! What the contract rejects, what de-duplication drops, and when the stage gives up.

use serde_json::json;

use super::{ingest, refused, try_ingest};

#[tokio::test]
async fn every_rejected_row_says_where_what_and_why() {
    let text = "id,qty,channel,code,ok,day\n\
        1,5,web,A1,yes,2010-12-01\n\
        12abc,5,web,A1,yes,2010-12-01\n\
        ,5,web,A1,yes,2010-12-01\n\
        4,0,web,A1,yes,2010-12-01\n\
        5,11,web,A1,yes,2010-12-01\n\
        6,5,fax,A1,yes,2010-12-01\n\
        7,5,web,x,yes,2010-12-01\n\
        8,5,web,A1,maybe,2010-12-01\n\
        9,5,web,A1,yes,2010-02-30\n\
        99999999999999999999,5,web,A1,yes,2010-12-01\n\
        1.5,5,web,A1,yes,2010-12-01\n\
        12,NaN,web,A1,yes,2010-12-01\n\
        13,inf,web,A1,yes,2010-12-01\n";
    let options = json!({ "columns": {
        "id": { "type": "int64", "not_null": true },
        "qty": { "type": "float64", "min": 1, "max": 10 },
        "channel": { "allowed": ["web", "app"] },
        "code": { "pattern": "[A-Z][0-9]" },
        "ok": "bool",
        "day": "date",
    }});
    let ingested = ingest("a.csv", text, options).await;
    assert_eq!(ingested.lines(), ["1|5.0|web|A1|true|2010-12-01"]);
    assert_eq!(
        ingested.rejections(),
        [
            "2|3|id|12abc|not a whole number (int64)",
            "3|4|id||no value, and the column is not_null",
            "4|5|qty|0|below min 1",
            "5|6|qty|11|above max 10",
            "6|7|channel|fax|not one of web, app",
            "7|8|code|x|does not match [A-Z][0-9]",
            "8|9|ok|maybe|not a truth value (bool)",
            "9|10|day|2010-02-30|not a date in the column's format",
            "10|11|id|99999999999999999999|beyond the range of int64",
            "11|12|id|1.5|has a fraction, and the column is int64",
            "12|13|qty|NaN|not a finite number (float64)",
            "13|14|qty|inf|not a finite number (float64)",
        ]
    );
    assert_eq!(ingested.raw()[0], "12abc,5,web,A1,yes,2010-12-01");
}

#[tokio::test]
async fn a_second_row_with_a_unique_key_names_the_first() {
    let files = [
        ("1.csv", "id,v\n1,a\n,b\n1,c\n"),
        ("2.csv", "id,v\n2,d\n,e\n1,f\nx,g\n"),
    ];
    let options = json!({ "columns": { "id": "int64", "v": "string" }, "unique": ["id"] });
    let ingested = try_ingest(&files, options).await.unwrap();
    assert_eq!(ingested.lines(), ["1|a", "-|b", "2|d", "-|e"]);
    assert_eq!(
        ingested.rejections(),
        [
            "3|4|id|first in record 1 of 1.csv|not unique",
            "3|4|id|first in record 1 of 1.csv|not unique",
            "4|5|id|x|not a whole number (int64)",
        ]
    );
}

#[tokio::test]
async fn duplicates_are_dropped_and_counted() {
    let files = [
        ("1.csv", "id,at,v\n1,3,a\n2,1,b\n1,1,c\n"),
        ("2.csv", "id,at,v\n2,1,d\n1,2,e\n"),
    ];
    let kept = async |deduplicate| {
        let options = json!({
            "columns": { "id": "int64", "at": "int64", "v": "string" },
            "deduplicate": deduplicate,
            "unique": ["id"],
        });
        let ingested = try_ingest(&files, options).await.unwrap();
        assert_eq!(ingested.counts.duplicates, 3);
        assert_eq!(ingested.counts.rejections.total(), 0);
        ingested.lines()
    };
    assert_eq!(kept(json!({ "keys": ["id"] })).await, ["1|3|a", "2|1|b"]);
    assert_eq!(
        kept(json!({ "keys": ["id"], "keep": "last" })).await,
        ["2|1|d", "1|2|e"]
    );
    assert_eq!(
        kept(json!({ "keys": ["id"], "order_by": "at" })).await,
        ["2|1|b", "1|1|c"]
    );
    assert_eq!(
        kept(json!({ "keys": ["id"], "order_by": "at", "keep": "last" })).await,
        ["1|3|a", "2|1|d"]
    );
}

#[tokio::test]
async fn too_many_rejected_rows_fail_with_the_commonest_reasons() {
    let text = "id\n1\nx\ny\n2\n3,4\n";
    let options = json!({ "columns": { "id": "int64" }, "max_rejected_share": 0.5 });
    let diagnostic = refused("a.csv", text, options.clone()).await;
    assert_eq!(diagnostic.code.as_str(), "MQ0404");
    assert_eq!(
        diagnostic.message,
        "3 of 5 rows were rejected (60.0 %), and 50.0 % are allowed: \
         2 times id: not a whole number (int64), first a.csv:3 (record 2): `x`; \
         1 times 2 fields where the header has 1, first a.csv:6 (record 5): `3,4`"
    );
    // Exactly the allowed share passes.
    let ingested = ingest("a.csv", "id\n1\nx\n", options).await;
    assert_eq!(ingested.lines(), ["1"]);
    let percent = json!({ "max_rejected_share": 5 });
    assert!(
        refused("a.csv", "id\n1\n", percent)
            .await
            .message
            .contains("from 0 to 1")
    );
}

#[tokio::test]
async fn the_default_allows_one_row_in_a_hundred() {
    let options = json!({ "columns": { "id": "int64" }, "max_rejected_share": 0.01 });
    let rows = |bad: usize| {
        let good: Vec<_> = (bad..1000).map(|id| id.to_string()).collect();
        format!("id\n{}{}", "x\n".repeat(bad), good.join("\n"))
    };
    assert_eq!(
        ingest("a.csv", rows(10), options.clone())
            .await
            .counts
            .accepted,
        990
    );
    assert_eq!(
        refused("a.csv", rows(11), options).await.code.as_str(),
        "MQ0404"
    );
}
