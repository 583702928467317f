//! What comes back from a backup is what was there, whichever kind of journal it is put into.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use marquetry_types::{PublishedKind, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::testing::{PostgresServer, samples};
use crate::{Journal, Page, RunFilter};

/// Runs of the sample journal.
const RUNS: u64 = 40;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn journal(&self, name: &str) -> Location {
        Location::Sqlite(self.path(name))
    }
}

/// Puts something into every table.
async fn fill(journal: &dyn Journal) -> Epoch {
    let epoch = samples::lead(journal).await;
    journal
        .put_bundle("b1", b"a bundle".to_vec())
        .await
        .unwrap();
    for number in 1..=RUNS {
        let run = samples::run_id(number);
        let request = format!("request-{number}");
        let records = match number % 4 {
            0 => samples::begun_run(&run, "retail", Some(&request)),
            1 => samples::scheduled_run(&run, "retail", "nightly", Timestamp::from_millis(7)),
            _ => samples::finished_run(&run, "retail", Some(&request)),
        };
        journal.append(epoch, records).await.unwrap();
    }
    for version in 1..=3 {
        let run = samples::run_id(RUNS + version);
        let version = samples::published(PublishedKind::Table, "segments", version);
        let records = samples::publishing_run(&run, vec![version]);
        journal.append(epoch, records).await.unwrap();
    }
    let deployment = samples::deployment("retail", "b1");
    journal.deploy(epoch, deployment).await.unwrap();
    let planned = journal.plan_archive(epoch, 5).await.unwrap().unwrap();
    let archived = journal.archived(epoch, planned.number, Vec::new()).await;
    archived.unwrap();
    journal.plan_archive(epoch, 2).await.unwrap().unwrap();
    let discard = crate::Discard {
        through: crate::FinishedThrough {
            at: Timestamp::from_millis(i64::MAX),
            run: None,
        },
        runs: 2,
        records: 1,
        bundles_put_before: Timestamp::from_millis(0),
    };
    journal.discard(epoch, discard).await.unwrap();
    epoch
}

/// Everything that a reader sees.
async fn seen(location: &Location) -> Vec<String> {
    let journal = crate::open_read_only(location).await.unwrap();
    let page = Page::first(1000);
    let runs = journal
        .list_runs(&RunFilter::default(), &page)
        .await
        .unwrap();
    let mut seen = vec![format!("{runs:?}")];
    for run in &runs {
        seen.push(format!("{:?}", journal.load_run(&run.run).await));
    }
    let requests = (1..=RUNS).map(|number| format!("request-{number}"));
    for request in requests {
        seen.push(format!("{:?}", journal.find_by_request_id(&request).await));
    }
    let name = "segments".parse().unwrap();
    let versions = journal.published_versions(PublishedKind::Table, &name, 9);
    seen.push(format!("{:?}", versions.await));
    seen.push(format!("{:?}", journal.list_published(None).await));
    seen.push(format!("{:?}", journal.get_bundle("b1").await));
    seen.push(format!("{:?}", journal.current_deployments().await));
    seen.push(format!("{:?}", journal.schedule_positions("retail").await));
    seen.push(format!("{:?}", journal.list_unarchived(None, 1000).await));
    seen.push(format!("{:?}", journal.archive_backlog(1000).await));
    seen
}

/// Goes on with a restored journal: whoever led before is shut out.
async fn go_on(location: &Location, before: Epoch, restored: Restored) {
    let journal = crate::open(location).await.unwrap();
    let epoch = samples::lead(journal.as_ref()).await;
    assert_eq!(epoch.0, restored.epoch.0 + 1);
    assert!(epoch.0 > before.0 + 1000);
    let fenced = JournalError::Fenced {
        ours: before,
        current: epoch,
    };
    let run = samples::run_id(900);
    let records = samples::finished_run(&run, "retail", None);
    let late = journal.append(before, records.clone()).await;
    assert_eq!(late, Err(fenced));
    journal.append(epoch, records).await.unwrap();
    // The next version follows the last one that was published.
    let next = samples::published(PublishedKind::Table, "segments", 4);
    let records = samples::publishing_run(&samples::run_id(901), vec![next]);
    journal.append(epoch, records).await.unwrap();
    let planned = journal.plan_archive(epoch, 9).await.unwrap().unwrap();
    assert_eq!(
        (planned.number, planned.epoch),
        (2, before),
        "as it was planned"
    );
}

#[tokio::test]
async fn a_backup_that_is_made_while_others_write_comes_back_as_it_was() {
    let folder = Folder::new();
    let location = folder.journal("journal.db");
    let journal = crate::open(&location).await.unwrap();
    let epoch = fill(journal.as_ref()).await;
    let writer = {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move {
            for number in 1000..1040 {
                let records = samples::finished_run(&samples::run_id(number), "later", None);
                journal.append(epoch, records).await.unwrap();
            }
        })
    };
    let file = folder.path("backup.db");
    let contents = backup(&location, &file).await.unwrap();
    writer.await.unwrap();
    assert!(contents.runs >= RUNS, "{contents:?}");
    assert_eq!(contents.epoch, epoch);
    drop(journal);

    let elsewhere = folder.journal("new/journal.db");
    let restored = restore(&file, &elsewhere, false).await.unwrap();
    assert_eq!((restored.contents, restored.is_checked), (contents, true));
    let of_backup = seen(&Location::Sqlite(file)).await;
    assert_eq!(seen(&elsewhere).await, of_backup);
    go_on(&elsewhere, epoch, restored).await;
}

#[tokio::test]
async fn what_is_no_backup_or_was_changed_is_refused() {
    let folder = Folder::new();
    let location = folder.journal("journal.db");
    let journal = crate::open(&location).await.unwrap();
    fill(journal.as_ref()).await;
    let file = folder.path("backup.db");
    backup(&location, &file).await.unwrap();
    let again = backup(&location, &file).await.unwrap_err();
    assert!(
        again.to_string().ends_with("it is there already"),
        "{again}"
    );

    let target = folder.journal("target.db");
    let sound = fs::read(&file).unwrap();
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let refused = restore(&file, &target, false).await.unwrap_err();
    assert!(
        refused.to_string().contains("does not have the digest"),
        "{refused}"
    );
    // Without its digest the pages tell, where they are torn.
    fs::remove_file(folder.path("backup.db.blake3")).unwrap();
    fs::write(&file, &sound[..sound.len() - 4096]).unwrap();
    let refused = restore(&file, &target, false).await.unwrap_err();
    assert!(matches!(refused, JournalError::Backup { .. }), "{refused}");
    fs::write(&file, "no database").unwrap();
    let refused = restore(&file, &target, false).await.unwrap_err();
    assert!(matches!(refused, JournalError::Backup { .. }), "{refused}");
    let missing = restore(&folder.path("nothing"), &target, false).await;
    assert!(
        matches!(missing, Err(JournalError::Backup { .. })),
        "{missing:?}"
    );
    assert!(!folder.path("target.db").exists());
    fs::write(&file, &sound).unwrap();
    let restored = restore(&file, &target, false).await.unwrap();
    assert!(!restored.is_checked);
}

#[tokio::test]
async fn a_journal_that_has_runs_or_is_in_use_is_not_replaced() {
    let folder = Folder::new();
    let location = folder.journal("journal.db");
    let journal = crate::open(&location).await.unwrap();
    let epoch = fill(journal.as_ref()).await;
    let file = folder.path("backup.db");
    let contents = backup(&location, &file).await.unwrap();
    let records = samples::finished_run(&samples::run_id(950), "later", None);
    journal.append(epoch, records).await.unwrap();
    let refused = restore(&file, &location, true).await;
    assert!(
        matches!(refused, Err(JournalError::InUse { .. })),
        "{refused:?}"
    );
    drop(journal);
    let before = seen(&location).await;
    let refused = restore(&file, &location, false).await.unwrap_err();
    let expected = JournalError::NotEmpty {
        journal: folder.path("journal.db").display().to_string(),
        runs: contents.runs + 1,
    };
    assert_eq!(refused, expected);
    assert_eq!(seen(&location).await, before);
    let restored = restore(&file, &location, true).await.unwrap();
    assert_eq!(seen(&location).await, seen(&Location::Sqlite(file)).await);
    go_on(&location, epoch, restored).await;
}

#[tokio::test]
async fn a_backup_of_an_older_format_is_brought_up_to_date() {
    let folder = Folder::new();
    let file = folder.path("old.db");
    let connection = Connection::open(&file).unwrap();
    let old = include_str!("../sqlite/tests/format3.sql");
    connection.execute_batch(old).unwrap();
    drop(connection);
    let before = fs::read(&file).unwrap();
    let target = folder.journal("journal.db");
    let restored = restore(&file, &target, false).await.unwrap();
    assert_eq!(restored.contents.runs, 2);
    let journal = crate::open_read_only(&target).await.unwrap();
    assert!(journal.load_run(&samples::run_id(2)).await.is_ok());
    assert_eq!(
        fs::read(&file).unwrap(),
        before,
        "the backup stays as it is"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_goes_from_postgresql_to_sqlite_and_back() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let folder = Folder::new();
    let first = Location::Postgres(server.new_journal());
    let journal = crate::open(&first).await.unwrap();
    let epoch = fill(journal.as_ref()).await;
    let file = folder.path("backup.db");
    let contents = backup(&first, &file).await.unwrap();
    assert_eq!(contents.epoch, epoch);
    let there = seen(&first).await;
    assert_eq!(seen(&Location::Sqlite(file.clone())).await, there);
    let sqlite = folder.journal("journal.db");
    let restored = restore(&file, &sqlite, false).await.unwrap();
    assert_eq!(seen(&sqlite).await, there);

    let second = Location::Postgres(server.new_journal());
    restore(&file, &second, false).await.unwrap();
    assert_eq!(seen(&second).await, there);
    let refused = restore(&file, &second, false).await.unwrap_err();
    assert!(
        matches!(refused, JournalError::NotEmpty { .. }),
        "{refused}"
    );
    let again = restore(&file, &second, true).await.unwrap();
    assert!(again.epoch > restored.epoch);
    assert_eq!(seen(&second).await, there);
    go_on(&second, epoch, again).await;
    go_on(&sqlite, epoch, restored).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_journal_that_somebody_leads_is_not_replaced() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let folder = Folder::new();
    let location = Location::Postgres(server.new_journal());
    let journal = crate::open(&location).await.unwrap();
    let file = folder.path("backup.db");
    backup(&location, &file).await.unwrap();
    let candidate = crate::Candidate {
        lease: std::time::Duration::from_secs(60),
        ..samples::candidate("house")
    };
    let won = journal.campaign(&candidate).await.unwrap();
    let crate::Campaign::Won(epoch) = won else {
        unreachable!("nobody leads");
    };
    let refused = restore(&file, &location, true).await;
    assert!(
        matches!(refused, Err(JournalError::InUse { .. })),
        "{refused:?}"
    );
    journal.resign(epoch).await.unwrap();
    restore(&file, &location, false).await.unwrap();
    let records = samples::finished_run(&samples::run_id(1), "retail", None);
    let fenced = journal.append(epoch, records).await;
    assert!(
        matches!(fenced, Err(JournalError::Fenced { .. })),
        "{fenced:?}"
    );
}
