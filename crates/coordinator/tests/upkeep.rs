//! Finished runs leave the journal: each is archived, whatever fails on the way, and only then discarded.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use marquetry_coordinator::{Collected, Coordinator, CoordinatorConfig, History, TakeUp, Upkeep};
use marquetry_engine::EngineConfig;
use marquetry_journal::testing::{Fault, Faults, FaultyJournal, Gate, samples};
use marquetry_journal::{ArchiveBatch, Journal, Page, RunFilter, SqliteJournal, StoredRun};
use marquetry_types::{Diagnostic, RunId, StageDescriptor, codes};
use marquetry_workflow::StageCatalogue;
use tokio_util::sync::CancellationToken;

/// An archive in memory: a file for each batch, by its name.
#[derive(Debug, Default)]
struct Files {
    files: Mutex<BTreeMap<(u64, u64), Vec<RunId>>>,
    writes: Mutex<u32>,
    /// Writes that fail, before those that do not.
    fails: Mutex<u32>,
    compactions: Mutex<u32>,
}

impl Files {
    fn runs(&self) -> Vec<RunId> {
        let files = self.files.lock().unwrap();
        let mut runs: Vec<_> = files.values().flatten().cloned().collect();
        runs.sort();
        runs
    }
}

#[async_trait]
impl History for Files {
    async fn archive(&self, batch: &ArchiveBatch, runs: Vec<StoredRun>) -> Result<(), Diagnostic> {
        *self.writes.lock().unwrap() += 1;
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            return Err(Diagnostic::new(codes::OBJECT_STORE, "a planned fault"));
        }
        let runs = runs.into_iter().map(|run| run.state.id().clone()).collect();
        let name = (batch.epoch.0, batch.number);
        self.files.lock().unwrap().insert(name, runs);
        Ok(())
    }

    async fn compact(&self) -> Result<u64, Diagnostic> {
        *self.compactions.lock().unwrap() += 1;
        Ok(0)
    }

    async fn collect(&self) -> Result<Collected, Diagnostic> {
        Ok(Collected::default())
    }
}

struct NoStages;

impl StageCatalogue for NoStages {
    fn descriptor(&self, _: &str) -> Option<&StageDescriptor> {
        None
    }

    fn kinds(&self) -> Vec<&str> {
        Vec::new()
    }
}

struct House {
    journal: Arc<dyn Journal>,
    faults: Faults,
    _folder: tempfile::TempDir,
}

impl House {
    /// A journal with so many finished runs.
    async fn with_runs(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(folder.path().join("journal.db")).unwrap();
        let epoch = samples::lead(&journal).await;
        for number in 1..=count {
            let records = samples::finished_run(&samples::run_id(number), "retail", None);
            journal.append(epoch, records).await.unwrap();
        }
        let faults = Faults::new();
        Self {
            journal: Arc::new(FaultyJournal::new(journal, faults.clone())),
            faults,
            _folder: folder,
        }
    }

    async fn serve(&self, name: &str, upkeep: Upkeep) -> (Coordinator, CancellationToken) {
        let config = CoordinatorConfig {
            engine: EngineConfig::default(),
            heartbeat_interval: Duration::from_secs(3),
            lake: "memory:".to_owned(),
            name: name.to_owned(),
            url: String::new(),
            // Whoever campaigns next wins.
            lease: Duration::from_millis(300),
            take_up: TakeUp::All,
            upkeep,
        };
        let shutdown = CancellationToken::new();
        let journal = Arc::clone(&self.journal);
        let started = Coordinator::start(config, journal, Arc::new(NoStages), shutdown.clone());
        (started.await.unwrap(), shutdown)
    }

    async fn waiting(&self) -> u64 {
        self.journal.archive_backlog(1000).await.unwrap().runs
    }

    async fn listed(&self) -> usize {
        let page = Page::first(1000);
        let runs = self.journal.list_runs(&RunFilter::default(), &page).await;
        runs.unwrap().len()
    }
}

fn upkeep(files: &Arc<Files>) -> Upkeep {
    Upkeep {
        history: Some(Arc::clone(files) as Arc<dyn History>),
        archive_after: Duration::from_millis(1),
        ..Upkeep::default()
    }
}

fn ids(count: u64) -> Vec<RunId> {
    (1..=count).map(samples::run_id).collect()
}

/// Waits until something holds, or fails the test.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let patience = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, patience).await.unwrap();
}

#[tokio::test]
async fn finished_runs_are_archived_and_the_old_ones_discarded() {
    let house = House::with_runs(7).await;
    let files = Arc::new(Files::default());
    let upkeep = Upkeep {
        keep_runs: Some(3),
        ..upkeep(&files)
    };
    let (_coordinator, shutdown) = house.serve("c1", upkeep).await;
    eventually(async || house.listed().await == 3).await;
    assert_eq!(house.waiting().await, 0);
    assert_eq!(files.runs(), ids(7));
    // One of the three that are kept, and one that is not.
    house.journal.load_run(&samples::run_id(5)).await.unwrap();
    house
        .journal
        .load_run(&samples::run_id(4))
        .await
        .unwrap_err();
    shutdown.cancel();
}

#[tokio::test]
async fn by_age_everything_that_ended_long_ago_goes() {
    let house = House::with_runs(2).await;
    let files = Arc::new(Files::default());
    let upkeep = Upkeep {
        keep_for: Some(Duration::from_secs(24 * 3600)),
        ..upkeep(&files)
    };
    let (_coordinator, shutdown) = house.serve("c1", upkeep).await;
    eventually(async || house.listed().await == 0).await;
    assert_eq!(files.runs(), ids(2));
    shutdown.cancel();
}

#[tokio::test]
async fn the_archive_is_compacted_as_often_as_is_asked_for_and_never_by_default() {
    for (every, is_expected) in [(Some(Duration::from_millis(1)), true), (None, false)] {
        let house = House::with_runs(1).await;
        let files = Arc::new(Files::default());
        let upkeep = Upkeep {
            compact_every: every,
            keep_runs: Some(0),
            ..upkeep(&files)
        };
        let (_coordinator, shutdown) = house.serve("c1", upkeep).await;
        let compactions = || *files.compactions.lock().unwrap();
        match is_expected {
            true => eventually(async || compactions() > 1).await,
            false => {
                // It has been round once when an old run is discarded.
                eventually(async || house.listed().await == 0).await;
                assert_eq!(compactions(), 0);
            }
        }
        shutdown.cancel();
    }
}

#[tokio::test]
async fn nothing_is_discarded_by_default() {
    let house = House::with_runs(2).await;
    let files = Arc::new(Files::default());
    let (_coordinator, shutdown) = house.serve("c1", upkeep(&files)).await;
    eventually(async || house.waiting().await == 0).await;
    assert_eq!(house.listed().await, 2);
    shutdown.cancel();
}

/// The coordinator ends between the file and the commit that says so; the next one writes the same file.
#[tokio::test]
async fn a_batch_that_was_written_and_not_marked_is_written_again_under_its_name() {
    let house = House::with_runs(3).await;
    let files = Arc::new(Files::default());
    let gate = Gate::new();
    // The campaign, the plan, and the mark.
    let mark = house.faults.commits() + 3;
    house.faults.plan(mark, Fault::HeldBefore(gate.clone()));
    let (coordinator, shutdown) = house.serve("c1", upkeep(&files)).await;
    gate.reached().await;
    assert_eq!(house.waiting().await, 3);
    assert_eq!(*files.writes.lock().unwrap(), 1);
    shutdown.cancel();
    drop(coordinator);
    let (_next, shutdown) = house.serve("c2", upkeep(&files)).await;
    eventually(async || house.waiting().await == 0).await;
    assert_eq!(*files.writes.lock().unwrap(), 2);
    assert_eq!(files.files.lock().unwrap().len(), 1, "one file");
    assert_eq!(files.runs(), ids(3));
    // Whoever was held up comes too late to say anything.
    gate.open();
    shutdown.cancel();
}

/// A commit in doubt before and after it took effect, and a refusal: no run is lost or archived twice.
#[tokio::test]
async fn whatever_fails_each_run_is_archived_once() {
    for fault in [Fault::Refused, Fault::DoubtfulBefore, Fault::DoubtfulAfter] {
        for step in 2..=3 {
            let house = House::with_runs(3).await;
            let files = Arc::new(Files::default());
            let next = house.faults.commits() + step;
            house.faults.plan(next, fault.clone());
            let (coordinator, shutdown) = house.serve("c1", upkeep(&files)).await;
            eventually(async || house.faults.commits() >= next).await;
            // Another leads at once, instead of this one after its pause.
            shutdown.cancel();
            drop(coordinator);
            let (_next, shutdown) = house.serve("c2", upkeep(&files)).await;
            eventually(async || house.waiting().await == 0).await;
            assert_eq!(files.runs(), ids(3), "{fault:?} at {step}");
            shutdown.cancel();
        }
    }
}

#[tokio::test]
async fn a_lake_that_refuses_costs_nothing_but_time() {
    let house = House::with_runs(3).await;
    let files = Arc::new(Files {
        fails: Mutex::new(1),
        ..Files::default()
    });
    let (coordinator, shutdown) = house.serve("c1", upkeep(&files)).await;
    eventually(async || *files.writes.lock().unwrap() == 1).await;
    assert_eq!(house.waiting().await, 3);
    shutdown.cancel();
    drop(coordinator);
    let (_next, shutdown) = house.serve("c2", upkeep(&files)).await;
    eventually(async || house.waiting().await == 0).await;
    assert_eq!(files.runs(), ids(3));
    shutdown.cancel();
}
