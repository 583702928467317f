//! Metrics and probes of real coordinators on SQLite, asked over TCP as Prometheus asks.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod cluster;

use std::time::Duration;

use cluster::{Cluster, STAGES, Worker, submission};
use marquetry_coordinator::{Role, Tokens};
use marquetry_journal::testing::Fault;
use marquetry_proto::v1;
use marquetry_types::{AttemptResult, Diagnostic, FailureClass, Outcome, StageFailure, codes};
use tonic::Code;

const FOR_EVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_run_is_in_the_figures() {
    let cluster = Cluster::new();
    let server = cluster.server("c1", FOR_EVER, Tokens::default()).await;
    let mut worker = Worker::attach(&server, "w1", 1).await;
    let mut runs = server.runs();
    let first = runs.submit_run(submission(STAGES)).await.unwrap();
    let token = worker.assigned().await;
    let second = runs.submit_run(submission(STAGES)).await.unwrap();
    server.settled().await;
    let page = server.metrics().await;
    assert_eq!(page.value("marquetry_runs_active"), 2.0);
    assert_eq!(
        page.value(r#"marquetry_stages_ready{queue="default"}"#),
        1.0,
        "of the second run"
    );
    assert_eq!(page.value("marquetry_workers_connected"), 1.0);
    assert_eq!(page.value("marquetry_worker_slots"), 1.0);
    assert_eq!(page.value("marquetry_worker_slots_in_use"), 1.0);
    assert_eq!(page.value("marquetry_leading"), 1.0);
    assert_eq!(page.value("marquetry_epoch"), 1.0);
    assert_eq!(page.value("marquetry_leader_changes_total"), 1.0);

    let run_id = second.into_inner().run_id;
    let reason = String::new();
    let cancel = v1::CancelRunRequest { run_id, reason };
    runs.cancel_run(cancel).await.unwrap();
    let succeeded = AttemptResult::Succeeded(Outcome::default());
    worker.report(&token, &succeeded).await;
    let token = worker.assigned().await;
    let failed = AttemptResult::Failed(StageFailure {
        class: FailureClass::Invalid,
        diagnostic: Diagnostic::new(codes::INTERNAL, "it is broken"),
    });
    worker.report(&token, &failed).await;
    worker.acknowledged().await;
    server.settled().await;
    let page = server.metrics().await;
    assert_eq!(page.value("marquetry_runs_submitted_total"), 2.0);
    let ended = |status| {
        page.value(&format!(
            r#"marquetry_runs_ended_total{{status="{status}"}}"#
        ))
    };
    assert_eq!(
        ["succeeded", "failed", "cancelled"].map(ended),
        [0.0, 1.0, 1.0]
    );
    let ended = |status| {
        page.value(&format!(
            r#"marquetry_stages_ended_total{{status="{status}"}}"#
        ))
    };
    assert_eq!(
        ["succeeded", "failed", "skipped", "cancelled"].map(ended),
        [1.0, 1.0, 1.0, 3.0]
    );
    assert_eq!(page.value("marquetry_attempts_granted_total"), 2.0);
    let invalid = r#"marquetry_attempts_failed_total{class="invalid"}"#;
    assert_eq!(page.value(invalid), 1.0);
    assert_eq!(page.value("marquetry_attempts_lost_total"), 0.0);
    assert_eq!(page.value("marquetry_dispatch_duration_seconds_count"), 2.0);
    assert_eq!(
        page.value("marquetry_stage_wait_duration_seconds_count"),
        2.0
    );
    // Two submissions, a cancellation and two reports.
    assert_eq!(page.value("marquetry_commit_duration_seconds_count"), 5.0);
    assert_eq!(page.value("marquetry_commit_requests_sum"), 5.0);
    // Seven records of the first run, three of the second.
    assert_eq!(page.value("marquetry_commit_records_sum"), 10.0);
    assert_eq!(page.value("marquetry_runs_active"), 0.0);
    assert_eq!(
        page.value(r#"marquetry_stages_ready{queue="default"}"#),
        0.0
    );
    assert_eq!(page.value("marquetry_worker_slots_in_use"), 0.0);
    assert_eq!(page.calls("RunService/SubmitRun", "OK"), 2.0);
    assert_eq!(page.calls("RunService/CancelRun", "OK"), 1.0);
    let received = |method: &str| {
        let labels = format!(r#"{{method="marquetry.v1.{method}"}}"#);
        page.value(&format!("marquetry_grpc_received_bytes_total{labels}"))
    };
    assert!(received("RunService/SubmitRun") > 0.0);
    assert!(received("WorkerService/Attach") > 0.0);

    // What goes on after its end is no new run.
    let run_id = first.into_inner().run_id;
    runs.retry_run(v1::RetryRunRequest {
        run_id,
        ..Default::default()
    })
    .await
    .unwrap();
    let page = server.metrics().await;
    assert_eq!(page.value("marquetry_runs_submitted_total"), 2.0);
    assert_eq!(page.value("marquetry_runs_resumed_total"), 1.0);
}

#[tokio::test]
async fn of_two_servers_one_shows_that_it_leads() {
    let cluster = Cluster::new();
    let first = cluster.server("c1", FOR_EVER, Tokens::default()).await;
    let second = cluster.server("c2", FOR_EVER, Tokens::default()).await;
    let told = async |server: &cluster::Server| {
        let page = server.metrics().await;
        let leading = page.value("marquetry_leading");
        let changes = page.value("marquetry_leader_changes_total");
        let ready = server.get("/readyz").await;
        (leading, page.value("marquetry_epoch"), changes, ready.text)
    };
    let expected = (1.0, 1.0, 1.0, "leads in epoch 1\n".to_owned());
    assert_eq!(told(&first).await, expected);
    let expected = (0.0, 1.0, 1.0, "follows c1\n".to_owned());
    assert_eq!(told(&second).await, expected);
    first.stop().await;
    second
        .comes_to(|role| matches!(role, Role::Leading(_)))
        .await;
    let expected = (1.0, 2.0, 2.0, "leads in epoch 2\n".to_owned());
    assert_eq!(told(&second).await, expected);
}

#[tokio::test]
async fn a_commit_that_fails_is_in_the_figures() {
    let cluster = Cluster::new();
    let server = cluster.server("c1", FOR_EVER, Tokens::default()).await;
    let mut runs = server.runs();
    // The bundle is put first, the records of the run second.
    let next = cluster.faults.commits() + 2;
    cluster.faults.plan(next, Fault::Refused);
    let refused = runs.submit_run(submission(STAGES)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    server.settled().await;
    let page = server.metrics().await;
    let failures = r#"marquetry_journal_errors_total{operation="append"}"#;
    assert_eq!(page.value(failures), 1.0);
    assert_eq!(page.value("marquetry_commit_duration_seconds_count"), 0.0);
    assert_eq!(page.value("marquetry_runs_submitted_total"), 0.0);
    assert_eq!(
        page.value("marquetry_epoch"),
        2.0,
        "it went on in a new one"
    );
    assert_eq!(page.value("marquetry_leader_changes_total"), 1.0);
    assert_eq!(page.calls("RunService/SubmitRun", "UNAVAILABLE"), 1.0);
}

#[tokio::test]
async fn a_call_without_a_token_is_in_the_figures_and_metrics_need_none() {
    let cluster = Cluster::new();
    let (_, line) =
        marquetry_coordinator::new_token(marquetry_coordinator::AccessRole::Viewer, "v");
    let tokens = Tokens::parse("tokens", &line).unwrap();
    let server = cluster.server("c1", FOR_EVER, tokens).await;
    let request = v1::ListRunsRequest::default();
    let refused = server.runs().list_runs(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    let page = server.metrics().await;
    assert_eq!(page.calls("RunService/ListRuns", "UNAUTHENTICATED"), 1.0);
}

#[tokio::test]
async fn probes_and_scrapes_are_answered_over_tcp() {
    let cluster = Cluster::new();
    let server = cluster.server("c1", FOR_EVER, Tokens::default()).await;
    let page = server.get("/metrics").await;
    assert_eq!(page.status, "200 OK");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(
        page.headers.lines().any(|line| line == kind),
        "{}",
        page.headers
    );
    assert!(page.text.ends_with("# EOF\n"), "{}", page.text);
    let alive = server.get("/healthz").await;
    assert_eq!(
        (alive.status.as_str(), alive.text.as_str()),
        ("200 OK", "alive\n")
    );
    assert_eq!(server.get("/secrets").await.status, "404 Not Found");
}
