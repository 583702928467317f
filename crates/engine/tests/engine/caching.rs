//! Stages whose outputs are used again: what the same content is, and what happens when it is gone.

use std::time::Duration;

use crate::support::*;
use marquetry_engine::{
    Action, Assignment, Cached, Decision, EngineConfig, Found, Input, Lookup, Record, RunStatus,
};
use marquetry_types::{AttemptResult, FailureClass, Timestamp};
use marquetry_workflow::Workflow;
use serde_json::{Value, json};

const REUSE: &str = "dataset/reuse";

fn world() -> World {
    let mut world = World::new(EngineConfig::default());
    let Input::WorkerConnected(mut own) = hello("w1", 1, 4, Vec::new()) else {
        unreachable!("a hello")
    };
    own.kinds.insert(REUSE.parse().unwrap(), 1);
    world.step(Input::WorkerConnected(own));
    world
}

fn cached(name: &str, needs: &[&str], with: Value) -> (String, Value) {
    stage(name, needs, json!({"cache": {}, "with": {"map": with}}))
}

/// The key that is looked up for a stage, and from when on.
fn key(decision: &Decision, name: &str) -> (String, Option<Timestamp>) {
    let mut lookups = decision.actions.iter().filter_map(|action| match action {
        Action::LookUp { stage, lookup, .. } if stage.as_str() == name => match &**lookup {
            Lookup::Cached { key, not_before } => Some((key.clone(), *not_before)),
            Lookup::Child { .. } => None,
        },
        _ => None,
    });
    let only = lookups.next();
    only.unwrap_or_else(|| panic!("{decision:?}"))
}

fn told(number: u128, stage: &str, found: Option<Cached>) -> Input {
    Input::LookedUp {
        run: run_id(number),
        stage: stage.parse().unwrap(),
        found: Found::Cached(found),
    }
}

/// What the journal keeps under a key.
fn kept(world: &World, key: &str) -> Option<Cached> {
    let records = world.journal.iter().rev();
    let mut entries = records.filter_map(Record::cached);
    entries.find(|(of, _)| *of == key).map(|(_, cached)| cached)
}

/// Looks up what a decision asks for, as a coordinator does.
fn answer(world: &mut World, number: u128, name: &str, decision: &Decision) -> Decision {
    let (key, _) = key(decision, name);
    let found = kept(world, &key);
    world.step(told(number, name, found))
}

fn succeed(world: &mut World, assignment: &Assignment) -> Decision {
    let token = &assignment.token;
    let result = match assignment.options.get("outcome") {
        Some(outcome) => AttemptResult::Succeeded(serde_json::from_value(outcome.clone()).unwrap()),
        None => success(token),
    };
    world.step(finished("w1", 1, token, result))
}

/// Computes a run of one cached stage, whatever is known.
fn compute(world: &mut World, number: u128, graph: &Workflow) -> Assignment {
    let asked = world.step(submission(number, graph));
    let assignment = assigned(&answer(world, number, "a", &asked));
    assert_eq!(assignment.kind.as_str(), KIND);
    succeed(world, &assignment);
    assignment
}

#[test]
fn what_was_computed_is_looked_at_and_used_again() {
    let mut world = world();
    let graph = workflow(vec![
        cached("a", &[], json!({"k": {"scalar": "3"}})),
        stage(
            "b",
            &["a"],
            json!({"with": {"map": {"rows": {"scalar": "${{ stages.a }}"}}}}),
        ),
    ]);
    let first = compute(&mut world, 1, &graph);
    world.advance(Duration::from_secs(1));

    let asked = world.step(submission(2, &graph));
    assert!(
        assignments(&asked).is_empty(),
        "nothing runs before it is known"
    );
    let reuse = assigned(&answer(&mut world, 2, "a", &asked));
    assert_eq!(reuse.kind.as_str(), REUSE);
    let computed_at = kept(&world, &key(&asked, "a").0).unwrap().computed_at;
    let b = assigned(&succeed(&mut world, &reuse));
    assert_eq!(
        b.options["rows"]["$dataset"]["manifest"],
        json!(first.token.to_string()),
        "the very dataset of the other run"
    );
    // It is kept with the newer run from now on, and is no younger for that.
    let entry = kept(&world, &key(&asked, "a").0).unwrap();
    assert_eq!(entry.attempt.run, run_id(2));
    assert_eq!(entry.computed_at, computed_at);
    let attempt = &world.state(2).stages["a"].attempts[0];
    assert!(attempt.is_reuse());
}

#[test]
fn what_is_gone_is_computed_at_once_and_costs_no_try() {
    let mut world = world();
    let retry = json!({"cache": {}, "retry": {"attempts": 1, "initial": {"secs": 1, "nanos": 0}, "factor": 1.0,
                       "max": {"secs": 1, "nanos": 0}}});
    let graph = workflow(vec![stage("a", &[], retry)]);
    compute(&mut world, 1, &graph);
    let asked = world.step(submission(2, &graph));
    let reuse = assigned(&answer(&mut world, 2, "a", &asked));
    let gone = finished("w1", 1, &reuse.token, failure(FailureClass::Invalid));
    let computes = assigned(&world.step(gone));
    assert_eq!(computes.kind.as_str(), KIND);
    assert_eq!(world.state(2).stages["a"].failed_attempts, 0);
    succeed(&mut world, &computes);
    assert_eq!(world.state(2).status, RunStatus::Succeeded);
    let entry = kept(&world, &key(&asked, "a").0).unwrap();
    assert_eq!(
        entry.attempt.attempt.0, 2,
        "what was computed now replaces it"
    );
    assert_eq!(entry.computed_at, world.now);
}

#[test]
fn a_take_over_looks_again_and_loses_nothing() {
    let mut world = world();
    let graph = workflow(vec![cached("a", &[], json!({}))]);
    compute(&mut world, 1, &graph);
    let asked = world.step(submission(2, &graph));
    let reuse = assigned(&answer(&mut world, 2, "a", &asked));
    world.restart();
    // The attempt that looks is a grant like any other.
    world.step(hello("w1", 2, 4, vec![reuse.token.clone()]));
    let outcome = serde_json::from_value(reuse.options["outcome"].clone()).unwrap();
    let result = AttemptResult::Succeeded(outcome);
    world.step(finished("w1", 2, &reuse.token, result));
    let run = world.state(2);
    assert_eq!(run.status, RunStatus::Succeeded);
    let entry = kept(&world, &key(&asked, "a").0).unwrap();
    assert_eq!(
        entry.attempt, reuse.token.attempt,
        "the key stands in the grant"
    );
}

#[test]
fn content_is_what_a_stage_computes_with_and_nothing_else() {
    let of = |stages: Vec<(String, Value)>, name: &str| -> String {
        let graph = workflow(stages);
        key(&world().step(submission(1, &graph)), name).0
    };
    let plain = || of(vec![cached("a", &[], json!({"k": {"scalar": "3"}}))], "a");
    let same = plain();
    assert_eq!(same, plain());
    let with_more = |more: Value| {
        let mut stage = cached("a", &[], json!({"k": {"scalar": "3"}}));
        if let (Value::Object(stage), Value::Object(more)) = (&mut stage.1, more) {
            stage.extend(more);
        }
        of(vec![stage], "a")
    };
    // How it is run does not matter.
    let retried = json!({"timeout": {"secs": 9, "nanos": 0}, "memory": 1_000_000});
    assert_eq!(same, with_more(retried));
    assert_eq!(
        same,
        with_more(json!({"cache": {"max_age": {"secs": 9, "nanos": 0}}}))
    );
    // What it does, does.
    let other = of(vec![cached("a", &[], json!({"k": {"scalar": "4"}}))], "a");
    assert_ne!(same, other);
    assert_ne!(
        same,
        of(vec![cached("c", &[], json!({"k": {"scalar": "3"}}))], "c")
    );
    assert_ne!(same, with_more(json!({"version": 1})));
    let script = json!({"cache": {"files": {"segment.rhai": "0123"}}});
    assert_ne!(same, with_more(script));
}

#[test]
fn the_same_rows_are_the_same_content_wherever_they_lie() {
    let graph = workflow(vec![
        stage("rows", &[], json!({})),
        cached(
            "a",
            &["rows"],
            json!({"rows": {"scalar": "${{ stages.rows }}"}}),
        ),
    ]);
    let of = |number: u128, content: &str| {
        let mut world = world();
        let rows = assigned(&world.step(submission(number, &graph)));
        let AttemptResult::Succeeded(mut outcome) = success(&rows.token) else {
            unreachable!("a success")
        };
        outcome.outputs.get_mut("rows").unwrap().content = Some(content.to_owned());
        let result = AttemptResult::Succeeded(outcome);
        key(&world.step(finished("w1", 1, &rows.token, result)), "a").0
    };
    assert_eq!(of(1, "c"), of(2, "c"), "two runs, two folders");
    assert_ne!(of(1, "c"), of(1, "d"));
}

#[test]
fn what_is_asked_for_anew_is_computed() {
    let mut world = world();
    let graph = workflow(vec![cached("a", &[], json!({}))]);
    compute(&mut world, 1, &graph);
    let Input::Submit(mut anew) = submission(2, &graph) else {
        unreachable!("a submission")
    };
    anew.ignores_cache = true;
    let assignment = assigned(&world.step(Input::Submit(anew)));
    assert_eq!(assignment.kind.as_str(), KIND);
    succeed(&mut world, &assignment);
    // `retry --from a` of a run that succeeded.
    let again = world.step(Input::ResumeRun {
        state: Box::new(world.state(2)),
        from: ["a".parse().unwrap()].into(),
    });
    let assignment = assigned(&again);
    assert_eq!(assignment.kind.as_str(), KIND);
    succeed(&mut world, &assignment);
    let entries = world.journal.iter().filter_map(Record::cached).count();
    assert_eq!(entries, 3, "all of it can be used again");
}

#[test]
fn what_is_too_old_is_not_asked_for() {
    let mut world = world();
    let aged = json!({"cache": {"max_age": {"secs": 3600, "nanos": 0}}});
    let graph = workflow(vec![stage("a", &[], aged)]);
    let (_, not_before) = key(&world.step(submission(1, &graph)), "a");
    let hour = Duration::from_secs(3600);
    assert_eq!(not_before, Some(world.now.saturating_sub(hour)));
}

#[test]
fn each_item_has_a_content_of_its_own_and_gathering_has_none() {
    let mut world = world();
    let more = json!({
        "cache": {},
        "for_each": {"items": {"list": [{"scalar": "x"}, {"scalar": "y"}]}},
        "with": {"map": {"of": {"scalar": "${{ item }}"}}},
    });
    let graph = workflow(vec![stage("a", &[], more)]);
    let asked = world.step(submission(1, &graph));
    let keys = ["a.0", "a.1"].map(|name| key(&asked, name).0);
    assert_ne!(keys[0], keys[1]);
    for name in ["a.0", "a.1"] {
        let decision = world.step(told(1, name, None));
        let decision = succeed(&mut world, &assigned(&decision));
        if name == "a.1" {
            let waiting = world.engine.waiting(&run_id(1), &"a".parse().unwrap());
            assert!(
                waiting.unwrap().to_string().contains("dataset/gather"),
                "{decision:?}"
            );
        }
    }
}
