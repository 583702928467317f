//! Runs that are part of other runs: begun once, ended together, and never waited for in vain.

use std::time::Duration;

use crate::support::*;
use marquetry_engine::{
    Action, Child, Decision, EngineConfig, Found, Input, Lookup, Record, RunStatus, StageStatus,
    Submission,
};
use marquetry_types::{Diagnostic, FailureClass, RunId, codes};
use marquetry_workflow::Workflow;
use serde_json::{Value, json};

fn world() -> World {
    let mut world = World::new(EngineConfig::default());
    world.step(hello("w1", 1, 4, Vec::new()));
    world
}

/// A stage that runs the workflow `daily`.
fn runs_daily(name: &str, needs: &[&str], more: Value) -> (String, Value) {
    let mut uses = json!({
        "uses": "workflow/run",
        "with": {"map": {"workflow": {"scalar": "daily"}}},
        "outputs": [],
    });
    if let (Value::Object(uses), Value::Object(more)) = (&mut uses, more) {
        uses.extend(more);
    }
    stage(name, needs, uses)
}

fn daily() -> Workflow {
    let mut workflow = workflow(vec![stage("a", &[], json!({}))]);
    workflow.name = "daily".to_owned();
    let outputs = json!({
        "customers": {"value": {"scalar": "${{ stages.a }}"}, "needs": ["a"]},
        "score": {"value": {"scalar": "${{ stages.a.metrics.score }}"}, "needs": ["a"]},
    });
    workflow.outputs = serde_json::from_value(outputs).unwrap();
    workflow
}

/// What is looked up for a stage.
fn asked(decision: &Decision, name: &str) -> Lookup {
    let lookups = decision.actions.iter().filter_map(|action| match action {
        Action::LookUp { stage, lookup, .. } if stage.as_str() == name => Some(lookup),
        _ => None,
    });
    let lookups: Vec<_> = lookups.collect();
    assert_eq!(lookups.len(), 1, "{decision:?}");
    (**lookups[0]).clone()
}

fn found(parent: u128, stage: &str, child: Child) -> Input {
    Input::LookedUp {
        run: run_id(parent),
        stage: stage.parse().unwrap(),
        found: Found::Child(child),
    }
}

/// The answer that a run of this workflow is to begin.
fn begin(parent: u128, stage: &str, child: u128, workflow: &Workflow) -> Input {
    let Input::Submit(submission) = submission(child, workflow) else {
        unreachable!("a submission")
    };
    found(parent, stage, Child::New(Box::new(submission), 3))
}

fn status(world: &World, number: u128, name: &str) -> StageStatus {
    world.state(number).stages[name].status
}

#[test]
fn a_child_begins_once_and_ends_with_its_stage() {
    let mut world = world();
    let graph = workflow(vec![
        runs_daily("day", &[], json!({})),
        stage(
            "b",
            &["day"],
            json!({"with": {"map": {"rows": {"scalar": "${{ stages.day.outputs.customers }}"}}}}),
        ),
    ]);
    let decision = world.step(submission(1, &graph));
    let Lookup::Child { request, previous } = asked(&decision, "day") else {
        panic!("{decision:?}");
    };
    assert_eq!((request.workflow.as_str(), previous), ("daily", None));
    let waiting = world.engine.waiting(&run_id(1), &"day".parse().unwrap());
    assert_eq!(
        waiting.unwrap().to_string(),
        "a run of workflow `daily` to begin"
    );

    let begun = world.step(begin(1, "day", 2, &daily()));
    assert!(
        matches!(
            begun.records.as_slice(),
            [
                Record::RunSubmitted(_),
                Record::ChildStarted { .. },
                Record::AttemptAssigned { .. }
            ]
        ),
        "in one commit: {begun:?}"
    );
    // An answer that comes twice, as after a take-over, begins nothing.
    assert!(world.step(begin(1, "day", 3, &daily())).records.is_empty());
    let child = world.state(2);
    assert_eq!(child.submitted.parent.as_ref().unwrap().run, run_id(1));
    assert_eq!(child.trace().trace_id(), world.state(1).trace().trace_id());
    let waiting = world.engine.waiting(&run_id(1), &"day".parse().unwrap());
    let said = format!("run {} of workflow `daily`", run_id(2));
    assert_eq!(waiting.unwrap().to_string(), said);

    let a = assigned(&begun);
    let ended = world.step(finished("w1", 1, &a.token, success(&a.token)));
    let (kinds, next) = (ended.records.as_slice(), assigned(&ended));
    assert!(
        matches!(
            kinds,
            [
                Record::StageSucceeded { .. },
                Record::RunFinished { .. },
                Record::StagePassed { .. },
                Record::AttemptAssigned { .. }
            ]
        ),
        "in one commit: {kinds:?}"
    );
    // What the child gave is read by the parent's next stage.
    let given = &next.options["rows"]["$dataset"]["manifest"];
    assert_eq!(given, &json!(a.token.to_string()));
    let outcome = world.state(1).stages["day"].outcome.clone().unwrap();
    assert_eq!(outcome.metrics["score"], 0.5);
    world.step(finished("w1", 1, &next.token, success(&next.token)));
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
}

#[test]
fn a_child_that_fails_fails_its_stage_and_a_retry_goes_on_with_it() {
    let mut world = world();
    let graph = workflow(vec![runs_daily("day", &[], json!({}))]);
    world.step(submission(1, &graph));
    let a = assigned(&world.step(begin(1, "day", 2, &daily())));
    world.step(finished("w1", 1, &a.token, failure(FailureClass::Invalid)));
    let parent = world.state(1);
    assert_eq!(parent.status, RunStatus::Failed);
    let failure = parent.failure.clone().unwrap().diagnostic;
    let said = format!(
        "run {} of workflow `daily` failed: stage `a`: it broke",
        run_id(2)
    );
    assert_eq!(failure.message, said);

    let retried = world.step(Input::ResumeRun {
        state: Box::new(parent),
        from: Default::default(),
    });
    let Lookup::Child { previous, .. } = asked(&retried, "day") else {
        panic!("{retried:?}");
    };
    assert_eq!(previous, Some(run_id(2)));
    let child = Box::new(world.state(2));
    let again = world.step(found(1, "day", Child::Previous(child, 3)));
    let a = assigned(&again);
    assert_eq!(a.token.attempt.run, run_id(2), "no other run begins");
    world.step(finished("w1", 1, &a.token, success(&a.token)));
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
    assert_eq!(world.states().len(), 2);
}

#[test]
fn cancelling_a_run_cancels_what_is_part_of_it() {
    let mut world = world();
    let graph = workflow(vec![runs_daily("day", &[], json!({}))]);
    world.step(submission(1, &graph));
    let a = assigned(&world.step(begin(1, "day", 2, &daily())));
    let cancelled = world.step(Input::CancelRun {
        run: run_id(1),
        reason: "enough".to_owned(),
    });
    let told = cancelled.actions.iter();
    let told = told.filter(|action| matches!(action, Action::CancelAttempt { .. }));
    assert_eq!(told.count(), 1);
    assert_eq!(
        world.state(1).status,
        RunStatus::Running,
        "until the child ended"
    );
    world.step(finished(
        "w1",
        1,
        &a.token,
        failure(FailureClass::Cancelled),
    ));
    assert_eq!(world.state(2).status, RunStatus::Cancelled);
    assert_eq!(world.state(1).status, RunStatus::Cancelled);
    assert_eq!(status(&world, 1, "day"), StageStatus::Cancelled);
}

#[test]
fn a_stage_whose_time_is_over_cancels_its_run_and_fails() {
    let mut world = world();
    let timed = json!({"stage_timeout": {"secs": 60, "nanos": 0}});
    let graph = workflow(vec![runs_daily("day", &[], timed)]);
    world.step(submission(1, &graph));
    let a = assigned(&world.step(begin(1, "day", 2, &daily())));
    world.restart();
    world.step(hello("w1", 2, 4, vec![a.token.clone()]));
    world.advance(Duration::from_secs(61));
    assert!(world.state(2).cancel_reason.is_some());
    world.step(finished(
        "w1",
        2,
        &a.token,
        failure(FailureClass::Cancelled),
    ));
    assert_eq!(status(&world, 1, "day"), StageStatus::Failed);
    let failure = world.state(1).failure.unwrap().diagnostic.message;
    assert!(failure.contains("outlived its timeout"), "{failure}");
}

#[test]
fn a_take_over_asks_again_and_waits_for_the_child_that_runs() {
    let mut world = world();
    let graph = workflow(vec![
        runs_daily("day", &[], json!({})),
        runs_daily("night", &[], json!({})),
    ]);
    world.step(submission(1, &graph));
    let a = assigned(&world.step(begin(1, "day", 2, &daily())));
    world.restart();
    let decision = world.step(hello("w1", 2, 4, vec![a.token.clone()]));
    assert!(decision.records.is_empty(), "{decision:?}");
    assert_eq!(status(&world, 1, "day"), StageStatus::Running);
    // What `night` asked for went with the coordinator before; its answer would be as good.
    let b = assigned(&world.step(begin(1, "night", 3, &daily())));
    for token in [&a.token, &b.token] {
        world.step(finished("w1", 2, token, success(token)));
    }
    assert_eq!(world.state(1).status, RunStatus::Succeeded);
}

#[test]
fn a_child_that_cannot_be_restored_fails_its_stage() {
    let mut world = world();
    let graph = workflow(vec![runs_daily("day", &[], json!({}))]);
    world.step(submission(1, &graph));
    world.step(begin(1, "day", 2, &daily()));
    // Its records are damaged: it is passed over.
    world.journal.retain(|record| *record.run() != run_id(2));
    world.restart();
    let failure = world.state(1).failure.unwrap().diagnostic;
    assert_eq!(failure.code, codes::CHILD_REFUSED);
}

#[test]
fn a_journal_that_does_not_answer_is_asked_again() {
    let mut world = world();
    world.step(submission(
        1,
        &workflow(vec![runs_daily("day", &[], json!({}))]),
    ));
    let silent = world.step(found(1, "day", Child::Unknown));
    assert!(silent.records.is_empty() && silent.actions.is_empty());
    asked(&world.advance(Duration::from_secs(1)), "day");
    let unknown = Diagnostic::new(codes::NOT_DEPLOYED, "no workflow `daily` is deployed");
    world.step(found(1, "day", Child::Refused(unknown)));
    let failure = world.state(1).failure.unwrap().diagnostic;
    assert_eq!(failure.code, codes::NOT_DEPLOYED);
}

#[test]
fn a_child_that_ended_since_it_was_read_is_looked_up_again() {
    let mut world = world();
    let graph = workflow(vec![runs_daily("day", &[], json!({}))]);
    world.step(submission(1, &graph));
    let a = assigned(&world.step(begin(1, "day", 2, &daily())));
    let stale = Box::new(world.state(2));
    world.step(finished("w1", 1, &a.token, failure(FailureClass::Invalid)));
    world.engine.release(&run_id(2));
    let state = Box::new(world.state(1));
    let from = Default::default();
    world.step(Input::ResumeRun { state, from });
    // When it was read, it ran: nobody would ever say that it ended.
    let early = world.step(found(1, "day", Child::Previous(stale, 3)));
    assert!(early.records.is_empty(), "{early:?}");
    asked(&world.advance(Duration::from_secs(1)), "day");
}

#[test]
fn no_run_waits_for_itself() {
    let group = |workflow: &mut Workflow, name: &str| {
        let concurrency = json!({"group": name, "limit": 1});
        workflow.concurrency = serde_json::from_value(concurrency).ok();
    };
    let why = |child: Workflow, parent_group: Option<&str>| {
        let mut world = world();
        let mut graph = workflow(vec![runs_daily("day", &[], json!({}))]);
        if let Some(name) = parent_group {
            group(&mut graph, name);
        }
        world.step(submission(1, &graph));
        world.step(begin(1, "day", 2, &child));
        assert_eq!(world.states().len(), 1, "nothing began");
        world.state(1).failure.unwrap().diagnostic.message
    };
    let mut itself = daily();
    itself.name = "test".to_owned();
    let message = why(itself, None);
    assert!(
        message.starts_with("workflow `test` would run itself"),
        "{message}"
    );
    let mut shared = daily();
    group(&mut shared, "one");
    let message = why(shared, Some("one"));
    assert!(
        message.starts_with("the run would wait for ever"),
        "{message}"
    );
}

#[test]
fn a_run_for_each_item_is_awaited_and_nothing_is_gathered() {
    let mut world = world();
    let items =
        json!({"for_each": {"items": {"list": [{"scalar": "x"}, {"scalar": "y"}]}, "limit": 1}});
    let graph = workflow(vec![
        runs_daily("each", &[], items),
        stage("after", &["each"], json!({})),
    ]);
    let decision = world.step(submission(1, &graph));
    asked(&decision, "each.0");
    let first = assigned(&world.step(begin(1, "each.0", 2, &daily())));
    let ended = world.step(finished("w1", 1, &first.token, success(&first.token)));
    asked(&ended, "each.1");
    let second = assigned(&world.step(begin(1, "each.1", 3, &daily())));
    let ended = world.step(finished("w1", 1, &second.token, success(&second.token)));
    assert_eq!(status(&world, 1, "each"), StageStatus::Succeeded);
    assert_eq!(assigned(&ended).token.attempt.stage.as_str(), "after");
}

#[test]
fn a_run_gives_datasets_and_numbers_and_nothing_of_what_was_skipped() {
    let ends = |output: &str, needs: &str| {
        let mut world = world();
        let mut graph = workflow(vec![
            stage("a", &[], json!({})),
            stage("b", &["a"], json!({"condition": "failure"})),
        ]);
        let outputs = json!({"it": {"value": {"scalar": output}, "needs": [needs]}});
        graph.outputs = serde_json::from_value(outputs).unwrap();
        let a = assigned(&world.step(submission(1, &graph)));
        world.step(finished("w1", 1, &a.token, success(&a.token)));
        world.state(1)
    };
    assert_eq!(ends("${{ stages.a }}", "a").outputs.outputs.len(), 1);
    assert_eq!(ends("${{ stages.a.rows }}", "a").outputs.metrics["it"], 1.0);
    let skipped = ends("${{ stages.b }}", "b");
    assert_eq!(skipped.status, RunStatus::Succeeded);
    assert_eq!(skipped.outputs, Default::default());
    let text = ends("${{ stages.a.status }}", "a");
    assert_eq!(text.status, RunStatus::Failed);
    let failure = text.failure.unwrap().diagnostic;
    assert_eq!(failure.code, codes::SCRIPT_TYPE);
    assert_eq!(
        failure.message,
        "output `it` of the workflow is neither a dataset nor a number"
    );
}

#[test]
fn a_child_is_as_deep_as_eight() {
    let mut world = world();
    let named = |name: usize| -> Workflow {
        let mut workflow = workflow(vec![runs_daily("day", &[], json!({}))]);
        workflow.name = format!("w{name}");
        workflow
    };
    world.step(submission(1, &named(1)));
    let mut depth = 1;
    while depth < 20 {
        let next = depth + 1;
        let child = named(usize::try_from(next).unwrap());
        let Input::Submit(Submission { run, .. }) = submission(next, &child) else {
            unreachable!("a submission")
        };
        world.step(begin(depth, "day", next, &child));
        if !world.states().contains_key::<RunId>(&run) {
            break;
        }
        depth = next;
    }
    assert_eq!(depth, 8);
    // One fails, and all above it.
    let states = world.states();
    assert!(states.values().all(|run| run.status == RunStatus::Failed));
}
