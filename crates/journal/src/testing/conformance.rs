//! What every journal must do, as one function: each implementation's tests call [`run`].

#![expect(clippy::unwrap_used, reason = "a test suite, by its nature")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquetry_engine::RunStatus;
use marquetry_types::{Epoch, PublishedKind, PublishedName, RunId};

use super::samples;
use crate::{Campaign, Candidate, Journal, JournalError, JournalReader, Leader, Page, RunFilter};

/// Where a journal is kept, apart from the journal itself, so that the suite can close and reopen it.
#[async_trait]
pub trait Store: Send + Sync {
    /// Opens the journal for writing. The suite never holds two at a time.
    async fn open(&self) -> Arc<dyn Journal>;
    /// Opens it for reading, while it is open for writing.
    async fn open_reader(&self) -> Arc<dyn JournalReader>;
}

/// Runs the whole suite, each part on an empty store of its own.
pub async fn run<S: Store>(empty_store: impl Fn() -> S) {
    epochs_grow_over_reopening(&empty_store()).await;
    one_coordinator_leads_until_its_lease_ends_or_it_resigns(&empty_store()).await;
    records_come_back_after_reopening(&empty_store()).await;
    an_older_epoch_is_fenced(&empty_store()).await;
    a_refused_append_leaves_nothing(&empty_store()).await;
    concurrent_appends_all_arrive(&empty_store()).await;
    lists_filter_and_page(&empty_store()).await;
    runs_are_found_by_request_and_prefix(&empty_store()).await;
    only_unfinished_runs_are_taken_up(&empty_store()).await;
    readers_see_what_is_committed(&empty_store()).await;
    bundles_are_kept_by_digest(&empty_store()).await;
    published_versions_are_kept_by_name(&empty_store()).await;
    a_version_is_published_once(&empty_store()).await;
}

async fn epochs_grow_over_reopening(store: &impl Store) {
    let journal = store.open().await;
    assert_eq!(journal.leader().await, Ok(None));
    assert_eq!(samples::lead(journal.as_ref()).await, Epoch(1));
    assert_eq!(samples::lead(journal.as_ref()).await, Epoch(2));
    drop(journal);
    assert_eq!(samples::lead(store.open().await.as_ref()).await, Epoch(3));
}

async fn one_coordinator_leads_until_its_lease_ends_or_it_resigns(store: &impl Store) {
    let journal = store.open().await;
    let patient = |name: &str| Candidate {
        lease: Duration::from_secs(3600),
        ..samples::candidate(name)
    };
    let first = Leader {
        name: "a".to_owned(),
        url: "http://a:7070".to_owned(),
        epoch: Epoch(1),
    };
    let a = journal.campaign(&patient("a")).await;
    assert_eq!(a, Ok(Campaign::Won(Epoch(1))));
    assert_eq!(journal.leader().await, Ok(Some(first.clone())));
    let b = journal.campaign(&patient("b")).await;
    assert_eq!(b, Ok(Campaign::Lost(first)), "a leads");
    let a = journal.campaign(&patient("a")).await;
    assert_eq!(a, Ok(Campaign::Won(Epoch(2))), "it leads itself");
    let fenced = Err(JournalError::Fenced {
        ours: Epoch(1),
        current: Epoch(2),
    });
    let hour = Duration::from_secs(3600);
    assert_eq!(journal.renew(Epoch(1), hour).await, fenced);
    assert_eq!(
        journal.resign(Epoch(1)).await,
        fenced,
        "and changes nothing"
    );
    let b = journal.campaign(&patient("b")).await.unwrap();
    assert!(matches!(b, Campaign::Lost(_)));

    journal.resign(Epoch(2)).await.unwrap();
    let b = journal.campaign(&patient("b")).await;
    assert_eq!(b, Ok(Campaign::Won(Epoch(3))), "nobody led");
    // A lease that is renewed for no time at all has ended.
    journal.renew(Epoch(3), Duration::ZERO).await.unwrap();
    let a = journal.campaign(&patient("a")).await;
    assert_eq!(a, Ok(Campaign::Won(Epoch(4))));
    let run = samples::begun_run(&samples::run_id(1), "retail", None);
    let refused = journal.append(Epoch(3), run.clone()).await;
    assert!(
        matches!(refused, Err(JournalError::Fenced { .. })),
        "{refused:?}"
    );
    journal.append(Epoch(4), run).await.unwrap();
}

async fn records_come_back_after_reopening(store: &impl Store) {
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

async fn an_older_epoch_is_fenced(store: &impl Store) {
    let journal = store.open().await;
    let old = samples::lead(journal.as_ref()).await;
    let (first, second) = (samples::run_id(1), samples::run_id(2));
    journal
        .append(old, samples::begun_run(&first, "retail", None))
        .await
        .unwrap();
    let new = samples::lead(journal.as_ref()).await;
    assert_eq!(
        journal
            .append(old, samples::begun_run(&second, "retail", None))
            .await,
        Err(JournalError::Fenced {
            ours: old,
            current: new
        })
    );
    assert_eq!(
        journal.load_run(&second).await,
        Err(JournalError::UnknownRun {
            run: second.clone()
        }),
        "a fenced append has no effect"
    );
    journal
        .append(new, samples::begun_run(&second, "retail", None))
        .await
        .unwrap();
}

async fn a_refused_append_leaves_nothing(store: &impl Store) {
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

async fn concurrent_appends_all_arrive(store: &impl Store) {
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

async fn lists_filter_and_page(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    for number in 1..=9 {
        let name = if number % 3 == 0 { "weekly" } else { "retail" };
        let run = samples::run_id(number);
        let records = match number % 2 {
            0 => samples::finished_run(&run, name, None),
            _ => samples::begun_run(&run, name, None),
        };
        journal.append(epoch, records).await.unwrap();
    }
    let list = async |status: Option<RunStatus>, name: Option<&str>, after: Option<u64>, limit| {
        let filter = RunFilter {
            status,
            name: name.map(str::to_owned),
        };
        let page = Page {
            after: after.map(samples::run_id),
            limit,
        };
        let runs = journal.list_runs(&filter, &page).await.unwrap();
        runs.into_iter()
            .map(|summary| summary.run)
            .collect::<Vec<_>>()
    };
    let ids = |numbers: &[u64]| {
        numbers
            .iter()
            .copied()
            .map(samples::run_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, None, 4).await, ids(&[9, 8, 7, 6]));
    assert_eq!(list(None, None, Some(6), 4).await, ids(&[5, 4, 3, 2]));
    assert_eq!(list(None, None, Some(2), 4).await, ids(&[1]));
    assert_eq!(list(None, Some("weekly"), None, 9).await, ids(&[9, 6, 3]));
    assert_eq!(
        list(Some(RunStatus::Succeeded), None, None, 9).await,
        ids(&[8, 6, 4, 2])
    );
    assert_eq!(
        list(Some(RunStatus::Succeeded), Some("weekly"), None, 9).await,
        ids(&[6])
    );
    assert_eq!(
        list(Some(RunStatus::Succeeded), Some("retail"), Some(8), 1).await,
        ids(&[4])
    );
    assert_eq!(list(None, Some("no such"), None, 9).await, ids(&[]));
}

async fn runs_are_found_by_request_and_prefix(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let (first, second) = (samples::run_id(1), samples::run_id(2));
    journal
        .append(
            epoch,
            samples::begun_run(&first, "retail", Some("nightly-1")),
        )
        .await
        .unwrap();
    let found = journal.find_by_request_id("nightly-1").await.unwrap();
    assert_eq!(found.map(|summary| summary.run), Some(first.clone()));
    assert_eq!(journal.find_by_request_id("nightly-2").await, Ok(None));
    assert_eq!(
        journal
            .append(
                epoch,
                samples::begun_run(&second, "retail", Some("nightly-1"))
            )
            .await,
        Err(JournalError::DuplicateRequest {
            request_id: "nightly-1".to_owned(),
            run: first.clone()
        })
    );
    journal
        .append(
            epoch,
            samples::begun_run(&second, "retail", Some("nightly-2")),
        )
        .await
        .unwrap();

    let by_prefix = async |prefix: &str| {
        let found = journal.find_runs_by_prefix(prefix, 10).await.unwrap();
        found
            .into_iter()
            .map(|summary| summary.run)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        by_prefix(&first.as_str()[..9]).await,
        [second.clone(), first.clone()]
    );
    assert_eq!(
        by_prefix(&first.as_str().to_ascii_uppercase()).await,
        std::slice::from_ref(&first)
    );
    assert_eq!(by_prefix("%").await, Vec::<RunId>::new());
    assert_eq!(by_prefix("").await, [second, first]);
}

async fn only_unfinished_runs_are_taken_up(store: &impl Store) {
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

async fn readers_see_what_is_committed(store: &impl Store) {
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

async fn bundles_are_kept_by_digest(store: &impl Store) {
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

fn name(text: &str) -> PublishedName {
    text.parse().unwrap()
}

async fn published_versions_are_kept_by_name(store: &impl Store) {
    use PublishedKind::{Policy, Table};
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    assert_eq!(journal.list_published(None).await, Ok(Vec::new()));
    // A table and a policy of one name are two things, each with versions of its own.
    let versions = [
        vec![
            samples::published(Table, "offers", 1),
            samples::published(Policy, "offers", 1),
        ],
        vec![
            samples::published(Policy, "offers", 2),
            samples::published(Table, "segments", 1),
        ],
        vec![samples::published(Policy, "offers", 3)],
    ];
    for (number, versions) in (1..).zip(versions) {
        let records = samples::publishing_run(&samples::run_id(number), versions);
        journal.append(epoch, records).await.unwrap();
    }
    drop(journal);
    let journal = store.open().await;
    let shown = |publications: Vec<marquetry_types::Publication>| {
        let publications = publications.into_iter();
        publications
            .map(|it| (it.published.to_string(), it.run))
            .collect::<Vec<_>>()
    };
    let by = |text: &str, number| (text.to_owned(), samples::run_id(number));
    assert_eq!(
        shown(journal.list_published(None).await.unwrap()),
        [
            by("policy offers@3", 3),
            by("table offers@1", 1),
            by("table segments@1", 2)
        ]
    );
    assert_eq!(
        shown(journal.list_published(Some(Table)).await.unwrap()),
        [by("table offers@1", 1), by("table segments@1", 2)]
    );
    let offers = name("offers");
    let newest = journal
        .published_versions(Policy, &offers, 2)
        .await
        .unwrap();
    assert_eq!(
        shown(newest),
        [by("policy offers@3", 3), by("policy offers@2", 2)]
    );
    let found = async |kind, name: &str, version| {
        let name = name.parse().unwrap();
        let found = journal.find_published(kind, &name, version).await.unwrap();
        found.map(|it| it.published)
    };
    let second = samples::published(Policy, "offers", 2);
    assert_eq!(found(Policy, "offers", Some(2)).await, Some(second));
    let current = samples::published(Policy, "offers", 3);
    assert_eq!(found(Policy, "offers", None).await, Some(current));
    assert_eq!(found(Table, "offers", Some(2)).await, None);
    assert_eq!(found(Policy, "segments", None).await, None);
}

async fn a_version_is_published_once(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let publish = async |number, version| {
        let version = samples::published(PublishedKind::Policy, "offers", version);
        let records = samples::publishing_run(&samples::run_id(number), vec![version]);
        journal.append(epoch, records).await
    };
    publish(1, 1).await.unwrap();
    for (number, version) in [(2, 1), (3, 3), (4, 0)] {
        let refusal = publish(number, version).await;
        assert!(
            matches!(refusal, Err(JournalError::Inconsistent { .. })),
            "{refusal:?}"
        );
        let run = samples::run_id(number);
        assert_eq!(
            journal.load_run(&run).await,
            Err(JournalError::UnknownRun { run })
        );
    }
    publish(5, 2).await.unwrap();
}
