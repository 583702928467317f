//! The one thread that writes, and its group commit.
//!
//! Making a commit durable costs the disk a flush, some milliseconds on a laptop, however much is in
//! it. So requests queue while a commit is under way, and the next transaction takes all of them. One that
//! is refused (fenced, inconsistent) leaves its neighbours untouched, while a storage error fails the
//! whole transaction.

use std::thread::JoinHandle;
use std::time::Instant;

use marquetry_engine::Record;
use marquetry_types::Epoch;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::mpsc;

use super::lock::WriterLock;
use super::rows::{self, storage};
use super::{archive, cached, deployments, leadership, publications, schedules};
use crate::JournalError;
use crate::cached::Entry;
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
    ///
    /// Refusals are rare and savepoints cost as much as a small request. So nobody gets one at first; when
    /// one is refused, all is rolled back and done again with a savepoint for each.
    fn commit(&mut self, works: &[Work]) -> Result<Vec<Answer>, JournalError> {
        if let Some(answers) = self.commit_hopefully(works)? {
            return Ok(answers);
        }
        works
            .iter()
            .for_each(|work| self.histories.forget(work.records().iter()));
        self.commit_carefully(works)
    }

    /// Performs all or, if one is refused, nothing.
    fn commit_hopefully(&mut self, works: &[Work]) -> Result<Option<Vec<Answer>>, JournalError> {
        let transaction = begin(&mut self.connection)?;
        let mut answers = Vec::with_capacity(works.len());
        for work in works {
            match perform(&transaction, work, &mut self.histories, self.snapshot_every) {
                Err(error) if error.is_of_storage() => return Err(error),
                Err(_) => {
                    transaction.rollback().map_err(storage(rows::WRITING))?;
                    return Ok(None);
                }
                answer => answers.push(answer),
            }
        }
        decide(transaction)?;
        Ok(Some(answers))
    }

    /// Performs those that are not refused.
    fn commit_carefully(&mut self, works: &[Work]) -> Result<Vec<Answer>, JournalError> {
        let writing = storage(rows::WRITING);
        let mut transaction = begin(&mut self.connection)?;
        let mut answers = Vec::with_capacity(works.len());
        for work in works {
            let savepoint = transaction.savepoint().map_err(writing)?;
            let answer = perform(&savepoint, work, &mut self.histories, self.snapshot_every);
            match &answer {
                Ok(_) => savepoint.commit().map_err(writing)?,
                Err(error) if error.is_of_storage() => return answer.map(|_| Vec::new()),
                Err(refusal) => {
                    tracing::warn!(error = %refusal, "journal request refused");
                    savepoint.finish().map_err(writing)?; // rolls back
                    self.histories.forget(work.records().iter());
                }
            }
            answers.push(answer);
        }
        decide(transaction)?;
        Ok(answers)
    }
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, JournalError> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(storage(rows::WRITING))
}

/// The transaction is decided here. An error after this call begins says nothing about whether its log
/// frames reached the disk.
fn decide(transaction: Transaction<'_>) -> Result<(), JournalError> {
    transaction.commit().map_err(in_doubt)
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
    connection: &Connection,
    work: &Work,
    histories: &mut Histories,
    snapshot_every: u64,
) -> Answer {
    match work {
        Work::Campaign(candidate) => {
            leadership::campaign(connection, candidate).map(Done::Campaign)
        }
        Work::Renew { epoch, lease } => {
            leadership::renew(connection, *epoch, *lease)?;
            Ok(Done::Written)
        }
        Work::PutBundle { digest, bytes } => {
            rows::put_bundle(connection, digest, bytes)?;
            Ok(Done::Written)
        }
        Work::Append { epoch, records } => {
            fence(connection, *epoch)?;
            append(connection, records, histories, snapshot_every)?;
            Ok(Done::Written)
        }
        Work::Deploy { epoch, proposal } => {
            fence(connection, *epoch)?;
            let deployed = deployments::deploy(connection, proposal)?;
            Ok(Done::Deployed(Box::new(deployed)))
        }
        Work::Retire { epoch, name } => {
            fence(connection, *epoch)?;
            deployments::retire(connection, name).map(Done::Retired)
        }
        Work::PlanArchive { epoch, limit } => {
            fence(connection, *epoch)?;
            archive::plan(connection, *epoch, *limit).map(Done::Planned)
        }
        Work::Archived {
            epoch,
            number,
            unreadable,
        } => {
            fence(connection, *epoch)?;
            archive::archived(connection, *number, unreadable)?;
            Ok(Done::Written)
        }
        Work::Discard { epoch, discard } => {
            fence(connection, *epoch)?;
            archive::discard(connection, discard).map(Done::Discarded)
        }
    }
}

/// Refuses whoever was deposed.
fn fence(connection: &Connection, ours: Epoch) -> Result<(), JournalError> {
    let current = rows::epoch(connection)?;
    match ours == current {
        true => Ok(()),
        false => Err(JournalError::Fenced { ours, current }),
    }
}

fn append(
    connection: &Connection,
    records: &[Record],
    histories: &mut Histories,
    snapshot_every: u64,
) -> Result<(), JournalError> {
    for record in records {
        let run = record.run();
        if !histories.knows(run)
            && let Some(stored) = rows::load_history(connection, run)?
        {
            histories.keep(stored);
        }
        let history = histories.apply(record)?;
        rows::insert_record(connection, run, history.sequence(), record)?;
        for publication in record.publications() {
            publications::put(connection, &publication)?;
        }
        if let Some(entry) = Entry::of(record)? {
            cached::put(connection, &entry)?;
        }
        if let Some(step) = Step::of(record)? {
            schedules::advance(connection, step)?;
        }
        archive::follow(connection, record)?;
    }
    histories.for_each_of(records.iter(), |history| {
        rows::put_summary(connection, history)?;
        if history.is_snapshot_due(snapshot_every) {
            rows::put_snapshot(connection, history)?;
            history.snapshot_taken();
        }
        Ok(())
    })
}
