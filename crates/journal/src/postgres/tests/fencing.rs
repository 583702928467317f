//! Commits and take-overs that meet while both are under way.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_over_waits_for_the_commit_under_way_and_reads_it() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let old = Arc::new(waiting(&url, MINUTE).await);
    let new = Arc::new(waiting(&url, MINUTE).await);
    let (mut stranger, observer) = (stranger(&server).await, stranger(&server).await);
    old.campaign(&candidate("old", Duration::ZERO))
        .await
        .unwrap();

    let (run, records) = publishing(1, 1);
    let obstacle = obstruct(&mut stranger, &run).await;
    let commit = tokio::spawn({
        let (old, records) = (Arc::clone(&old), records.clone());
        async move { old.append(Epoch(1), records).await }
    });
    until(&observer, 1, HELD_UP).await;
    let takeover = tokio::spawn({
        let new = Arc::clone(&new);
        async move { new.campaign(&candidate("new", MINUTE)).await }
    });
    until(&observer, 2, HELD_UP).await;
    assert_eq!(new.leader().await.unwrap().unwrap().name, "old");
    obstacle.rollback().await.unwrap();

    assert_eq!(commit.await.unwrap(), Ok(()));
    assert_eq!(takeover.await.unwrap(), Ok(Campaign::Won(Epoch(2))));
    let state = new.load_run(&run).await;
    assert_eq!(state, Ok(samples::replayed(&records)));
    let fenced = JournalError::Fenced {
        ours: Epoch(1),
        current: Epoch(2),
    };
    let (_, more) = publishing(2, 2);
    assert_eq!(old.append(Epoch(1), more).await, Err(fenced));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_waits_for_a_takeover_is_fenced_by_it_and_only_by_it() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let old = Arc::new(waiting(&url, MINUTE).await);
    let (mut stranger, observer) = (stranger(&server).await, stranger(&server).await);
    old.campaign(&candidate("old", Duration::ZERO))
        .await
        .unwrap();
    for (number, succeeds) in [(1, false), (2, true)] {
        // What a campaign does, stopped before its end.
        let takeover = stranger.transaction().await.unwrap();
        let sql = "UPDATE journal0.leadership SET epoch = epoch + 1, name = 'new'";
        takeover.execute(sql, &[]).await.unwrap();
        let (run, records) = publishing(number, number);
        let commit = tokio::spawn({
            let (old, records) = (Arc::clone(&old), records.clone());
            async move { old.append(Epoch(1), records).await }
        });
        until(&observer, 1, HELD_UP).await;
        if succeeds {
            takeover.commit().await.unwrap();
            let fenced = JournalError::Fenced {
                ours: Epoch(1),
                current: Epoch(2),
            };
            assert_eq!(commit.await.unwrap(), Err(fenced));
            assert_eq!(
                old.load_run(&run).await,
                Err(JournalError::UnknownRun { run })
            );
        } else {
            takeover.rollback().await.unwrap();
            assert_eq!(commit.await.unwrap(), Ok(()));
            assert_eq!(old.load_run(&run).await, Ok(samples::replayed(&records)));
        }
        // One run, its four records, and its version twice.
        assert_eq!(rows(&observer).await, 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_fight_for_the_lead_each_record_is_of_the_one_that_had_it() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let fighters = (1..=2_u64).map(|number| {
        let url = url.clone();
        tokio::spawn(async move {
            let journal = PostgresJournal::open(&url).await.unwrap();
            let name = format!("c{number}");
            let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
            for round in 0..40 {
                let won = journal.campaign(&candidate(&name, Duration::ZERO)).await;
                let Ok(Campaign::Won(epoch)) = won else {
                    continue;
                };
                for append in 0..3 {
                    let run = samples::run_id(number * 10_000 + round * 10 + append);
                    let records = samples::begun_run(&run, "retail", None);
                    match journal.append(epoch, records).await {
                        Ok(()) => acknowledged.push((epoch, run)),
                        Err(JournalError::Fenced { ours, current }) => {
                            assert!(ours == epoch && current > epoch);
                            refused.push(run);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            (acknowledged, refused)
        })
    });
    let fighters: Vec<_> = fighters.collect();
    let mut leaders = std::collections::BTreeMap::new();
    let reader = PostgresJournal::open(&url).await.unwrap();
    for (number, fighter) in fighters.into_iter().enumerate() {
        let (acknowledged, refused) = fighter.await.unwrap();
        for (epoch, run) in acknowledged {
            let leader = leaders.entry(epoch).or_insert(number);
            assert_eq!(*leader, number, "{epoch} is of one");
            let expected = samples::replayed(&samples::begun_run(&run, "retail", None));
            assert_eq!(reader.load_run(&run).await, Ok(expected));
        }
        for run in refused {
            let unknown = reader.load_run(&run).await;
            assert_eq!(unknown, Err(JournalError::UnknownRun { run }));
        }
    }
    assert!(!leaders.is_empty());
}
