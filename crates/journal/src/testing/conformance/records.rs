//! Records and bundles: put together, kept, taken up again.

use std::sync::Arc;

use marquetry_types::RunId;

use super::Store;
use crate::testing::samples;
use crate::{JournalError, Page, RunFilter};

pub(super) async fn records_come_back_after_reopening(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let run = samples::run_id(1);
    let records = samples::finished_run(&run, "retail", None);
    for record in &records {
        journal.append(epoch, vec![record.clone()]).await.unwrap();
    }
    let before = journal.load_run(&run).await.unwrap();
    drop(journal);
    let after = store.open().await.load_run(&run).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(after, samples::replayed(&records));
}

pub(super) async fn a_refused_append_leaves_nothing(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let (good, bad) = (samples::run_id(1), samples::run_id(2));
    // The second run's history lacks its beginning, so the first run's records must go, too.
    let mut records = samples::begun_run(&good, "retail", None);
    records.extend(
        samples::finished_run(&bad, "retail", None)
            .into_iter()
            .skip(1),
    );
    let refusal = journal.append(epoch, records).await;
    assert!(
        matches!(refusal, Err(JournalError::Inconsistent { .. })),
        "{refusal:?}"
    );
    assert_eq!(
        journal
            .list_runs(&RunFilter::default(), &Page::first(10))
            .await,
        Ok(Vec::new())
    );
    // And the refusal leaves no trace in memory either.
    let records = samples::begun_run(&good, "retail", None);
    journal.append(epoch, records.clone()).await.unwrap();
    assert_eq!(
        journal.load_run(&good).await.unwrap(),
        samples::replayed(&records)
    );
}

pub(super) async fn concurrent_appends_all_arrive(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let runs: Vec<RunId> = (1..=40).map(samples::run_id).collect();
    let appends: Vec<_> = runs
        .iter()
        .map(|run| {
            let journal = Arc::clone(&journal);
            let records = samples::begun_run(run, "retail", None);
            tokio::spawn(async move { journal.append(epoch, records).await })
        })
        .collect();
    for append in appends {
        append.await.unwrap().unwrap();
    }
    for run in &runs {
        let expected = samples::replayed(&samples::begun_run(run, "retail", None));
        assert_eq!(journal.load_run(run).await.unwrap(), expected);
    }
}

pub(super) async fn only_unfinished_runs_are_taken_up(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let begun = samples::begun_run(&samples::run_id(1), "retail", None);
    let ended = samples::finished_run(&samples::run_id(2), "retail", None);
    let also_begun = samples::begun_run(&samples::run_id(3), "weekly", None);
    for records in [&begun, &ended, &also_begun] {
        journal.append(epoch, records.clone()).await.unwrap();
    }
    drop(journal);
    let unfinished = store.open().await.load_unfinished().await.unwrap();
    assert_eq!(
        unfinished.runs,
        [samples::replayed(&begun), samples::replayed(&also_begun)]
    );
    assert!(unfinished.damaged.is_empty());
}

pub(super) async fn readers_see_what_is_committed(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let reader = store.open_reader().await;
    let run = samples::run_id(1);
    assert_eq!(
        reader.load_run(&run).await,
        Err(JournalError::UnknownRun { run: run.clone() })
    );
    let records = samples::begun_run(&run, "retail", None);
    journal.append(epoch, records.clone()).await.unwrap();
    assert_eq!(
        reader.load_run(&run).await.unwrap(),
        samples::replayed(&records)
    );
    assert_eq!(
        reader
            .list_runs(&RunFilter::default(), &Page::first(5))
            .await
            .unwrap(),
        journal
            .list_runs(&RunFilter::default(), &Page::first(5))
            .await
            .unwrap()
    );
}

pub(super) async fn bundles_are_kept_by_digest(store: &impl Store) {
    let journal = store.open().await;
    journal
        .put_bundle("d1", b"{\"entry\":\"a.yaml\"}".to_vec())
        .await
        .unwrap();
    journal
        .put_bundle("d1", b"{\"entry\":\"a.yaml\"}".to_vec())
        .await
        .unwrap();
    assert_eq!(journal.get_bundle("d2").await, Ok(None));
    drop(journal);
    let bundle = store.open().await.get_bundle("d1").await.unwrap();
    assert_eq!(
        bundle.as_deref(),
        Some(b"{\"entry\":\"a.yaml\"}".as_slice())
    );
}
