//! What is said on the network.

use marquetry_engine::Assignment;
use marquetry_types::{AttemptResult, Epoch, FencingToken, RunId, StageName, WorkerId};
use marquetry_workflow::Workflow;

/// Who can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    Coordinator(usize),
    Worker(usize),
    Client(usize),
    Journal,
}

/// From a worker, over its stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ToCoordinator {
    Hello {
        worker: WorkerId,
        slots: u32,
        /// Whether it serves the queue of bulky stages too.
        is_bulky: bool,
        held: Vec<FencingToken>,
    },
    Heartbeat {
        held: Vec<FencingToken>,
    },
    Finished {
        token: FencingToken,
        result: AttemptResult,
    },
}

/// To a worker, over its stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ToWorker {
    Welcome { epoch: Epoch },
    Assign(Box<Assignment>),
    Cancel { token: FencingToken, reason: String },
    Acknowledged { token: FencingToken, accepted: bool },
}

/// From a client: one call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ask {
    Submit {
        workflow: Box<Workflow>,
        request_id: String,
    },
    Cancel {
        run: RunId,
    },
    Resume {
        run: RunId,
        /// A stage to be done again although it succeeded.
        from: Option<StageName>,
    },
}

/// To a client: the answer to its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The run of the request.
    Begun(RunId),
    Done,
    /// It cannot be, and asking again will not help.
    Refused,
    /// Not here, or not now: ask elsewhere.
    Unavailable,
}
