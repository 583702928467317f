//! A journal of an older format.

use std::collections::BTreeMap;

use marquetry_engine::RunStatus;
use marquetry_types::{Epoch, Timestamp};

use super::Store;
use crate::testing::samples;
use crate::{Page, RunFilter};

/// What must be found in a journal of the format before deployments, which holds run 1 of the samples,
/// finished, with a table published, and run 2, which goes on; and what can be done with it.
pub async fn take_up_from_before_deployments(store: &impl Store) {
    let journal = store.open().await;
    let page = Page::first(9);
    let runs = journal.list_runs(&RunFilter::default(), &page).await;
    let runs = runs.unwrap().into_iter();
    let statuses: Vec<_> = runs.map(|it| (it.run, it.status)).collect();
    let (ended, begun) = (samples::run_id(1), samples::run_id(2));
    let expected = [
        (begun.clone(), RunStatus::Running),
        (ended.clone(), RunStatus::Succeeded),
    ];
    assert_eq!(statuses, expected);
    let state = journal.load_run(&ended).await.unwrap();
    assert_eq!(state.summary().status, RunStatus::Succeeded);
    let state = journal.load_run(&begun).await.unwrap();
    assert_eq!(state.submitted.request_id.as_deref(), Some("nightly-2"));
    assert_eq!(state.submitted.schedule, None);
    let published = journal.list_published(None).await.unwrap();
    let published: Vec<_> = published
        .iter()
        .map(|it| it.published.to_string())
        .collect();
    assert_eq!(published, ["table segments@1"]);
    let bundle = journal.get_bundle("b1").await.unwrap();
    let put = b"{\"entry\":\"a.yaml\"}".as_slice();
    assert_eq!(bundle.as_deref(), Some(put));
    let none = journal.current_deployments().await.unwrap();
    assert_eq!((none.sound, none.damaged), (Vec::new(), Vec::new()));
    let nowhere = journal.schedule_positions("retail").await;
    assert_eq!(nowhere, Ok(BTreeMap::new()));

    // It goes on as if it had always been of this format.
    let epoch = samples::lead(journal.as_ref()).await;
    assert_eq!(epoch, Epoch(3));
    let deployment = samples::deployment("retail", "b1");
    assert!(journal.deploy(epoch, deployment).await.unwrap().is_new);
    let end = samples::finished_run(&begun, "retail", None).split_off(2);
    journal.append(epoch, end).await.unwrap();
    let (run, at) = (samples::run_id(3), Timestamp::from_millis(1));
    let scheduled = samples::scheduled_run(&run, "retail", "nightly", at);
    journal.append(epoch, scheduled).await.unwrap();
    // What ended before is archived like what ended after.
    let planned = journal.plan_archive(epoch, 9).await.unwrap().unwrap();
    assert_eq!(planned.runs, [ended, begun]);
    let positions = journal.schedule_positions("retail").await;
    let expected = BTreeMap::from([("nightly".to_owned(), at)]);
    assert_eq!(positions, Ok(expected));
}
