//! Versions of published tables and policies.

use marquetry_types::{PublishedKind, PublishedName};

use super::Store;
use crate::JournalError;
use crate::testing::samples;

fn name(text: &str) -> PublishedName {
    text.parse().unwrap()
}

pub(super) async fn published_versions_are_kept_by_name(store: &impl Store) {
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

pub(super) async fn a_version_is_published_once(store: &impl Store) {
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
