//! Small histories for tests.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::time::Duration;

use marquetry_engine::{CacheEntry, Record, RunState, RunStatus, RunSubmitted, Scheduled};
use marquetry_types::{
    AttemptId, AttemptNumber, DatasetRef, Epoch, FencingToken, Outcome, Published, PublishedKind,
    RunId, Timestamp, WorkerId,
};
use marquetry_workflow::Workflow;

use crate::{Campaign, Candidate, Deployment, Journal};

const BASE: i64 = 1_763_886_600_000;

/// The id of the `number`th sample run; later numbers are later runs.
#[must_use]
pub fn run_id(number: u64) -> RunId {
    RunId::new(
        Timestamp::from_millis(BASE.saturating_add_unsigned(number)),
        u128::from(number),
    )
}

/// A run that was submitted, with its one stage granted, and has not ended.
#[must_use]
pub fn begun_run(run: &RunId, name: &str, request_id: Option<&str>) -> Vec<Record> {
    let at = Timestamp::from_millis(BASE);
    let submitted = RunSubmitted {
        parent: None,
        ignores_cache: false,
        run: run.clone(),
        at,
        workflow: Box::new(workflow(name)),
        bundle: "b1".to_owned(),
        params: serde_json::Map::new(),
        request_id: request_id.map(str::to_owned),
        base_dir: None,
        group: None,
        schedule: None,
        trace: None,
        pins: Vec::new(),
    };
    let worker: WorkerId = "w1".parse().expect("a worker id");
    let assigned = Record::AttemptAssigned {
        cache: None,
        token: token(run),
        worker,
        learns_from: None,
        slot: None,
        at,
    };
    vec![Record::RunSubmitted(submitted), assigned]
}

/// The same, submitted by a schedule for the hour before `at`.
#[must_use]
pub fn scheduled_run(run: &RunId, name: &str, schedule: &str, at: Timestamp) -> Vec<Record> {
    let hour = 3_600_000;
    let mut records = begun_run(run, name, None);
    if let Some(Record::RunSubmitted(submitted)) = records.first_mut() {
        submitted.schedule = Some(Scheduled {
            schedule: schedule.to_owned(),
            at,
            interval_start: Timestamp::from_millis(at.as_millis().saturating_sub(hour)),
            interval_end: at,
            is_backfill: false,
        });
    }
    records
}

/// The same as a backfill.
#[must_use]
pub fn backfilled_run(run: &RunId, name: &str, schedule: &str, at: Timestamp) -> Vec<Record> {
    let mut records = scheduled_run(run, name, schedule, at);
    if let Some(Record::RunSubmitted(submitted)) = records.first_mut()
        && let Some(scheduled) = &mut submitted.schedule
    {
        scheduled.is_backfill = true;
    }
    records
}

/// A workflow of one stage, to be deployed.
#[must_use]
pub fn deployment(name: &str, bundle: &str) -> Deployment {
    Deployment {
        base_dir: None,
        name: name.to_owned(),
        version: 0,
        bundle: bundle.to_owned(),
        workflow: Box::new(workflow(name)),
        deployed_at: Timestamp::from_millis(BASE),
        comment: format!("brings {bundle}"),
    }
}

/// A run that was submitted and succeeded.
#[must_use]
pub fn finished_run(run: &RunId, name: &str, request_id: Option<&str>) -> Vec<Record> {
    let at = Timestamp::from_millis(BASE);
    let mut records = begun_run(run, name, request_id);
    records.push(Record::StageSucceeded {
        token: token(run),
        outcome: Outcome::default(),
        published: Vec::new(),
        withheld: Vec::new(),
        cache: None,
        at,
    });
    let status = RunStatus::Succeeded;
    records.push(Record::RunFinished {
        run: run.clone(),
        status,
        failure: None,
        outputs: Outcome::default(),
        at,
    });
    records
}

/// The same, with its stage's outcome to be used again under a key.
#[must_use]
pub fn caching_run(run: &RunId, key: &str) -> Vec<Record> {
    let mut records = finished_run(run, "retail", None);
    for record in &mut records {
        if let Record::StageSucceeded { cache, at, .. } = record {
            *cache = Some(CacheEntry {
                key: key.to_owned(),
                computed_at: *at,
            });
        }
    }
    records
}

/// The same, with its stage publishing these versions.
#[must_use]
pub fn publishing_run(run: &RunId, versions: Vec<Published>) -> Vec<Record> {
    let mut records = finished_run(run, "retail", None);
    for record in &mut records {
        if let Record::StageSucceeded { published, .. } = record {
            published.clone_from(&versions);
        }
    }
    records
}

/// A version of a published thing, told apart by its number of rows.
#[must_use]
pub fn published(kind: PublishedKind, name: &str, version: u64) -> Published {
    Published {
        kind,
        name: name.parse().expect("a name"),
        version,
        dataset: DatasetRef {
            manifest: format!("runs/{name}/{version}"),
            digest: "d".to_owned(),
            rows: version,
            bytes: 1,
            content: None,
        },
    }
}

/// What a journal must load after these records of one run.
#[must_use]
pub fn replayed(records: &[Record]) -> RunState {
    let (first, rest) = records.split_first().expect("records");
    let mut state = RunState::begin(first).expect("a beginning");
    for record in rest {
        state.apply(record).expect("a continuation");
    }
    state
}

fn token(run: &RunId) -> FencingToken {
    let stage = "orders".parse().expect("a stage name");
    let attempt = AttemptId {
        run: run.clone(),
        stage,
        attempt: AttemptNumber(1),
    };
    FencingToken {
        epoch: Epoch(1),
        attempt,
    }
}

/// A workflow of one stage.
fn workflow(name: &str) -> Workflow {
    let workflow = serde_json::json!({
        "name": name,
        "stages": {"orders": {"name": "orders", "uses": "ingest/files", "with": {"map": {}}}},
    });
    serde_json::from_value(workflow).expect("a workflow")
}

/// A candidate of that name, whose lease ends at once: whoever campaigns next wins.
#[must_use]
pub fn candidate(name: &str) -> Candidate {
    Candidate {
        name: name.to_owned(),
        url: format!("http://{name}:7070"),
        lease: Duration::ZERO,
    }
}

/// Begins a reign.
///
/// # Panics
/// Another coordinator leads.
pub async fn lead(journal: &dyn Journal) -> Epoch {
    match journal.campaign(&candidate("house")).await.unwrap() {
        Campaign::Won(epoch) => epoch,
        Campaign::Lost(leader) => panic!("{leader:?} leads"),
    }
}
