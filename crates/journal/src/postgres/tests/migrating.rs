//! Making the tables, and finding others than expected.

use super::*;
use crate::postgres::schema::{FORMAT, LOCK};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_begin_on_an_empty_database_at_once_one_makes_the_tables() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let stranger = stranger(&server).await;
    let locking = |function: &str| format!("SELECT {function}({LOCK})");
    stranger
        .execute(&locking("pg_advisory_lock"), &[])
        .await
        .unwrap();
    let opening: Vec<_> = (0..5)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { PostgresJournal::open(&url).await })
        })
        .collect();
    until(&stranger, 5, HELD_UP).await;
    stranger
        .execute(&locking("pg_advisory_unlock"), &[])
        .await
        .unwrap();
    for (number, journal) in (1..).zip(opening) {
        let journal = journal.await.unwrap().unwrap();
        assert_eq!(samples::lead(&journal).await, Epoch(number));
    }
    let sql = "SELECT version FROM journal0.schema_version";
    let version: i64 = stranger.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(version, FORMAT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_a_newer_version_is_left_alone() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    drop(PostgresJournal::open(&url).await.unwrap());
    let stranger = stranger(&server).await;
    let newer = "UPDATE journal0.schema_version SET version = 99";
    stranger.execute(newer, &[]).await.unwrap();
    let opened = PostgresJournal::open(&url).await.unwrap_err();
    let read = PostgresJournal::open_read_only(&url).await.unwrap_err();
    assert_eq!(opened, read);
    let expected = format!(
        "the journal {url} has format 99, and this version of marquetry reads format {FORMAT}"
    );
    assert_eq!(opened.to_string(), expected);
    let help = opened.diagnostic().to_string();
    assert!(help.contains("use the newer marquetry"), "{help}");
    let sql = "SELECT version FROM journal0.schema_version";
    let version: i64 = stranger.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(version, 99);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_said_and_what_is_there_needs_no_right_to_make_it() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let absent = PostgresJournal::open_read_only(&url).await.unwrap_err();
    assert!(
        absent
            .to_string()
            .ends_with("schema `journal0` holds no journal: no server was started on it yet"),
        "{absent}"
    );
    let guests = url.replace("marquetry@", "guest@");
    let stranger = stranger(&server).await;
    stranger
        .batch_execute("CREATE ROLE guest LOGIN")
        .await
        .unwrap();
    let refused = PostgresJournal::open(&guests).await.unwrap_err();
    assert!(
        refused.to_string().contains("permission denied"),
        "{refused}"
    );
    drop(PostgresJournal::open(&url).await.unwrap());
    let unreadable = PostgresJournal::open_read_only(&guests).await.unwrap_err();
    assert!(
        unreadable.to_string().contains("permission denied"),
        "{unreadable}"
    );
    stranger
        .batch_execute(
            "GRANT USAGE ON SCHEMA journal0 TO guest;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA journal0 TO guest",
        )
        .await
        .unwrap();
    let journal = PostgresJournal::open(&guests).await.unwrap();
    let epoch = samples::lead(&journal).await;
    let (run, records) = publishing(1, 1);
    journal.append(epoch, records.clone()).await.unwrap();
    assert_eq!(
        journal.load_run(&run).await,
        Ok(samples::replayed(&records))
    );
}

/// A schema's columns and indices.
async fn tables(observer: &Client, schema: &str) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', table_name, column_name, data_type, collation_name, is_nullable)
               FROM information_schema.columns WHERE table_schema = $1
               UNION ALL SELECT replace(indexdef, schemaname, '') FROM pg_indexes WHERE schemaname = $1
               ORDER BY 1";
    let rows = observer.query(sql, &[&schema]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A server with a journal of format 1, as [`conformance::take_up_from_before_deployments`] wants it.
async fn old_journal() -> Option<(PostgresServer, Schema, Client)> {
    let server = PostgresServer::start()?;
    let schema = Schema(server.new_journal());
    let stranger = stranger(&server).await;
    let sql = include_str!("format1.sql");
    stranger.batch_execute(sql).await.unwrap();
    Some((server, schema, stranger))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_format_1_is_brought_up_to_date_with_all_that_is_in_it() {
    let Some((server, schema, stranger)) = old_journal().await else {
        return;
    };
    let refused = PostgresJournal::open_read_only(&schema.0).await;
    let expected = JournalError::UnknownFormat {
        journal: schema.0.clone(),
        found: 1,
        known: FORMAT,
    };
    assert_eq!(refused.unwrap_err(), expected);
    conformance::take_up_from_before_deployments(&schema).await;
    let fresh = server.new_journal();
    drop(PostgresJournal::open(&fresh).await.unwrap());
    let old = tables(&stranger, "journal0").await;
    assert_eq!(old, tables(&stranger, "journal1").await);
    assert!(old.len() > 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_cannot_be_brought_up_to_date_stays_as_it_was() {
    let Some((_server, schema, stranger)) = old_journal().await else {
        return;
    };
    // The last of the new tables is in the way.
    let obstacle = "CREATE TABLE journal0.schedule_positions (something text)";
    stranger.batch_execute(obstacle).await.unwrap();
    let before = tables(&stranger, "journal0").await;
    let refused = PostgresJournal::open(&schema.0).await.unwrap_err();
    assert!(refused.to_string().contains("already exists"), "{refused}");
    assert_eq!(tables(&stranger, "journal0").await, before);
    let clear = "DROP TABLE journal0.schedule_positions";
    stranger.batch_execute(clear).await.unwrap();
    conformance::take_up_from_before_deployments(&schema).await;
}
