//! Deployments that meet take-overs, and connections and servers that end within one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use marquetry_types::Timestamp;

use super::*;
use crate::Deployed;

/// Every version of `retail` with its bundle. They have no gaps, and the newest one is current.
async fn versions(journal: &PostgresJournal) -> BTreeMap<u64, String> {
    let page = Page::first(100_000);
    let listed = journal.list_deployments("retail", &page).await.unwrap();
    assert_eq!(listed.damaged, []);
    let current = journal.deployment("retail", None).await.unwrap();
    assert_eq!(current.as_ref(), listed.sound.first());
    let listed = listed.sound.into_iter();
    let versions: BTreeMap<_, _> = listed.map(|it| (it.version, it.bundle)).collect();
    let count = u64::try_from(versions.len()).unwrap();
    assert!(versions.keys().copied().eq(1..=count), "{versions:?}");
    versions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_waits_for_a_takeover_is_fenced_by_it_and_only_by_it() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let old = Arc::new(waiting(&url, MINUTE).await);
    let (mut stranger, observer) = (stranger(&server).await, stranger(&server).await);
    let epoch = samples::lead(old.as_ref()).await;
    for succeeds in [false, true] {
        // What a campaign does, stopped before its end: others read what there is, and wait.
        let takeover = stranger.transaction().await.unwrap();
        let sql = "UPDATE journal0.leadership SET epoch = epoch + 1, name = 'new'";
        takeover.execute(sql, &[]).await.unwrap();
        let deploying = tokio::spawn({
            let old = Arc::clone(&old);
            let deployment = samples::deployment("retail", &format!("b{succeeds}"));
            async move { old.deploy(epoch, deployment).await }
        });
        until(&observer, 1, HELD_UP).await;
        if succeeds {
            takeover.commit().await.unwrap();
            let fenced = JournalError::Fenced {
                ours: Epoch(1),
                current: Epoch(2),
            };
            assert_eq!(deploying.await.unwrap(), Err(fenced));
        } else {
            takeover.rollback().await.unwrap();
            assert!(deploying.await.unwrap().unwrap().is_new);
        }
        // A version, and that it is current.
        assert_eq!(rows(&observer).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_retires_a_workflow_waits_for_a_takeover_too() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let old = Arc::new(waiting(&url, MINUTE).await);
    let (mut stranger, observer) = (stranger(&server).await, stranger(&server).await);
    let epoch = samples::lead(old.as_ref()).await;
    let deployment = samples::deployment("retail", "b1");
    old.deploy(epoch, deployment).await.unwrap();
    let takeover = stranger.transaction().await.unwrap();
    let sql = "UPDATE journal0.leadership SET epoch = epoch + 1, name = 'new'";
    takeover.execute(sql, &[]).await.unwrap();
    let retiring = tokio::spawn({
        let old = Arc::clone(&old);
        async move { old.retire(epoch, "retail").await }
    });
    until(&observer, 1, HELD_UP).await;
    takeover.commit().await.unwrap();
    let refused = retiring.await.unwrap();
    assert!(
        matches!(refused, Err(JournalError::Fenced { .. })),
        "{refused:?}"
    );
    assert_eq!(versions(&old).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_coordinators_that_deploy_at_once_each_version_is_of_one() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let fighters = (1..=2_u64).map(|number| {
        let url = url.clone();
        tokio::spawn(async move {
            let journal = PostgresJournal::open(&url).await.unwrap();
            let name = format!("c{number}");
            let mut made = Vec::new();
            for round in 0..40 {
                let won = journal.campaign(&candidate(&name, Duration::ZERO)).await;
                let Ok(Campaign::Won(epoch)) = won else {
                    continue;
                };
                for attempt in 0..3 {
                    let bundle = format!("{name}-{round}-{attempt}");
                    let deployment = samples::deployment("retail", &bundle);
                    match journal.deploy(epoch, deployment).await {
                        Ok(Deployed { deployment, is_new }) => {
                            assert!(is_new);
                            made.push((deployment.version, bundle));
                        }
                        Err(JournalError::Fenced { ours, current }) => {
                            assert!(ours == epoch && current > epoch);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            made
        })
    });
    let fighters: Vec<_> = fighters.collect();
    let mut made = Vec::new();
    for fighter in fighters {
        made.extend(fighter.await.unwrap());
    }
    made.sort();
    let journal = PostgresJournal::open(&url).await.unwrap();
    let kept: Vec<_> = versions(&journal).await.into_iter().collect();
    assert_eq!(kept, made);
    assert!(!made.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_that_are_cut_off_anywhere_are_there_or_not_and_never_half() {
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
                           AND (query LIKE '%put_deployment%' OR query LIKE '%put_records%')";
            while !is_over.load(Ordering::Relaxed) {
                end(&observer, commits).await;
            }
        }
    });
    let mut epoch = lead_in_the_end(&journal).await;
    let (mut deployments, mut runs) = (Vec::new(), Vec::new());
    for number in 1..=40_u32 {
        let bundle = format!("b{number}");
        let deployment = samples::deployment("retail", &bundle);
        let deployed = journal.deploy(epoch, deployment).await;
        if deployed.is_err() {
            epoch = lead_in_the_end(&journal).await;
        }
        let at = Timestamp::from_millis(i64::from(number));
        let run = samples::run_id(u64::from(number));
        let records = samples::scheduled_run(&run, "retail", "nightly", at);
        let submitted = journal.append(epoch, records).await;
        if submitted.is_err() {
            epoch = lead_in_the_end(&journal).await;
        }
        deployments.push((bundle, deployed));
        runs.push((run, at, submitted));
    }
    is_over.store(true, Ordering::Relaxed);
    axe.await.unwrap();

    let kept = versions(&journal).await;
    for (bundle, answer) in deployments {
        let times = kept.values().filter(|kept| **kept == bundle).count();
        match answer {
            Ok(deployed) => assert_eq!(kept[&deployed.deployment.version], bundle),
            Err(JournalError::Doubtful { .. }) => assert!(times <= 1),
            Err(JournalError::Storage { .. }) => assert_eq!(times, 0, "it was refused"),
            Err(error) => panic!("{error}"),
        }
    }
    // The position is that of the last run that is there.
    let mut last = None;
    for (run, at, answer) in runs {
        let is_there = journal.load_run(&run).await.is_ok();
        assert!(is_there || answer.is_err(), "it was acknowledged");
        last = if is_there { Some(at) } else { last };
    }
    let positions = journal.schedule_positions("retail").await.unwrap();
    assert_eq!(positions.get("nightly").copied(), last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_deployment_is_missing_after_the_server_was_killed() {
    let Some(mut server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let journal = Arc::new(PostgresJournal::open(&url).await.unwrap());
    let mut acknowledged = BTreeMap::new();
    for round in 0..3_u32 {
        // Who was in doubt campaigns before it reads.
        let epoch = samples::lead(journal.as_ref()).await;
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let deploying: Vec<_> = (0..4_u32)
            .map(|task| {
                let (journal, told) = (Arc::clone(&journal), told.clone());
                tokio::spawn(async move {
                    for number in 0_u32.. {
                        let bundle = format!("b{round}-{task}-{number}");
                        let deployment = samples::deployment("retail", &bundle);
                        let Ok(deployed) = journal.deploy(epoch, deployment).await else {
                            return;
                        };
                        let _ = told.send((deployed.deployment.version, bundle));
                    }
                })
            })
            .collect();
        drop(told);
        for _ in 0..40 {
            acknowledged.extend([heard.recv().await.unwrap()]);
        }
        server.kill();
        for deploying in deploying {
            deploying.await.unwrap();
        }
        while let Some(deployed) = heard.recv().await {
            acknowledged.extend([deployed]);
        }
        server.restart();
    }
    samples::lead(journal.as_ref()).await;
    let kept = versions(&journal).await;
    for (version, bundle) in &acknowledged {
        assert_eq!(kept.get(version), Some(bundle));
    }
    assert!(acknowledged.len() >= 120);
}
