//! Random workflows on workers that crash, hang, vanish and come back, under a coordinator that loses
//! commits and restarts. Whatever happens: every run ends, and nothing is decided twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::*;
use marquetry_engine::{Action, Decision, EngineConfig, Input, Record, RunStatus, StageStatus};
use marquetry_types::{FailureClass, FencingToken, PublishedKind, RunId, StageName};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A small generator of pseudo-random numbers (splitmix64), so that a seed tells the whole story.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.next().is_multiple_of(chances)
    }
}

/// A worker as the network sees it.
#[derive(Default)]
struct FakeWorker {
    session: u64,
    is_connected: bool,
    held: BTreeSet<FencingToken>,
}

struct Simulation {
    world: World,
    dice: Dice,
    workers: BTreeMap<String, FakeWorker>,
    sessions: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let config = EngineConfig {
            lost_attempts: 1000,
            ..EngineConfig::default()
        };
        let workers = ["w1", "w2", "w3"].map(|name| (name.to_owned(), FakeWorker::default()));
        Self {
            world: World::new(config),
            dice: Dice(seed),
            workers: workers.into(),
            sessions: 0,
        }
    }

    /// Does what the engine wants done, as far as the network lets it.
    fn perform(&mut self, decision: Decision) {
        for action in decision.actions {
            match action {
                Action::Assign {
                    worker,
                    session,
                    assignment,
                } => {
                    let worker = self.workers.get_mut(worker.as_str()).unwrap();
                    if worker.is_connected && worker.session == session {
                        worker.held.insert(assignment.token);
                    }
                }
                Action::CancelAttempt { worker, token, .. }
                | Action::AcknowledgeResult { worker, token, .. } => {
                    self.workers
                        .get_mut(worker.as_str())
                        .unwrap()
                        .held
                        .remove(&token);
                }
                Action::CloseStream { worker, session } => {
                    let worker = self.workers.get_mut(worker.as_str()).unwrap();
                    if worker.session == session {
                        worker.is_connected = false;
                    }
                }
                Action::RunEnded { run } => self.world.engine.release(&run),
            }
        }
    }

    fn step(&mut self, input: Input) {
        let decision = self.world.step(input);
        self.perform(decision);
    }

    /// One thing happens to the cluster.
    fn happen(&mut self, is_calm: bool) {
        let names: Vec<String> = self.workers.keys().cloned().collect();
        let name = names[self.dice.below(names.len())].clone();
        let calamity = if is_calm { 6 } else { self.dice.below(12) };
        let worker = self.workers.get_mut(&name).unwrap();
        if !worker.is_connected {
            self.sessions += 1;
            worker.session = self.sessions;
            worker.is_connected = true;
            let held = worker.held.iter().cloned().collect();
            let session = worker.session;
            return self.step(hello(&name, session, 2, held));
        }
        let session = worker.session;
        match calamity {
            0 => {
                // Its stream breaks; it goes on working.
                worker.is_connected = false;
                self.step(Input::WorkerDisconnected {
                    worker: worker_id(&name),
                    session,
                });
            }
            1 => {
                // It dies with all that it holds, without a word.
                worker.is_connected = false;
                worker.held.clear();
            }
            2 => {
                // The coordinator dies.
                self.workers
                    .values_mut()
                    .for_each(|worker| worker.is_connected = false);
                self.world.restart();
            }
            3 => {
                // It says something, but the commit fails.
                let held = worker.held.iter().next().cloned();
                self.workers
                    .values_mut()
                    .for_each(|worker| worker.is_connected = false);
                if let Some(token) = held {
                    let result = success(&token);
                    self.world
                        .step_without_commit(finished(&name, session, &token, result));
                }
            }
            4 => {
                let decision = self.world.advance(Duration::from_secs(20));
                self.perform(decision);
            }
            _ => {
                let decision = self.world.advance(Duration::from_millis(700));
                self.perform(decision);
                let held: Vec<FencingToken> = self.workers[&name].held.iter().cloned().collect();
                self.step(Input::Heartbeat {
                    worker: worker_id(&name),
                    session,
                    held: held.clone(),
                });
                let is_connected = self.workers[&name].is_connected;
                let Some(token) = held.first().filter(|_| is_connected) else {
                    return;
                };
                let result = match self.dice.below(8) {
                    0 if !is_calm => failure(FailureClass::Transient),
                    1 if !is_calm => failure(FailureClass::Cancelled),
                    _ => success(token),
                };
                self.step(finished(&name, session, token, result.clone()));
                if self.dice.one_in(3) {
                    // The same report once more: its acknowledgement got lost.
                    self.step(finished(&name, session, token, result));
                }
            }
        }
    }
}

/// A random graph: each stage needs some of those before it.
fn random_workflow(dice: &mut Dice) -> marquetry_workflow::Workflow {
    let count = 1 + dice.below(8);
    let stages = (0..count).map(|index| {
        let needs: Vec<String> = (0..index)
            .filter(|_| dice.one_in(3))
            .map(|need| format!("s{need}"))
            .collect();
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        let mut more = json!({});
        if dice.one_in(6) {
            more["condition"] = json!("always");
        }
        // A workflow publishes a name once, so the first stage publishes a table, the second a policy.
        let published = match index {
            0 => publishing("table"),
            1 => teaching("policy"),
            _ => json!({}),
        };
        if let (Value::Object(more), Value::Object(published)) = (&mut more, published) {
            more.extend(published);
        }
        stage(&format!("s{index}"), &needs, more)
    });
    workflow(stages.collect())
}

/// What must hold of any journal.
fn check(records: &[Record]) {
    let mut succeeded: BTreeSet<(&RunId, &StageName)> = BTreeSet::new();
    let mut granted: BTreeSet<&FencingToken> = BTreeSet::new();
    let mut pins: BTreeMap<&RunId, u64> = BTreeMap::new();
    let mut learns_from: BTreeMap<&FencingToken, u64> = BTreeMap::new();
    let mut current: BTreeMap<PublishedKind, u64> = BTreeMap::new();
    for record in records {
        match record {
            Record::RunSubmitted(submitted) => {
                let mut tables = submitted.pins.iter();
                let table = tables.find(|pin| pin.kind == PublishedKind::Table);
                pins.insert(&submitted.run, table.map_or(0, |pin| pin.version));
            }
            Record::AttemptAssigned {
                token,
                learns_from: version,
                ..
            } => {
                learns_from.extend(version.map(|version| (token, version)));
                let place = (&token.attempt.run, &token.attempt.stage);
                assert!(
                    !succeeded.contains(&place),
                    "{token} is granted after a success"
                );
                assert!(granted.insert(token), "{token} is granted twice");
            }
            Record::StageSucceeded {
                token,
                outcome,
                published,
                ..
            } => {
                for version in published {
                    let before = current.insert(version.kind, version.version).unwrap_or(0);
                    assert_eq!(version.version, before + 1, "{version} follows another");
                    let base = match version.kind {
                        PublishedKind::Table => pins[&token.attempt.run],
                        PublishedKind::Policy => learns_from[token],
                    };
                    assert_eq!(before, base, "{version} was made from what was current");
                }
                let place = (&token.attempt.run, &token.attempt.stage);
                assert!(succeeded.insert(place), "{token} succeeds a second time");
                let written = &outcome.outputs["rows"].manifest;
                assert_eq!(
                    *written,
                    token.to_string(),
                    "the output is of the attempt that won"
                );
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_and_nothing_is_decided_twice(seed in any::<u64>()) {
        let mut simulation = Simulation::new(seed);
        for number in 1..=3 {
            let graph = random_workflow(&mut simulation.dice);
            let decision = simulation.world.step(submission(number, &graph));
            simulation.perform(decision);
        }
        for _ in 0..120 {
            simulation.happen(false);
        }
        // The storm is over: what remains must end.
        for _ in 0..600 {
            simulation.happen(true);
        }
        check(&simulation.world.journal);
        for (run, state) in simulation.world.states() {
            prop_assert_ne!(state.status, RunStatus::Running, "run {} hangs: {:?}", run, state.stages);
            for (name, stage) in &state.stages {
                prop_assert!(stage.status.is_terminal(), "{} of {}", name, run);
                let needs = &state.workflow().stages[name].needs;
                let all_succeeded =
                    needs.iter().all(|need| state.stages[need].status == StageStatus::Succeeded);
                let is_plain = state.workflow().stages[name].condition.is_none();
                if stage.status == StageStatus::Succeeded && is_plain {
                    prop_assert!(all_succeeded, "{} of {} ran without what it needs", name, run);
                }
            }
        }
    }
}
