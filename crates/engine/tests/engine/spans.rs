//! Where runs, stages and attempts stand in traces.

use std::time::Duration;

use marquetry_engine::{Input, RunStatus};
use marquetry_types::{FailureClass, TraceContext};
use serde_json::json;

use crate::support::{
    World, assigned, failure, finished, hello, run_id, stage, submission, success, workflow,
};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn submitted_by(trace: Option<TraceContext>) -> Input {
    let once = json!({"retry": {
        "attempts": 1, "initial": {"secs": 1, "nanos": 0}, "factor": 1.0, "max": {"secs": 1, "nanos": 0},
    }});
    let graph = workflow(vec![stage("a", &[], json!({})), stage("b", &["a"], once)]);
    match submission(1, &graph) {
        Input::Submit(mut submission) => {
            submission.trace = trace;
            Input::Submit(submission)
        }
        other => other,
    }
}

#[test]
fn every_reign_says_the_same_of_a_run_that_its_caller_traces() {
    let caller: TraceContext = CALLER.parse().unwrap();
    let mut world = World::new(Default::default());
    world.step(hello("w1", 1, 1, Vec::new()));
    let a = assigned(&world.step(submitted_by(Some(caller))));
    let before = world.state(1);
    assert_eq!(a.trace.trace_id(), caller.trace_id());
    assert_eq!(a.trace, before.attempt_trace(&a.token.attempt));
    assert_eq!(before.trace(), caller, "the run stands below the caller");
    world.restart();
    world.step(hello("w1", 2, 1, vec![a.token.clone()]));
    let b = assigned(&world.step(finished("w1", 2, &a.token, success(&a.token))));
    let after = world.state(1);
    assert_eq!(after.run_trace(), before.run_trace());
    assert_eq!(after.attempt_trace(&a.token.attempt), a.trace);
    assert_ne!(b.trace, a.trace);
    assert_eq!(b.trace.trace_id(), caller.trace_id());
}

#[test]
fn a_run_that_goes_on_after_its_end_has_spans_of_its_own() {
    let mut world = World::new(Default::default());
    world.step(hello("w1", 1, 1, Vec::new()));
    let a = assigned(&world.step(submitted_by(None)));
    let own = TraceContext::of_run(&run_id(1));
    assert_eq!(a.trace.trace_id(), own.trace_id());
    world.now = world.now.saturating_add(Duration::from_secs(1));
    let b = assigned(&world.step(finished("w1", 1, &a.token, success(&a.token))));
    world.step(finished("w1", 1, &b.token, failure(FailureClass::Invalid)));
    let failed = world.state(1);
    assert_eq!(failed.status, RunStatus::Failed);
    assert_eq!(failed.span_start(), failed.submitted.at);
    world.now = world.now.saturating_add(Duration::from_secs(1));
    let resumed_at = world.now;
    let again = assigned(&world.step(Input::ResumeRun {
        state: Box::new(failed.clone()),
        from: Default::default(),
    }));
    let resumed = world.state(1);
    assert_eq!(again.trace.trace_id(), own.trace_id(), "it is one trace");
    assert_ne!(resumed.run_trace(), failed.run_trace());
    assert_eq!(resumed.span_start(), resumed_at);
    let name = &again.token.attempt.stage;
    assert_eq!(resumed.stage_span_start(name), resumed_at);
}
