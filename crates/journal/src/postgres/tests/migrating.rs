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
             GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA journal0 TO guest",
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
