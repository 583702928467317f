//! A journal, workflows and inputs for tests of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use marquetry_engine::{
    Action, Assignment, Decision, Engine, EngineConfig, Input, Record, RunState, Submission,
    WorkerHello,
};
use marquetry_types::{
    AttemptResult, DatasetRef, Diagnostic, Epoch, FailureClass, FencingToken, Outcome, Published,
    RunId, StageFailure, Timestamp, WorkerId, codes,
};
use marquetry_workflow::Workflow;
use serde_json::{Map, Value, json};

pub(crate) const KIND: &str = "test/stage";

/// A stage of a test workflow: its name and what differs from the plainest stage.
pub(crate) fn stage(name: &str, needs: &[&str], more: Value) -> (String, Value) {
    let mut stage = json!({
        "name": name,
        "uses": KIND,
        "with": {"map": {}},
        "needs": needs,
        "outputs": ["rows"],
    });
    if let (Value::Object(stage), Value::Object(more)) = (&mut stage, more) {
        stage.extend(more);
    }
    (name.to_owned(), stage)
}

pub(crate) fn workflow(stages: Vec<(String, Value)>) -> Workflow {
    let stages: Map<String, Value> = stages.into_iter().collect();
    serde_json::from_value(json!({"name": "test", "stages": stages})).unwrap()
}

pub(crate) fn run_id(number: u128) -> RunId {
    RunId::new(Timestamp::from_millis(1_700_000_000_000), number)
}

pub(crate) fn worker_id(name: &str) -> WorkerId {
    name.parse().unwrap()
}

pub(crate) fn submission(number: u128, workflow: &Workflow) -> Input {
    Input::Submit(Submission {
        run: run_id(number),
        workflow: Box::new(workflow.clone()),
        bundle: "b".to_owned(),
        params: Map::new(),
        request_id: None,
        base_dir: None,
        group: workflow.group(&Map::new()).unwrap(),
        schedule: None,
        trace: None,
        parent: None,
        ignores_cache: false,
    })
}

pub(crate) fn hello(name: &str, session: u64, slots: u32, held: Vec<FencingToken>) -> Input {
    Input::WorkerConnected(WorkerHello {
        worker: worker_id(name),
        session,
        slots,
        queues: BTreeSet::new(),
        labels: BTreeMap::new(),
        kinds: BTreeMap::from([(KIND.parse().unwrap(), 1)]),
        version: "test".to_owned(),
        data_plane: None,
        is_draining: false,
        held,
    })
}

/// A hello of a worker that is not like the others.
pub(crate) fn hello_of(name: &str, slots: u32, queues: &[&str], labels: &[(&str, &str)]) -> Input {
    let Input::WorkerConnected(mut own) = hello(name, 1, slots, Vec::new()) else {
        unreachable!("a hello")
    };
    own.queues = queues.iter().map(|queue| queue.parse().unwrap()).collect();
    let labels = labels.iter();
    own.labels = labels
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Input::WorkerConnected(own)
}

/// What makes a stage publish its output as a table.
pub(crate) fn publishing(name: &str) -> Value {
    json!({"publish": [{"output": "rows", "kind": "table", "name": name}]})
}

/// What makes a stage teach a policy.
pub(crate) fn teaching(name: &str) -> Value {
    json!({
        "with": {"map": {"policy": {"policy": {"name": name, "learns": true}}}},
        "publish": [{"output": "rows", "kind": "policy", "name": name}],
    })
}

/// What an attempt gives: an output that tells which attempt wrote it.
pub(crate) fn success(token: &FencingToken) -> AttemptResult {
    let dataset = DatasetRef {
        manifest: token.to_string(),
        digest: "d".to_owned(),
        rows: u64::from(token.attempt.attempt.0),
        bytes: 1,
        content: None,
    };
    AttemptResult::Succeeded(Outcome {
        outputs: BTreeMap::from([("rows".to_owned(), dataset)]),
        metrics: BTreeMap::from([("score".to_owned(), 0.5), ("broken".to_owned(), f64::NAN)]),
        artifacts: Vec::new(),
    })
}

pub(crate) fn failure(class: FailureClass) -> AttemptResult {
    let diagnostic = Diagnostic::new(codes::STAGE_INTERNAL, "it broke");
    AttemptResult::Failed(StageFailure { class, diagnostic })
}

/// An engine with its journal, and a clock to be moved by hand.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) journal: Vec<Record>,
    pub(crate) now: Timestamp,
    config: EngineConfig,
    epoch: u64,
}

impl World {
    pub(crate) fn new(config: EngineConfig) -> Self {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let engine = Engine::restore(Epoch(1), config.clone(), now, Vec::new(), Vec::new());
        Self {
            engine,
            journal: Vec::new(),
            now,
            config,
            epoch: 1,
        }
    }

    pub(crate) fn advance(&mut self, by: Duration) -> Decision {
        self.now = self.now.saturating_add(by);
        self.step(Input::Tick)
    }

    /// One input, committed.
    pub(crate) fn step(&mut self, input: Input) -> Decision {
        let decision = self.engine.step(self.now, input).unwrap();
        self.journal.extend(decision.records.iter().cloned());
        decision
    }

    /// An input whose commit failed: the coordinator restores.
    pub(crate) fn step_without_commit(&mut self, input: Input) {
        drop(self.engine.step(self.now, input));
        self.restart();
    }

    /// A new reign over what the journal holds.
    pub(crate) fn restart(&mut self) {
        self.epoch += 1;
        let runs = self.states().into_values().collect();
        let (epoch, config) = (Epoch(self.epoch), self.config.clone());
        self.engine = Engine::restore(epoch, config, self.now, self.published(), runs);
        // The records of the next decisions must continue the journal.
        let decision = self.step(Input::Tick);
        assert!(assignments(&decision).is_empty(), "nobody is connected");
    }

    /// The current versions of published things, as the records tell them.
    pub(crate) fn published(&self) -> Vec<Published> {
        let all = self.journal.iter().flat_map(Record::publications);
        let by_name: BTreeMap<_, _> = all
            .map(|it| ((it.published.kind, it.published.name.clone()), it.published))
            .collect();
        by_name.into_values().collect()
    }

    /// Every run as its records tell it. It must agree with the engine's memory.
    pub(crate) fn states(&self) -> BTreeMap<RunId, RunState> {
        let mut states: BTreeMap<RunId, RunState> = BTreeMap::new();
        for record in &self.journal {
            match states.get_mut(record.run()) {
                Some(state) => state.apply(record).unwrap(),
                None => drop(states.insert(record.run().clone(), RunState::begin(record).unwrap())),
            }
        }
        states
    }

    pub(crate) fn state(&self, number: u128) -> RunState {
        self.states().remove(&run_id(number)).unwrap()
    }
}

pub(crate) fn assignments(decision: &Decision) -> Vec<(WorkerId, u64, Assignment)> {
    let assigned = decision.actions.iter().filter_map(|action| match action {
        Action::Assign {
            worker,
            session,
            assignment,
        } => Some((worker.clone(), *session, (**assignment).clone())),
        _ => None,
    });
    assigned.collect()
}

/// The only assignment of a decision.
pub(crate) fn assigned(decision: &Decision) -> Assignment {
    match assignments(decision).as_slice() {
        [(_, _, only)] => only.clone(),
        other => panic!("one assignment, got {other:?} in {decision:?}"),
    }
}

pub(crate) fn finished(
    name: &str,
    session: u64,
    token: &FencingToken,
    result: AttemptResult,
) -> Input {
    Input::AttemptFinished {
        worker: worker_id(name),
        session,
        token: token.clone(),
        result,
    }
}
