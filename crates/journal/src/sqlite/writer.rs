//! The one thread that writes, and its group commit.
//!
//! Making a commit durable costs the disk a flush, some milliseconds on a laptop, however much is in
//! it. So requests queue while a commit is under way, and the next transaction takes all of them. Each
//! stands in a savepoint of its own: one that is refused (fenced, inconsistent) leaves its neighbours
//! untouched, while a storage error fails the whole transaction.

use std::thread::JoinHandle;
use std::time::Instant;

use marquetry_engine::Record;
use marquetry_types::Epoch;
use rusqlite::{Connection, ErrorCode, Savepoint, TransactionBehavior};
use tokio::sync::mpsc;

use super::lock::WriterLock;
use super::rows::{self, storage};
use super::{deployments, leadership, publications, schedules};
use crate::JournalError;
use crate::histories::Histories;
use crate::requests::{Answer, Done, LARGEST_GROUP, Request, Requests, Work};
use crate::schedules::Step;

/// The sending half. Dropping it waits for what was sent to be committed, then lets the lock go.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) requests: Requests,
    // Dropped after the requests, whose end it waits for.
    _thread: Thread,
}

impl Writer {
    /// Starts the thread; it owns the connection and the lock.
    pub(super) fn start(
        connection: Connection,
        lock: WriterLock,
        snapshot_every: u64,
    ) -> std::io::Result<Self> {
        let (requests, received) = Requests::queue();
        let mut committer = Committer {
            connection,
            histories: Histories::default(),
            snapshot_every,
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                committer.run(received);
                // The database is closed before another process may open it.
                drop(committer);
                drop(lock);
            })?;
        Ok(Self {
            requests,
            _thread: Thread(Some(thread)),
        })
    }
}

/// A thread that is waited for.
#[derive(Debug)]
struct Thread(Option<JoinHandle<()>>);

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic there was already answered as a doubtful commit.
            let _ = thread.join();
        }
    }
}

/// The receiving half.
struct Committer {
    connection: Connection,
    histories: Histories,
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
        let records: usize = works.iter().map(|work| work.records().len()).sum();
        tracing::debug!(
            requests = works.len(),
            records,
            micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
            "journal commit"
        );
        for (reply, answer) in replies.into_iter().zip(answers) {
            let _ = reply.send(answer);
        }
        self.histories.tidy();
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
                Err(
                    JournalError::Storage { .. }
                    | JournalError::Full { .. }
                    | JournalError::Corrupt { .. },
                ) => return answer.map(|_| Vec::new()),
                Err(refusal) => {
                    tracing::warn!(error = %refusal, "journal request refused");
                    savepoint.finish().map_err(writing)?; // rolls back
                    self.histories.forget(work.records().iter());
                }
            }
            answers.push(answer);
        }
        // The transaction is decided here. An error after this call begins says nothing about whether
        // its log frames reached the disk.
        transaction.commit().map_err(in_doubt)?;
        Ok(answers)
    }
}

fn in_doubt(error: rusqlite::Error) -> JournalError {
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalError::Full {
            reason,
            is_doubtful: true,
        },
        _ => JournalError::Doubtful { reason },
    }
}

fn perform(
    savepoint: &Savepoint<'_>,
    work: &Work,
    histories: &mut Histories,
    snapshot_every: u64,
) -> Answer {
    match work {
        Work::Campaign(candidate) => leadership::campaign(savepoint, candidate).map(Done::Campaign),
        Work::Renew { epoch, lease } => {
            leadership::renew(savepoint, *epoch, *lease)?;
            Ok(Done::Written)
        }
        Work::PutBundle { digest, bytes } => {
            rows::put_bundle(savepoint, digest, bytes)?;
            Ok(Done::Written)
        }
        Work::Append { epoch, records } => {
            fence(savepoint, *epoch)?;
            append(savepoint, records, histories, snapshot_every)?;
            Ok(Done::Written)
        }
        Work::Deploy { epoch, proposal } => {
            fence(savepoint, *epoch)?;
            let deployed = deployments::deploy(savepoint, proposal)?;
            Ok(Done::Deployed(Box::new(deployed)))
        }
        Work::Retire { epoch, name } => {
            fence(savepoint, *epoch)?;
            deployments::retire(savepoint, name).map(Done::Retired)
        }
    }
}

/// Refuses whoever was deposed.
fn fence(savepoint: &Savepoint<'_>, ours: Epoch) -> Result<(), JournalError> {
    let current = rows::epoch(savepoint)?;
    match ours == current {
        true => Ok(()),
        false => Err(JournalError::Fenced { ours, current }),
    }
}

fn append(
    savepoint: &Savepoint<'_>,
    records: &[Record],
    histories: &mut Histories,
    snapshot_every: u64,
) -> Result<(), JournalError> {
    for record in records {
        let run = record.run();
        if !histories.knows(run)
            && let Some(stored) = rows::load_history(savepoint, run)?
        {
            histories.keep(stored);
        }
        let history = histories.apply(record)?;
        rows::insert_record(savepoint, run, history.sequence(), record)?;
        for publication in record.publications() {
            publications::put(savepoint, &publication)?;
        }
        if let Some(step) = Step::of(record)? {
            schedules::advance(savepoint, step)?;
        }
    }
    histories.for_each_of(records.iter(), |history| {
        rows::put_summary(savepoint, history)?;
        if history.is_snapshot_due(snapshot_every) {
            rows::put_snapshot(savepoint, history)?;
            history.snapshot_taken();
        }
        Ok(())
    })
}
