//! What the services ask of the reign.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_engine::{Approval, Input, QueueView, Submission, Waiting, WorkerHello, WorkerView};
use marquetry_journal::{Deployed, Deployment, Leader};
use marquetry_proto::v1;
use marquetry_types::{Diagnostic, RunId, StageName, WorkerId};
use tokio::sync::{mpsc, oneshot};

use crate::scheduler::ScheduleView;

/// The answer to somebody who waits; it is sent once the decision is durable.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// The coordinator's end of a worker's stream.
pub(crate) type Outbound = mpsc::Sender<Result<v1::AttachResponse, tonic::Status>>;

/// Why a request has no effect, by what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound(Diagnostic),
    WrongState(Diagnostic),
    /// The run is not among those that are worked on: the journal says why.
    NotRunning(RunId),
    /// Another coordinator leads, or none does.
    NotLeading(Option<Leader>),
    /// The journal has no room: somebody must make some.
    Full(Diagnostic),
    /// The journal is damaged: somebody must restore it.
    Damaged(Diagnostic),
    /// It failed or may have: look before asking again.
    Unavailable(Diagnostic),
}

/// A run, and whether this request began it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) run: RunId,
    pub(crate) is_new: bool,
}

/// A request to the task that owns the engine.
#[derive(Debug)]
pub(crate) enum Request {
    Submit {
        submission: Box<Submission>,
        reply: Reply<Begun>,
    },
    Cancel {
        run: RunId,
        reason: String,
        reply: Reply<()>,
    },
    Retry {
        run: RunId,
        from: BTreeSet<StageName>,
        reply: Reply<()>,
    },
    Approve {
        run: RunId,
        stage: StageName,
        is_approved: bool,
        approval: Approval,
        reply: Reply<()>,
    },
    Drain {
        worker: WorkerId,
        reason: String,
        reply: Reply<()>,
    },
    /// What the stages of a run wait for.
    Waiting {
        run: RunId,
        reply: Reply<BTreeMap<StageName, Waiting>>,
    },
    Deploy {
        deployment: Box<Deployment>,
        reply: Reply<Deployed>,
    },
    Retire {
        name: String,
        reply: Reply<Option<u64>>,
    },
    Schedules(Reply<Vec<ScheduleView>>),
    Workers(Reply<Vec<WorkerView>>),
    Queues(Reply<Vec<QueueView>>),
    Attach {
        hello: WorkerHello,
        outbound: Outbound,
    },
    /// A message of a worker, or the answer to what the engine asked.
    Worker(Input),
}

impl Request {
    /// Answers whoever asked, if anybody waits for an answer; who no longer waits is no error.
    pub(crate) fn refuse(self, refusal: Refusal) {
        match self {
            Self::Submit { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Cancel { reply, .. }
            | Self::Retry { reply, .. }
            | Self::Approve { reply, .. }
            | Self::Drain { reply, .. } => {
                drop(reply.send(Err(refusal)));
            }
            Self::Waiting { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Deploy { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Retire { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Schedules(reply) => drop(reply.send(Err(refusal))),
            Self::Workers(reply) => drop(reply.send(Err(refusal))),
            Self::Queues(reply) => drop(reply.send(Err(refusal))),
            // Their streams are closed with the rest; they come back and say it again.
            Self::Attach { .. } | Self::Worker(_) => {}
        }
    }
}
