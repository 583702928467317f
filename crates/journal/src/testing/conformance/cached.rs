//! Outcomes that may be used again.

use marquetry_types::Timestamp;

use super::{Database, Store};
use crate::testing::samples;
use crate::{Discard, FinishedThrough};

/// The latest success says what is known, and a refused commit says nothing.
pub(super) async fn the_last_outcome_of_a_content_is_found(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    assert_eq!(journal.cached("k").await, Ok(None));
    let runs = [samples::run_id(1), samples::run_id(2)];
    // Two of the same content in one commit: the later one counts.
    let both = runs.iter().flat_map(|run| samples::caching_run(run, "k"));
    journal.append(epoch, both.collect()).await.unwrap();
    let found = journal.cached("k").await.unwrap().unwrap();
    assert_eq!(found.attempt.run, runs[1]);
    assert_eq!(journal.cached("other").await, Ok(None));
    let later = samples::caching_run(&samples::run_id(3), "k");
    journal.append(epoch, later.clone()).await.unwrap();
    // The same records do not follow from what is there: nothing is written.
    journal.append(epoch, later).await.unwrap_err();
    drop(journal);
    let journal = store.open().await;
    let found = journal.cached("k").await.unwrap().unwrap();
    assert_eq!(found.attempt.run, samples::run_id(3));
}

/// What a discarded run gave is not known any more; what a later one gave is.
pub(super) async fn an_outcome_goes_with_its_run(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    for (number, key) in [(1, "a"), (2, "b"), (3, "b")] {
        let records = samples::caching_run(&samples::run_id(number), key);
        journal.append(epoch, records).await.unwrap();
    }
    let batch = journal.plan_archive(epoch, 2).await.unwrap().unwrap();
    journal
        .archived(epoch, batch.number, Vec::new())
        .await
        .unwrap();
    let discard = Discard {
        through: FinishedThrough {
            at: Timestamp::from_millis(i64::MAX),
            run: None,
        },
        runs: 10,
        records: 100,
        bundles_put_before: Timestamp::from_millis(0),
    };
    assert_eq!(journal.discard(epoch, discard).await.unwrap().runs, 2);
    assert_eq!(journal.cached("a").await, Ok(None));
    let found = journal.cached("b").await.unwrap().unwrap();
    assert_eq!(found.attempt.run, samples::run_id(3));
}

/// What is computed again is right; what is damaged may not be.
pub(super) async fn a_damaged_outcome_is_as_good_as_none(store: &impl Database) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let records = samples::caching_run(&samples::run_id(1), "k");
    journal.append(epoch, records).await.unwrap();
    let sql = "UPDATE cached_outcomes SET payload = replace(payload, 'outcome', 'outcame')";
    assert_eq!(store.tamper(sql).await, 1);
    assert_eq!(journal.cached("k").await, Ok(None));
}
