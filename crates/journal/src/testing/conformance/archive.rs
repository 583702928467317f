//! The way of finished runs out of the journal.

use marquetry_engine::Record;
use marquetry_types::{Epoch, PublishedKind, RunId, Timestamp};

use super::{Database, Store};
use crate::testing::samples;
use crate::{
    ArchiveBatch, Discard, Discarded, FinishedThrough, Journal, JournalError, Page, RunFilter,
};

/// When the samples finish.
fn end() -> Timestamp {
    let records = samples::finished_run(&samples::run_id(1), "retail", None);
    records.last().unwrap().at()
}

fn after(milliseconds: i64) -> Timestamp {
    Timestamp::from_millis(end().as_millis() + milliseconds)
}

/// A run of four records that finishes so many milliseconds later than others.
fn finishing(number: u64, later: i64, request_id: Option<&str>) -> Vec<Record> {
    let mut records = samples::finished_run(&samples::run_id(number), "retail", request_id);
    if let Some(Record::RunFinished { at, .. }) = records.last_mut() {
        *at = after(later);
    }
    records
}

fn resumed(number: u64, later: i64) -> Record {
    Record::RunResumed {
        run: samples::run_id(number),
        from: ["orders".parse().unwrap()].into(),
        at: after(later),
    }
}

fn everything() -> Discard {
    Discard {
        through: FinishedThrough {
            at: after(1_000_000),
            run: None,
        },
        runs: 100,
        records: 1000,
        bundles_put_before: Timestamp::from_millis(i64::MAX),
    }
}

fn ids(numbers: &[u64]) -> Vec<RunId> {
    numbers.iter().copied().map(samples::run_id).collect()
}

async fn archive_all(journal: &dyn Journal, epoch: Epoch) -> u64 {
    let mut archived = 0;
    while let Some(batch) = journal.plan_archive(epoch, 100).await.unwrap() {
        archived += batch.runs.len() as u64;
        let done = journal.archived(epoch, batch.number, Vec::new()).await;
        done.unwrap();
    }
    archived
}

pub(super) async fn finished_runs_are_archived_in_their_order_a_batch_at_a_time(
    store: &impl Store,
) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    assert_eq!(journal.plan_archive(epoch, 2).await, Ok(None));
    for (number, later) in [(1, 5), (2, 3), (3, 4), (4, 4)] {
        let records = finishing(number, later, None);
        journal.append(epoch, records).await.unwrap();
    }
    let begun = samples::begun_run(&samples::run_id(5), "retail", None);
    journal.append(epoch, begun).await.unwrap();
    let backlog = journal.archive_backlog(3).await.unwrap();
    assert_eq!((backlog.runs, backlog.oldest), (3, Some(after(3))));
    let unarchived = journal.list_unarchived(None, 9).await;
    assert_eq!(unarchived, Ok(ids(&[1, 2, 3, 4, 5])));
    let unarchived = journal.list_unarchived(Some(&samples::run_id(2)), 2).await;
    assert_eq!(unarchived, Ok(ids(&[3, 4])));

    let first = ArchiveBatch {
        number: 1,
        epoch,
        runs: ids(&[2, 3]),
    };
    let planned = journal.plan_archive(epoch, 2).await;
    assert_eq!(planned, Ok(Some(first.clone())));
    // Whoever asks gets the same, until it is archived.
    let planned = journal.plan_archive(epoch, 100).await;
    assert_eq!(planned, Ok(Some(first.clone())));
    drop(journal);
    let journal = store.open().await;
    let next = samples::lead(journal.as_ref()).await;
    let planned = journal.plan_archive(next, 100).await;
    assert_eq!(planned, Ok(Some(first)));
    journal.archived(next, 7, Vec::new()).await.unwrap();
    assert_eq!(journal.archive_backlog(9).await.unwrap().runs, 4);
    journal.archived(next, 1, Vec::new()).await.unwrap();
    assert_eq!(journal.list_unarchived(None, 9).await, Ok(ids(&[1, 4, 5])));
    let second = ArchiveBatch {
        number: 2,
        epoch: next,
        runs: ids(&[4, 1]),
    };
    let planned = journal.plan_archive(next, 100).await;
    assert_eq!(planned, Ok(Some(second)));
    let loaded = journal.load_runs(&ids(&[4, 9, 1])).await.unwrap();
    let loaded: Vec<_> = loaded
        .into_iter()
        .map(|(run, stored)| {
            let stored = stored.unwrap();
            assert_eq!(*stored.state.id(), run);
            (run, stored.records)
        })
        .collect();
    assert_eq!(loaded, [(samples::run_id(4), 4), (samples::run_id(1), 4)]);
    journal.archived(next, 2, ids(&[4])).await.unwrap();
    // What could not be read stays, and is not asked for again.
    assert_eq!(journal.list_unarchived(None, 9).await, Ok(ids(&[4, 5])));
    assert_eq!(journal.plan_archive(next, 100).await, Ok(None));
    assert_eq!(journal.archive_backlog(9).await.unwrap().runs, 0);
}

pub(super) async fn a_resumed_run_is_archived_once_more(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    for number in 1..=3 {
        let records = finishing(number, 0, None);
        journal.append(epoch, records).await.unwrap();
    }
    let planned = journal.plan_archive(epoch, 2).await.unwrap().unwrap();
    assert_eq!(planned.runs, ids(&[1, 2]));
    // One that is planned and one that waits.
    for number in [2, 3] {
        journal
            .append(epoch, vec![resumed(number, 10)])
            .await
            .unwrap();
    }
    let planned = journal.plan_archive(epoch, 2).await.unwrap().unwrap();
    assert_eq!((planned.number, planned.runs), (1, ids(&[1])));
    journal.archived(epoch, 1, Vec::new()).await.unwrap();
    assert_eq!(journal.plan_archive(epoch, 9).await, Ok(None));
    // One that was archived, and its end in the same commit.
    let mut again = vec![resumed(1, 20)];
    again.extend(finishing(1, 20, None).split_off(3));
    journal.append(epoch, again).await.unwrap();
    let planned = journal.plan_archive(epoch, 9).await.unwrap().unwrap();
    assert_eq!((planned.number, planned.runs), (2, ids(&[1])));
    let loaded = journal.load_runs(&ids(&[1])).await.unwrap();
    assert_eq!(loaded[0].1.as_ref().unwrap().records, 6);
    let discarded = journal.discard(epoch, everything()).await.unwrap();
    assert_eq!(discarded.runs, 0, "none is archived as it stands");
}

pub(super) async fn only_what_is_archived_and_old_is_discarded(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    for number in 1..=4 {
        let later = i64::try_from(number).unwrap();
        let request = format!("nightly-{number}");
        let records = finishing(number, later, Some(&request));
        journal.append(epoch, records).await.unwrap();
    }
    let version = samples::published(PublishedKind::Table, "segments", 1);
    let mut publishing = samples::publishing_run(&samples::run_id(5), vec![version.clone()]);
    if let Some(Record::RunFinished { at, .. }) = publishing.last_mut() {
        *at = after(5);
    }
    journal.append(epoch, publishing).await.unwrap();
    let begun = samples::begun_run(&samples::run_id(6), "retail", None);
    journal.append(epoch, begun).await.unwrap();
    let nothing = Discarded {
        is_done: true,
        ..Discarded::default()
    };
    assert_eq!(journal.discard(epoch, everything()).await, Ok(nothing));
    assert_eq!(archive_all(journal.as_ref(), epoch).await, 5);
    assert_eq!(journal.finished_beyond(5).await, Ok(None));
    let third = FinishedThrough {
        at: after(3),
        run: Some(samples::run_id(3)),
    };
    assert_eq!(journal.finished_beyond(2).await, Ok(Some(third.clone())));
    let before_third = Discard {
        through: FinishedThrough {
            run: None,
            ..third.clone()
        },
        ..everything()
    };
    let discarded = journal.discard(epoch, before_third).await.unwrap();
    assert_eq!((discarded.runs, discarded.records), (2, 8));
    let through_third = Discard {
        through: third,
        ..everything()
    };
    let discarded = journal.discard(epoch, through_third).await.unwrap();
    assert_eq!((discarded.runs, discarded.records), (1, 4));
    let page = Page::first(9);
    let listed = journal.list_runs(&RunFilter::default(), &page).await;
    let listed: Vec<_> = listed.unwrap().into_iter().map(|it| it.run).collect();
    assert_eq!(listed, ids(&[6, 5, 4]));
    let run = samples::run_id(1);
    let gone = journal.load_run(&run).await;
    assert_eq!(gone, Err(JournalError::UnknownRun { run: run.clone() }));

    // Its request id stays taken, for readers and for the next submission.
    let found = journal.find_by_request_id("nightly-1").await.unwrap();
    assert_eq!(found.map(|it| it.run), Some(run.clone()));
    let again = samples::begun_run(&samples::run_id(7), "retail", Some("nightly-1"));
    let refused = JournalError::DuplicateRequest {
        request_id: "nightly-1".to_owned(),
        run,
    };
    assert_eq!(journal.append(epoch, again).await, Err(refused));
    // What it published stays published.
    journal.discard(epoch, everything()).await.unwrap();
    let listed = journal.list_published(None).await.unwrap();
    assert_eq!(listed[0].published, version);
    let unfinished = journal.load_unfinished().await.unwrap();
    assert_eq!(unfinished.runs.len(), 1);
}

pub(super) async fn discarding_goes_in_small_steps_over_a_restart(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    for number in 1..=5 {
        let records = finishing(number, 0, None);
        journal.append(epoch, records).await.unwrap();
    }
    archive_all(journal.as_ref(), epoch).await;
    let step = Discard {
        runs: 2,
        records: 3,
        ..everything()
    };
    let first = journal.discard(epoch, step.clone()).await.unwrap();
    assert_eq!((first.runs, first.records, first.is_done), (2, 3, false));
    drop(journal);
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let (mut runs, mut records) = (first.runs, first.records);
    loop {
        let discarded = journal.discard(epoch, step.clone()).await.unwrap();
        assert!(discarded.runs <= 2 && discarded.records <= 3);
        runs += discarded.runs;
        records += discarded.records;
        if discarded.is_done {
            break;
        }
    }
    assert_eq!((runs, records), (5, 20));
}

pub(super) async fn a_bundle_goes_with_the_last_run_that_used_it(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    for digest in ["b1", "b2", "b3"] {
        let bytes = digest.as_bytes().to_vec();
        journal.put_bundle(digest, bytes).await.unwrap();
    }
    let using = |number, bundle: &str| {
        let mut records = finishing(number, i64::try_from(number).unwrap(), None);
        if let Some(Record::RunSubmitted(submitted)) = records.first_mut() {
            bundle.clone_into(&mut submitted.bundle);
        }
        records
    };
    for (number, bundle) in [(1, "b1"), (2, "b1"), (3, "b2")] {
        let records = using(number, bundle);
        journal.append(epoch, records).await.unwrap();
    }
    let deployment = samples::deployment("retail", "b2");
    journal.deploy(epoch, deployment).await.unwrap();
    archive_all(journal.as_ref(), epoch).await;
    let is_there = async |digest| journal.get_bundle(digest).await.unwrap().is_some();
    let first = Discard {
        through: FinishedThrough {
            at: after(2),
            run: None,
        },
        bundles_put_before: Timestamp::from_millis(0),
        ..everything()
    };
    let discarded = journal.discard(epoch, first).await.unwrap();
    assert_eq!((discarded.runs, discarded.bundles), (1, 0));
    let all = Discard {
        bundles_put_before: Timestamp::from_millis(0),
        ..everything()
    };
    let discarded = journal.discard(epoch, all).await.unwrap();
    // Whoever put one of late may be about to use it.
    assert_eq!((discarded.runs, discarded.bundles), (2, 0));
    assert!(is_there("b1").await && is_there("b2").await && is_there("b3").await);
    let discarded = journal.discard(epoch, everything()).await.unwrap();
    // `b2` is deployed.
    assert_eq!((discarded.runs, discarded.bundles), (0, 2));
    assert!(!is_there("b1").await && is_there("b2").await && !is_there("b3").await);
}

pub(super) async fn who_was_deposed_archives_and_discards_nothing(store: &impl Store) {
    let journal = store.open().await;
    let ours = samples::lead(journal.as_ref()).await;
    for number in 1..=2 {
        let records = finishing(number, 0, None);
        journal.append(ours, records).await.unwrap();
    }
    let planned = journal.plan_archive(ours, 1).await.unwrap().unwrap();
    let current = samples::lead(journal.as_ref()).await;
    let fenced = JournalError::Fenced { ours, current };
    assert_eq!(journal.plan_archive(ours, 1).await, Err(fenced.clone()));
    let archived = journal.archived(ours, planned.number, Vec::new()).await;
    assert_eq!(archived, Err(fenced.clone()));
    assert_eq!(journal.archive_backlog(9).await.unwrap().runs, 2);
    archive_all(journal.as_ref(), current).await;
    let discarded = journal.discard(ours, everything()).await;
    assert_eq!(discarded, Err(fenced));
    let discarded = journal.discard(current, everything()).await;
    assert_eq!(discarded.unwrap().runs, 2);
}

pub(super) async fn a_damaged_run_is_said_and_costs_no_other(store: &impl Database) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    for number in 1..=2 {
        let records = finishing(number, 0, None);
        journal.append(epoch, records).await.unwrap();
    }
    let run = samples::run_id(1);
    let sql = format!(
        "UPDATE records SET checksum = checksum + 1 WHERE run_id = '{run}' AND sequence = 2"
    );
    assert_eq!(store.tamper(&sql).await, 1);
    let loaded = journal.load_runs(&ids(&[1, 2])).await.unwrap();
    assert!(
        matches!(&loaded[0].1, Err(JournalError::Damaged { sequence: 2, .. })),
        "{loaded:?}"
    );
    assert!(loaded[1].1.is_ok());
    let planned = journal.plan_archive(epoch, 9).await.unwrap().unwrap();
    let archived = journal.archived(epoch, planned.number, vec![run]).await;
    archived.unwrap();
    let discarded = journal.discard(epoch, everything()).await.unwrap();
    assert_eq!(discarded.runs, 1, "what is not archived stays");
}
