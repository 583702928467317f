//! Runs that a schedule wants.

use crate::support::*;
use marquetry_engine::{EngineConfig, Input, Record, RunSubmitted, Scheduled};
use marquetry_types::Timestamp;
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn nightly() -> Scheduled {
    Scheduled {
        schedule: "nightly".to_owned(),
        at: at("2026-03-02T02:00:00Z"),
        interval_start: at("2026-03-01T00:00:00Z"),
        interval_end: at("2026-03-02T00:00:00Z"),
        is_backfill: false,
    }
}

/// Submits a run of one stage that reads what a run has of its schedule, with or without one, and says what
/// was recorded and what the stage is told.
fn submit(schedule: Option<Scheduled>) -> (RunSubmitted, Value) {
    let mut world = World::new(EngineConfig::default());
    world.step(hello("w1", 1, 1, Vec::new()));
    let with = json!({"with": {"map": {
        "at": {"scalar": "${{ run.scheduled_at }}"},
        "from": {"scalar": "${{ run.interval_start }}"},
        "to": {"scalar": "${{ run.interval_end }}"},
        "day": {"scalar": "${{ run.interval_start ?? run.submitted_at }}"},
    }}});
    let graph = workflow(vec![stage("a", &[], with)]);
    let Input::Submit(mut submission) = submission(1, &graph) else {
        unreachable!("a submission")
    };
    submission.schedule = schedule;
    let assigned = assigned(&world.step(Input::Submit(submission)));
    let Some(Record::RunSubmitted(submitted)) = world.journal.first().cloned() else {
        panic!("{:?}", world.journal)
    };
    (submitted, assigned.options)
}

#[test]
fn expressions_see_what_a_run_was_scheduled_for() {
    let (submitted, options) = submit(Some(nightly()));
    assert_eq!(submitted.schedule, Some(nightly()));
    let expected = json!({
        "at": "2026-03-02T02:00:00.000Z",
        "from": "2026-03-01T00:00:00.000Z",
        "to": "2026-03-02T00:00:00.000Z",
        "day": "2026-03-01T00:00:00.000Z",
    });
    assert_eq!(options, expected);

    let (submitted, options) = submit(None);
    assert_eq!(submitted.schedule, None);
    let now = submitted.at.to_string();
    let expected = json!({"at": null, "from": null, "to": null, "day": now});
    assert_eq!(options, expected);
}

#[test]
fn a_run_without_a_schedule_is_written_and_read_as_before_there_were_any() {
    let (submitted, _) = submit(None);
    let written = serde_json::to_value(&submitted).unwrap();
    assert_eq!(written.get("schedule"), None);
    assert_eq!(
        serde_json::from_value::<RunSubmitted>(written).unwrap(),
        submitted
    );
    let (submitted, _) = submit(Some(nightly()));
    let written = serde_json::to_value(&submitted).unwrap();
    let read: RunSubmitted = serde_json::from_value(written).unwrap();
    assert_eq!(read, submitted);
}
