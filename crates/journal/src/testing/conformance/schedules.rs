//! How far schedules have come.

use std::collections::BTreeMap;

use marquetry_engine::Record;
use marquetry_types::Timestamp;

use super::Store;
use super::deployments::ODD_NAMES;
use crate::testing::samples;
use crate::{JournalError, JournalReader};

fn at(hour: i64) -> Timestamp {
    Timestamp::from_millis(hour.saturating_mul(3_600_000))
}

async fn positions(journal: &dyn JournalReader, workflow: &str) -> BTreeMap<String, Timestamp> {
    journal.schedule_positions(workflow).await.unwrap()
}

fn hours<const N: usize>(hours: [(&str, i64); N]) -> BTreeMap<String, Timestamp> {
    BTreeMap::from(hours.map(|(schedule, hour)| (schedule.to_owned(), at(hour))))
}

pub(super) async fn positions_move_on_with_their_runs(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let mut runs = (1..).map(samples::run_id);
    let mut next = || runs.next().unwrap();
    let reader = store.open_reader().await;
    assert_eq!(positions(reader.as_ref(), "retail").await, hours([]));

    let unscheduled = samples::begun_run(&next(), "retail", None);
    let backfill = samples::backfilled_run(&next(), "retail", "nightly", at(900));
    for records in [unscheduled, backfill] {
        journal.append(epoch, records).await.unwrap();
        assert_eq!(positions(reader.as_ref(), "retail").await, hours([]));
    }
    // An instant before 1970 is an instant.
    for (hour, expected) in [(-5, -5), (7, 7), (6, 7), (7, 7), (8, 8)] {
        let run = next();
        let records = samples::scheduled_run(&run, "retail", "nightly", at(hour));
        journal.append(epoch, records.clone()).await.unwrap();
        let state = journal.load_run(&run).await;
        assert_eq!(state, Ok(samples::replayed(&records)));
        let found = positions(reader.as_ref(), "retail").await;
        assert_eq!(found, hours([("nightly", expected)]));
    }
    // Several in one append, and the latest not the last of them.
    let mut records = Vec::new();
    for (workflow, schedule, hour) in [
        ("retail", "nightly", 10),
        ("retail", "hourly", 30),
        ("weekly", "nightly", 99),
        ("retail", "nightly", 12),
        ("retail", "nightly", 11),
    ] {
        let at = at(hour);
        records.extend(samples::scheduled_run(&next(), workflow, schedule, at));
    }
    records.extend(samples::backfilled_run(&next(), "retail", "hourly", at(31)));
    journal.append(epoch, records).await.unwrap();
    drop((journal, reader));

    let journal = store.open().await;
    let retail = positions(journal.as_ref(), "retail").await;
    assert_eq!(retail, hours([("hourly", 30), ("nightly", 12)]));
    let weekly = positions(journal.as_ref(), "weekly").await;
    assert_eq!(weekly, hours([("nightly", 99)]));
    // Deployments come and go; how far it is stays.
    let epoch = samples::lead(journal.as_ref()).await;
    let deployment = samples::deployment("retail", "b1");
    journal.deploy(epoch, deployment).await.unwrap();
    journal.retire(epoch, "retail").await.unwrap();
    assert_eq!(positions(journal.as_ref(), "retail").await, retail);
}

pub(super) async fn a_run_that_is_refused_moves_no_position(store: &impl Store) {
    let journal = store.open().await;
    let old = samples::lead(journal.as_ref()).await;
    let epoch = samples::lead(journal.as_ref()).await;
    let scheduled = |number, hour, request_id: &str| {
        let run = samples::run_id(number);
        let mut records = samples::scheduled_run(&run, "retail", "nightly", at(hour));
        if let Some(Record::RunSubmitted(submitted)) = records.first_mut() {
            submitted.request_id = Some(request_id.to_owned());
        }
        records
    };
    let first = scheduled(1, 1, "nightly-1");
    journal.append(epoch, first).await.unwrap();

    let fenced = journal.append(old, scheduled(2, 2, "nightly-2")).await;
    assert!(
        matches!(fenced, Err(JournalError::Fenced { .. })),
        "{fenced:?}"
    );
    let twice = journal.append(epoch, scheduled(3, 3, "nightly-1")).await;
    assert!(
        matches!(twice, Err(JournalError::DuplicateRequest { .. })),
        "{twice:?}"
    );
    // The other run's history lacks its beginning.
    let mut broken = scheduled(4, 4, "nightly-4");
    broken.extend(samples::finished_run(&samples::run_id(5), "retail", None).split_off(1));
    let broken = journal.append(epoch, broken).await;
    assert!(
        matches!(broken, Err(JournalError::Inconsistent { .. })),
        "{broken:?}"
    );
    let found = positions(journal.as_ref(), "retail").await;
    assert_eq!(found, hours([("nightly", 1)]));
    // One that is refused costs its neighbours nothing.
    let (twice, good) = tokio::join!(
        journal.append(epoch, scheduled(6, 60, "nightly-1")),
        journal.append(epoch, scheduled(7, 7, "nightly-7"))
    );
    assert!(twice.is_err());
    assert_eq!(good, Ok(()));
    let found = positions(journal.as_ref(), "retail").await;
    assert_eq!(found, hours([("nightly", 7)]));
}

pub(super) async fn schedules_of_any_name_are_told_apart(store: &impl Store) {
    let journal = store.open().await;
    let epoch = samples::lead(journal.as_ref()).await;
    let mut numbers = 1..;
    let mut expected: BTreeMap<&str, BTreeMap<String, Timestamp>> = BTreeMap::new();
    for workflow in ["retail", "'retail'", "Retail"] {
        for name in ODD_NAMES {
            let number = numbers.next().unwrap();
            let run = samples::run_id(number);
            let hour = at(i64::try_from(number).unwrap());
            let records = samples::scheduled_run(&run, workflow, name, hour);
            journal.append(epoch, records).await.unwrap();
            let schedules = expected.entry(workflow).or_default();
            schedules.insert(name.to_owned(), hour);
        }
    }
    for (workflow, schedules) in expected {
        assert_eq!(positions(journal.as_ref(), workflow).await, schedules);
    }
    // What not every database can keep is refused before anything is sent.
    let run = samples::run_id(900);
    let records = samples::scheduled_run(&run, "retail", "a\0b", at(1));
    let refused = journal.append(epoch, records).await.unwrap_err();
    let reason = "a name of its schedule or workflow holds a NUL character".to_owned();
    assert_eq!(refused, JournalError::Inconsistent { run, reason });
}
