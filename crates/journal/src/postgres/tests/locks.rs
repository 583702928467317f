//! Who waits for the lock on the leadership's row hears of it in time.

use tokio_postgres::{Client, NoTls};

use super::*;

/// A session of somebody who is no coordinator.
pub(super) async fn stranger(server: &PostgresServer) -> Client {
    session(&server.url()).await
}

async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A journal that waits for locks for so long.
pub(super) async fn waiting(url: &str, lock: Duration) -> PostgresJournal {
    let mut place = Place::parse(url).unwrap();
    place.patience.lock = lock;
    place.patience.statement = lock + Duration::from_secs(60);
    PostgresJournal::open_at(place).await.unwrap()
}

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_lock_in_vain_hears_of_it_and_nothing_was_done() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let (a, b) = (waiting(&url, SHORT).await, waiting(&url, SHORT).await);
    let over = |name: &str| candidate(name, Duration::ZERO);
    let won = a.campaign(&over("a")).await;
    assert_eq!(won, Ok(Campaign::Won(Epoch(1))));

    let mut stranger = stranger(&server).await;
    let lock = stranger.transaction().await.unwrap();
    let sql = "SELECT FROM journal0.leadership FOR UPDATE";
    lock.query_one(sql, &[]).await.unwrap();
    let lost = b.campaign(&over("b")).await;
    assert!(
        matches!(&lost, Ok(Campaign::Lost(leader)) if leader.name == "a"),
        "{lost:?}"
    );
    let run = samples::run_id(1);
    let records = samples::begun_run(&run, "retail", None);
    // To the leader itself it is an error that certainly had no effect.
    for refused in [
        a.append(Epoch(1), records.clone()).await,
        a.renew(Epoch(1), SHORT).await,
        a.campaign(&over("a")).await.map(|_| ()),
    ] {
        assert!(
            matches!(&refused, Err(JournalError::Storage { reason, .. }) if reason.contains("lock timeout")),
            "{refused:?}"
        );
    }
    // A stranger's session is not ours to end.
    lock.commit().await.unwrap();
    assert_eq!(
        a.list_runs(&RunFilter::default(), &Page::first(1)).await,
        Ok(vec![])
    );
    a.append(Epoch(1), records).await.unwrap();
    assert_eq!(b.campaign(&over("b")).await, Ok(Campaign::Won(Epoch(2))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_paused_within_a_commit_keeps_nobody_from_leading() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let (a, b) = (waiting(&url, SHORT).await, waiting(&url, SHORT).await);
    let over = |name: &str| candidate(name, Duration::ZERO);
    a.campaign(&over("a")).await.unwrap();
    // What the paused one's session is like: it has the lock, and waits for the rest of the commit.
    let paused = session(&format!("{}?application_name=marquetry", server.url())).await;
    paused
        .batch_execute("BEGIN; SELECT FROM journal0.leadership FOR SHARE")
        .await
        .unwrap();
    let start = std::time::Instant::now();
    let won = loop {
        match b.campaign(&over("b")).await.unwrap() {
            Campaign::Won(epoch) => break epoch,
            Campaign::Lost(leader) => assert_eq!(leader.name, "a"),
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it never wins");
    };
    assert_eq!(won, Epoch(2));
    assert!(paused.batch_execute("COMMIT").await.is_err(), "it is ended");
}
