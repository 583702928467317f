//! Who gets which stage, and what a stage waits for.

use std::time::Duration;

use crate::support::*;
use marquetry_engine::{Action, EngineConfig, Input, Record, Rejection, StageStatus};
use marquetry_types::{FailureClass, codes};
use serde_json::{Value, json};

fn world() -> World {
    World::new(EngineConfig::default())
}

fn placed(queue: &str, priority: i32, labels: Value) -> Value {
    json!({"placement": {"queue": queue, "priority": priority, "labels": labels}})
}

fn waiting(world: &World, name: &str) -> String {
    let waiting = world.engine.waiting(&run_id(1), &name.parse().unwrap());
    waiting.map_or_else(String::new, |waiting| waiting.to_string())
}

#[test]
fn a_stage_goes_to_a_worker_of_its_queue_with_its_labels() {
    let mut world = world();
    let graph = workflow(vec![
        stage("a", &[], placed("gpu", 0, json!({"zone": "b"}))),
        stage("b", &[], json!({})),
    ]);
    world.step(submission(1, &graph));
    assert_eq!(waiting(&world, "a"), "a worker: none is connected");
    let default = world.step(hello_of("w1", 4, &["default"], &[]));
    assert_eq!(assigned(&default).token.attempt.stage.as_str(), "b");
    assert_eq!(waiting(&world, "a"), "a worker: none serves queue `gpu`");
    assert!(assignments(&world.step(hello_of("w2", 1, &["gpu"], &[("zone", "a")]))).is_empty());
    assert_eq!(waiting(&world, "a"), "a worker: none has the labels zone=b");
    let right = world.step(hello_of("w3", 1, &["gpu"], &[("zone", "b")]));
    assert_eq!(assigned(&right).token.attempt.stage.as_str(), "a");
    assert_eq!(waiting(&world, "a"), "", "it runs");
}

#[test]
fn the_highest_priority_goes_first_and_then_who_came_first() {
    let mut world = world();
    for (number, priority) in [(1, 0), (2, 5), (3, 5), (4, -1)] {
        let graph = workflow(vec![stage(
            "a",
            &[],
            placed("default", priority, json!({})),
        )]);
        world.step(submission(number, &graph));
    }
    assert_eq!(world.engine.queues()[0].waiting, 4);
    let mut decision = world.step(hello("w1", 1, 1, Vec::new()));
    let mut order = Vec::new();
    while let [(_, _, next)] = assignments(&decision).as_slice() {
        order.push(next.token.attempt.run.clone());
        decision = world.step(finished("w1", 1, &next.token, success(&next.token)));
    }
    assert_eq!(order, [2, 3, 1, 4].map(run_id));
    assert_eq!(world.engine.queues()[0].waiting, 0);
}

#[test]
fn a_worker_of_an_older_version_is_passed_over() {
    let mut world = world();
    let graph = workflow(vec![stage("a", &[], json!({"version": 2}))]);
    world.step(submission(1, &graph));
    assert!(assignments(&world.step(hello("w1", 1, 1, Vec::new()))).is_empty());
    let why = "a worker: none has version 2 of `test/stage` or a later one: upgrade the workers";
    assert_eq!(waiting(&world, "a"), why);
}

#[test]
fn a_draining_worker_gets_nothing_new_and_keeps_what_it_has() {
    let mut world = world();
    world.step(hello("w1", 1, 2, Vec::new()));
    let one = workflow(vec![stage("a", &[], json!({}))]);
    let a = assigned(&world.step(submission(1, &one)));
    let drain = |name: &str| Input::DrainWorker {
        worker: worker_id(name),
        reason: "an upgrade".to_owned(),
    };
    let drained = world.step(drain("w1"));
    assert!(matches!(
        &drained.actions[..],
        [Action::DrainWorker { session: 1, .. }]
    ));
    assert!(assignments(&world.step(submission(2, &one))).is_empty());
    let waiting = world.engine.waiting(&run_id(2), &"a".parse().unwrap());
    assert_eq!(
        waiting.unwrap().to_string(),
        "a worker: those that could run it are draining"
    );
    world.step(finished("w1", 1, &a.token, success(&a.token)));
    assert_eq!(world.state(1).stages["a"].status, StageStatus::Succeeded);
    let nobody = world.engine.step(world.now, drain("w9"));
    assert_eq!(nobody, Err(Rejection::UnknownWorker(worker_id("w9"))));
}

#[test]
fn what_a_worker_held_that_leaves_goes_to_another_at_once() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let a = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))]))));
    world.step(hello("w2", 1, 1, Vec::new()));
    let left = world.step(Input::WorkerLeft {
        worker: worker_id("w1"),
        session: 1,
        reason: "it was asked to stop".to_owned(),
    });
    assert!(matches!(
        left.records[..],
        [Record::AttemptLost { .. }, Record::AttemptAssigned { .. }]
    ));
    assert_eq!(assignments(&left)[0].0, worker_id("w2"));
    assert!(assigned(&left).token > a.token);
}

#[test]
fn a_stage_that_keeps_losing_its_workers_waits_longer_each_time() {
    let mut world = world();
    for name in ["w1", "w2", "w3"] {
        world.step(hello(name, 1, 1, Vec::new()));
    }
    world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))])));
    let leave = |name: &str| Input::WorkerLeft {
        worker: worker_id(name),
        session: 1,
        reason: "gone".to_owned(),
    };
    assert_eq!(
        assignments(&world.step(leave("w1"))).len(),
        1,
        "the first time at once"
    );
    assert!(
        assignments(&world.step(leave("w2"))).is_empty(),
        "then after a pause"
    );
    assert!(waiting(&world, "a").starts_with("its next attempt at "));
    assert!(assignments(&world.advance(Duration::from_millis(500))).is_empty());
    assert_eq!(assignments(&world.advance(Duration::from_secs(1))).len(), 1);
}

#[test]
fn another_attempt_goes_to_another_worker_where_there_is_one() {
    let mut world = world();
    world.step(hello("w1", 1, 4, Vec::new()));
    world.step(hello("w2", 1, 4, Vec::new()));
    let retry = json!({"retry": {"attempts": 2, "initial": {"secs": 0, "nanos": 0}, "factor": 1.0,
                                 "max": {"secs": 0, "nanos": 0}}});
    let first = world.step(submission(1, &workflow(vec![stage("a", &[], retry)])));
    assert_eq!(assignments(&first)[0].0, worker_id("w1"));
    let token = assigned(&first).token;
    let again = world.step(finished(
        "w1",
        1,
        &token,
        failure(FailureClass::ResourceExhausted),
    ));
    assert_eq!(assignments(&again)[0].0, worker_id("w2"));
}

#[test]
fn only_the_classes_that_the_stage_names_are_tried_again() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let retry = json!({"retry": {"attempts": 9, "initial": {"secs": 0, "nanos": 0}, "factor": 1.0,
                                 "max": {"secs": 0, "nanos": 0},
                                 "on": {"transient": true, "resource_exhausted": false}}});
    let first = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], retry)]))));
    let again = world.step(finished(
        "w1",
        1,
        &first.token,
        failure(FailureClass::Transient),
    ));
    let second = assigned(&again).token;
    world.step(finished(
        "w1",
        1,
        &second,
        failure(FailureClass::ResourceExhausted),
    ));
    assert_eq!(world.state(1).stages["a"].status, StageStatus::Failed);
}

#[test]
fn a_stage_that_says_it_was_cancelled_though_nobody_did_is_told_so() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let once = json!({"retry": {"attempts": 1, "initial": {"secs": 1, "nanos": 0}, "factor": 1.0,
                                "max": {"secs": 1, "nanos": 0}}});
    let a = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], once)]))));
    world.step(finished(
        "w1",
        1,
        &a.token,
        failure(FailureClass::Cancelled),
    ));
    let failure = world.state(1).stages["a"].failure.clone().unwrap();
    assert_eq!(failure.class, FailureClass::Transient);
    assert!(
        failure.diagnostic.message.contains("nobody cancelled it"),
        "{failure:?}"
    );
}

#[test]
fn a_stage_has_a_time_of_its_own_with_all_its_attempts() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let limited = json!({"stage_timeout": {"secs": 10, "nanos": 0}});
    let graph = workflow(vec![
        stage("a", &[], json!({})),
        stage("b", &["a"], limited),
    ]);
    let a = assigned(&world.step(submission(1, &graph)));
    world.advance(Duration::from_secs(9));
    let b = assigned(&world.step(finished("w1", 1, &a.token, success(&a.token))));
    world.advance(Duration::from_secs(9));
    assert_eq!(
        world.state(1).stages["b"].status,
        StageStatus::Running,
        "its time began late"
    );
    let late = world.advance(Duration::from_secs(1));
    assert!(matches!(&late.actions[0], Action::CancelAttempt { token, .. } if *token == b.token));
    let failed = world.state(1).stages["b"].failure.clone().unwrap();
    assert_eq!(failed.diagnostic.code, codes::STAGE_TIMEOUT);

    // One that waits for a worker for too long fails as well, after a restart too.
    let lonely = json!({"stage_timeout": {"secs": 10, "nanos": 0}, "placement": {"queue": "gpu"}});
    world.step(submission(2, &workflow(vec![stage("a", &[], lonely)])));
    world.restart();
    world.advance(Duration::from_secs(10));
    assert_eq!(world.state(2).stages["a"].status, StageStatus::Failed);
}
