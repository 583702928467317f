//! What is counted of the engine's memory.

use std::time::Duration;

use crate::support::*;
use marquetry_engine::{EngineConfig, Gauges, Input};
use serde_json::json;

/// Stages that wait for a worker, by queue.
fn ready(world: &World) -> Vec<(&str, usize)> {
    let ready = world.engine.ready();
    ready
        .map(|(queue, count)| (queue.as_str(), count))
        .collect()
}

#[test]
fn stages_count_as_ready_from_when_they_may_run_until_they_are_granted() {
    let mut world = World::new(EngineConfig::default());
    let gpu = json!({"placement": {"queue": "gpu", "priority": 0, "labels": {}}});
    let graph = workflow(vec![
        stage("a", &[], gpu.clone()),
        stage("b", &[], gpu),
        stage("c", &[], json!({})),
        stage("d", &["c"], json!({})),
    ]);
    let submitted = world.step(submission(1, &graph));
    assert_eq!(submitted.waits, [], "nobody is there");
    assert_eq!(ready(&world), [("default", 1), ("gpu", 2)]);
    world.advance(Duration::from_secs(7));
    let granted = world.step(hello_of("w1", 1, &["gpu"], &[]));
    assert_eq!(granted.waits, [Duration::from_secs(7)]);
    assert_eq!(ready(&world), [("default", 1), ("gpu", 1)]);
    let reason = "enough".to_owned();
    let run = run_id(1);
    world.step(Input::CancelRun { run, reason });
    assert_eq!(ready(&world), [], "what was cancelled waits for nobody");
}

#[test]
fn workers_count_while_they_are_connected() {
    let mut world = World::new(EngineConfig::default());
    let graph = workflow(vec![stage("a", &[], json!({}))]);
    world.step(submission(1, &graph));
    world.step(hello("w1", 1, 2, Vec::new()));
    world.step(hello("w2", 1, 3, Vec::new()));
    let both = Gauges {
        runs: 1,
        workers: 2,
        slots: 5,
        slots_in_use: 1,
    };
    assert_eq!(world.engine.gauges(), both);
    let (worker, session) = (worker_id("w1"), 1);
    world.step(Input::WorkerDisconnected { worker, session });
    let one = Gauges {
        runs: 1,
        workers: 1,
        slots: 3,
        slots_in_use: 0,
    };
    assert_eq!(world.engine.gauges(), one, "its attempt may come back");
}
