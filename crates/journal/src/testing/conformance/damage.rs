//! What somebody or something did to the rows of a journal.

use super::Database;
use super::deployments::{deploy, versions};
use crate::testing::samples;
use crate::{DamagedDeployment, JournalError, Page};

/// What can be done to version 2 of the workflow `NAME`, how many rows that is, and what is said of it.
const DAMAGE: [(&str, u64, &str); 7] = [
    (
        "UPDATE deployments SET payload = replace(payload, 'b2', 'b3') WHERE name = NAME AND version = 2",
        1,
        "it fails its checksum",
    ),
    (
        "UPDATE deployments SET payload = '' WHERE name = NAME AND version = 2",
        1,
        "it fails its checksum",
    ),
    (
        "UPDATE deployments SET checksum = -1 WHERE name = NAME AND version = 2",
        1,
        "it fails its checksum",
    ),
    (
        "UPDATE deployments SET format = 2 WHERE name = NAME AND version = 2",
        1,
        "it fails its checksum",
    ),
    // Another version in its place.
    (
        "UPDATE deployments SET (checksum, payload) =
             (SELECT checksum, payload FROM deployments WHERE name = 'sound' AND version = 2)
         WHERE name = NAME AND version = 2",
        1,
        "it fails its checksum",
    ),
    (
        "DELETE FROM deployments WHERE name = NAME AND version = 2",
        1,
        "it is missing",
    ),
    (
        "DELETE FROM deployments WHERE name = NAME",
        2,
        "it is missing",
    ),
];

fn damaged(name: &str, reason: &str) -> DamagedDeployment {
    DamagedDeployment {
        name: name.to_owned(),
        version: 2,
        reason: reason.to_owned(),
    }
}

/// Puts two versions of `sound` and of a workflow for each damage, does that, and says what is expected.
async fn spoil(store: &impl Database) -> Vec<(String, &'static str)> {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let names: Vec<String> = (1..=DAMAGE.len()).map(|it| format!("retail{it}")).collect();
    for name in names.iter().map(String::as_str).chain(["sound"]) {
        for bundle in ["b1", "b2"] {
            deploy(journal.as_ref(), epoch, name, bundle).await;
        }
    }
    drop(journal);
    let mut said = Vec::new();
    for (name, (sql, rows, reason)) in names.into_iter().zip(DAMAGE) {
        let sql = sql.replace("NAME", &format!("'{name}'"));
        assert_eq!(store.tamper(&sql).await, rows, "{sql}");
        said.push((name, reason));
    }
    said
}

pub(super) async fn a_damaged_deployment_costs_no_other(store: &impl Database) {
    let said = spoil(store).await;
    let journal = store.open().await;
    let current = journal.current_deployments().await.unwrap();
    let sound: Vec<_> = current.sound.iter().map(|it| &*it.name).collect();
    assert_eq!(sound, ["sound"]);
    let expected: Vec<_> = said.iter().map(|(name, why)| damaged(name, why)).collect();
    assert_eq!(current.damaged, expected);

    for (name, reason) in &said {
        let error = journal.deployment(name, None).await.unwrap_err();
        assert_eq!(error, JournalError::from(damaged(name, reason)));
        let page = Page::first(9);
        let listed = journal.list_deployments(name, &page).await.unwrap();
        let first = journal.deployment(name, Some(1)).await.unwrap();
        assert_eq!(listed.sound, Vec::from_iter(first));
        assert!(matches!(*versions(&listed.sound), [] | [1]));
        // A row that is not there is in no list.
        let is_there = *reason != "it is missing";
        let there = is_there.then(|| damaged(name, reason));
        assert_eq!(listed.damaged, Vec::from_iter(there));
    }
    let error = JournalError::from(damaged("retail", "it is missing"));
    assert_eq!(
        error.to_string(),
        "the journal is damaged at version 2 of workflow retail: it is missing"
    );
    let help = error.diagnostic().to_string();
    assert!(help.contains("deploy the workflow again"), "{help}");
}

pub(super) async fn a_damaged_deployment_is_replaced_by_the_next(store: &impl Database) {
    let said = spoil(store).await;
    let journal = store.open().await;
    let it = journal.as_ref();
    let epoch = samples::lead(it).await;
    for (name, _) in &said {
        // Whether it is the same bundle nobody can say.
        assert_eq!(deploy(it, epoch, name, "b2").await, (3, true), "{name}");
        assert_eq!(deploy(it, epoch, name, "b2").await, (3, false), "{name}");
    }
    let current = it.current_deployments().await.unwrap();
    assert_eq!(current.damaged, []);
    assert_eq!(current.sound.len(), said.len().saturating_add(1));
    assert_eq!(deploy(it, epoch, "sound", "b2").await, (2, false));

    // A damaged version can be retired.
    drop(journal);
    let spoil = "UPDATE deployments SET checksum = 0 WHERE name = 'retail1' AND version = 3";
    assert_eq!(store.tamper(spoil).await, 1);
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    assert_eq!(journal.retire(epoch, "retail1").await, Ok(Some(3)));
    assert_eq!(journal.deployment("retail1", None).await, Ok(None));
}
