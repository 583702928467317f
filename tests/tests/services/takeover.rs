//! One coordinator dies or is deposed, another one reigns: what is under way goes on, what is committed
//! stays, and what the old epoch granted and the new one gave up is refused.

use marquetry_engine::{AttemptEnd, EngineConfig, RunStatus};
use marquetry_proto::v1;
use marquetry_types::codes;
use tonic::Code;

use crate::checks::{CHAIN, DIAMOND, diamond_is_done, record_is_true, value};
use crate::exchange::Exchange;
use crate::house::{
    House, cancel, diagnostic, get, in_time, submission, submit, watch, watch_to_end,
};
use crate::scripted_worker::ScriptedWorker;

/// Workers that live are waited for, as long as it takes in these tests.
fn patient() -> EngineConfig {
    EngineConfig {
        takeover_grace: std::time::Duration::from_secs(30),
        ..EngineConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_runs_through_a_take_over_is_not_run_again() {
    // The stage ends after the new coordinator came, or while there is none.
    for ends_in_between in [false, true] {
        let house = House::new();
        let (old, _worker, exchange) = house.open().await;
        let mut client = exchange.client();
        let run = submit(&mut client, CHAIN).await;
        house.floor.started("b", 1).await;
        exchange.cut();
        old.kill();
        if ends_in_between {
            house.floor.open();
        }
        let new = house.coordinator_with(patient()).await.unwrap();
        exchange.plug_into(&new);
        house.floor.open();
        let mut client = exchange.client();
        watch_to_end(&mut client, &run).await;
        let state = house.state(&run).await;
        assert_eq!(state.status, RunStatus::Succeeded);
        record_is_true(&house.lake, &state).await;
        assert_eq!(value(&house.lake, &state, "c").await, 3);
        assert_eq!(
            ["a", "b", "c"].map(|stage| house.floor.starts(stage)),
            [1, 1, 1]
        );
        let epochs = ["b", "c"].map(|stage| state.stages[stage].attempts[0].token.epoch.0);
        assert_eq!(epochs, [1, 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_an_attempt_that_was_given_up_is_refused() {
    let house = House::new();
    let (old, worker, exchange) = house.open().await;
    let run = submit(&mut exchange.client(), CHAIN).await;
    house.floor.started("b", 1).await;
    let granted = house.state(&run).await.stages["b"].attempts[0]
        .token
        .clone();
    exchange.cut();
    old.kill();
    worker.stop().await;

    // No grace: whoever is not there has lost what it held.
    let new = house.coordinator().await.unwrap();
    let others = Exchange::new();
    others.plug_into(&new);
    let _worker = house.worker("w2", &others);
    house.floor.started("b", 2).await;
    // The old worker comes back with the result of the old grant.
    let mut stale = ScriptedWorker::attach("w1", &others, std::slice::from_ref(&granted)).await;
    assert_eq!(stale.epoch, 2);
    match stale.next().await {
        Some(v1::attach_response::Message::Cancel(it)) => {
            assert_eq!(it.token, Some((&granted).into()));
        }
        other => panic!("it is told to end it, not {other:?}"),
    }
    stale.report_success(&granted).await;
    assert!(!stale.acknowledged(&granted).await);
    drop(stale);

    house.floor.open();
    watch_to_end(&mut others.client(), &run).await;
    let state = house.state(&run).await;
    assert_eq!(state.status, RunStatus::Succeeded);
    record_is_true(&house.lake, &state).await;
    assert_eq!(value(&house.lake, &state, "c").await, 3);
    let [lost, won] = &state.stages["b"].attempts[..] else {
        panic!("two attempts: {:?}", state.stages["b"].attempts);
    };
    assert!(matches!(lost.end, Some(AttemptEnd::Lost(_))));
    assert_eq!(won.end, Some(AttemptEnd::Succeeded));
    assert_eq!((lost.token.epoch.0, won.token.epoch.0), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_cut_off_loses_its_stage_to_another_one() {
    let house = House::new();
    let (server, _first, exchange) = house.open().await;
    let run = submit(&mut exchange.client(), CHAIN).await;
    house.floor.started("b", 1).await;
    let others = Exchange::new();
    others.plug_into(&server);
    let _second = house.worker("w2", &others);
    exchange.cut();
    house.floor.started("b", 2).await;
    // Both end it; only the grant of the second counts.
    exchange.plug_into(&server);
    house.floor.open();
    watch_to_end(&mut others.client(), &run).await;
    let state = house.state(&run).await;
    assert_eq!(state.status, RunStatus::Succeeded);
    record_is_true(&house.lake, &state).await;
    let won = state.stages["b"].attempts.last().unwrap();
    assert_eq!(
        (won.worker.as_str(), won.token.attempt.attempt.0),
        ("w2", 2)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposed_coordinator_commits_nothing_and_lets_go_of_everybody() {
    let house = House::new();
    let (old, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let run = submit(&mut client, CHAIN).await;
    let mut events = watch(&mut client, &run).await;
    house.floor.started("b", 1).await;
    // Another one takes over; the old one does not know.
    let new = house.lasting_coordinator(patient()).await.unwrap();
    exchange.plug_into(&new);
    let refused = cancel(&mut client, &run).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(
        diagnostic(&refused).to_string(),
        "this coordinator does not lead: http://c2:7070 does [MQ0705]; help: ask the leader, or this one again after a moment"
    );
    assert_eq!(diagnostic(&refused).code, codes::NOT_LEADING);
    let end = loop {
        match in_time(events.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the run has not ended"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    // It follows: it reads, and names the leader to whoever wants more.
    assert_eq!(
        get(&mut client, &run).await.summary.unwrap().status(),
        v1::RunStatus::Running
    );
    let refused = in_time(client.submit_run(submission(CHAIN)))
        .await
        .unwrap_err();
    assert_eq!(diagnostic(&refused).code, codes::NOT_LEADING);
    drop((events, client));
    old.shut_down();
    old.ended().await;

    house.floor.open();
    let mut client = exchange.client();
    watch_to_end(&mut client, &run).await;
    let state = house.state(&run).await;
    assert_eq!(state.status, RunStatus::Succeeded);
    assert_eq!(state.cancel_reason, None);
    assert_eq!(
        ["a", "b", "c"].map(|stage| house.floor.starts(stage)),
        [1, 1, 1]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_asked_to_stop_stops_although_it_is_watched() {
    let house = House::new();
    let (server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let run = submit(&mut client, CHAIN).await;
    let mut events = watch(&mut client, &run).await;
    house.floor.started("b", 1).await;
    server.shut_down();
    let end = loop {
        match in_time(events.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the run has not ended"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_that_die_after_any_commit_leave_a_run_that_ends_the_same() {
    for number in 2.. {
        let house = House::new();
        let gate = marquetry_journal::testing::Gate::new();
        let fault = marquetry_journal::testing::Fault::HeldAfter(gate.clone());
        house.faults.plan(number, fault);
        let (old, _worker, exchange) = house.open().await;
        let submitted = {
            let mut client = exchange.client();
            tokio::spawn(async move {
                crate::house::submit_persistently(&mut client, DIAMOND, "once").await
            })
        };
        // Either that commit comes, or the run ends without it.
        let is_reached = tokio::select! {
            () = gate.reached() => true,
            () = ends(&house) => false,
        };
        exchange.cut();
        old.kill();
        gate.open();
        let new = house.coordinator_with(patient()).await.unwrap();
        exchange.plug_into(&new);
        let run = in_time(submitted).await.unwrap();
        let mut client = exchange.client();
        watch_to_end(&mut client, &run).await;
        diamond_is_done(&house.lake, &house.state(&run).await).await;
        let shown = get(&mut client, &run).await.summary.unwrap();
        assert_eq!(shown.stages_succeeded, 4);
        if !is_reached {
            break;
        }
    }
}

/// Waits until the one run of this house has ended.
async fn ends(house: &House) {
    house.floor.started("d", 1).await;
    let page = marquetry_journal::Page::first(1);
    let filter = marquetry_journal::RunFilter {
        status: Some(RunStatus::Succeeded),
        name: None,
    };
    while house
        .journal
        .list_runs(&filter, &page)
        .await
        .unwrap()
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
}
