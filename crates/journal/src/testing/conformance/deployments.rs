//! Deployed workflows.

use std::collections::BTreeSet;
use std::sync::Arc;

use marquetry_types::Epoch;

use super::Store;
use crate::testing::samples;
use crate::{Deployed, Deployment, Journal, JournalError, JournalReader, Page};

/// Deploys a bundle and says which version it is, and whether that is new.
pub(super) async fn deploy(
    journal: &dyn Journal,
    epoch: Epoch,
    name: &str,
    bundle: &str,
) -> (u64, bool) {
    let deployed = journal
        .deploy(epoch, samples::deployment(name, bundle))
        .await;
    let Deployed { deployment, is_new } = deployed.unwrap();
    assert_eq!((&*deployment.name, &*deployment.bundle), (name, bundle));
    (deployment.version, is_new)
}

/// The versions of a list.
pub(super) fn versions(deployments: &[Deployment]) -> Vec<u64> {
    deployments.iter().map(|it| it.version).collect()
}

async fn listed(journal: &dyn JournalReader, name: &str) -> Vec<u64> {
    let page = Page::first(100);
    let deployments = journal.list_deployments(name, &page).await.unwrap();
    assert_eq!(deployments.damaged, []);
    versions(&deployments.sound)
}

/// What is current, as name and version.
async fn current(journal: &dyn JournalReader) -> Vec<(String, u64)> {
    let deployments = journal.current_deployments().await.unwrap();
    assert_eq!(deployments.damaged, []);
    let sound = deployments.sound.into_iter();
    sound.map(|it| (it.name, it.version)).collect()
}

fn named(name: &str, version: u64) -> (String, u64) {
    (name.to_owned(), version)
}

pub(super) async fn a_new_bundle_is_a_new_version_and_the_same_is_none(store: &impl Store) {
    let journal = store.open().await;
    let it = journal.as_ref();
    let epoch = samples::lead(it).await;
    let reader = store.open_reader().await;
    assert_eq!(reader.deployment("retail", None).await, Ok(None));
    assert_eq!(current(reader.as_ref()).await, []);
    assert_eq!(deploy(it, epoch, "weekly", "b1").await, (1, true));
    assert_eq!(deploy(it, epoch, "retail", "b1").await, (1, true));
    assert_eq!(deploy(it, epoch, "retail", "b1").await, (1, false));
    assert_eq!(deploy(it, epoch, "retail", "b2").await, (2, true));
    assert_eq!(deploy(it, epoch, "retail", "b2").await, (2, false));
    // What was current once and is no more counts as new.
    assert_eq!(deploy(it, epoch, "retail", "b1").await, (3, true));

    // The version that is there already is given back as it was deployed.
    let mut again = samples::deployment("retail", "b1");
    again.comment = "once more".to_owned();
    again.version = 77;
    let deployed = it.deploy(epoch, again).await;
    let third = Deployment {
        version: 3,
        ..samples::deployment("retail", "b1")
    };
    let same = Deployed {
        deployment: third.clone(),
        is_new: false,
    };
    assert_eq!(deployed, Ok(same));
    drop((journal, reader));

    let journal = store.open().await;
    let it = journal.as_ref();
    assert_eq!(it.deployment("retail", None).await, Ok(Some(third)));
    let second = Deployment {
        version: 2,
        ..samples::deployment("retail", "b2")
    };
    let found = it.deployment("retail", Some(2)).await;
    assert_eq!(found, Ok(Some(second)));
    for version in [0, 4, u64::MAX] {
        let found = it.deployment("retail", Some(version)).await;
        assert_eq!(found, Ok(None));
    }
    assert_eq!(current(it).await, [named("retail", 3), named("weekly", 1)]);
    let epoch = samples::lead(it).await;
    assert_eq!(deploy(it, epoch, "retail", "b1").await, (3, false));
}

pub(super) async fn a_retired_workflow_keeps_its_versions_and_goes_on_counting(store: &impl Store) {
    let journal = store.open().await;
    let it = journal.as_ref();
    let epoch = samples::lead(it).await;
    assert_eq!(it.retire(epoch, "retail").await, Ok(None));
    for bundle in ["b1", "b2"] {
        deploy(it, epoch, "retail", bundle).await;
    }
    deploy(it, epoch, "weekly", "b1").await;
    assert_eq!(it.retire(epoch, "retail").await, Ok(Some(2)));
    assert_eq!(it.retire(epoch, "retail").await, Ok(None));
    assert_eq!(it.deployment("retail", None).await, Ok(None));
    assert!(it.deployment("retail", Some(2)).await.unwrap().is_some());
    assert_eq!(current(it).await, [named("weekly", 1)]);
    assert_eq!(listed(it, "retail").await, [2, 1]);
    drop(journal);

    let journal = store.open().await;
    let it = journal.as_ref();
    let epoch = samples::lead(it).await;
    assert_eq!(current(it).await, [named("weekly", 1)]);
    assert_eq!(deploy(it, epoch, "retail", "b2").await, (3, true));
    assert_eq!(current(it).await, [named("retail", 3), named("weekly", 1)]);
    assert_eq!(listed(it, "retail").await, [3, 2, 1]);
}

pub(super) async fn versions_are_listed_in_pages(store: &impl Store) {
    let journal = store.open().await;
    let it = journal.as_ref();
    let epoch = samples::lead(it).await;
    for number in 1..=5 {
        deploy(it, epoch, "retail", &format!("b{number}")).await;
        deploy(it, epoch, "weekly", &format!("b{number}")).await;
    }
    let list = async |after, limit| {
        let page = Page { after, limit };
        let deployments = it.list_deployments("retail", &page).await.unwrap();
        assert!(deployments.sound.iter().all(|it| it.name == "retail"));
        versions(&deployments.sound)
    };
    let none: [u64; 0] = [];
    assert_eq!(list(None, 2).await, [5, 4]);
    assert_eq!(list(Some(4), 2).await, [3, 2]);
    assert_eq!(list(Some(2), 2).await, [1]);
    assert_eq!(list(Some(1), 2).await, none);
    assert_eq!(list(None, 0).await, none);
    assert_eq!(list(Some(u64::MAX), usize::MAX).await, [5, 4, 3, 2, 1]);
    assert_eq!(listed(it, "no such").await, none);
}

pub(super) async fn who_was_deposed_deploys_and_retires_nothing(store: &impl Store) {
    let journal = store.open().await;
    let it = journal.as_ref();
    let old = samples::lead(it).await;
    deploy(it, old, "retail", "b1").await;
    let new = samples::lead(it).await;
    let fenced = JournalError::Fenced {
        ours: old,
        current: new,
    };
    // Also where there would be nothing to write.
    for (name, bundle) in [("retail", "b1"), ("retail", "b2"), ("weekly", "b1")] {
        let refused = it.deploy(old, samples::deployment(name, bundle)).await;
        assert_eq!(refused, Err(fenced.clone()));
    }
    for name in ["retail", "weekly"] {
        assert_eq!(it.retire(old, name).await, Err(fenced.clone()));
    }
    let unheard_of = Epoch(new.0.saturating_add(1));
    let deployment = samples::deployment("retail", "b2");
    let refused = it.deploy(unheard_of, deployment).await;
    assert!(
        matches!(refused, Err(JournalError::Fenced { .. })),
        "{refused:?}"
    );
    assert_eq!(current(it).await, [named("retail", 1)]);
    assert_eq!(listed(it, "retail").await, [1]);
    assert_eq!(deploy(it, new, "retail", "b2").await, (2, true));
}

pub(super) async fn of_deployments_at_once_each_is_one_version(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    // Each bundle of retail twice, all of weekly the same, and runs that are submitted meanwhile.
    let deploying: Vec<_> = (0..24_u64)
        .map(|number| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                let run = samples::begun_run(&samples::run_id(number), "retail", None);
                let retail = samples::deployment("retail", &format!("b{}", number / 2));
                let (retail, run, weekly) = tokio::join!(
                    journal.deploy(epoch, retail),
                    journal.append(epoch, run),
                    journal.deploy(epoch, samples::deployment("weekly", "b1")),
                );
                run.unwrap();
                (retail.unwrap(), weekly.unwrap())
            })
        })
        .collect();
    let (mut made, mut made_weekly) = (BTreeSet::new(), 0);
    for deploying in deploying {
        let (retail, weekly) = deploying.await.unwrap();
        assert_eq!(weekly.deployment.version, 1);
        made_weekly += u32::from(weekly.is_new);
        let Deployed { deployment, is_new } = retail;
        if is_new {
            let is_first = made.insert(deployment.version);
            assert!(is_first, "version {} is made once", deployment.version);
        }
        let found = journal.deployment("retail", Some(deployment.version)).await;
        assert_eq!(found, Ok(Some(deployment)), "whoever made it");
    }
    assert_eq!(made_weekly, 1);
    let newest = u64::try_from(made.len()).unwrap();
    assert!((12..=24).contains(&newest), "{newest}");
    assert_eq!(made, (1..=newest).collect());
    assert_eq!(
        current(journal.as_ref()).await,
        [named("retail", newest), named("weekly", 1)]
    );
    assert_eq!(journal.load_unfinished().await.unwrap().runs.len(), 24);
}

/// Names that a careless statement would mix up, in the order of their bytes.
pub(super) const ODD_NAMES: [&str; 14] = [
    "",
    " ",
    "%",
    "'; DROP TABLE deployments; --",
    "Retail",
    "\\'",
    "a\nb",
    "re_ail",
    "retail",
    "retail ",
    "retail%",
    "ré\"tail",
    "сегменты",
    "🛒",
];

pub(super) async fn names_of_any_kind_are_told_apart(store: &impl Store) {
    let journal = store.open().await;
    let it = journal.as_ref();
    let epoch = samples::lead(it).await;
    for name in ODD_NAMES.iter().rev() {
        let bundle = format!("bundle of {name}");
        assert_eq!(
            deploy(it, epoch, name, &bundle).await,
            (1, true),
            "{name:?}"
        );
        assert_eq!(deploy(it, epoch, name, "b2").await, (2, true), "{name:?}");
    }
    assert_eq!(current(it).await, ODD_NAMES.map(|name| named(name, 2)));
    for name in ODD_NAMES {
        assert_eq!(it.retire(epoch, name).await, Ok(Some(2)), "{name:?}");
        let kept = it.deployment(name, Some(1)).await.unwrap().unwrap();
        assert_eq!(kept.bundle, format!("bundle of {name}"));
        assert_eq!(kept.workflow.name, name);
        assert_eq!(listed(it, name).await, [2, 1]);
    }
    assert_eq!(current(it).await, []);
    // What not every database can keep is refused, alone.
    let run = samples::begun_run(&samples::run_id(1), "retail", None);
    let (refused, appended) = tokio::join!(
        it.deploy(epoch, samples::deployment("a\0b", "b1")),
        it.append(epoch, run),
    );
    assert_eq!(
        refused.unwrap_err().to_string(),
        "cannot write to the journal: the name of the workflow holds a NUL character, which no text in \
         a database may; use a name without"
    );
    assert_eq!(appended, Ok(()));
}
