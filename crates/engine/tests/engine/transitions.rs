//! The engine's decisions, one situation at a time.

use std::time::Duration;

use crate::support::*;
use marquetry_engine::{Action, EngineConfig, Input, Record, Rejection, RunStatus, StageStatus};
use marquetry_types::{FailureClass, codes};
use serde_json::json;

fn world() -> World {
    World::new(EngineConfig::default())
}

fn status(world: &World, name: &str) -> StageStatus {
    world.state(1).stages[name].status
}

#[test]
fn a_chain_costs_one_commit_a_stage() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let chain = workflow(vec![
        stage("a", &[], json!({})),
        stage("b", &["a"], json!({})),
    ]);
    let first = world.step(submission(1, &chain));
    assert!(matches!(
        first.records[..],
        [Record::RunSubmitted(_), Record::AttemptAssigned { .. }]
    ));
    let a = assigned(&first);
    let second = world.step(finished("w1", 1, &a.token, success(&a.token)));
    assert!(matches!(
        second.records[..],
        [
            Record::StageSucceeded { .. },
            Record::AttemptAssigned { .. }
        ]
    ));
    let b = assigned(&second);
    let last = world.step(finished("w1", 1, &b.token, success(&b.token)));
    assert!(matches!(
        last.records[..],
        [Record::StageSucceeded { .. }, Record::RunFinished { .. }]
    ));
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
    world.engine.release(&run_id(1));
    assert!(
        world.engine.run(&run_id(1)).is_none(),
        "a finished run costs the next one nothing"
    );
}

#[test]
fn a_stage_gets_references_and_never_rows() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let with = json!({"with": {"map": {
        "rows": {"scalar": "${{ stages.a }}"},
        "named": {"scalar": "${{ stages.a.outputs.rows }}"},
        "score": {"scalar": "${{ stages.a.metrics.score + 1 }}"},
        "text": {"scalar": "run ${{ stages.a.rows }}"},
    }}});
    let graph = workflow(vec![stage("a", &[], json!({})), stage("b", &["a"], with)]);
    let a = assigned(&world.step(submission(1, &graph)));
    let b = assigned(&world.step(finished("w1", 1, &a.token, success(&a.token))));
    let dataset = json!({"$dataset": {"manifest": a.token.to_string(), "digest": "d", "rows": 1, "bytes": 1}});
    assert_eq!(
        b.options,
        json!({"rows": dataset, "named": dataset, "score": 1.5, "text": "run 1"})
    );
}

#[test]
fn metrics_that_are_no_numbers_are_not_recorded() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let a = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))]))));
    world.step(finished("w1", 1, &a.token, success(&a.token)));
    let metrics = world.state(1).stages["a"].outcome.clone().unwrap().metrics;
    assert_eq!(metrics.keys().collect::<Vec<_>>(), ["score"]);
}

#[test]
fn a_skipped_stage_skips_what_needs_it_unless_that_asks() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let graph = workflow(vec![
        stage("a", &[], json!({"condition": {"when": "1 > 2"}})),
        stage("b", &["a"], json!({})),
        stage("c", &["b"], json!({"condition": "always"})),
        stage("d", &["b"], json!({"condition": "failure"})),
    ]);
    let c = assigned(&world.step(submission(1, &graph)));
    assert_eq!(c.token.attempt.stage.as_str(), "c");
    world.step(finished("w1", 1, &c.token, success(&c.token)));
    for (name, expected) in [
        ("a", StageStatus::Skipped),
        ("b", StageStatus::Skipped),
        ("c", StageStatus::Succeeded),
        ("d", StageStatus::Skipped),
    ] {
        assert_eq!(status(&world, name), expected, "{name}");
    }
    assert_eq!(
        world.state(1).status,
        RunStatus::Succeeded,
        "skipping is no failure"
    );
}

#[test]
fn a_failure_ends_the_run_when_the_rest_has_ended() {
    let mut world = world();
    world.step(hello("w1", 1, 2, Vec::new()));
    let graph = workflow(vec![
        stage("a", &[], json!({})),
        stage("b", &[], json!({})),
        stage("c", &["a"], json!({})),
        stage("cleanup", &["c"], json!({"condition": "failure"})),
    ]);
    let both = assignments(&world.step(submission(1, &graph)));
    let [(_, _, a), (_, _, b)] = &both[..] else {
        panic!("two stages can run")
    };
    let next = world.step(finished("w1", 1, &a.token, failure(FailureClass::Invalid)));
    let cleanup = assigned(&next);
    assert_eq!(cleanup.token.attempt.stage.as_str(), "cleanup");
    world.step(finished("w1", 1, &cleanup.token, success(&cleanup.token)));
    assert_eq!(world.state(1).status, RunStatus::Running, "b still runs");
    world.step(finished("w1", 1, &b.token, success(&b.token)));
    let run = world.state(1);
    assert_eq!(run.status, RunStatus::Failed);
    assert_eq!(run.failure.unwrap().stage.unwrap().as_str(), "a");
    assert_eq!(run.stages["c"].status, StageStatus::Skipped);
}

#[test]
fn a_transient_failure_is_tried_again_after_a_pause() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let retry = json!({"retry": {
        "attempts": 2,
        "initial": {"secs": 10, "nanos": 0},
        "factor": 2.0,
        "max": {"secs": 60, "nanos": 0},
    }});
    let first = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], retry)]))));
    let decision = world.step(finished(
        "w1",
        1,
        &first.token,
        failure(FailureClass::Transient),
    ));
    assert!(assignments(&decision).is_empty());
    assert!(
        assignments(&world.advance(Duration::from_secs(5))).is_empty(),
        "not before 7.5 s"
    );
    let second = assigned(&world.advance(Duration::from_secs(5)));
    assert_eq!(second.token.attempt.attempt.0, 2);
    world.step(finished(
        "w1",
        1,
        &second.token,
        failure(FailureClass::Transient),
    ));
    assert_eq!(
        status(&world, "a"),
        StageStatus::Failed,
        "two attempts were allowed"
    );
}

#[test]
fn a_worker_that_comes_back_in_time_keeps_its_attempt() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let a = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))]))));
    world.step(Input::WorkerDisconnected {
        worker: worker_id("w1"),
        session: 1,
    });
    world.advance(Duration::from_millis(100));
    let back = world.step(hello("w1", 2, 1, vec![a.token.clone()]));
    assert_eq!(back.records, []);
    let stale = world.step(finished("w1", 1, &a.token, success(&a.token)));
    assert_eq!(
        stale.records,
        [],
        "an older connection says nothing any more"
    );
    world.advance(Duration::from_secs(1));
    world.step(finished("w1", 2, &a.token, success(&a.token)));
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
}

#[test]
fn a_lost_attempt_goes_to_another_worker_and_the_old_one_is_fenced() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let first = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))]))));
    world.step(hello("w2", 2, 1, Vec::new()));
    world.step(Input::WorkerDisconnected {
        worker: worker_id("w1"),
        session: 1,
    });
    let second = assigned(&world.advance(Duration::from_secs(1)));
    assert_eq!(second.token.attempt.attempt.0, 2);
    let back = world.step(hello("w1", 3, 1, vec![first.token.clone()]));
    assert!(
        matches!(&back.actions[..], [Action::CancelAttempt { token, .. }] if *token == first.token)
    );
    let late = world.step(finished("w1", 3, &first.token, success(&first.token)));
    assert_eq!(late.records, []);
    assert!(matches!(
        late.actions[..],
        [Action::AcknowledgeResult {
            accepted: false,
            ..
        }]
    ));
    world.step(finished("w2", 2, &second.token, success(&second.token)));
    let won = world.state(1).stages["a"].outcome.clone().unwrap();
    assert_eq!(won.outputs["rows"].manifest, second.token.to_string());
}

#[test]
fn silence_is_caught_by_the_lease() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let a = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))]))));
    world.advance(Duration::from_secs(10));
    let held = vec![a.token.clone()];
    world.step(Input::Heartbeat {
        worker: worker_id("w1"),
        session: 1,
        held,
        is_draining: false,
    });
    assert_eq!(world.advance(Duration::from_secs(10)).records, []);
    let lost = world.advance(Duration::from_secs(6));
    assert!(
        matches!(lost.records[..], [Record::AttemptLost { .. }]),
        "{lost:?}"
    );
}

#[test]
fn a_stage_that_kills_every_worker_ends() {
    let mut world = world();
    world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))])));
    for session in 1..=5 {
        assert_eq!(
            assignments(&world.step(hello("w1", session, 1, Vec::new()))).len(),
            1
        );
        world.step(Input::WorkerDisconnected {
            worker: worker_id("w1"),
            session,
        });
        world.advance(Duration::from_secs(1));
        // The next attempt waits longer each time.
        world.advance(Duration::from_secs(60));
    }
    let run = world.state(1);
    assert_eq!(run.status, RunStatus::Failed);
    assert_eq!(run.failure.unwrap().diagnostic.code, codes::WORKER_LOST);
}

#[test]
fn a_restart_waits_for_workers_to_report_what_they_hold() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let a = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))]))));
    world.restart();
    let back = world.step(hello("w1", 1, 1, vec![a.token.clone()]));
    assert_eq!(back.records, []);
    world.step(finished("w1", 1, &a.token, success(&a.token)));
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
}

#[test]
fn a_restart_gives_up_what_nobody_reports() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))])));
    world.restart();
    assert!(assignments(&world.step(hello("w2", 1, 1, Vec::new()))).is_empty());
    let again = assigned(&world.advance(Duration::from_secs(2)));
    assert_eq!((again.token.attempt.attempt.0, again.token.epoch.0), (2, 2));
}

#[test]
fn a_cancelled_run_stops_and_can_be_resumed() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let graph = workflow(vec![
        stage("a", &[], json!({})),
        stage("b", &["a"], json!({})),
    ]);
    let a = assigned(&world.step(submission(1, &graph)));
    let b = assigned(&world.step(finished("w1", 1, &a.token, success(&a.token))));
    let cancel = Input::CancelRun {
        run: run_id(1),
        reason: "enough".to_owned(),
    };
    let asked = world.step(cancel.clone());
    assert!(
        matches!(&asked.actions[..], [Action::CancelAttempt { token, .. }] if *token == b.token)
    );
    assert_eq!(
        world.step(cancel).records,
        [],
        "asking twice changes nothing"
    );
    world.step(finished(
        "w1",
        1,
        &b.token,
        failure(FailureClass::Cancelled),
    ));
    let run = world.state(1);
    assert_eq!(run.status, RunStatus::Cancelled);

    let resumed = world.step(Input::ResumeRun {
        state: Box::new(run),
        from: Default::default(),
    });
    let b = assigned(&resumed);
    assert_eq!(
        (b.token.attempt.stage.as_str(), b.token.attempt.attempt.0),
        ("b", 2)
    );
    world.step(finished("w1", 1, &b.token, success(&b.token)));
    let run = world.state(1);
    assert_eq!(run.status, RunStatus::Succeeded);
    let again = world.engine.step(
        world.now,
        Input::ResumeRun {
            state: Box::new(run),
            from: Default::default(),
        },
    );
    assert!(matches!(
        again,
        Err(Rejection::NotResumable {
            status: RunStatus::Succeeded,
            ..
        })
    ));
}

#[test]
fn a_worker_that_ignores_the_timeout_is_overruled() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let more = json!({"timeout": {"secs": 3, "nanos": 0}, "retry": {
        "attempts": 1, "initial": {"secs": 1, "nanos": 0}, "factor": 1.0, "max": {"secs": 1, "nanos": 0},
    }});
    let a = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], more)]))));
    world.advance(Duration::from_secs(5));
    let held = vec![a.token.clone()];
    world.step(Input::Heartbeat {
        worker: worker_id("w1"),
        session: 1,
        held,
        is_draining: false,
    });
    world.advance(Duration::from_secs(8));
    let run = world.state(1);
    assert_eq!(run.failure.unwrap().diagnostic.code, codes::STAGE_TIMEOUT);
}

#[test]
fn expressions_that_fail_fail_their_stage() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let with = json!({"with": {"map": {"k": {"scalar": "${{ stages.a.metrics.missing }}"}}}});
    let graph = workflow(vec![stage("a", &[], json!({})), stage("b", &["a"], with)]);
    let a = assigned(&world.step(submission(1, &graph)));
    world.step(finished("w1", 1, &a.token, success(&a.token)));
    let run = world.state(1);
    assert_eq!(run.status, RunStatus::Failed);
    let message = run.failure.unwrap().diagnostic.message;
    assert!(
        message.contains("stage `b`") && message.contains("missing"),
        "{message}"
    );
}

#[test]
fn a_refused_input_leaves_due_timers_to_the_next_step() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let a = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))]))));
    let lease = EngineConfig::default().lease;
    let later = world.now.saturating_add(lease + Duration::from_secs(1));
    let refused = world.engine.step(
        later,
        Input::CancelRun {
            run: run_id(9),
            reason: "a mistake".to_owned(),
        },
    );
    assert_eq!(refused, Err(Rejection::NotRunning(run_id(9))));
    let due = world.engine.step(later, Input::Tick).unwrap();
    assert!(
        matches!(&due.records[..], [Record::AttemptLost { token, .. }] if *token == a.token),
        "{due:?}"
    );
}

#[test]
fn a_worker_that_was_away_when_its_run_was_cancelled_is_told_when_it_comes_back() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let a = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))]))));
    world.step(Input::WorkerDisconnected {
        worker: worker_id("w1"),
        session: 1,
    });
    world.step(Input::CancelRun {
        run: run_id(1),
        reason: "a change of mind".to_owned(),
    });
    let back = world.step(hello("w1", 2, 1, vec![a.token.clone()]));
    assert!(
        matches!(&back.actions[..], [Action::CancelAttempt { token, session: 2, reason, .. }]
            if *token == a.token && reason == "a change of mind"),
        "{back:?}"
    );
}

/// What the stage `a` of a run published, and what it did not, in words.
fn published(world: &World, run: u128) -> (Vec<String>, Vec<String>) {
    let stage = &world.state(run).stages["a"];
    let published = stage.published.iter().map(ToString::to_string).collect();
    let withheld = stage.withheld.iter().map(|it| it.reason.clone()).collect();
    (published, withheld)
}

#[test]
fn an_output_becomes_the_next_version_of_its_table_in_the_commit_of_its_success() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let daily = workflow(vec![stage("a", &[], publishing("segments"))]);
    for run in 1..=2_u32 {
        let a = assigned(&world.step(submission(u128::from(run), &daily)));
        let decision = world.step(finished("w1", 1, &a.token, success(&a.token)));
        let version = format!("table segments@{run}");
        assert_eq!(
            published(&world, u128::from(run)),
            (vec![version], Vec::new())
        );
        let of_success: Vec<_> = decision.records[0].publications().collect();
        assert_eq!(
            of_success[0].published.dataset.manifest,
            a.token.to_string()
        );
    }
}

#[test]
fn a_run_reads_the_versions_that_were_current_when_it_began() {
    let mut world = world();
    world.step(hello("w1", 1, 1, Vec::new()));
    let mut reader = workflow(vec![
        stage("a", &[], publishing("segments")),
        stage(
            "b",
            &["a"],
            json!({"with": {"map": {"before": {"scalar": "${{ tables.segments }}"}}}}),
        ),
    ]);
    reader.tables.insert("segments".parse().unwrap());
    let mut seen = Vec::new();
    for run in 1..=2 {
        let a = assigned(&world.step(submission(run, &reader)));
        let b = assigned(&world.step(finished("w1", 1, &a.token, success(&a.token))));
        seen.push((a.token.to_string(), b.options["before"].clone()));
        world.step(finished("w1", 1, &b.token, success(&b.token)));
    }
    assert_eq!(
        seen[0].1,
        json!(null),
        "nothing was published before the first run"
    );
    assert_eq!(seen[1].1["$dataset"]["manifest"], json!(seen[0].0));
}

#[test]
fn a_run_that_began_before_the_current_version_does_not_move_a_table_back() {
    let mut world = world();
    world.step(hello("w1", 1, 2, Vec::new()));
    let daily = workflow(vec![stage("a", &[], publishing("segments"))]);
    let slow = assigned(&world.step(submission(1, &daily)));
    let quick = assigned(&world.step(submission(2, &daily)));
    world.step(finished("w1", 1, &quick.token, success(&quick.token)));
    world.restart();
    world.step(hello("w1", 2, 2, vec![slow.token.clone()]));
    world.step(finished("w1", 2, &slow.token, success(&slow.token)));
    assert_eq!(status(&world, "a"), StageStatus::Succeeded);
    let reason = "another run published version 1 of table `segments` after this run had begun";
    assert_eq!(published(&world, 1), (Vec::new(), vec![reason.to_owned()]));
    assert_eq!(published(&world, 2).0, ["table segments@1"]);
}

#[test]
fn of_two_runs_that_teach_a_policy_at_once_the_second_learns_again_from_what_the_first_published() {
    let mut world = world();
    world.step(hello("w1", 1, 2, Vec::new()));
    let learning = workflow(vec![stage("a", &[], teaching("offers"))]);
    let first = assigned(&world.step(submission(1, &learning)));
    let second = assigned(&world.step(submission(2, &learning)));
    let none = json!({"name": "offers", "version": 0, "dataset": null});
    assert_eq!(first.options["policy"]["$policy"], none);
    assert_eq!(second.options["policy"]["$policy"], none);

    world.step(finished("w1", 1, &first.token, success(&first.token)));
    let refused = world.step(finished("w1", 1, &second.token, success(&second.token)));
    let Record::AttemptFailed { failure, .. } = &refused.records[0] else {
        panic!("{:?}", refused.records);
    };
    assert_eq!(failure.class, FailureClass::Transient);
    assert_eq!(failure.diagnostic.code, codes::POLICY_OVERTAKEN);

    let again = assigned(&world.advance(Duration::from_secs(5)));
    assert_eq!(again.options["policy"]["$policy"]["version"], json!(1));
    let manifest = &again.options["policy"]["$policy"]["dataset"]["manifest"];
    assert_eq!(*manifest, json!(first.token.to_string()));
    world.step(finished("w1", 1, &again.token, success(&again.token)));
    assert_eq!(published(&world, 2).0, ["policy offers@2"]);
}

#[test]
fn a_stage_that_decides_gets_the_policy_that_was_current_when_its_run_began() {
    let mut world = world();
    world.step(hello("w1", 1, 2, Vec::new()));
    let deciding =
        json!({"with": {"map": {"policy": {"policy": {"name": "offers", "learns": false}}}}});
    let whole = workflow(vec![
        stage("a", &[], teaching("offers")),
        stage("b", &["a"], deciding),
    ]);
    let a = assigned(&world.step(submission(1, &whole)));
    let b = assigned(&world.step(finished("w1", 1, &a.token, success(&a.token))));
    assert_eq!(b.options["policy"]["$policy"]["version"], json!(0));
    world.step(finished("w1", 1, &b.token, success(&b.token)));
    let a = assigned(&world.step(submission(2, &whole)));
    assert_eq!(a.options["policy"]["$policy"]["version"], json!(1));
    let b = assigned(&world.step(finished("w1", 1, &a.token, success(&a.token))));
    assert_eq!(b.options["policy"]["$policy"]["version"], json!(1));
}

#[test]
fn an_assignment_that_two_heartbeats_do_not_list_is_pushed_once_more() {
    let mut world = World::new(EngineConfig::default());
    world.step(hello("w1", 1, 2, vec![]));
    let pushed = assigned(&world.step(submission(1, &workflow(vec![stage("a", &[], json!({}))]))));
    let heartbeat = |held: Vec<marquetry_types::FencingToken>| Input::Heartbeat {
        worker: worker_id("w1"),
        session: 1,
        held,
        is_draining: false,
    };
    let first = world.step(heartbeat(vec![]));
    assert_eq!(assignments(&first), [], "it may be on its way");
    for _ in 0..2 {
        let again = world.step(heartbeat(vec![]));
        assert_eq!(assigned(&again), pushed, "it got lost");
        assert_eq!(again.records, [], "the grant is the same");
    }
    world.step(heartbeat(vec![pushed.token.clone()]));
    // Once it arrived, a heartbeat without it is an old one that was overtaken.
    for _ in 0..2 {
        assert_eq!(assignments(&world.step(heartbeat(vec![]))), []);
    }
}

#[test]
fn a_resumption_that_comes_twice_before_its_commit_resumes_once() {
    let mut world = world();
    world.step(hello("w1", 1, 2, vec![]));
    let graph = workflow(vec![stage("a", &[], json!({}))]);
    let token = assigned(&world.step(submission(1, &graph))).token;
    let (run, reason) = (run_id(1), "enough".to_owned());
    world.step(Input::CancelRun { run, reason });
    world.step(finished("w1", 1, &token, success(&token)));
    world.engine.release(&run_id(1));
    // All that the run was cancelled before is done, so that it ends as soon as it is resumed.
    let state = Box::new(world.state(1));
    assert_eq!(state.status, RunStatus::Cancelled);
    let resume = Input::ResumeRun {
        state,
        from: Default::default(),
    };
    let first = world.step(resume.clone());
    assert_eq!(first.records.len(), 2, "resumed and succeeded");
    let rejection = Rejection::NotResumable {
        run: run_id(1),
        status: RunStatus::Succeeded,
    };
    assert_eq!(world.engine.step(world.now, resume), Err(rejection));
}

#[test]
fn a_retry_of_before_a_resumption_waits_for_what_is_open_again() {
    let mut world = world();
    world.step(hello("w1", 1, 2, vec![]));
    let cleanup = json!({"condition": "always"});
    let graph = workflow(vec![
        stage("a", &[], json!({})),
        stage("b", &["a"], cleanup),
    ]);
    let first = assigned(&world.step(submission(1, &graph))).token;
    let broken = failure(FailureClass::Invalid);
    let second = assigned(&world.step(finished("w1", 1, &first, broken))).token;
    assert_eq!(second.attempt.stage.as_str(), "b");
    // It is to be tried again in a second, but the run is cancelled, and resumed before that.
    world.step(finished("w1", 1, &second, failure(FailureClass::Transient)));
    let (run, reason) = (run_id(1), "enough".to_owned());
    world.step(Input::CancelRun { run, reason });
    world.engine.release(&run_id(1));
    let state = Box::new(world.state(1));
    let resumed = assigned(&world.step(Input::ResumeRun {
        state,
        from: Default::default(),
    }))
    .token;
    assert_eq!(resumed.attempt.stage.as_str(), "a");
    let later = world.advance(Duration::from_secs(2));
    assert_eq!(assignments(&later), [], "`a` has not ended");
}
