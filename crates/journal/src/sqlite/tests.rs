//! What is particular to SQLite: the file, its damage, its locks, its transactions.

#![expect(clippy::unwrap_used, reason = "tests")]

mod migrating;
mod pages;
mod power;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::Journal;
use crate::testing::conformance::{self, Database, Store};
use crate::testing::{Faults, FaultyJournal, samples};

/// A folder with a journal in it.
struct Folder {
    folder: TempDir,
    options: Options,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            options: Options::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    fn journal(&self) -> SqliteJournal {
        SqliteJournal::open_with(self.path(), &self.options).unwrap()
    }

    /// Does to the file what no journal does.
    fn tamper(&self, sql: &str) -> usize {
        Connection::open(self.path())
            .unwrap()
            .execute(sql, [])
            .unwrap()
    }

    fn count(&self, sql: &str) -> i64 {
        Connection::open(self.path())
            .unwrap()
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    }
}

#[async_trait]
impl Store for Folder {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(self.journal())
    }

    async fn open_reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(SqliteJournal::open_read_only(self.path()).unwrap())
    }
}

#[async_trait]
impl Database for Folder {
    async fn tamper(&self, sql: &str) -> u64 {
        u64::try_from(Folder::tamper(self, sql)).unwrap()
    }
}

/// The same behind a journal of faults that has none.
struct Faultless(Folder);

#[async_trait]
impl Store for Faultless {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(FaultyJournal::new(self.0.journal(), Faults::new()))
    }

    async fn open_reader(&self) -> Arc<dyn JournalReader> {
        self.0.open_reader().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    conformance::run(Folder::new).await;
}

#[tokio::test]
async fn sqlite_survives_damage() {
    conformance::survive_damage(Folder::new).await;
}

#[tokio::test]
async fn sqlite_that_snapshots_at_every_record_conforms() {
    let snapshot_every_record = || Folder {
        options: Options { snapshot_every: 1 },
        ..Folder::new()
    };
    conformance::run(snapshot_every_record).await;
}

#[tokio::test]
async fn a_faulty_journal_without_faults_conforms() {
    conformance::run(|| Faultless(Folder::new())).await;
}

#[tokio::test]
async fn requests_that_wait_for_a_commit_share_the_next() {
    let folder = Folder::new();
    let journal = folder.journal();
    let epoch = samples::lead(&journal).await;
    // Another connection holds the database's write lock, so the first request cannot commit and the
    // others queue behind it. Every commit in WAL mode is seen by a reader as one change of version.
    let blocker = Connection::open(folder.path()).unwrap();
    let observer = Connection::open(folder.path()).unwrap();
    let version = || -> i64 {
        observer
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .unwrap()
    };
    let before = version();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let runs: Vec<_> = (1..=60).map(samples::run_id).collect();
    let mut appends: Vec<_> = runs
        .iter()
        .map(|run| Box::pin(journal.append(epoch, samples::begun_run(run, "retail", None))))
        .collect();
    // Polling each once puts all of them into the queue.
    for append in &mut appends {
        assert!(futures_poll(append.as_mut()).is_none());
    }
    blocker.execute_batch("ROLLBACK").unwrap();
    for append in appends {
        append.await.unwrap();
    }
    assert_ne!(version(), before);
    assert_eq!(folder.count("SELECT count(*) FROM runs"), 60);
}

#[tokio::test]
async fn a_damaged_record_costs_its_own_run_only() {
    let folder = Folder::new();
    let journal = folder.journal();
    let epoch = samples::lead(&journal).await;
    let (damaged, sound) = (samples::run_id(1), samples::run_id(2));
    for run in [&damaged, &sound] {
        let records = samples::begun_run(run, "retail", None);
        journal.append(epoch, records).await.unwrap();
    }
    drop(journal);
    let changed = folder.tamper(&format!(
        "UPDATE records SET payload = replace(payload, 'w1', 'w2') WHERE run_id = '{damaged}' AND sequence = 2"
    ));
    assert_eq!(changed, 1);
    let unfinished = folder.journal().load_unfinished().await.unwrap();
    assert_eq!(
        unfinished.runs,
        [samples::replayed(&samples::begun_run(
            &sound, "retail", None
        ))]
    );
    let [(run, error)] = &unfinished.damaged[..] else {
        unreachable!("one run is damaged: {unfinished:?}")
    };
    assert_eq!(*run, damaged);
    assert_eq!(
        error.to_string(),
        format!("the journal is damaged at record 2 of run {damaged}: it fails its checksum")
    );
}

#[tokio::test]
async fn a_second_writer_is_kept_out() {
    let folder = Folder::new();
    let first = folder.journal();
    let second = SqliteJournal::open(folder.path());
    assert!(
        matches!(second, Err(JournalError::InUse { .. })),
        "{second:?}"
    );
    drop(first);
    assert!(SqliteJournal::open(folder.path()).is_ok());
}

/// Polls a future once.
fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
