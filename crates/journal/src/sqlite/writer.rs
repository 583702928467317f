//! The one thread that writes, and its group commit.
//!
//! Making a commit durable costs the disk a flush, some milliseconds on a laptop, however much is in
//! it. So requests queue while a commit is under way, and the next transaction takes all of them. Each
//! stands in a savepoint of its own: one that is refused (fenced, inconsistent) leaves its neighbours
//! untouched, while a storage error fails the whole transaction.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use marquetry_engine::Record;
use marquetry_types::{Epoch, RunId};
use rusqlite::{Connection, Savepoint, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::leadership;
use super::lock::WriterLock;
use super::publications;
use super::rows::{self, storage};
use crate::history::History;
use crate::{Campaign, Candidate, JournalError};

/// Requests that wait before senders wait, too.
const QUEUE: usize = 1024;
/// Requests in one transaction at most, which bounds how long the first of them waits.
const LARGEST_GROUP: usize = 256;
/// Runs whose histories stay in memory at most; beyond it they are read again when they go on.
const MOST_HISTORIES: usize = 4096;

/// Something to be committed.
#[derive(Debug)]
pub(super) enum Work {
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
}

/// What came of it: for a campaign how it ended, for the rest the epoch that it was committed under.
pub(super) type Answer = Result<Campaign, JournalError>;

struct Request {
    work: Work,
    reply: oneshot::Sender<Answer>,
}

/// The sending half. Dropping it waits for what was sent to be committed, then lets the lock go.
#[derive(Debug)]
pub(super) struct Writer {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; it owns the connection and the lock.
    pub(super) fn start(
        connection: Connection,
        lock: WriterLock,
        snapshot_every: u64,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut committer = Committer {
            connection,
            histories: HashMap::new(),
            snapshot_every,
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                committer.run(receiver);
                // The database is closed before another process may open it.
                drop(committer);
                drop(lock);
            })?;
        Ok(Self {
            requests: Some(sender),
            thread: Some(thread),
        })
    }

    /// Hands `work` to the thread and waits until it is durable or refused.
    pub(super) async fn perform(&self, work: Work) -> Answer {
        let stopped = || JournalError::Storage {
            doing: "write to the journal",
            reason: "its writer has stopped after an internal error".to_owned(),
        };
        let requests = self.requests.as_ref().ok_or_else(stopped)?;
        let (reply, answer) = oneshot::channel();
        requests
            .send(Request { work, reply })
            .await
            .map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| {
            Err(JournalError::Doubtful {
                reason: "the journal's writer has stopped".to_owned(),
            })
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests = None; // the thread ends when it has committed what is left
        if let Some(thread) = self.thread.take() {
            // A panic there was already answered as a doubtful commit.
            let _ = thread.join();
        }
    }
}

/// The receiving half.
struct Committer {
    connection: Connection,
    /// Unfinished runs as their committed records tell them. Only a cache: whatever fails is dropped
    /// from it and read again.
    histories: HashMap<RunId, History>,
    snapshot_every: u64,
}

impl Committer {
    fn run(&mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut group = vec![first];
            while group.len() < LARGEST_GROUP {
                match requests.try_recv() {
                    Ok(request) => group.push(request),
                    Err(_) => break,
                }
            }
            self.serve(group);
        }
    }

    fn serve(&mut self, group: Vec<Request>) {
        let start = Instant::now();
        let (works, replies): (Vec<Work>, Vec<_>) = group
            .into_iter()
            .map(|request| (request.work, request.reply))
            .unzip();
        let answers = self.commit(&works).unwrap_or_else(|error| {
            self.histories.clear();
            tracing::error!(%error, requests = works.len(), "journal commit failed");
            vec![Err(error); works.len()]
        });
        let records: usize = works.iter().map(Work::records).sum();
        tracing::debug!(
            requests = works.len(),
            records,
            micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
            "journal commit"
        );
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A sender that was cancelled no longer listens; what it asked for is done or refused.
            let _ = reply.send(answer);
        }
        self.histories.retain(|_, history| !history.is_finished());
        if self.histories.len() > MOST_HISTORIES {
            self.histories.clear();
        }
    }

    /// Performs all `works` in one transaction. An error is one of the storage and concerns them all.
    fn commit(&mut self, works: &[Work]) -> Result<Vec<Answer>, JournalError> {
        let writing = storage("write to the journal");
        let mut transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(writing)?;
        let mut answers = Vec::with_capacity(works.len());
        for work in works {
            let savepoint = transaction.savepoint().map_err(writing)?;
            let answer = perform(&savepoint, work, &mut self.histories, self.snapshot_every);
            match &answer {
                Ok(_) => savepoint.commit().map_err(writing)?,
                Err(JournalError::Storage { .. }) => return answer.map(|_| Vec::new()),
                Err(refusal) => {
                    tracing::warn!(error = %refusal, "journal request refused");
                    savepoint.finish().map_err(writing)?; // rolls back
                    for run in work.runs() {
                        self.histories.remove(run);
                    }
                }
            }
            answers.push(answer);
        }
        // The transaction is decided here. An error after this call begins says nothing about whether
        // its log frames reached the disk.
        transaction
            .commit()
            .map_err(|error| JournalError::Doubtful {
                reason: error.to_string(),
            })?;
        Ok(answers)
    }
}

impl Work {
    fn records(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.len(),
            Self::Campaign(_) | Self::Renew { .. } | Self::PutBundle { .. } => 0,
        }
    }

    fn runs(&self) -> impl Iterator<Item = &RunId> {
        let records: &[Record] = match self {
            Self::Append { records, .. } => records,
            Self::Campaign(_) | Self::Renew { .. } | Self::PutBundle { .. } => &[],
        };
        records.iter().map(Record::run)
    }
}

fn perform(
    savepoint: &Savepoint<'_>,
    work: &Work,
    histories: &mut HashMap<RunId, History>,
    snapshot_every: u64,
) -> Answer {
    match work {
        Work::Campaign(candidate) => leadership::campaign(savepoint, candidate),
        Work::Renew { epoch, lease } => {
            leadership::renew(savepoint, *epoch, *lease).map(Campaign::Won)
        }
        Work::PutBundle { digest, bytes } => {
            rows::put_bundle(savepoint, digest, bytes)?;
            rows::epoch(savepoint).map(Campaign::Won)
        }
        Work::Append { epoch, records } => {
            let current = rows::epoch(savepoint)?;
            if *epoch != current {
                return Err(JournalError::Fenced {
                    ours: *epoch,
                    current,
                });
            }
            append(savepoint, records, histories, snapshot_every)?;
            Ok(Campaign::Won(current))
        }
    }
}

fn append(
    savepoint: &Savepoint<'_>,
    records: &[Record],
    histories: &mut HashMap<RunId, History>,
    snapshot_every: u64,
) -> Result<(), JournalError> {
    let mut touched: Vec<&RunId> = Vec::new();
    for record in records {
        let run = record.run();
        if !histories.contains_key(run) {
            let stored = rows::load_history(savepoint, run)?;
            histories.insert(
                run.clone(),
                stored.unwrap_or_else(|| History::new(run.clone())),
            );
        }
        let Some(history) = histories.get_mut(run) else {
            continue;
        };
        history.apply(record)?;
        rows::insert_record(savepoint, run, history.sequence(), record)?;
        for publication in record.publications() {
            publications::put(savepoint, &publication)?;
        }
        if !touched.contains(&run) {
            touched.push(run);
        }
    }
    for run in touched {
        let Some(history) = histories.get_mut(run) else {
            continue;
        };
        rows::put_summary(savepoint, history)?;
        if !history.is_finished() && history.unsnapshotted() >= snapshot_every {
            rows::put_snapshot(savepoint, history)?;
            history.snapshot_taken();
        }
    }
    Ok(())
}
