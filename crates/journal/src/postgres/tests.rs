//! What is particular to PostgreSQL: several coordinators, a server that goes away.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod deployments;
mod doubt;
mod fencing;
mod loading;
mod locks;
mod migrating;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquetry_engine::Record;
use marquetry_types::{Epoch, PublishedKind, RunId};
use tokio_postgres::{Client, NoTls, Transaction};

use super::*;
use crate::testing::conformance::{self, Database, Store};
use crate::testing::{PostgresServer, samples};
use crate::{Campaign, Candidate, Journal, Page, RunFilter};

/// A journal of the server's.
struct Schema(String);

#[async_trait]
impl Store for Schema {
    async fn open(&self) -> Arc<dyn Journal> {
        Arc::new(PostgresJournal::open(&self.0).await.unwrap())
    }

    async fn open_reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(PostgresJournal::open_read_only(&self.0).await.unwrap())
    }
}

#[async_trait]
impl Database for Schema {
    async fn tamper(&self, sql: &str) -> u64 {
        let place = Place::parse(&self.0).unwrap();
        let client = place.connect(place.patience).await.unwrap();
        client.execute(sql, &[]).await.unwrap()
    }
}

fn candidate(name: &str, lease: Duration) -> Candidate {
    Candidate {
        lease,
        ..samples::candidate(name)
    }
}

/// A session of somebody who is no coordinator.
async fn stranger(server: &PostgresServer) -> Client {
    let url = server.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A journal that waits for locks for so long.
async fn waiting(url: &str, lock: Duration) -> PostgresJournal {
    let mut place = Place::parse(url).unwrap();
    place.patience.lock = lock;
    place.patience.statement = MINUTE;
    PostgresJournal::open_at(place).await.unwrap()
}

/// Longer than any test lasts.
const MINUTE: Duration = Duration::from_secs(60);

/// The condition of sessions of ours that are held up by another one's lock.
const HELD_UP: &str = "application_name = 'marquetry' AND wait_event_type = 'Lock'";

/// Waits until so many sessions are in some state.
async fn until(observer: &Client, count: i64, condition: &str) {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE {condition}");
    let start = std::time::Instant::now();
    loop {
        let found: i64 = observer.query_one(&sql, &[]).await.unwrap().get(0);
        if found == count {
            return;
        }
        assert!(start.elapsed() < MINUTE, "{found} sessions, not {count}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Ends sessions in some state, as an administrator does.
async fn end(observer: &Client, condition: &str) {
    let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {condition}");
    observer.query(&sql, &[]).await.unwrap();
}

/// The statement of a commit is prepared before a campaign, and that may be cut off, too.
async fn lead_in_the_end(journal: &PostgresJournal) -> Epoch {
    let start = std::time::Instant::now();
    loop {
        match journal.campaign(&samples::candidate("house")).await {
            Ok(Campaign::Won(epoch)) => return epoch,
            other => assert!(start.elapsed() < MINUTE, "{other:?}"),
        }
    }
}

/// A row that is in the way of the first record of a run, for as long as the transaction is not ended.
async fn obstruct<'c>(stranger: &'c mut Client, run: &RunId) -> Transaction<'c> {
    let obstacle = stranger.transaction().await.unwrap();
    let sql = format!("INSERT INTO journal0.records VALUES ('{run}', 1, 1, 1, '')");
    obstacle.execute(&sql, &[]).await.unwrap();
    obstacle
}

/// How many rows there are in all, beside who leads.
async fn rows(observer: &Client) -> i64 {
    let tables = [
        "runs",
        "records",
        "snapshots",
        "publications",
        "publications_current",
        "deployments",
        "deployments_current",
        "schedule_positions",
        "cached_outcomes",
    ];
    let counts = tables.map(|table| format!("(SELECT count(*) FROM journal0.{table})"));
    let sql = format!("SELECT {}", counts.join(" + "));
    observer.query_one(&sql, &[]).await.unwrap().get(0)
}

/// A run that leaves a row in every table but that of snapshots.
fn publishing(number: u64, version: u64) -> (RunId, Vec<Record>) {
    let run = samples::run_id(number);
    let version = samples::published(PublishedKind::Table, "segments", version);
    let records = samples::publishing_run(&run, vec![version]);
    (run, records)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_what_every_journal_does() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    conformance::run(|| Schema(server.new_journal())).await;
    conformance::survive_damage(|| Schema(server.new_journal())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_coordinators_the_one_that_was_deposed_commits_nothing() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let old = PostgresJournal::open(&url).await.unwrap();
    let new = PostgresJournal::open(&url).await.unwrap();
    let hour = Duration::from_secs(3600);
    let won = old.campaign(&candidate("old", Duration::ZERO)).await;
    assert_eq!(won, Ok(Campaign::Won(Epoch(1))));
    let run = samples::run_id(1);
    old.append(Epoch(1), samples::begun_run(&run, "retail", None))
        .await
        .unwrap();
    let won = new.campaign(&candidate("new", hour)).await;
    assert_eq!(won, Ok(Campaign::Won(Epoch(2))));
    let refused = old
        .append(
            Epoch(1),
            samples::begun_run(&samples::run_id(2), "retail", None),
        )
        .await;
    let fenced = JournalError::Fenced {
        ours: Epoch(1),
        current: Epoch(2),
    };
    assert_eq!(refused, Err(fenced.clone()));
    assert_eq!(old.renew(Epoch(1), hour).await, Err(fenced));
    let lost = old.campaign(&candidate("old", hour)).await.unwrap();
    assert!(matches!(lost, Campaign::Lost(leader) if leader.url == "http://new:7070"));
    let runs = new.list_runs(&RunFilter::default(), &Page::first(9)).await;
    assert_eq!(runs.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_leads_again_goes_on_from_what_others_wrote_meanwhile() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let a = PostgresJournal::open(&url).await.unwrap();
    let b = PostgresJournal::open(&url).await.unwrap();
    let run = samples::run_id(1);
    let records = samples::finished_run(&run, "retail", None);
    assert!(records.len() >= 3);
    for (index, record) in records.iter().enumerate() {
        let journal = if index % 2 == 0 { &a } else { &b };
        let name = if index % 2 == 0 { "a" } else { "b" };
        let won = journal.campaign(&candidate(name, Duration::ZERO)).await;
        let Ok(Campaign::Won(epoch)) = won else {
            panic!("{won:?}");
        };
        journal.append(epoch, vec![record.clone()]).await.unwrap();
    }
    let state = a.load_run(&run).await.unwrap();
    assert_eq!(state, samples::replayed(&records));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_not_renewed_ends_by_the_clock_of_the_database() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let journal = PostgresJournal::open(&url).await.unwrap();
    let short = Duration::from_millis(200);
    journal.campaign(&candidate("a", short)).await.unwrap();
    let start = std::time::Instant::now();
    let won = loop {
        match journal.campaign(&candidate("b", short)).await.unwrap() {
            Campaign::Won(epoch) => break epoch,
            Campaign::Lost(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it never ends");
    };
    assert_eq!(won, Epoch(2));
    assert!(
        start.elapsed() >= Duration::from_millis(150),
        "it had a lease"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_missing_after_the_server_was_killed() {
    let Some(mut server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let journal = Arc::new(PostgresJournal::open(&url).await.unwrap());
    let mut acknowledged = Vec::new();
    let mut epoch = samples::lead(journal.as_ref()).await;
    for round in 0..3_u64 {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let appends: Vec<_> = (0..8_u64)
            .map(|task| {
                let (journal, told) = (Arc::clone(&journal), told.clone());
                tokio::spawn(async move {
                    for number in 0_u64.. {
                        let run = samples::run_id(round * 1_000_000 + task * 100_000 + number);
                        let records = samples::begun_run(&run, "retail", None);
                        if journal.append(epoch, records).await.is_err() {
                            return;
                        }
                        let _ = told.send(run);
                    }
                })
            })
            .collect();
        drop(told);
        for _ in 0..200 {
            acknowledged.push(heard.recv().await.unwrap());
        }
        server.kill();
        for append in appends {
            append.await.unwrap();
        }
        while let Some(run) = heard.recv().await {
            acknowledged.push(run);
        }
        server.restart();
        // Who was in doubt campaigns before it reads.
        epoch = samples::lead(journal.as_ref()).await;
    }
    let unfinished = journal.load_unfinished().await.unwrap();
    assert_eq!(unfinished.damaged, []);
    let found: std::collections::BTreeSet<_> =
        unfinished.runs.iter().map(|run| run.id().clone()).collect();
    let missing: Vec<_> = acknowledged
        .iter()
        .filter(|run| !found.contains(*run))
        .collect();
    assert_eq!(missing, Vec::<&RunId>::new());
    assert!(acknowledged.len() >= 600);
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_told_without_its_password() {
    let url = "postgres://me:secret@127.0.0.1:1/runs";
    let error = PostgresJournal::open(url).await.unwrap_err();
    assert!(matches!(error, JournalError::Away { .. }), "{error:?}");
    let error = error.to_string();
    assert!(
        error.starts_with("the journal postgres://me@127.0.0.1:1/runs cannot be reached: "),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_database_that_is_away_is_told_from_one_that_refuses() {
    let Some(mut server) = PostgresServer::start() else {
        return;
    };
    let journal = server.new_journal();
    let open = |url: String| async move { PostgresJournal::open(&url).await };
    let url = server.url();
    for refused in [
        url.replace("/postgres", "/nowhere"),
        url.replace("marquetry@", "nobody:wrong@"),
    ] {
        let error = open(refused).await.unwrap_err();
        assert!(matches!(error, JournalError::Open { .. }), "{error:?}");
    }
    drop(open(journal.clone()).await.unwrap());
    let schema = journal.split_once("schema=").unwrap().1;
    let newer = format!("UPDATE {schema}.schema_version SET version = version + 1");
    stranger(&server).await.execute(&newer, &[]).await.unwrap();
    let error = open(journal.clone()).await.unwrap_err();
    assert!(
        matches!(error, JournalError::UnknownFormat { .. }),
        "{error:?}"
    );
    server.kill();
    let error = open(journal).await.unwrap_err();
    assert!(matches!(error, JournalError::Away { .. }), "{error:?}");
}
