//! What the engine wants done, once its records are durable.

use std::time::Duration;

use marquetry_types::{
    FencingToken, Parallelism, Peer, RunId, StageKind, StageName, TraceContext, WorkerId,
};
use serde_json::Value;

use crate::{Lookup, Record};

/// The engine's answer to an input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// To be made durable first, in this order and together.
    pub records: Vec<Record>,
    /// To be done afterwards, in this order.
    pub actions: Vec<Action>,
    /// How long each stage that was granted had waited for a worker.
    pub waits: Vec<Duration>,
}

/// An attempt for a worker to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The right to report its result.
    pub token: FencingToken,
    /// What the stage does.
    pub kind: StageKind,
    /// The evaluated `with`; datasets stand as `{"$dataset": …}`.
    pub options: Value,
    /// Digest of the run's workflow, SQL and script files.
    pub bundle: String,
    /// Seed of whatever is random in the stage. It follows from the names of workflow and stage and
    /// not from the run, so that the same data gives the same segments tomorrow.
    pub seed: u64,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// Bytes of memory that it may use; the worker's own limit if none.
    pub memory: Option<u64>,
    /// Whether its queries are spread over workers.
    pub parallelism: Parallelism,
    /// The folder in which relative source paths start.
    pub base_dir: Option<String>,
    /// The attempt's span, below which whoever runs it puts its own.
    pub trace: TraceContext,
}

/// Something to be done. Losing one is harmless: the lease, the next heartbeats or the next hello make
/// up for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Push an attempt to a worker, perhaps once more: it starts it once.
    Assign {
        /// To whom.
        worker: WorkerId,
        /// Over which connection.
        session: u64,
        /// What.
        assignment: Box<Assignment>,
    },
    /// Tell a worker to end an attempt.
    CancelAttempt {
        /// Whom.
        worker: WorkerId,
        /// Over which connection.
        session: u64,
        /// Which attempt.
        token: FencingToken,
        /// Why.
        reason: String,
    },
    /// Tell a worker that it may forget a result.
    AcknowledgeResult {
        /// Whom.
        worker: WorkerId,
        /// Over which connection.
        session: u64,
        /// Which attempt's.
        token: FencingToken,
        /// False when the right to report it had passed to another attempt, and when the run has ended
        /// and left the working set, whatever became of the attempt.
        accepted: bool,
    },
    /// Tell a worker to take nothing new, and to end when it has nothing to do.
    DrainWorker {
        /// Whom.
        worker: WorkerId,
        /// Over which connection.
        session: u64,
        /// Why.
        reason: String,
    },
    /// Close a worker's stream: it was silent for too long. If it lives it comes back and says what it
    /// holds.
    CloseStream {
        /// Whose.
        worker: WorkerId,
        /// Which connection.
        session: u64,
    },
    /// Tell every worker who takes parts of queries: these, and nobody else.
    TellPeers {
        /// In a fixed order.
        peers: Vec<Peer>,
    },
    /// Look something up in the journal, and say it with [`Input::LookedUp`](crate::Input::LookedUp),
    /// whatever comes of it.
    LookUp {
        /// For which run.
        run: RunId,
        /// For which of its stages.
        stage: StageName,
        /// What.
        lookup: Box<Lookup>,
    },
    /// The run ended and leaves the working set.
    RunEnded {
        /// The run.
        run: RunId,
    },
}
