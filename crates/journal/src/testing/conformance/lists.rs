//! Finding runs.

use marquetry_engine::RunStatus;
use marquetry_types::RunId;

use super::Store;
use crate::testing::samples;
use crate::{JournalError, Page, RunFilter};

pub(super) async fn lists_filter_and_page(store: &impl Store) {
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

pub(super) async fn runs_are_found_by_request_and_prefix(store: &impl Store) {
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
