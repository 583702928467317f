//! A client in another language, with nothing but the .proto files.

use marquetry_tests::{Cluster, client_saw};
use serde_json::json;

const ASKS: &str = "
marquetry: v1
name: asks
stages:
  before: { uses: ingest/files, with: { path: names.csv, columns: { customer_id: int64 } } }
  ask: { uses: wait/approval, with: { message: send them? }, needs: [before] }
";

#[test]
fn python_drives_every_call_and_reads_every_error() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("asks.yaml", ASKS);
    cluster.place.file("names.csv", "customer_id\n2\n1\n");
    cluster.add_worker(&["--name", "only"]);
    let address = cluster.url(0).split_once("://").unwrap().1.to_owned();
    let seen = client_saw(&address, &cluster.place.path().join("asks.yaml"));
    let expected = [
        ("health", json!("SERVING")),
        ("same_run", json!(true)),
        ("waiting", json!(["approval: send them?"])),
        ("first_event", json!("run")),
        ("last_event", json!("summary")),
        ("status", json!("RUN_STATUS_SUCCEEDED")),
        ("approved_by", json!("python")),
        (
            "listed",
            json!(["RUN_STATUS_CANCELLED", "RUN_STATUS_SUCCEEDED"]),
        ),
        ("newest_first", json!(true)),
        ("workers", json!(["WORKER_STATE_ACTIVE"])),
        ("queues", json!(["default"])),
    ];
    for (key, value) in expected {
        assert_eq!(seen[key], value, "{key}: {seen:#}");
    }
    for (key, code, reason) in [
        ("invalid", "INVALID_ARGUMENT", "MQ0104"),
        ("unknown", "NOT_FOUND", "MQ0701"),
        ("late", "FAILED_PRECONDITION", "MQ0702"),
        ("nobody", "NOT_FOUND", "MQ0709"),
        ("no_stage", "NOT_FOUND", "MQ0902"),
    ] {
        let error = &seen[key];
        assert_eq!(
            (&error["code"], &error["reason"]),
            (&json!(code), &json!(reason)),
            "{error:#}"
        );
        assert_eq!(error["diagnostics"][0]["code"], reason, "{error:#}");
    }
    for service in ["RunService", "WorkerService", "ClusterService"] {
        let name = json!(format!("marquetry.v1.{service}"));
        let all = seen["services"].as_array().unwrap();
        assert!(all.contains(&name), "reflection has no {name}: {all:?}");
    }
    let lines = seen["log_lines"].as_array().unwrap();
    assert!(!lines.is_empty(), "{seen:#}");
    let place = &seen["invalid"]["diagnostics"][0]["location"];
    assert_eq!(
        (&place["file"], &place["line"]),
        (&json!("b.yaml"), &json!(3)),
        "{seen:#}"
    );
}
