//! The disk of the journal, or of the lake, is full: whoever asks is told so, nothing that was acknowledged
//! is lost, and all goes on once there is room.

use std::time::{Duration, Instant};

use marquetry_proto::v1;
use marquetry_proto::v1::run_service_client::RunServiceClient;
use marquetry_tests::{Cluster, SmallDisk, attempts, eventually, interrupted, said};
use serde_json::Value;
use tonic::Code;
use tonic_types::StatusExt;

const SLEEPS: &str = "
marquetry: v1
name: sleeps
stages:
  sleep: { uses: probe/sleep, with: { milliseconds: 1000 } }
  after: { uses: probe/nothing, with: {}, needs: [sleep] }
";

fn cluster(more: &[&str]) -> Cluster {
    let cluster = Cluster::start(more);
    cluster.place.file("sleeps.yaml", SLEEPS);
    cluster
        .place
        .file("customers.csv", &interrupted::customers());
    let patient = "defaults: { retry: { attempts: 100, backoff: { initial: 100ms, factor: 1 } } }";
    let patient = interrupted::WORKFLOW.replace("stages:\n", &format!("{patient}\nstages:\n"));
    cluster.place.file("patient.yaml", &patient);
    cluster
}

/// What a client of any language is told when it submits.
fn status_of_submission(url: &str) -> tonic::Status {
    let submission = v1::SubmitRunRequest {
        bundle: Some(v1::WorkflowBundle {
            entry: "sleeps.yaml".to_owned(),
            files: [("sleeps.yaml".to_owned(), SLEEPS.to_owned())].into(),
        }),
        ..v1::SubmitRunRequest::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut runs = RunServiceClient::connect(url.to_owned()).await.unwrap();
        runs.submit_run(submission).await.unwrap_err()
    })
}

#[test]
fn a_journal_without_room_says_so_and_goes_on_when_there_is() {
    let Some(disk) = SmallDisk::of_mib(4) else {
        return;
    };
    let journal = disk.path().join("journal.db");
    let mut cluster = cluster(&["--journal", journal.to_str().unwrap()]);
    cluster.add_worker(&["--slots", "2"]);
    let run = cluster.submit("sleeps.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    disk.fill();

    for _ in 0..3 {
        let start = Instant::now();
        let status = status_of_submission(cluster.url(0));
        assert!(start.elapsed() < Duration::from_secs(5), "it hangs");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "MQ0607", "{status:?}");
        assert!(status.message().contains("full"), "{status:?}");
        assert!(
            status.message().contains("make room on the journal's disk"),
            "{status:?}"
        );
    }
    let refused = cluster
        .command(&["submit", "sleeps.yaml"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("MQ0607"), "{}", said(&refused));
    // Longer than the stage takes: its result cannot be taken now. What is known can be seen.
    std::thread::sleep(Duration::from_millis(1200));
    let start = Instant::now();
    assert_eq!(cluster.show(&run)["status"], "running");
    assert!(start.elapsed() < Duration::from_secs(5), "it hangs");

    disk.free();
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    for stage in shown["stages"].as_array().unwrap() {
        let attempts = stage["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "no stage runs twice: {shown:#}");
    }
    let next = cluster.watch(&cluster.submit("sleeps.yaml", &[]));
    assert_eq!(next["status"], "succeeded", "{next:#}");
    let listed = cluster
        .command(&["runs", "--output", "json"])
        .output()
        .unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        listed.as_array().unwrap().len(),
        2,
        "what was refused began nothing"
    );
}

#[test]
fn a_lake_without_room_delays_a_run_which_says_so() {
    let Some(disk) = SmallDisk::of_mib(4) else {
        return;
    };
    let lake = disk.path().join("lake");
    let lake = lake.to_str().unwrap();
    let mut cluster = cluster(&["--lake", lake]);
    cluster.add_worker(&["--lake", lake, "--slots", "2", "--threads", "1"]);
    disk.fill();
    let run = cluster.submit("patient.yaml", &[]);
    let mut failure = Value::Null;
    eventually("an attempt fails", || {
        let shown = cluster.show(&run);
        assert_eq!(shown["status"], "running", "{shown:#}");
        failure = attempts(&shown, "customers")
            .first()
            .cloned()
            .unwrap_or_default();
        failure["end"] == "failed"
    });
    assert_eq!(failure["code"], "MQ0505", "{failure:#}");
    let text = failure.to_string();
    for part in [lake, "No space left on device", "make room"] {
        assert!(text.contains(part), "{text}");
    }
    disk.free();
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
}
