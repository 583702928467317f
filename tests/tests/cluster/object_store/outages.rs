//! A store that refuses, is away or is full: stages fail or are tried again as documented, with a message
//! that names the lake, nothing hangs, and once it is well again the run ends.

use std::time::{Duration, Instant};

use marquetry_tests::{Cluster, attempts, eventually, interrupted, said};
use serde_json::Value;

use super::faults::Health;
use super::server::{BUCKET, S3Server, SECRET};

/// A server and a worker whose requests are given up after a second, and a workflow whose stages are tried
/// often.
fn cluster(server: &S3Server) -> Cluster {
    let mut environment = server.environment(SECRET, 1);
    environment.push(("MARQUETRY_LAKE".to_owned(), format!("s3://{BUCKET}/lake")));
    environment.push(("MARQUETRY_LOG".to_owned(), "debug".to_owned()));
    let mut cluster = Cluster::start_with(&environment, &[]);
    let patient = "defaults: { retry: { attempts: 100, backoff: { initial: 100ms, factor: 1 } } }";
    let patient = interrupted::WORKFLOW.replace("stages:\n", &format!("{patient}\nstages:\n"));
    cluster.place.file("patient.yaml", &patient);
    cluster
        .place
        .file("customers.csv", &interrupted::customers());
    cluster.add_worker(&["--slots", "2", "--threads", "1"]);
    cluster
}

/// A stage's first attempt, once it has failed.
fn first_failure(cluster: &Cluster, run: &str, name: &str) -> Value {
    let mut failure = Value::Null;
    eventually(&format!("an attempt at {name} fails"), || {
        let start = Instant::now();
        let shown = cluster.show(run);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "the server hangs: {took:?}");
        failure = attempts(&shown, name).first().cloned().unwrap_or_default();
        failure["end"] == "failed"
    });
    failure
}

fn assert_told(failure: &Value, code: &str, message: &str, help: &str) {
    let text = |key: &str| failure[key].as_str().unwrap_or_default();
    assert_eq!(text("code"), code, "{failure:#}");
    assert!(
        text("why").contains("s3://bucket/lake/runs/"),
        "{failure:#}"
    );
    assert!(text("why").contains(message), "{failure:#}");
    assert!(text("help").contains(help), "{failure:#}");
    assert!(!failure.to_string().contains(SECRET));
}

#[test]
fn a_store_that_takes_no_writes_fails_the_run_which_goes_on_once_it_does() {
    let server = S3Server::start();
    let cluster = cluster(&server);
    server.faults.be(Health::ReadOnly);
    let run = cluster.submit("patient.yaml", &[]);
    let shown = cluster.watch(&run);
    // Nobody is helped by trying again what is forbidden.
    assert_eq!(shown["status"], "failed", "{shown:#}");
    assert_eq!(attempts(&shown, "customers").len(), 1, "{shown:#}");
    let failure = first_failure(&cluster, &run, "customers");
    assert_told(
        &failure,
        "MQ0501",
        "403 Forbidden, AccessDenied",
        "the keys",
    );
    assert!(server.faults.refusals() > 0);

    server.faults.be(Health::Well);
    let retried = cluster
        .command(&["retry", &run, "--wait"])
        .output()
        .unwrap();
    assert!(retried.status.success(), "{}", said(&retried));
    assert!(!cluster.logs().contains(SECRET));
}

#[test]
fn a_store_that_is_away_delays_a_run() {
    let server = S3Server::start();
    let cluster = cluster(&server);
    server.faults.be(Health::Down);
    let run = cluster.submit("patient.yaml", &[]);
    let failure = first_failure(&cluster, &run, "customers");
    let away = format!("{} does not answer", server.endpoint());
    assert_told(&failure, "MQ0501", &away, "the store is up");
    let doctor = cluster
        .command(&["doctor", "--output", "json"])
        .output()
        .unwrap();
    let findings: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let lake = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["check"] == "lake");
    assert_eq!(lake.unwrap()["state"], "bad", "{findings:#}");

    server.faults.be(Health::Well);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
}

#[test]
fn a_store_that_is_full_delays_a_run() {
    let server = S3Server::start();
    let cluster = cluster(&server);
    server.faults.be(Health::Full);
    let run = cluster.submit("patient.yaml", &[]);
    let failure = first_failure(&cluster, &run, "customers");
    assert_told(&failure, "MQ0505", "507 Insufficient Storage", "make room");

    server.faults.be(Health::Well);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
}
