//! Commit, then act; and what callers, watchers and workers see of a commit that fails.

use marquetry_engine::{RunStatus, StageStatus};
use marquetry_journal::testing::{Fault, Gate};
use marquetry_proto::v1;
use marquetry_types::codes;
use tonic::Code;

use crate::checks::{DIAMOND, diamond_is_done};
use crate::exchange::Exchange;
use crate::house::{House, cancel, diagnostic, in_time, resume, submission, submit, watch_to_end};
use crate::scripted_worker::ScriptedWorker;

const ONE: &str = "{ marquetry: v1, name: one, stages: { a: { uses: test/step, with: {} } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hears_of_a_run_before_its_commit() {
    let house = House::new();
    let server = house.coordinator().await.unwrap();
    let exchange = Exchange::new();
    exchange.plug_into(&server);
    let mut worker = ScriptedWorker::attach("w1", &exchange, &[]).await;
    let gate = Gate::new();
    // The next commit keeps the bundle, the one after it the submission.
    house
        .faults
        .plan(house.faults.commits() + 2, Fault::HeldBefore(gate.clone()));
    let mut submitting = exchange.client();
    let submitting = tokio::spawn(async move { submitting.submit_run(submission(ONE)).await });
    in_time(gate.reached()).await;
    let mut client = exchange.client();
    let listed = in_time(client.list_runs(v1::ListRunsRequest::default())).await;
    assert_eq!(listed.unwrap().into_inner().runs, []);
    assert!(!worker.has_mail() && !submitting.is_finished());
    gate.open();
    in_time(submitting).await.unwrap().unwrap();
    worker.assigned().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_whose_commit_fails_is_refused_and_another_one_runs() {
    let house = House::new();
    let server = house.coordinator().await.unwrap();
    let exchange = Exchange::new();
    exchange.plug_into(&server);
    let mut worker = ScriptedWorker::attach("w1", &exchange, &[]).await;
    house
        .faults
        .plan(house.faults.commits() + 2, Fault::Refused);
    let mut client = exchange.client();
    let refused = in_time(client.submit_run(submission(ONE)))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let diagnostic = diagnostic(&refused);
    assert_eq!(diagnostic.code, codes::JOURNAL);
    assert_eq!(
        diagnostic.to_string(),
        "cannot write to the journal: a planned fault [MQ0601]; help: check the health and free space of the disk or the database; nothing acknowledged is lost"
    );
    assert_eq!(worker.next().await, None, "its stream is closed");

    let mut worker = ScriptedWorker::attach("w1", &exchange, &[]).await;
    let run = submit(&mut client, ONE).await;
    let token = worker.assigned().await;
    assert_eq!(token.attempt.run, run);
    worker.report_success(&token).await;
    assert!(worker.acknowledged(&token).await);
    assert_eq!(house.state(&run).await.status, RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_whose_commit_fails_is_not_acknowledged_and_is_taken_when_it_comes_again() {
    for fault in [Fault::Refused, Fault::DoubtfulBefore, Fault::DoubtfulAfter] {
        let house = House::new();
        let server = house.coordinator().await.unwrap();
        let exchange = Exchange::new();
        exchange.plug_into(&server);
        let mut worker = ScriptedWorker::attach("w1", &exchange, &[]).await;
        let run = submit(&mut exchange.client(), ONE).await;
        let token = worker.assigned().await;
        house.faults.plan_next(fault.clone());
        worker.report_success(&token).await;
        assert_eq!(worker.next().await, None, "its stream is closed");

        let mut worker =
            ScriptedWorker::attach("w1", &exchange, std::slice::from_ref(&token)).await;
        worker.report_success(&token).await;
        let accepted = loop {
            match worker.next().await {
                Some(v1::attach_response::Message::Acknowledged(it)) => break it.accepted,
                // It need not end what has ended.
                Some(v1::attach_response::Message::Cancel(_)) => {}
                other => panic!("an acknowledgement was expected, not {other:?}"),
            }
        };
        let state = house.state(&run).await;
        assert_eq!(state.status, RunStatus::Succeeded, "{fault:?}");
        assert_eq!(state.stages["a"].attempts.len(), 1, "{fault:?}");
        // A run that has ended is out of mind, and its worker may forget it all the same.
        let is_known = !matches!(fault, Fault::DoubtfulAfter);
        assert_eq!(accepted, is_known, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_whose_commit_fails_is_refused_and_can_be_asked_for_again() {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let waits =
        "{ marquetry: v1, name: one, stages: { a: { uses: test/step, with: { act: wait } } } }";
    let run = submit(&mut client, waits).await;
    house.floor.started("a", 1).await;
    house.faults.plan_next(Fault::Refused);
    let refused = cancel(&mut client, &run).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(diagnostic(&refused).code, codes::JOURNAL);
    let state = house.state(&run).await;
    assert_eq!(state.cancel_reason, None);
    assert_eq!(state.stages["a"].status, StageStatus::Running);
    cancel(&mut client, &run).await.unwrap();
    watch_to_end(&mut client, &run).await;
    let state = house.state(&run).await;
    assert_eq!(state.status, RunStatus::Cancelled);
    assert_eq!(house.floor.starts("a"), 1, "it was not given up in between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_fail_again_and_again_only_delay_a_run() {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let run = submit(&mut client, DIAMOND).await;
    let next = house.faults.commits() + 1;
    for number in next..next + 4 {
        house.faults.plan(number, Fault::Refused);
    }
    watch_to_end(&mut client, &run).await;
    diamond_is_done(&house.lake, &house.state(&run).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_share_a_failed_commit_are_told_why() {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let waits =
        "{ marquetry: v1, name: one, stages: { a: { uses: test/step, with: { act: wait } } } }";
    let held = submit(&mut client, waits).await;
    let other = submit(&mut client, waits).await;
    house.floor.started("a", 2).await;
    let gate = Gate::new();
    let first = house.faults.commits() + 1;
    house.faults.plan(first, Fault::HeldBefore(gate.clone()));
    house.faults.plan(first + 1, Fault::Refused);
    let ask = |run: marquetry_types::RunId| {
        let mut client = exchange.client();
        tokio::spawn(async move { cancel(&mut client, &run).await })
    };
    let going_first = ask(held);
    in_time(gate.reached()).await;
    let sharing = [ask(other.clone()), ask(other.clone()), ask(other)];
    gate.open();
    in_time(going_first).await.unwrap().unwrap();
    let mut refused = 0;
    for answer in sharing {
        // One that came too late for the shared commit is in the next one, which works.
        if let Err(status) = in_time(answer).await.unwrap() {
            assert_eq!(diagnostic(&status).code, codes::JOURNAL);
            refused += 1;
        }
    }
    assert!(refused > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumption_whose_commit_fails_is_refused_and_can_be_asked_for_again() {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let fails_once = "{ marquetry: v1, name: one, stages: { a: { uses: test/step, with: { act: invalid, times: 1 } } } }";
    let run = submit(&mut client, fails_once).await;
    watch_to_end(&mut client, &run).await;
    assert_eq!(house.state(&run).await.status, RunStatus::Failed);
    house.faults.plan_next(Fault::DoubtfulBefore);
    let refused = resume(&mut client, &run).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(diagnostic(&refused).code, codes::JOURNAL);
    resume(&mut client, &run).await.unwrap();
    watch_to_end(&mut client, &run).await;
    assert_eq!(house.state(&run).await.status, RunStatus::Succeeded);
}
