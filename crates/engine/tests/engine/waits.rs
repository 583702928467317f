//! Stages that take no worker, runs that are done again from a stage, and concurrency groups.

use std::time::Duration;

use crate::support::*;
use marquetry_engine::{
    Approval, EngineConfig, Input, Record, Rejection, RunStatus, StageStatus, Waiting,
};
use marquetry_types::codes;
use marquetry_workflow::Workflow;
use serde_json::json;

fn world() -> World {
    let mut world = World::new(EngineConfig::default());
    world.step(hello("w1", 1, 4, Vec::new()));
    world
}

fn approval(name: &str, needs: &[&str]) -> (String, serde_json::Value) {
    let uses = json!({"uses": "wait/approval", "with": {"map": {"message": {"scalar": "send them?"}}},
                      "outputs": []});
    stage(name, needs, uses)
}

fn decides(number: u128, name: &str, is_approved: bool) -> Input {
    Input::Approve {
        run: run_id(number),
        stage: name.parse().unwrap(),
        is_approved,
        approval: Approval {
            by: "ada".to_owned(),
            comment: "it looks right".to_owned(),
        },
    }
}

fn status(world: &World, number: u128, name: &str) -> StageStatus {
    world.state(number).stages[name].status
}

#[test]
fn a_run_goes_on_when_a_person_approves_and_not_before() {
    let mut world = world();
    let graph = workflow(vec![
        stage("a", &[], json!({})),
        approval("ask", &["a"]),
        stage("b", &["ask"], json!({})),
    ]);
    let a = assigned(&world.step(submission(1, &graph)));
    let early = world.engine.step(world.now, decides(1, "ask", true));
    assert!(
        matches!(early, Err(Rejection::NotAwaited { .. })),
        "{early:?}"
    );
    world.step(finished("w1", 1, &a.token, success(&a.token)));
    let waiting = world.engine.waiting(&run_id(1), &"ask".parse().unwrap());
    assert_eq!(waiting.unwrap().to_string(), "approval: send them?");
    world.advance(Duration::from_secs(1_000_000));
    assert_eq!(status(&world, 1, "ask"), StageStatus::Pending);

    world.restart();
    world.step(hello("w2", 1, 4, Vec::new()));
    let approved = world.step(decides(1, "ask", true));
    assert_eq!(assigned(&approved).token.attempt.stage.as_str(), "b");
    let state = world.state(1);
    assert_eq!(state.stages["ask"].approval.as_ref().unwrap().by, "ada");
    let again = world.engine.step(world.now, decides(1, "ask", true));
    assert!(matches!(again, Err(Rejection::NotAwaited { .. })));
    let other = world
        .engine
        .step(world.now, decides(1, "b", true))
        .unwrap_err();
    assert!(
        other.to_string().ends_with("it is no `wait/approval`"),
        "{other}"
    );
}

#[test]
fn a_stage_that_is_rejected_fails_with_what_was_said() {
    let mut world = world();
    world.step(submission(1, &workflow(vec![approval("ask", &[])])));
    world.step(decides(1, "ask", false));
    let run = world.state(1);
    assert_eq!(run.status, RunStatus::Failed);
    let failure = run.failure.unwrap().diagnostic;
    assert_eq!(failure.code, codes::REJECTED);
    assert_eq!(failure.message, "ada rejected it: it looks right");
}

#[test]
fn a_wait_ends_at_its_time_over_restarts() {
    let mut world = world();
    let uses = json!({"uses": "wait/until", "with": {"map": {"duration": {"scalar": "1h"}}}, "outputs": []});
    let graph = workflow(vec![stage("a", &[], json!({})), stage("nap", &["a"], uses)]);
    let a = assigned(&world.step(submission(1, &graph)));
    world.step(finished("w1", 1, &a.token, success(&a.token)));
    let due = world.now.saturating_add(Duration::from_secs(3600));
    world.advance(Duration::from_secs(1800));
    world.restart();
    let waiting = world.engine.waiting(&run_id(1), &"nap".parse().unwrap());
    assert_eq!(waiting, Some(Waiting::Until(due)));
    world.advance(Duration::from_secs(1799));
    assert_eq!(status(&world, 1, "nap"), StageStatus::Pending);
    world.advance(Duration::from_secs(1));
    assert_eq!(status(&world, 1, "nap"), StageStatus::Succeeded);
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
}

#[test]
fn a_run_is_done_again_from_a_stage() {
    let mut world = world();
    let graph = workflow(vec![
        stage("a", &[], json!({})),
        stage("b", &["a"], publishing("t")),
        stage("c", &["b"], json!({})),
    ]);
    let mut decision = world.step(submission(1, &graph));
    while let [(_, _, next)] = assignments(&decision).as_slice() {
        let token = next.token.clone();
        decision = world.step(finished("w1", 1, &token, success(&token)));
    }
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
    let again = |from: &[&str]| Input::ResumeRun {
        state: Box::new(world.state(1)),
        from: from.iter().map(|name| name.parse().unwrap()).collect(),
    };
    let (nothing, unknown, from_b) = (again(&[]), again(&["x"]), again(&["b"]));
    let refused = world.engine.step(world.now, nothing);
    assert!(
        matches!(refused, Err(Rejection::NotResumable { .. })),
        "{refused:?}"
    );
    let refused = world.engine.step(world.now, unknown);
    assert!(
        matches!(refused, Err(Rejection::UnknownStage { .. })),
        "{refused:?}"
    );
    let b = assigned(&world.step(from_b)).token;
    assert_eq!(b.attempt.attempt.0, 2, "its attempts are counted on");
    assert_eq!(status(&world, 1, "a"), StageStatus::Succeeded, "it stays");
    assert_eq!(
        status(&world, 1, "c"),
        StageStatus::Pending,
        "it needs what is done again"
    );
    let c = assigned(&world.step(finished("w1", 1, &b, success(&b)))).token;
    let published = &world.state(1).stages["b"].published;
    assert_eq!(
        published[0].version, 2,
        "the version that it made itself is no reason to withhold"
    );
    world.step(finished("w1", 1, &c, success(&c)));
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
}

fn grouped(limit: u32, on_conflict: &str) -> Workflow {
    let mut graph = workflow(vec![stage("a", &[], json!({}))]);
    graph.concurrency = serde_json::from_value(
        json!({"group": "shop", "limit": limit, "on_conflict": on_conflict}),
    )
    .unwrap();
    graph
}

#[test]
fn of_a_group_as_many_run_as_its_limit_says() {
    let mut world = world();
    let graph = grouped(2, "queue");
    let first = assigned(&world.step(submission(1, &graph)));
    assert_eq!(assignments(&world.step(submission(2, &graph))).len(), 1);
    for number in [3, 4] {
        assert!(assignments(&world.step(submission(number, &graph))).is_empty());
    }
    let waiting = world
        .engine
        .waiting(&run_id(3), &"a".parse().unwrap())
        .unwrap();
    assert_eq!(waiting.to_string(), "one of 2 runs of group `shop` to end");
    let next = world.step(finished("w1", 1, &first.token, success(&first.token)));
    assert_eq!(
        assigned(&next).token.attempt.run,
        run_id(3),
        "first come, first served"
    );
    assert!(matches!(
        next.records[..],
        [
            Record::StageSucceeded { .. },
            Record::RunFinished { .. },
            Record::RunAdmitted { .. },
            Record::AttemptAssigned { .. }
        ]
    ));
    // A run that waits can be cancelled, and a restart forgets nobody's turn.
    world.step(submission(5, &graph));
    world.step(Input::CancelRun {
        run: run_id(4),
        reason: "no".to_owned(),
    });
    assert_eq!(world.state(4).status, RunStatus::Cancelled);
    let held: Vec<_> = [2, 3]
        .into_iter()
        .map(|number| {
            let state = world.state(number);
            state.grants().next().unwrap().0.clone()
        })
        .collect();
    world.restart();
    world.step(hello("w1", 2, 4, held.clone()));
    assert!(!world.state(5).is_admitted);
    let next = world.step(finished("w1", 2, &held[0], success(&held[0])));
    assert_eq!(assigned(&next).token.attempt.run, run_id(5));
}

#[test]
fn a_full_group_can_refuse_or_make_room() {
    let mut world = world();
    world.step(submission(1, &grouped(1, "reject")));
    let refused = world
        .engine
        .step(world.now, submission(2, &grouped(1, "reject")));
    let Err(Rejection::GroupFull { group, runs }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((group.as_str(), runs), ("shop", vec![run_id(1)]));
    let token = world.state(1).grants().next().unwrap().0.clone();
    let newer = world.step(submission(3, &grouped(1, "cancel_running")));
    assert!(
        assignments(&newer).is_empty(),
        "the one before it has not ended yet"
    );
    let next = world.step(finished("w1", 1, &token, success(&token)));
    assert_eq!(world.state(1).status, RunStatus::Cancelled);
    assert_eq!(assigned(&next).token.attempt.run, run_id(3));
}
