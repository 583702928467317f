//! The archive: what is written is what was there, each run is seen once, whatever breaks off in between.
#![expect(clippy::unwrap_used, reason = "tests")]

mod compaction;
mod pruning;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::util::pretty::pretty_format_batches;
use marquetry_engine::Record;
use marquetry_history::{Archive, Catalogue, HistoryError};
use marquetry_journal::testing::samples;
use marquetry_journal::{
    Discard, FinishedThrough, Journal, JournalReader, SqliteJournal, StoredRun,
};
use marquetry_lake::{Lake, SessionOptions};
use marquetry_types::{Epoch, RunId, Timestamp};
use tempfile::TempDir;

struct House {
    folder: TempDir,
    lake: Lake,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("lake");
        let lake = Lake::open(&place.to_string_lossy()).await.unwrap();
        Self { folder, lake }
    }

    fn journal(&self) -> Arc<SqliteJournal> {
        Arc::new(SqliteJournal::open(self.folder.path().join("journal.db")).unwrap())
    }

    fn options(&self) -> SessionOptions {
        SessionOptions {
            memory_limit: 256 * 1024 * 1024,
            spill_dir: self.folder.path().join("spill"),
            threads: 2,
        }
    }

    async fn ask(
        &self,
        journal: Option<&Arc<SqliteJournal>>,
        sql: &str,
    ) -> Result<String, HistoryError> {
        let journal = journal.map(|journal| Arc::clone(journal) as Arc<dyn JournalReader>);
        let catalogue = Catalogue::new(self.lake.clone(), journal);
        let rows = catalogue
            .query(sql, &self.options())
            .await?
            .collect()
            .await?;
        Ok(pretty_format_batches(&rows).unwrap().to_string())
    }

    /// The same, as the one value that it gives.
    async fn value(&self, journal: Option<&Arc<SqliteJournal>>, sql: &str) -> String {
        let table = self.ask(journal, sql).await.unwrap();
        let line = table.lines().nth(3).unwrap_or_default();
        line.trim_matches(['|', ' ']).to_owned()
    }

    async fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = self
            .lake
            .list("history")
            .await
            .unwrap()
            .into_iter()
            .map(|file| file.path)
            .collect();
        files.sort();
        files
    }
}

async fn finish(journal: &SqliteJournal, epoch: Epoch, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let request = format!("request-{number}");
        let run = samples::run_id(number);
        let records = samples::finished_run(&run, "retail", Some(&request));
        journal.append(epoch, records).await.unwrap();
    }
}

async fn load(journal: &SqliteJournal, ids: &[RunId]) -> Vec<StoredRun> {
    let loaded = journal.load_runs(ids).await.unwrap();
    loaded.into_iter().map(|(_, run)| run.unwrap()).collect()
}

/// Archives the next batch, and says so if `marks`.
async fn archive(house: &House, journal: &SqliteJournal, epoch: Epoch, marks: bool) -> u64 {
    let Some(batch) = journal.plan_archive(epoch, 3).await.unwrap() else {
        return 0;
    };
    let runs = load(journal, &batch.runs).await;
    let written = Archive::new(house.lake.clone()).write(&batch, &runs).await;
    if marks {
        let done = journal.archived(epoch, batch.number, Vec::new()).await;
        done.unwrap();
    }
    written.unwrap().runs
}

fn resumed(run: &RunId) -> Record {
    Record::RunResumed {
        run: run.clone(),
        from: ["orders".parse().unwrap()].into(),
        at: Timestamp::from_millis(1_763_886_700_000),
    }
}

const COUNT: &str = "SELECT count(*) || ' of ' || count(DISTINCT run) FROM runs";
const STAGES: &str = "SELECT count(*) || ' of ' || count(DISTINCT run) FROM stages";

#[tokio::test]
async fn each_run_is_seen_once_whatever_is_archived_of_it() {
    let house = House::new().await;
    let journal = house.journal();
    let epoch = samples::lead(journal.as_ref()).await;
    assert_eq!(house.value(Some(&journal), COUNT).await, "0 of 0");
    assert_eq!(house.value(None, COUNT).await, "0 of 0");
    finish(&journal, epoch, 1..=7).await;
    let begun = samples::begun_run(&samples::run_id(8), "retail", None);
    journal.append(epoch, begun).await.unwrap();
    for archived in [0, 3, 6, 7] {
        let see_all = house.value(Some(&journal), COUNT).await;
        let see_stages = house.value(Some(&journal), STAGES).await;
        assert_eq!(
            (see_all.as_str(), see_stages.as_str()),
            ("8 of 8", "8 of 8")
        );
        let in_lake = house.value(None, COUNT).await;
        assert_eq!(in_lake, format!("{archived} of {archived}"));
        archive(&house, &journal, epoch, true).await;
    }
    // One goes on and ends once more: its newer state counts, before and after it is archived.
    let run = samples::run_id(2);
    journal.append(epoch, vec![resumed(&run)]).await.unwrap();
    let state = format!("SELECT state || sequence FROM runs WHERE run = '{run}'");
    assert_eq!(house.value(Some(&journal), &state).await, "running5");
    let end = samples::finished_run(&run, "retail", None).split_off(1);
    let mut end: Vec<Record> = end;
    for record in &mut end {
        if let Record::AttemptAssigned { token, .. } | Record::StageSucceeded { token, .. } = record
        {
            token.attempt.attempt.0 = 2;
        }
    }
    journal.append(epoch, end).await.unwrap();
    for marks in [true, false] {
        assert_eq!(house.value(Some(&journal), &state).await, "succeeded8");
        assert_eq!(house.value(Some(&journal), COUNT).await, "8 of 8");
        assert_eq!(house.value(Some(&journal), STAGES).await, "8 of 8");
        archive(&house, &journal, epoch, marks).await;
    }
    assert_eq!(house.value(None, &state).await, "succeeded8");
    assert_eq!(house.value(None, COUNT).await, "7 of 7");
    // What the journal discards stays to be asked for.
    let discard = Discard {
        through: FinishedThrough {
            at: Timestamp::from_millis(i64::MAX),
            run: None,
        },
        runs: 100,
        records: 1000,
        bundles_put_before: Timestamp::from_millis(0),
    };
    assert_eq!(journal.discard(epoch, discard).await.unwrap().runs, 7);
    assert_eq!(house.value(Some(&journal), COUNT).await, "8 of 8");
}

/// The process ends after the file and before the mark; the next one writes the same file.
#[tokio::test]
async fn a_batch_that_was_written_and_not_marked_becomes_the_same_file() {
    let house = House::new().await;
    let journal = house.journal();
    let epoch = samples::lead(journal.as_ref()).await;
    finish(&journal, epoch, 1..=3).await;
    assert_eq!(archive(&house, &journal, epoch, false).await, 3);
    let files = house.files().await;
    assert_eq!(files.len(), 2, "{files:?}");
    let bytes = house.lake.get(&files[0]).await.unwrap();
    drop(journal);
    let journal = house.journal();
    let epoch = samples::lead(journal.as_ref()).await;
    // In both, and seen once.
    assert_eq!(house.value(Some(&journal), COUNT).await, "3 of 3");
    finish(&journal, epoch, 4..=4).await;
    assert_eq!(archive(&house, &journal, epoch, true).await, 3);
    assert_eq!(house.files().await, files);
    assert_eq!(
        house.lake.get(&files[0]).await.unwrap(),
        bytes,
        "byte by byte"
    );
    assert_eq!(archive(&house, &journal, epoch, true).await, 1);
    assert_eq!(house.files().await.len(), 4);
    assert_eq!(house.value(None, COUNT).await, "4 of 4");
}

#[tokio::test]
async fn what_was_archived_says_what_the_run_was() {
    let house = House::new().await;
    let journal = house.journal();
    let epoch = samples::lead(journal.as_ref()).await;
    let run = samples::run_id(1);
    let at = Timestamp::from_millis(1_763_884_800_000);
    let mut records = samples::scheduled_run(&run, "retail", "nightly", at);
    records.extend(samples::finished_run(&run, "retail", None).split_off(2));
    journal.append(epoch, records).await.unwrap();
    let sql = "SELECT workflow, state, schedule, scheduled_at, is_backfill, params, bundle, stages, finished_at FROM runs";
    let before = house.ask(Some(&journal), sql).await.unwrap();
    archive(&house, &journal, epoch, true).await;
    let after = house.ask(None, sql).await.unwrap();
    assert_eq!(before, after);
    let row = after.lines().nth(3).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let expected = [
        "retail",
        "succeeded",
        "nightly",
        "2025-11-23T08:00:00Z",
        "false",
        "{}",
        "b1",
        "1",
        "2025-11-23T08:30:00Z",
    ];
    assert_eq!(cells[1..10], expected, "{after}");
    let files = house.files().await;
    assert!(
        files[0].starts_with("history/v1/runs/date=2025-11-23/"),
        "{files:?}"
    );
    let sql = "SELECT stage, kind, state, attempts, worker FROM stages";
    let stages = house.ask(None, sql).await.unwrap();
    let row = stages.lines().nth(3).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    assert_eq!(
        cells[1..6],
        ["orders", "ingest/files", "succeeded", "1", "w1"]
    );
}

#[tokio::test]
async fn queries_only_read_and_say_where_they_are_wrong() {
    let house = House::new().await;
    let journal = house.journal();
    let epoch = samples::lead(journal.as_ref()).await;
    finish(&journal, epoch, 1..=1).await;
    let message = async |sql: &str| {
        let error = house.ask(Some(&journal), sql).await.unwrap_err();
        marquetry_types::Diagnostic::from(error).to_string()
    };
    let unknown = message("SELECT * FROM orders").await;
    assert!(unknown.contains("there is no table `orders`"), "{unknown}");
    assert!(unknown.contains("there are runs, stages"), "{unknown}");
    let unknown = message("SELECT * FROM tables.segments").await;
    assert!(unknown.contains("no table `tables.segments`"), "{unknown}");
    let column = message("SELECT run,\n  colour FROM runs").await;
    assert!(
        column.contains("colour") && column.contains("line 2, column 3"),
        "{column}"
    );
    let syntax = message("SELECT run FROM runs WHER state = 'x' y").await;
    assert!(syntax.contains("Line: 1"), "{syntax}");
    let secret = house.folder.path().join("secret.csv");
    let copy = format!("COPY (SELECT 1) TO '{}'", secret.display());
    for changing in [
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/tmp'",
        "INSERT INTO runs SELECT * FROM runs",
        "DELETE FROM runs",
        "DROP TABLE runs",
        "SET datafusion.execution.batch_size = 1",
        copy.as_str(),
    ] {
        let refused = house.ask(Some(&journal), changing).await;
        assert!(refused.is_err(), "{changing}");
    }
    assert!(!Path::exists(&secret));
    let file = message("SELECT * FROM '/etc/passwd'").await;
    assert!(file.contains("there is no table"), "{file}");
    let with = "WITH ended AS (SELECT * FROM runs WHERE finished_at IS NOT NULL) SELECT count(*) FROM ended JOIN stages USING (run)";
    assert_eq!(house.value(Some(&journal), with).await, "1");
}
