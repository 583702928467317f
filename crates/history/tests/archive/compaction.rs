//! Small files become large ones, and whatever breaks off in between, each run is there once.

use std::time::Duration;

use marquetry_history::Compaction;
use marquetry_lake::testing::{FaultyStore, WriteFault};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::*;

/// Runs that are archived, one a file.
const RUNS: u64 = 8;

fn rules(patience: Duration) -> Compaction {
    Compaction {
        now: Timestamp::now().saturating_add(Duration::from_secs(3600)),
        least: 4,
        patience,
        rest: 0,
    }
}

/// At once, as if the time of those who read were over.
fn at_once() -> Compaction {
    rules(Duration::ZERO)
}

/// A lake with runs in as many files.
async fn archived() -> House {
    let house = House::new().await;
    let journal = house.journal();
    let epoch = samples::lead(journal.as_ref()).await;
    for number in 1..=RUNS {
        finish(&journal, epoch, number..=number).await;
        assert_eq!(archive(&house, &journal, epoch, true).await, 1);
    }
    house
}

async fn each_is_there_once(house: &House, when: &str) {
    let expected = format!("{RUNS} of {RUNS}");
    assert_eq!(house.value(None, COUNT).await, expected, "{when}");
    assert_eq!(house.value(None, super::STAGES).await, expected, "{when}");
}

#[tokio::test]
async fn many_small_files_become_one_a_table() {
    let house = archived().await;
    let sql = "SELECT * FROM runs ORDER BY run";
    let before = house.ask(None, sql).await.unwrap();
    let archive = Archive::new(house.lake.clone());
    let few = Compaction {
        least: 9,
        ..at_once()
    };
    assert_eq!(archive.plan_compaction(&few).await.unwrap(), []);
    // Whoever reads at that time may go on.
    let patient = rules(Duration::from_secs(7200));
    let done = archive.compact(&patient).await.unwrap();
    assert_eq!((done.merged, done.removed), (2 * RUNS, 0));
    assert_eq!(archive.plan_compaction(&patient).await.unwrap(), []);
    each_is_there_once(&house, "while both are there").await;
    let done = archive.compact(&at_once()).await.unwrap();
    assert_eq!((done.merged, done.removed), (0, 2 * (RUNS + 1)));
    let files = house.files().await;
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(
        files.iter().all(|file| file.contains("/merged-")),
        "{files:?}"
    );
    each_is_there_once(&house, "in one file").await;
    assert_eq!(house.ask(None, sql).await.unwrap(), before);
    assert_eq!(archive.plan_compaction(&at_once()).await.unwrap(), []);
}

/// The process ends after each of the changes, and another goes on from what there is.
#[tokio::test]
async fn no_run_is_missing_or_twice_at_any_moment() {
    let mut moment = 0;
    loop {
        let house = archived().await;
        let archive = Archive::new(house.lake.clone());
        let mut left = moment;
        let mut is_over = false;
        while !is_over && left > 0 {
            let plan = archive.plan_compaction(&at_once()).await.unwrap();
            is_over = plan.is_empty();
            for change in plan.iter().take(left) {
                archive.make(change).await.unwrap();
                left -= 1;
                each_is_there_once(&house, &format!("after {moment} changes")).await;
            }
        }
        // Whoever comes next.
        for _ in 0..2 {
            archive.compact(&at_once()).await.unwrap();
            each_is_there_once(&house, &format!("going on after {moment} changes")).await;
        }
        assert_eq!(house.files().await.len(), 2);
        if is_over {
            break;
        }
        moment += 1;
    }
    assert!(moment > 2 * 8, "only {moment} changes were made");
}

#[tokio::test]
async fn a_write_that_fails_or_whose_answer_is_lost_loses_nothing() {
    let mut writes = 0;
    for fault in [WriteFault::Refused, WriteFault::AnswerLost] {
        for at in 1.. {
            let house = archived().await;
            let folder = house.folder.path().join("lake");
            let sound: Arc<dyn ObjectStore> =
                Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
            let store = Arc::new(FaultyStore::failing_at(sound, at, fault));
            let faulty = Lake::with_store(house.lake.location(), store.clone());
            let done = Archive::new(faulty).compact(&at_once()).await;
            each_is_there_once(&house, &format!("{fault:?} at write {at}")).await;
            let archive = Archive::new(house.lake.clone());
            for _ in 0..3 {
                archive.compact(&at_once()).await.unwrap();
                each_is_there_once(&house, "later").await;
            }
            assert_eq!(house.files().await.len(), 2, "{fault:?} at write {at}");
            if done.is_ok() {
                break;
            }
            writes += 1;
        }
    }
    assert_eq!(writes, 2 * 4, "a file and a note for each of two tables");
}

/// Somebody who was paused writes a file again that is in another one by now.
#[tokio::test]
async fn a_file_that_comes_back_is_seen_by_nobody() {
    let house = archived().await;
    let archive = Archive::new(house.lake.clone());
    let files = house.files().await;
    let late = house.lake.get(&files[0]).await.unwrap();
    archive.compact(&at_once()).await.unwrap();
    archive.compact(&at_once()).await.unwrap();
    house.lake.put(&files[0], late).await.unwrap();
    each_is_there_once(&house, "after it came back").await;
}
