//! Leases and fencing, exhaustively: every sequence of a few events around one stage and two workers,
//! with the real engine beside a reference that fits on a page. At most one result of a stage is
//! accepted, and that of a fenced grant never is.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::*;
use marquetry_engine::{Action, Decision, EngineConfig, Input, Record};
use marquetry_types::FencingToken;
use serde_json::json;

/// Events in a sequence.
const DEPTH: usize = 6;
const NAMES: [&str; 2] = ["w1", "w2"];

#[derive(Debug, Clone, Copy)]
enum Event {
    Connects(usize),
    Disconnects(usize),
    /// The grace of a broken stream passes.
    GracePasses,
    /// The lease of whoever is silent passes.
    LeasePasses,
    /// A worker reports the attempt that it was given first, or last, whatever became of it.
    ReportsFirst(usize),
    ReportsLast(usize),
    /// Another coordinator restores from the journal, in the next epoch.
    TakeOver,
    /// A worker reports, and the commit does not happen.
    ReportIsLost(usize),
}

#[derive(Debug, Clone, Default)]
struct Worker {
    session: u64,
    is_connected: bool,
    given: Vec<FencingToken>,
}

/// The engine, and what the reference believes.
#[derive(Clone)]
struct Model {
    world: World,
    workers: [Worker; 2],
    sessions: u64,
    granted: Option<(FencingToken, usize)>,
    won: Option<FencingToken>,
    tokens: BTreeSet<FencingToken>,
    sequence: Vec<Event>,
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            world: World::new(EngineConfig::default()),
            workers: Default::default(),
            sessions: 0,
            granted: None,
            won: None,
            tokens: BTreeSet::new(),
            sequence: Vec::new(),
        };
        let graph = workflow(vec![stage("a", &[], json!({}))]);
        let decision = model.world.step(submission(1, &graph));
        model.learn(&decision);
        model
    }

    fn is_possible(&self, event: Event) -> bool {
        match event {
            Event::Connects(worker) => !self.workers[worker].is_connected,
            Event::Disconnects(worker) => self.workers[worker].is_connected,
            Event::ReportsFirst(worker) => self.workers[worker].given.len() > 1,
            Event::ReportsLast(worker) | Event::ReportIsLost(worker) => {
                !self.workers[worker].given.is_empty()
            }
            Event::GracePasses | Event::LeasePasses | Event::TakeOver => true,
        }
    }

    fn happen(&mut self, event: Event) {
        self.sequence.push(event);
        match event {
            Event::Connects(place) => {
                self.sessions += 1;
                let worker = &mut self.workers[place];
                worker.session = self.sessions;
                worker.is_connected = true;
                let (session, held) = (worker.session, worker.given.clone());
                let decision = self.world.step(hello(NAMES[place], session, 1, held));
                self.learn(&decision);
            }
            Event::Disconnects(place) => {
                self.workers[place].is_connected = false;
                let decision = self.world.step(Input::WorkerDisconnected {
                    worker: worker_id(NAMES[place]),
                    session: self.workers[place].session,
                });
                self.learn(&decision);
            }
            Event::GracePasses => {
                let decision = self.world.advance(Duration::from_millis(1600));
                self.learn(&decision);
            }
            Event::LeasePasses => {
                let decision = self.world.advance(Duration::from_secs(20));
                self.learn(&decision);
            }
            Event::ReportsFirst(place) => self.report(place, self.workers[place].given[0].clone()),
            Event::ReportsLast(place) => {
                let last = self.workers[place].given.last().cloned().unwrap();
                self.report(place, last);
            }
            Event::TakeOver => {
                self.hang_up();
                self.world.restart();
            }
            Event::ReportIsLost(place) => {
                let token = self.workers[place].given.last().cloned().unwrap();
                let session = self.workers[place].session;
                let report = finished(NAMES[place], session, &token, success(&token));
                self.hang_up();
                self.world.step_without_commit(report);
            }
        }
    }

    /// Whoever restores knows no streams.
    fn hang_up(&mut self) {
        let workers = self.workers.iter_mut();
        workers.for_each(|worker| worker.is_connected = false);
    }

    fn report(&mut self, place: usize, token: FencingToken) {
        let worker = &self.workers[place];
        let is_granted = self.granted == Some((token.clone(), place));
        let accepts = worker.is_connected && (is_granted || self.won.as_ref() == Some(&token));
        let wins = worker.is_connected && is_granted;
        let report = finished(NAMES[place], worker.session, &token, success(&token));
        let decision = self.world.step(report);
        let is_accepted = decision
            .actions
            .iter()
            .any(|action| matches!(action, Action::AcknowledgeResult { accepted: true, .. }));
        assert!(accepts || !is_accepted, "{token} after {:?}", self.sequence);
        // A run that has ended is not restored, and its winner, told of once more, is no longer known.
        assert!(is_accepted || !wins, "{token} after {:?}", self.sequence);
        if wins {
            assert_eq!(self.won, None, "a second result after {:?}", self.sequence);
            self.won = Some(token);
            self.granted = None;
        }
        self.learn(&decision);
    }

    /// Follows the records: a grant is new, and nothing but its own end lets another follow.
    fn learn(&mut self, decision: &Decision) {
        for record in &decision.records {
            match record {
                Record::AttemptAssigned { token, worker, .. } => {
                    let place = NAMES.iter().position(|it| *it == worker.as_str()).unwrap();
                    assert_eq!(self.granted, None, "{token} after {:?}", self.sequence);
                    assert_eq!(self.won, None, "{token} after {:?}", self.sequence);
                    assert!(self.tokens.insert(token.clone()), "{:?}", self.sequence);
                    self.granted = Some((token.clone(), place));
                    self.workers[place].given.push(token.clone());
                }
                Record::AttemptLost { token, .. } => {
                    let granted = self.granted.take().map(|(token, _)| token);
                    assert_eq!(granted.as_ref(), Some(token), "{:?}", self.sequence);
                }
                Record::StageSucceeded { token, outcome, .. } => {
                    assert_eq!(self.won.as_ref(), Some(token), "{:?}", self.sequence);
                    assert_eq!(outcome.outputs["rows"].manifest, token.to_string());
                }
                _ => {}
            }
        }
        for action in &decision.actions {
            if let Action::CloseStream { worker, .. } = action {
                let place = NAMES.iter().position(|it| *it == worker.as_str()).unwrap();
                self.workers[place].is_connected = false;
            }
        }
    }
}

/// Follows every sequence of possible events; gives how many states were seen.
fn explore(model: &Model, depth: usize) -> u64 {
    if depth == 0 {
        return 1;
    }
    let per_worker = [0, 1].into_iter().flat_map(|worker| {
        [
            Event::Connects(worker),
            Event::Disconnects(worker),
            Event::ReportsFirst(worker),
            Event::ReportsLast(worker),
            Event::ReportIsLost(worker),
        ]
    });
    let mut seen = 1;
    for event in per_worker.chain([Event::GracePasses, Event::LeasePasses, Event::TakeOver]) {
        if model.is_possible(event) {
            let mut next = model.clone();
            next.happen(event);
            seen += explore(&next, depth - 1);
        }
    }
    seen
}

#[test]
fn one_result_of_a_stage_is_accepted_and_that_of_a_fenced_grant_never_is() {
    let mut model = Model::new();
    model.happen(Event::Connects(0));
    assert!(model.granted.is_some());
    let seen = explore(&model, DEPTH);
    assert!(seen > 50_000, "{seen} states");
}
