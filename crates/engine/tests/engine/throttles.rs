//! Stages that wait though a worker is free: groups of a few attempts, and rates.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::*;
use marquetry_engine::{EngineConfig, Input, StageStatus, Waiting};
use marquetry_types::{FailureClass, FencingToken, codes};
use marquetry_workflow::Workflow;
use serde_json::{Value, json};

fn world() -> World {
    let mut world = World::new(EngineConfig::default());
    world.step(hello("w1", 1, 100, Vec::new()));
    world
}

fn slots(group: &str, limit: u32) -> Value {
    json!({"throttle": {"concurrency": {"group": group, "limit": limit}}})
}

fn rate(limit: u32, seconds: u32, burst: u32) -> Value {
    let per = json!({"secs": seconds, "nanos": 0});
    json!({"throttle": {"rate": {"group": "api", "limit": limit, "per": per, "burst": burst}}})
}

/// A workflow of stages that need nothing and are held back alike.
fn side_by_side(count: usize, more: &Value) -> Workflow {
    workflow(
        (0..count)
            .map(|index| stage(&format!("s{index}"), &[], more.clone()))
            .collect(),
    )
}

fn granted(decision: &marquetry_engine::Decision) -> Vec<FencingToken> {
    assignments(decision)
        .into_iter()
        .map(|it| it.2.token)
        .collect()
}

fn waiting(world: &World, number: u128, stage: &str) -> Waiting {
    let waiting = world
        .engine
        .waiting(&run_id(number), &stage.parse().unwrap());
    waiting.unwrap()
}

#[test]
fn no_more_attempts_of_a_group_run_than_its_limit_over_all_runs() {
    let mut world = world();
    let graph = side_by_side(2, &slots("warehouse", 3));
    let mut open = granted(&world.step(submission(1, &graph)));
    open.extend(granted(&world.step(submission(2, &graph))));
    open.extend(granted(&world.step(submission(3, &graph))));
    assert_eq!(open.len(), 3);
    let told = waiting(&world, 3, "s1").to_string();
    let holder = format!("a slot of group `warehouse` (3 of 3: {}/s0, ", run_id(1));
    assert!(told.starts_with(&holder), "{told}");
    let (mut ended, mut most) = (0, 3);
    while let Some(token) = open.pop() {
        open.extend(granted(&world.step(finished(
            "w1",
            1,
            &token,
            success(&token),
        ))));
        ended += 1;
        most = most.max(open.len());
    }
    assert_eq!((ended, most), (6, 3));
}

#[test]
fn stages_of_other_groups_do_not_wait() {
    let mut world = world();
    let of = |shop: &str| {
        let more =
            json!({"throttle": {"concurrency": {"group": "shop-${{ params.shop }}", "limit": 1}}});
        let Input::Submit(mut own) =
            submission(u128::from(shop.as_bytes()[0]), &side_by_side(2, &more))
        else {
            unreachable!("a submission")
        };
        own.params.insert("shop".to_owned(), json!(shop));
        Input::Submit(own)
    };
    assert_eq!(granted(&world.step(of("a"))).len(), 1);
    assert_eq!(granted(&world.step(of("b"))).len(), 1);
}

#[test]
fn the_older_run_goes_first_though_the_lines_are_different() {
    let mut world = world();
    let first = granted(&world.step(submission(1, &side_by_side(1, &slots("g", 1)))));
    let mut other = slots("g", 1);
    other["version"] = json!(1);
    world.step(submission(2, &side_by_side(1, &other)));
    world.step(submission(3, &side_by_side(1, &slots("g", 1))));
    let next = granted(&world.step(finished("w1", 1, &first[0], success(&first[0]))));
    assert_eq!(next[0].attempt.run, run_id(2));
}

#[test]
fn a_take_over_counts_the_same_slots() {
    let mut world = world();
    let graph = side_by_side(4, &slots("warehouse", 2));
    let held = granted(&world.step(submission(1, &graph)));
    world.restart();
    let back = world.step(hello("w1", 2, 100, held.clone()));
    assert!(granted(&back).is_empty(), "both slots are taken");
    let next = granted(&world.step(finished("w1", 2, &held[0], success(&held[0]))));
    assert_eq!(next.len(), 1);
}

#[test]
fn an_attempt_that_fails_or_is_lost_gives_its_slot_to_another() {
    let mut world = world();
    let graph = side_by_side(2, &slots("warehouse", 1));
    let first = granted(&world.step(submission(1, &graph)));
    let second = granted(&world.step(finished(
        "w1",
        1,
        &first[0],
        failure(FailureClass::Transient),
    )));
    assert_eq!(second.len(), 1, "while the first pauses");
    assert_ne!(second[0].attempt.stage, first[0].attempt.stage);
    let gone = Input::WorkerLeft {
        worker: worker_id("w1"),
        session: 1,
        reason: "test".to_owned(),
    };
    world.step(gone);
    let third = granted(&world.step(hello("w2", 1, 100, Vec::new())));
    assert_eq!(third.len(), 1);
}

#[test]
fn a_cancelled_attempt_counts_until_its_worker_has_ended_it() {
    let mut world = world();
    let graph = side_by_side(1, &slots("warehouse", 1));
    let first = granted(&world.step(submission(1, &graph)));
    let cancel = Input::CancelRun {
        run: run_id(1),
        reason: "test".to_owned(),
    };
    world.step(cancel);
    assert!(granted(&world.step(submission(2, &graph))).is_empty());
    let next = world.step(finished(
        "w1",
        1,
        &first[0],
        failure(FailureClass::Cancelled),
    ));
    assert_eq!(granted(&next)[0].attempt.run, run_id(2));
}

#[test]
fn the_items_of_a_stage_wait_and_what_gathers_them_does_not() {
    let mut world = World::new(EngineConfig::default());
    let Input::WorkerConnected(mut own) = hello("w1", 1, 100, Vec::new()) else {
        unreachable!("a hello")
    };
    own.kinds.insert("dataset/gather".parse().unwrap(), 1);
    world.step(Input::WorkerConnected(own));
    let items = json!({"list": [{"scalar": "x"}, {"scalar": "x"}, {"scalar": "y"}]});
    let mut more = json!({"throttle": {"concurrency": {"group": "${{ item }}", "limit": 1}}});
    more["for_each"] = json!({"items": items});
    let first = granted(&world.step(submission(1, &workflow(vec![stage("a", &[], more)]))));
    let names: BTreeSet<_> = first.iter().map(|it| it.attempt.stage.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["a.0", "a.2"]));
    let second = granted(&world.step(finished("w1", 1, &first[0], success(&first[0]))));
    // Somebody else has both groups now.
    world.step(submission(2, &side_by_side(1, &slots("x", 1))));
    world.step(finished("w1", 1, &first[1], success(&first[1])));
    let gather = granted(&world.step(finished("w1", 1, &second[0], success(&second[0]))));
    assert!(
        gather.iter().any(|it| it.attempt.stage.as_str() == "a"),
        "{gather:?}"
    );
}

#[test]
fn a_group_without_a_name_fails_its_stage() {
    let mut world = world();
    let more =
        json!({"throttle": {"concurrency": {"group": "${{ run.scheduled_at }}", "limit": 1}}});
    world.step(submission(1, &side_by_side(1, &more)));
    let run = world.state(1);
    assert_eq!(run.stages["s0"].status, StageStatus::Failed);
    let diagnostic = run.failure.unwrap().diagnostic;
    assert_eq!(diagnostic.code, codes::SCRIPT_TYPE);
    assert!(
        diagnostic
            .message
            .ends_with("the name of the group is null"),
        "{diagnostic}"
    );
}

#[test]
fn attempts_begin_no_faster_than_the_rate() {
    let mut world = world();
    let at_once = granted(&world.step(submission(1, &side_by_side(5, &rate(2, 10, 2)))));
    assert_eq!(at_once.len(), 2);
    let next = world.now.saturating_add(Duration::from_secs(5));
    let rate = Waiting::Rate {
        group: "api".to_owned(),
        at: next,
    };
    assert_eq!(waiting(&world, 1, "s2"), rate);
    assert_eq!(
        rate.to_string(),
        format!("rate limit `api`, next at {next}")
    );
    assert_eq!(world.engine.next_wake(), Some(next), "it wants to be woken");
    assert!(granted(&world.advance(Duration::from_millis(4_999))).is_empty());
    assert_eq!(granted(&world.advance(Duration::from_millis(1))).len(), 1);
    assert!(granted(&world.advance(Duration::from_millis(4_999))).is_empty());
    assert_eq!(granted(&world.advance(Duration::from_millis(1))).len(), 1);
}

#[test]
fn a_bucket_fills_up_again_and_not_beyond_its_burst() {
    let mut world = world();
    let first = granted(&world.step(submission(1, &side_by_side(1, &rate(2, 10, 2)))));
    world.step(finished("w1", 1, &first[0], success(&first[0])));
    world.advance(Duration::from_secs(3600));
    world.step(hello("w1", 2, 100, Vec::new()));
    let graph = side_by_side(5, &rate(2, 10, 2));
    assert_eq!(granted(&world.step(submission(2, &graph))).len(), 2);
}

#[test]
fn a_burst_of_one_spaces_attempts_evenly() {
    let mut world = world();
    let first = granted(&world.step(submission(1, &side_by_side(4, &rate(4, 2, 1)))));
    assert_eq!(first.len(), 1);
    for _ in 0..3 {
        assert_eq!(granted(&world.advance(Duration::from_millis(500))).len(), 1);
    }
}

#[test]
fn who_takes_over_takes_the_bucket_for_empty() {
    let mut world = world();
    let graph = side_by_side(1, &rate(2, 10, 2));
    let first = granted(&world.step(submission(1, &graph)));
    world.step(finished("w1", 1, &first[0], success(&first[0])));
    world.advance(Duration::from_secs(3600));
    world.restart();
    world.step(hello("w1", 2, 100, Vec::new()));
    assert!(granted(&world.step(submission(2, &side_by_side(3, &rate(2, 10, 2))))).is_empty());
    assert!(granted(&world.advance(Duration::from_millis(4_999))).is_empty());
    assert_eq!(granted(&world.advance(Duration::from_millis(1))).len(), 1);
    assert_eq!(granted(&world.advance(Duration::from_secs(5))).len(), 1);
}

#[test]
fn a_deadline_ends_the_wait_for_a_slot() {
    let mut world = world();
    let mut more = slots("warehouse", 1);
    world.step(submission(1, &side_by_side(1, &more)));
    more["stage_timeout"] = json!({"secs": 3, "nanos": 0});
    world.step(submission(2, &side_by_side(1, &more)));
    world.advance(Duration::from_secs(3));
    let run = world.state(2);
    assert_eq!(run.failure.unwrap().diagnostic.code, codes::STAGE_TIMEOUT);
}
