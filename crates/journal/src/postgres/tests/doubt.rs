//! Connections that end within a commit: what the journal says afterwards is all of it or nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_cut_off_before_its_end_is_doubted_and_not_there() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let journal = Arc::new(waiting(&url, MINUTE).await);
    let (mut stranger, observer) = (stranger(&server).await, stranger(&server).await);
    let epoch = samples::lead(journal.as_ref()).await;
    let (run, records) = publishing(1, 1);
    let obstacle = obstruct(&mut stranger, &run).await;
    let commit = tokio::spawn({
        let (journal, records) = (Arc::clone(&journal), records.clone());
        async move { journal.append(epoch, records).await }
    });
    until(&observer, 1, HELD_UP).await;
    end(&observer, HELD_UP).await;
    let doubted = commit.await.unwrap();
    assert!(
        matches!(&doubted, Err(error) if error.is_doubtful()),
        "{doubted:?}"
    );
    obstacle.rollback().await.unwrap();

    let epoch = samples::lead(journal.as_ref()).await;
    assert_eq!(rows(&observer).await, 0);
    let unknown = JournalError::UnknownRun { run: run.clone() };
    assert_eq!(journal.load_run(&run).await, Err(unknown));
    // And it can be done again.
    journal.append(epoch, records.clone()).await.unwrap();
    assert_eq!(
        journal.load_run(&run).await,
        Ok(samples::replayed(&records))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_cut_off_before_its_answer_is_doubted_and_there() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let journal = Arc::new(PostgresJournal::open(&url).await.unwrap());
    let observer = stranger(&server).await;
    let epoch = samples::lead(journal.as_ref()).await;
    // A commit that waits for a standby that does not exist is durable already, and not answered.
    let standby = async |sql: &str| {
        observer.execute(sql, &[]).await.unwrap();
        observer
            .execute("SELECT pg_reload_conf()", &[])
            .await
            .unwrap();
    };
    standby("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    let waits = "application_name = 'marquetry' AND wait_event = 'SyncRep'";
    // Some commits pass before the server has read its configuration.
    let mut passed = 0;
    let (run, records, doubted) = loop {
        let (run, records) = publishing(passed + 1, passed + 1);
        let mut commit = tokio::spawn({
            let (journal, records) = (Arc::clone(&journal), records.clone());
            async move { journal.append(epoch, records).await }
        });
        tokio::select! {
            () = until(&observer, 1, waits) => {}
            answer = &mut commit => {
                answer.unwrap().unwrap();
                passed += 1;
                continue;
            }
        }
        end(&observer, waits).await;
        break (run, records, commit.await.unwrap());
    };
    assert!(
        matches!(&doubted, Err(error) if error.is_doubtful()),
        "{doubted:?}"
    );
    standby("ALTER SYSTEM RESET synchronous_standby_names").await;

    samples::lead(journal.as_ref()).await;
    assert_eq!(
        journal.load_run(&run).await,
        Ok(samples::replayed(&records))
    );
    let current = journal.list_published(None).await.unwrap();
    assert_eq!(current[0].published.version, passed + 1);
    let passed = i64::try_from(passed).unwrap();
    assert_eq!(rows(&observer).await, 6 * (passed + 1) + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_are_cut_off_anywhere_are_there_or_not_and_never_half() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let journal = PostgresJournal::open(&url).await.unwrap();
    let observer = stranger(&server).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let axe = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            let commits = "application_name = 'marquetry' AND state = 'active' \
                           AND query LIKE '%put_records%'";
            while !is_over.load(Ordering::Relaxed) {
                end(&observer, commits).await;
            }
        }
    });
    let mut epoch = lead_in_the_end(&journal).await;
    let mut answers = Vec::new();
    for number in 0..60 {
        let pair = [2 * number + 1, 2 * number + 2].map(samples::run_id);
        let records = pair
            .iter()
            .flat_map(|run| samples::finished_run(run, "retail", None));
        let answer = journal.append(epoch, records.collect()).await;
        if answer.is_err() {
            epoch = lead_in_the_end(&journal).await;
        }
        answers.push((pair, answer));
    }
    is_over.store(true, Ordering::Relaxed);
    axe.await.unwrap();

    for (pair, answer) in answers {
        let mut found = Vec::new();
        for run in &pair {
            let expected = samples::replayed(&samples::finished_run(run, "retail", None));
            match journal.load_run(run).await {
                Ok(state) => {
                    assert_eq!(state, expected, "half of it");
                    found.push(true);
                }
                Err(JournalError::UnknownRun { .. }) => found.push(false),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(found[0], found[1], "half of it");
        match answer {
            Ok(()) => assert!(found[0], "it was acknowledged"),
            Err(JournalError::Doubtful { .. }) => {}
            Err(JournalError::Storage { .. }) => assert!(!found[0], "it was refused"),
            Err(error) => panic!("{error}"),
        }
    }
}
