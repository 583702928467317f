//! Nothing is named in the journal before it is durable, and nothing that was named is lost: with a fault
//! at every write in turn.

use std::sync::Arc;

use futures::FutureExt;
use marquetry_engine::{Record, RunStatus};
use marquetry_journal::testing::Fault;
use marquetry_journal::{Page, RunFilter};
use marquetry_lake::testing::{FaultyStore, WriteFault};
use marquetry_types::codes;
use object_store::ObjectStore;

use crate::checks::{DIAMOND, diamond_is_done, outcome_is_durable, record_is_true};
use crate::exchange::Exchange;
use crate::house::{House, resume, submit, submit_persistently, watch, watch_to_end};

/// Looks into the lake whenever a success is about to be put on record.
fn check_each_commit(house: &House) {
    let (lake, floor) = (house.lake.clone(), Arc::clone(&house.floor));
    house.faults.observe(move |records| {
        for record in records {
            if let Record::StageSucceeded { token, outcome, .. } = record {
                let check = outcome_is_durable(&lake, &token.attempt, outcome);
                // A lake in memory answers at once.
                if let Err(wrong) = check.now_or_never().expect("a lake in memory") {
                    floor.wrong(format!("not durable when it was put on record: {wrong}"));
                }
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_that_takes_no_more_writes_fails_the_run_which_resumes_once_it_does() {
    let mut failed = 0;
    for writes in 0.. {
        let house = House::new();
        check_each_commit(&house);
        let counting = Arc::new(FaultyStore::counting(Arc::clone(&house.objects)));
        let inner: Arc<dyn ObjectStore> = Arc::clone(&counting) as _;
        let full = Arc::new(FaultyStore::full_after(inner, writes));
        let server = house.coordinator().await.unwrap();
        let exchange = Exchange::new();
        exchange.plug_into(&server);
        let worker = house.worker_on("w1", &exchange, full, 2);
        let mut client = exchange.client();
        let run = submit(&mut client, DIAMOND).await;
        watch_to_end(&mut client, &run).await;
        let ended = house.state(&run).await;
        record_is_true(&house.lake, &ended).await;
        if ended.status == RunStatus::Failed {
            failed += 1;
            let failure = ended.failure.as_ref().unwrap();
            assert_eq!(failure.diagnostic.code, codes::OBJECT_STORE, "{failure:?}");
            worker.stop().await;
            let _worker = house.worker("w2", &exchange);
            resume(&mut client, &run).await.unwrap();
            watch_to_end(&mut client, &run).await;
            let resumed = house.state(&run).await;
            diamond_is_done(&house.lake, &resumed).await;
            for (name, stage) in ended.stages {
                if stage.outcome.is_some() {
                    assert_eq!(resumed.stages[&name], stage, "what was committed stays");
                }
            }
            continue;
        }
        diamond_is_done(&house.lake, &ended).await;
        // The logs come last, and a stage does not fail for its log.
        if counting.writes() < writes {
            break;
        }
    }
    // A data object, a manifest and an artifact of each of four stages.
    assert!(failed >= 12, "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_write_to_the_lake_that_fails_is_made_up_for() {
    for fault in [WriteFault::Refused, WriteFault::AnswerLost] {
        for number in 1.. {
            let house = House::new();
            check_each_commit(&house);
            let objects = Arc::clone(&house.objects);
            let faulty = Arc::new(FaultyStore::failing_at(objects, number, fault));
            let server = house.coordinator().await.unwrap();
            let exchange = Exchange::new();
            exchange.plug_into(&server);
            let _worker = house.worker_on("w1", &exchange, Arc::clone(&faulty) as _, 2);
            let mut client = exchange.client();
            let run = submit(&mut client, DIAMOND).await;
            watch_to_end(&mut client, &run).await;
            let ended = house.state(&run).await;
            diamond_is_done(&house.lake, &ended).await;
            let failed = ended.stages.values().map(|it| it.failed_attempts);
            assert!(failed.sum::<u32>() <= 1, "{fault:?} at {number}");
            if faulty.writes() < number {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_refused_is_made_up_for() {
    sweep_commits(&Fault::Refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_doubt_that_did_not_happen_is_made_up_for() {
    sweep_commits(&Fault::DoubtfulBefore).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_doubt_that_did_happen_is_found_out() {
    sweep_commits(&Fault::DoubtfulAfter).await;
}

/// One run for each of its commits, which fails. Nobody helps: callers ask again, the reign reads the
/// journal again, the worker comes back with what it holds.
async fn sweep_commits(fault: &Fault) {
    for number in 1.. {
        let house = House::new();
        check_each_commit(&house);
        house.faults.plan(number, fault.clone());
        let server = match house.coordinator().await {
            Ok(server) => server,
            Err(error) => {
                assert_eq!(
                    number, 1,
                    "only the first commit is the coordinator's: {error}"
                );
                house.coordinator().await.unwrap()
            }
        };
        let exchange = Exchange::new();
        exchange.plug_into(&server);
        let _worker = house.worker("w1", &exchange);
        let mut client = exchange.client();
        let run = submit_persistently(&mut client, DIAMOND, "once").await;
        watch_to_end(&mut client, &run).await;
        let ended = house.state(&run).await;
        diamond_is_done(&house.lake, &ended).await;
        for stage in ["a", "b", "c", "d"] {
            let starts = house.floor.starts(stage);
            assert_eq!(
                starts, 1,
                "{stage} is started by a sure commit and kept: {fault:?} at {number}"
            );
        }
        let (filter, page) = (RunFilter::default(), Page::first(10));
        let runs = house.journal.list_runs(&filter, &page).await.unwrap();
        assert_eq!(runs.len(), 1, "it is submitted once");
        if house.faults.commits() < number {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_is_told_of_an_end_whose_commit_was_in_doubt() {
    let house = House::new();
    let (_server, _worker, exchange) = house.open().await;
    let mut client = exchange.client();
    let one =
        "{ marquetry: v1, name: one, stages: { a: { uses: test/step, with: { act: wait } } } }";
    let run = submit(&mut client, one).await;
    let mut events = watch(&mut client, &run).await;
    house.floor.started("a", 1).await;
    house.faults.plan_next(Fault::DoubtfulAfter);
    house.floor.open();
    let mut last = None;
    while let Some(event) = crate::house::in_time(events.message()).await.unwrap() {
        last = event.event;
    }
    let Some(marquetry_proto::v1::watch_run_response::Event::Run(last)) = last else {
        panic!("the whole run comes last, not {last:?}");
    };
    let summary = last.summary.unwrap();
    assert_eq!(summary.status(), marquetry_proto::v1::RunStatus::Succeeded);
}
