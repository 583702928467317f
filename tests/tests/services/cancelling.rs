//! Cancelling a run while its stages run, and going on with it.

use std::time::Duration;

use marquetry_engine::{EngineConfig, RunStatus, StageStatus};
use marquetry_proto::v1;
use marquetry_types::codes;
use tonic::Code;

use crate::checks::{CHAIN, record_is_true, value};
use crate::exchange::Exchange;
use crate::house::{House, cancel, diagnostic, resume, submit, watch, watch_to_end};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_ends_and_resumes_from_its_committed_stages() {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let run = submit(&mut client, CHAIN).await;
    let mut events = watch(&mut client, &run).await;
    house.floor.started("b", 1).await;
    cancel(&mut client, &run).await.unwrap();
    cancel(&mut client, &run).await.ok(); // asking twice changes nothing
    while crate::house::in_time(events.message())
        .await
        .unwrap()
        .is_some()
    {}
    let shown = crate::house::get(&mut client, &run).await;
    let summary = shown.summary.unwrap();
    assert_eq!(summary.status(), v1::RunStatus::Cancelled);
    let failure = summary.failure.unwrap();
    assert_eq!(failure.code, codes::CANCELLED.as_str());
    assert_eq!(failure.message, "the run was cancelled: the test says so");
    let statuses: Vec<_> = shown.stages.iter().map(v1::Stage::status).collect();
    let (done, ended) = (v1::StageStatus::Succeeded, v1::StageStatus::Cancelled);
    assert_eq!(statuses, [done, ended, ended]);
    let late = cancel(&mut client, &run).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
    assert_eq!(
        diagnostic(&late).to_string(),
        format!("run {run} is cancelled [MQ0702]")
    );

    house.floor.open();
    resume(&mut client, &run).await.unwrap();
    watch_to_end(&mut client, &run).await;
    let state = house.state(&run).await;
    assert_eq!(state.status, RunStatus::Succeeded);
    record_is_true(&house.lake, &state).await;
    assert_eq!(value(&house.lake, &state, "c").await, 3);
    assert_eq!(
        ["a", "b", "c"].map(|stage| house.floor.starts(stage)),
        [1, 2, 1]
    );
    let again = resume(&mut client, &run).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    assert_eq!(diagnostic(&again).code, codes::WRONG_RUN_STATE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_does_not_heed_its_cancellation_is_cut_off() {
    is_cut_off("hang").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_blocks_its_thread_is_cut_off_when_it_is_cancelled() {
    is_cut_off("block").await;
}

/// Takes as long as a worker is patient with a cancelled stage, which is 5 s.
async fn is_cut_off(act: &str) {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let run = submit(&mut client, &one(act)).await;
    house.floor.started("a", 1).await;
    cancel(&mut client, &run).await.unwrap();
    watch_to_end(&mut client, &run).await;
    let state = house.state(&run).await;
    assert_eq!(state.status, RunStatus::Cancelled);
    assert_eq!(state.stages["a"].status, StageStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_another_attempt_is_cancelled_at_once() {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let patient = r#"
marquetry: v1
name: patient
stages:
  a:
    uses: test/step
    with: { act: transient }
    retry: { attempts: 2, backoff: { initial: 1h, max: 1h } }
"#;
    let run = submit(&mut client, patient).await;
    let mut events = watch(&mut client, &run).await;
    // The first change after the start is the failure.
    loop {
        let event = crate::house::in_time(events.message())
            .await
            .unwrap()
            .unwrap();
        let failed = |stage: &v1::Stage| stage.attempts.iter().any(|it| it.failure.is_some());
        let has_failed = match event.event.unwrap() {
            v1::watch_run_response::Event::Stage(stage) => failed(&stage),
            v1::watch_run_response::Event::Run(run) => run.stages.iter().any(failed),
            _ => false,
        };
        if has_failed {
            break;
        }
    }
    cancel(&mut client, &run).await.unwrap();
    let shown = watch_to_end(&mut client, &run).await;
    assert_eq!(shown.summary.unwrap().status(), v1::RunStatus::Cancelled);
    assert_eq!(house.floor.starts("a"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_runs_cannot_be_resumed() {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let run = submit(&mut client, &one("wait")).await;
    house.floor.started("a", 1).await;
    let refused = resume(&mut client, &run).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        diagnostic(&refused).to_string(),
        format!("run {run} is running, and only a failed or cancelled run can be resumed [MQ0702]")
    );
    house.floor.open();
    let shown = watch_to_end(&mut client, &run).await;
    assert_eq!(shown.summary.unwrap().status(), v1::RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_whose_worker_was_away_is_told_of_the_cancellation_when_it_is_back() {
    let house = House::new();
    // A worker that is away is waited for as long as it takes here.
    let server = house.coordinator_with(EngineConfig {
        disconnect_grace: Duration::from_secs(60),
        ..EngineConfig::default()
    });
    let server = server.await.unwrap();
    let (exchange, of_clients) = (Exchange::new(), Exchange::new());
    exchange.plug_into(&server);
    of_clients.plug_into(&server);
    let _worker = house.worker("w1", &exchange);
    let mut client = of_clients.client();
    let run = submit(&mut client, &one("wait")).await;
    house.floor.started("a", 1).await;
    exchange.cut();
    cancel(&mut client, &run).await.unwrap();
    exchange.plug_into(&server);
    let shown = watch_to_end(&mut client, &run).await;
    assert_eq!(shown.summary.unwrap().status(), v1::RunStatus::Cancelled);
}

fn one(act: &str) -> String {
    format!(
        "{{ marquetry: v1, name: one, stages: {{ a: {{ uses: test/step, with: {{ act: {act} }} }} }} }}"
    )
}
