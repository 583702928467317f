//! What happens to the engine.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_types::{
    AttemptResult, FencingToken, QueueName, RunId, StageKind, StageName, TraceContext, WorkerId,
};
use marquetry_workflow::Workflow;
use serde_json::{Map, Value};

use crate::{Approval, Found, Parent, RunState, Scheduled};

/// A checked workflow with resolved parameters, to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The id of the run to be.
    pub run: RunId,
    /// What to run.
    pub workflow: Box<Workflow>,
    /// Digest of its files, which are stored already.
    pub bundle: String,
    /// Values by parameter, defaults filled in.
    pub params: Map<String, Value>,
    /// The client's own id of its request.
    pub request_id: Option<String>,
    /// The folder in which relative source paths start.
    pub base_dir: Option<String>,
    /// The concurrency group that it belongs to, its expressions evaluated.
    pub group: Option<String>,
    /// The schedule that wants it.
    pub schedule: Option<Scheduled>,
    /// The caller's span, if it has one.
    pub trace: Option<TraceContext>,
    /// The stage that it is begun by; the engine says it.
    pub parent: Option<Parent>,
    /// Its stages are computed, whatever was computed before.
    pub ignores_cache: bool,
}

/// What a worker says of itself when it connects.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerHello {
    /// Its name, for as long as its process lives.
    pub worker: WorkerId,
    /// Tells its connections apart; grows.
    pub session: u64,
    /// How many attempts it runs at a time.
    pub slots: u32,
    /// The queues that it serves; none means `default`.
    pub queues: BTreeSet<QueueName>,
    /// What stages may ask for, as in `zone: a`.
    pub labels: BTreeMap<String, String>,
    /// The stage kinds that it has, with their versions.
    pub kinds: BTreeMap<StageKind, u32>,
    /// The version of its binary.
    pub version: String,
    /// Where others reach it with parts of queries, if it takes any.
    pub data_plane: Option<String>,
    /// It runs what it has and wants nothing new.
    pub is_draining: bool,
    /// Attempts that it runs, or whose results are not acknowledged.
    pub held: Vec<FencingToken>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Somebody wants a workflow run.
    Submit(Submission),
    /// A worker opened a stream.
    WorkerConnected(WorkerHello),
    /// A worker's stream broke.
    WorkerDisconnected {
        /// Which worker.
        worker: WorkerId,
        /// Which of its connections.
        session: u64,
    },
    /// A worker leaves for good.
    WorkerLeft {
        /// Which worker.
        worker: WorkerId,
        /// Which of its connections.
        session: u64,
        /// Why.
        reason: String,
    },
    /// Somebody wants a worker to take nothing new, and to end when it has nothing to do.
    DrainWorker {
        /// Which worker.
        worker: WorkerId,
        /// Why.
        reason: String,
    },
    /// A worker shows that it lives.
    Heartbeat {
        /// Which worker.
        worker: WorkerId,
        /// Which of its connections.
        session: u64,
        /// Attempts that it runs, or whose results are not acknowledged.
        held: Vec<FencingToken>,
        /// It runs what it has and wants nothing new.
        is_draining: bool,
    },
    /// A worker reports how an attempt ended.
    AttemptFinished {
        /// Which worker.
        worker: WorkerId,
        /// Which of its connections.
        session: u64,
        /// Which attempt, by which right.
        token: FencingToken,
        /// How it ended.
        result: AttemptResult,
    },
    /// Somebody wants a run stopped.
    CancelRun {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// Somebody wants an ended run to go on.
    ResumeRun {
        /// The run as the journal has it.
        state: Box<RunState>,
        /// Stages to be done again although they succeeded, with all that needs them.
        from: BTreeSet<StageName>,
    },
    /// Somebody approves what a stage waits for, or rejects it.
    Approve {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// Whether it may go on.
        is_approved: bool,
        /// Who, and what they say.
        approval: Approval,
    },
    /// What a stage asked the journal is answered.
    LookedUp {
        /// The stage's run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// The answer.
        found: Found,
    },
    /// Time moved on.
    Tick,
}
