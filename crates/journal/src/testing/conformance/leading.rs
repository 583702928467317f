//! What a journal says of who leads, and how it keeps others out.

use std::time::Duration;

use marquetry_types::Epoch;

use super::Store;
use crate::testing::samples;
use crate::{Campaign, Candidate, JournalError, Leader};

pub(super) async fn epochs_grow_over_reopening(store: &impl Store) {
    let journal = store.open().await;
    assert_eq!(journal.leader().await, Ok(None));
    assert_eq!(samples::lead(journal.as_ref()).await, Epoch(1));
    assert_eq!(samples::lead(journal.as_ref()).await, Epoch(2));
    drop(journal);
    assert_eq!(samples::lead(store.open().await.as_ref()).await, Epoch(3));
}

pub(super) async fn one_coordinator_leads_until_its_lease_ends_or_it_resigns(store: &impl Store) {
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

pub(super) async fn an_older_epoch_is_fenced(store: &impl Store) {
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
