//! What a journal's one writer is asked for, and the queue in which requests wait while a commit is under
//! way.

use std::time::Duration;

use async_trait::async_trait;
use marquetry_engine::Record;
use marquetry_types::{Epoch, RunId};
use tokio::sync::{mpsc, oneshot};

use crate::deployment::Proposal;
use crate::journal::ReadThrough;
use crate::{
    ArchiveBatch, Campaign, Candidate, Deployed, Deployment, Discard, Discarded, Journal,
    JournalError,
};

/// Requests that wait before senders wait, too.
const QUEUE: usize = 1024;
/// Requests in one commit at most, which bounds how long the first of them waits.
pub(crate) const LARGEST_GROUP: usize = 256;
/// After how many records of an unfinished run a snapshot is written, unless options say otherwise.
pub(crate) const SNAPSHOT_EVERY: u64 = 500;

/// Something to be committed.
#[derive(Debug)]
pub(crate) enum Work {
    Campaign(Candidate),
    /// Keeps the lead, or lets it go with a lease of nothing.
    Renew {
        epoch: Epoch,
        lease: Duration,
    },
    Append {
        epoch: Epoch,
        records: Vec<Record>,
    },
    PutBundle {
        digest: String,
        bytes: Vec<u8>,
    },
    Deploy {
        epoch: Epoch,
        proposal: Box<Proposal>,
    },
    Retire {
        epoch: Epoch,
        name: String,
    },
    PlanArchive {
        epoch: Epoch,
        limit: u32,
    },
    Archived {
        epoch: Epoch,
        number: u64,
        unreadable: Vec<RunId>,
    },
    Discard {
        epoch: Epoch,
        discard: Discard,
    },
}

impl Work {
    /// The records that it appends.
    pub(crate) fn records(&self) -> &[Record] {
        match self {
            Self::Append { records, .. } => records,
            Self::Campaign(_)
            | Self::Renew { .. }
            | Self::PutBundle { .. }
            | Self::Deploy { .. }
            | Self::Retire { .. }
            | Self::PlanArchive { .. }
            | Self::Archived { .. }
            | Self::Discard { .. } => &[],
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) enum Done {
    /// Of a campaign: how it ended.
    Campaign(Campaign),
    /// Of a deployment.
    Deployed(Box<Deployed>),
    /// Of retiring a workflow: the version that was current.
    Retired(Option<u64>),
    /// Of planning: the batch.
    Planned(Option<ArchiveBatch>),
    /// Of discarding.
    Discarded(Discarded),
    /// Of the rest: it is durable.
    Written,
}

/// What whoever asked is told.
pub(crate) type Answer = Result<Done, JournalError>;

/// Work, and who waits for it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) work: Work,
    /// Whoever was cancelled no longer listens: what it asked for is done or refused all the same.
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// The sending half of the queue. When it is dropped, the writer commits what is left and ends.
#[derive(Debug)]
pub(crate) struct Requests {
    queue: mpsc::Sender<Request>,
}

impl Requests {
    /// An empty queue, and the writer's half of it.
    pub(crate) fn queue() -> (Self, mpsc::Receiver<Request>) {
        let (queue, received) = mpsc::channel(QUEUE);
        (Self { queue }, received)
    }

    /// Hands `work` to the writer and waits until it is durable or refused.
    async fn perform(&self, work: Work) -> Answer {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(Request { work, reply }).await;
        sent.map_err(|_| JournalError::Storage {
            doing: "write to the journal",
            reason: "its writer has stopped after an internal error".to_owned(),
        })?;
        answer.await.unwrap_or_else(|_| {
            Err(JournalError::Doubtful {
                reason: "the journal's writer has stopped".to_owned(),
            })
        })
    }
}

/// A journal that has its writing done by whoever takes requests.
pub(crate) trait WriteThrough: ReadThrough {
    /// Where requests are put.
    fn requests(&self) -> &Requests;
}

#[async_trait]
impl<T: WriteThrough> Journal for T {
    async fn campaign(&self, candidate: &Candidate) -> Result<Campaign, JournalError> {
        let work = Work::Campaign(candidate.clone());
        match self.requests().perform(work).await? {
            Done::Campaign(campaign) => Ok(campaign),
            other => Err(mistaken(&other)),
        }
    }

    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<(), JournalError> {
        let work = Work::Renew { epoch, lease };
        self.requests().perform(work).await.map(|_| ())
    }

    async fn resign(&self, epoch: Epoch) -> Result<(), JournalError> {
        self.renew(epoch, Duration::ZERO).await
    }

    async fn append(&self, epoch: Epoch, records: Vec<Record>) -> Result<(), JournalError> {
        let work = Work::Append { epoch, records };
        self.requests().perform(work).await.map(|_| ())
    }

    async fn put_bundle(&self, digest: &str, bytes: Vec<u8>) -> Result<(), JournalError> {
        let digest = digest.to_owned();
        let work = Work::PutBundle { digest, bytes };
        self.requests().perform(work).await.map(|_| ())
    }

    async fn deploy(&self, epoch: Epoch, deployment: Deployment) -> Result<Deployed, JournalError> {
        let proposal = Box::new(Proposal::new(deployment)?);
        let work = Work::Deploy { epoch, proposal };
        match self.requests().perform(work).await? {
            Done::Deployed(deployed) => Ok(*deployed),
            other => Err(mistaken(&other)),
        }
    }

    async fn retire(&self, epoch: Epoch, name: &str) -> Result<Option<u64>, JournalError> {
        let name = name.to_owned();
        let work = Work::Retire { epoch, name };
        match self.requests().perform(work).await? {
            Done::Retired(version) => Ok(version),
            other => Err(mistaken(&other)),
        }
    }

    async fn plan_archive(
        &self,
        epoch: Epoch,
        limit: u32,
    ) -> Result<Option<ArchiveBatch>, JournalError> {
        let work = Work::PlanArchive { epoch, limit };
        match self.requests().perform(work).await? {
            Done::Planned(batch) => Ok(batch),
            other => Err(mistaken(&other)),
        }
    }

    async fn archived(
        &self,
        epoch: Epoch,
        number: u64,
        unreadable: Vec<RunId>,
    ) -> Result<(), JournalError> {
        let work = Work::Archived {
            epoch,
            number,
            unreadable,
        };
        self.requests().perform(work).await.map(|_| ())
    }

    async fn discard(&self, epoch: Epoch, discard: Discard) -> Result<Discarded, JournalError> {
        let work = Work::Discard { epoch, discard };
        match self.requests().perform(work).await? {
            Done::Discarded(discarded) => Ok(discarded),
            other => Err(mistaken(&other)),
        }
    }
}

/// The error of a writer that answers another question than it was asked: a bug in it.
fn mistaken(done: &Done) -> JournalError {
    JournalError::Doubtful {
        reason: format!("the journal's writer answered {done:?} to something else"),
    }
}
