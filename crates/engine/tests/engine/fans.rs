//! Stages that run once for each item of a list.

use std::time::Duration;

use crate::support::*;
use marquetry_engine::{Action, Assignment, EngineConfig, Input, Record, RunStatus, StageStatus};
use marquetry_types::{FailureClass, codes};
use serde_json::{Value, json};

fn world() -> World {
    let mut world = World::new(EngineConfig::default());
    world.step(gatherer(1, Vec::new()));
    world
}

/// A worker that can do everything that a stage with items needs.
fn gatherer(session: u64, held: Vec<marquetry_types::FencingToken>) -> Input {
    let Input::WorkerConnected(mut hello) = hello("w1", session, 100, held) else {
        unreachable!("a hello")
    };
    hello.kinds.insert("dataset/gather".parse().unwrap(), 1);
    Input::WorkerConnected(hello)
}

fn each(items: Value, limit: Option<u32>) -> Value {
    json!({
        "for_each": {"items": items, "limit": limit},
        "with": {"map": {"region": {"scalar": "${{ item.name }}"}}},
        "retry": {"attempts": 1, "initial": {"secs": 0, "nanos": 0}, "factor": 1.0,
                  "max": {"secs": 0, "nanos": 0}},
    })
}

fn regions(count: usize) -> Value {
    let items = (0..count).map(|place| json!({"map": {"name": {"scalar": format!("r{place}")}}}));
    json!({"list": items.collect::<Vec<_>>()})
}

fn status(world: &World, name: &str) -> StageStatus {
    world.state(1).stages[name].status
}

fn resumed(world: &World, number: u128, from: &[&str]) -> Input {
    Input::ResumeRun {
        state: Box::new(world.state(number)),
        from: from.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

fn done(world: &mut World, session: u64, assignment: &Assignment) -> Vec<Assignment> {
    let token = &assignment.token;
    let decision = world.step(finished("w1", session, token, success(token)));
    assignments(&decision).into_iter().map(|it| it.2).collect()
}

#[test]
fn a_stage_runs_once_for_each_item_and_gathers_what_they_gave() {
    let mut world = world();
    let mut more = each(regions(3), None);
    more["publish"] = json!([{"output": "rows", "kind": "table", "name": "all"}]);
    let after = json!({"with": {"map": {"rows": {"scalar": "${{ stages.a }}"}}}});
    let graph = workflow(vec![stage("a", &[], more), stage("b", &["a"], after)]);
    let first = world.step(submission(1, &graph));
    assert!(matches!(&first.records[1], Record::StageExpanded { items, .. } if items.len() == 3));
    let items: Vec<_> = assignments(&first).into_iter().map(|it| it.2).collect();
    let told = items.iter();
    let told = told.map(|it| {
        (
            it.token.attempt.stage.to_string(),
            it.options["region"].clone(),
        )
    });
    let expected = [("a.0", "r0"), ("a.1", "r1"), ("a.2", "r2")];
    let expected = expected.map(|(name, region)| (name.to_owned(), json!(region)));
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_ne!(items[0].seed, items[1].seed);
    assert_eq!(status(&world, "a"), StageStatus::Running);
    let mut next = Vec::new();
    for item in &items {
        next = done(&mut world, 1, item);
        assert!(world.published().is_empty(), "an item publishes nothing");
    }
    let gather = &next[0];
    assert_eq!(gather.token.attempt.stage.as_str(), "a");
    assert_eq!(gather.kind.as_str(), "dataset/gather");
    let rows = gather.options["outputs"]["rows"].as_array().unwrap();
    let manifests = rows.iter().map(|it| it["$dataset"]["manifest"].clone());
    let expected = items.iter().map(|it| json!(it.token.to_string()));
    assert_eq!(manifests.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let b = done(&mut world, 1, gather).remove(0);
    let reads = &b.options["rows"]["$dataset"]["manifest"];
    assert_eq!(reads, &json!(gather.token.to_string()));
    assert_eq!(world.published()[0].name.as_str(), "all");
    done(&mut world, 1, &b);
    let run = world.state(1);
    assert_eq!(run.status, RunStatus::Succeeded);
    assert_eq!(
        run.summary().stages.total,
        2,
        "items are not counted as stages"
    );
}

#[test]
fn a_stage_with_items_takes_from_its_first_item_to_its_end() {
    let mut world = world();
    let graph = workflow(vec![stage("a", &[], each(regions(2), Some(1)))]);
    let first = world.step(submission(1, &graph));
    let begun = world.state(1).stages["a.0"].attempts[0].assigned_at;
    let mut open: Vec<_> = assignments(&first).into_iter().map(|it| it.2).collect();
    while let Some(next) = open.pop() {
        world.advance(Duration::from_secs(1));
        open.extend(done(&mut world, 1, &next));
    }
    let took = |world: &World, name: &str| {
        let stage = &world.state(1).stages[name];
        let (start, end) = (stage.started_at.unwrap(), stage.ended_at.unwrap());
        (start, end.saturating_since(start).as_secs())
    };
    assert_eq!(
        took(&world, "a"),
        (begun, 3),
        "two items and what gathers them"
    );
    assert_eq!(took(&world, "a.1").1, 1);
    // Done again from its beginning, it takes what that takes.
    world.advance(Duration::from_secs(3600));
    world.step(gatherer(2, Vec::new()));
    let again = world.step(resumed(&world, 1, &["a"]));
    let mut open: Vec<_> = assignments(&again).into_iter().map(|it| it.2).collect();
    while let Some(next) = open.pop() {
        world.advance(Duration::from_secs(1));
        open.extend(done(&mut world, 2, &next));
    }
    assert_eq!(took(&world, "a").1, 3);
}

#[test]
fn no_more_items_run_than_the_limit_says_over_restarts() {
    let mut world = world();
    let graph = workflow(vec![stage("a", &[], each(regions(7), Some(2)))]);
    let first = world.step(submission(1, &graph));
    let mut open: Vec<_> = assignments(&first).into_iter().map(|it| it.2).collect();
    let (mut count, mut session) = (0, 1);
    while let Some(next) = open.pop() {
        assert!(open.len() < 2, "{} besides", open.len());
        open.extend(done(&mut world, session, &next));
        count += 1;
        if count == 3 {
            world.restart();
            session = 2;
            let held = open.iter().map(|it| it.token.clone()).collect();
            let back = world.step(gatherer(session, held));
            assert!(assignments(&back).is_empty(), "two of them run: {back:?}");
        }
    }
    assert_eq!(count, 8, "seven items, and what gathers them");
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
}

#[test]
fn items_that_failed_are_done_again_and_the_others_are_not() {
    let mut world = world();
    let graph = workflow(vec![stage("a", &[], each(regions(3), None))]);
    let items = assignments(&world.step(submission(1, &graph)));
    for (place, (_, _, item)) in items.iter().enumerate() {
        let result = match place {
            1 => failure(FailureClass::Invalid),
            _ => success(&item.token),
        };
        world.step(finished("w1", 1, &item.token, result));
    }
    let run = world.state(1);
    assert_eq!(run.status, RunStatus::Failed);
    let counts = run.stages["a"].item_counts;
    let told = (
        counts.total,
        counts.running,
        counts.succeeded,
        counts.failed,
        counts.ended,
    );
    assert_eq!(told, (3, 0, 2, 1, 3));
    let message = run.failure.unwrap().diagnostic.message;
    assert_eq!(
        message,
        "1 of 3 items failed, the first of them `a.1`: it broke"
    );
    let again = resumed(&world, 1, &[]);
    let item = assigned(&world.step(again));
    let attempt = &item.token.attempt;
    assert_eq!((attempt.stage.as_str(), attempt.attempt.0), ("a.1", 2));
    let gather = done(&mut world, 1, &item).remove(0);
    done(&mut world, 1, &gather);
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
    // One item of a run that succeeded, and then what gathers them.
    let one = resumed(&world, 1, &["a.2"]);
    let item = assigned(&world.step(one));
    assert_eq!(item.token.attempt.stage.as_str(), "a.2");
    let gather = done(&mut world, 1, &item).remove(0);
    assert_eq!(gather.token.attempt.attempt.0, 2);
    done(&mut world, 1, &gather);
    // From the stage itself, everything is done again.
    let whole = resumed(&world, 1, &["a"]);
    assert_eq!(assignments(&world.step(whole)).len(), 3);
    let counts = world.state(1).stages["a"].item_counts;
    assert_eq!((counts.total, counts.running, counts.ended), (3, 3, 0));
}

#[test]
fn a_list_that_is_none_or_empty_is_told() {
    let mut world = world();
    let empty = each(json!({"list": []}), None);
    let graph = workflow(vec![stage("a", &[], empty), stage("b", &["a"], json!({}))]);
    world.step(submission(1, &graph));
    assert_eq!(status(&world, "a"), StageStatus::Skipped);
    assert_eq!(status(&world, "b"), StageStatus::Skipped);
    let number = each(json!({"scalar": "${{ 1 + 1 }}"}), None);
    world.step(submission(2, &workflow(vec![stage("a", &[], number)])));
    let failure = world.state(2).failure.unwrap().diagnostic;
    assert_eq!(failure.code, codes::SCRIPT_TYPE, "{failure:?}");
}

#[test]
fn items_end_with_their_run_and_with_the_time_of_their_stage() {
    let mut world = world();
    let mut more = each(regions(4), Some(2));
    more["stage_timeout"] = json!({"secs": 10, "nanos": 0});
    let graph = workflow(vec![stage("a", &[], more)]);
    let cancelled = |actions: &[Action]| {
        let tokens = actions.iter().filter_map(|action| match action {
            Action::CancelAttempt { token, .. } => Some(token.clone()),
            _ => None,
        });
        tokens.collect::<Vec<_>>()
    };
    world.step(submission(1, &graph));
    let late = world.advance(Duration::from_secs(10));
    assert_eq!(cancelled(&late.actions).len(), 2, "{late:?}");
    let failure = world.state(1).failure.unwrap().diagnostic;
    assert_eq!(failure.code, codes::STAGE_TIMEOUT);

    world.step(submission(2, &graph));
    let cancel = world.step(Input::CancelRun {
        run: run_id(2),
        reason: "no".to_owned(),
    });
    let told = cancelled(&cancel.actions);
    assert_eq!(told.len(), 2);
    for token in &told {
        world.step(finished("w1", 1, token, failure_of_cancel()));
    }
    assert_eq!(world.state(2).status, RunStatus::Cancelled);
}

fn failure_of_cancel() -> marquetry_types::AttemptResult {
    failure(FailureClass::Cancelled)
}

#[test]
fn ten_thousand_items_take_their_turns() {
    let mut world = world();
    let graph = workflow(vec![stage("a", &[], each(regions(10_000), Some(50)))]);
    let first = world.step(submission(1, &graph));
    let mut open: Vec<_> = assignments(&first).into_iter().map(|it| it.2).collect();
    assert_eq!(open.len(), 50);
    let mut count = 0;
    while let Some(next) = open.pop() {
        count += 1;
        open.extend(done(&mut world, 1, &next));
    }
    assert_eq!(count, 10_001);
    let run = world.engine.run(&run_id(1)).unwrap();
    assert_eq!(run.status, RunStatus::Succeeded);
}

#[test]
fn a_long_list_among_the_parameters_is_not_copied_for_each_of_its_items() {
    let mut world = world();
    let mut more = each(json!({"scalar": "${{ params.regions }}"}), Some(50));
    more["with"] = json!({"map": {"region": {"scalar": "${{ item }}"}}});
    let graph = workflow(vec![stage("a", &[], more)]);
    let Input::Submit(mut submission) = submission(1, &graph) else {
        unreachable!("a submission")
    };
    let regions: Vec<Value> = (0..10_000)
        .map(|place| json!(format!("r{place}")))
        .collect();
    submission
        .params
        .insert("regions".to_owned(), regions.into());
    let first = world.step(Input::Submit(submission));
    let mut open: Vec<_> = assignments(&first).into_iter().map(|it| it.2).collect();
    assert_eq!(open[17].options, json!({"region": "r17"}));
    let mut count = 0;
    while let Some(next) = open.pop() {
        count += 1;
        open.extend(done(&mut world, 1, &next));
    }
    assert_eq!(count, 10_001);
}
