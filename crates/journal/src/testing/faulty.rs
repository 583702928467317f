//! A journal that fails, or holds, the nth commit, before or after it took effect, or the nth reading.
//!
//! A commit is any call that writes. What a coordinator must survive is not only the refusal but the
//! doubt: an error after the records became durable, and one before, look the same. A reading is any call
//! that does not write; it fails or it does not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use marquetry_engine::{Record, RunState, RunSummary};
use marquetry_types::{Epoch, Publication, PublishedKind, PublishedName, RunId};
use tokio::sync::Semaphore;

use crate::{
    Campaign, Candidate, Journal, JournalError, JournalReader, Leader, Page, RunFilter, Unfinished,
};

/// What happens to a commit.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It has no effect, and the caller is told so.
    Refused,
    /// It has no effect, but the caller is told that it may have.
    DoubtfulBefore,
    /// It has its effect, but the caller is told that it may not have.
    DoubtfulAfter,
    /// It waits at the gate, then has its effect.
    HeldBefore(Gate),
    /// It has its effect, then waits at the gate before the caller hears of it.
    HeldAfter(Gate),
}

/// What happens to a reading.
#[derive(Debug, Clone)]
pub enum ReadFault {
    /// It fails, and the caller is told so.
    Refused,
    /// It waits at the gate, then reads what is there.
    Held(Gate),
}

/// Where what is held waits. The test waits for it to come, looks around, and lets it go on.
#[derive(Debug, Clone)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    opened: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            arrived: Arc::new(Semaphore::new(0)),
            opened: Arc::new(Semaphore::new(0)),
        }
    }
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until somebody stands at the gate.
    pub async fn reached(&self) {
        // Never closed, so there is no error; the permit stays taken by nobody.
        let _ = self.arrived.acquire().await;
    }

    /// Lets it go on.
    pub fn open(&self) {
        self.opened.add_permits(1);
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        let _ = self.opened.acquire().await;
    }
}

type Observer = Arc<dyn Fn(&[Record]) + Send + Sync>;

/// The faults to come, shared with the journal that has them.
#[derive(Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    commits: Plan<Fault>,
    reads: Plan<ReadFault>,
    observer: Option<Observer>,
}

/// Calls that are counted, and what is to happen to some of them.
#[derive(Debug)]
struct Plan<F> {
    calls: u64,
    faults: BTreeMap<u64, F>,
}

impl<F> Default for Plan<F> {
    fn default() -> Self {
        Self {
            calls: 0,
            faults: BTreeMap::new(),
        }
    }
}

impl<F> Plan<F> {
    fn put(&mut self, number: u64, fault: F) {
        self.faults.insert(number, fault);
    }

    fn put_next(&mut self, fault: F) {
        self.put(self.calls.saturating_add(1), fault);
    }

    /// Counts a call.
    fn next(&mut self) -> Option<F> {
        self.calls = self.calls.saturating_add(1);
        self.faults.remove(&self.calls)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        formatter
            .debug_struct("Faults")
            .field("commits", &state.commits)
            .field("reads", &state.reads)
            .finish_non_exhaustive()
    }
}

impl Faults {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Plans a fault for the `number`th commit, counted from 1 over the journal's life.
    pub fn plan(&self, number: u64, fault: Fault) {
        self.lock().commits.put(number, fault);
    }

    /// Plans a fault for the next commit.
    pub fn plan_next(&self, fault: Fault) {
        self.lock().commits.put_next(fault);
    }

    /// Plans a fault for the `number`th reading, counted from 1 over the journal's life.
    pub fn plan_read(&self, number: u64, fault: ReadFault) {
        self.lock().reads.put(number, fault);
    }

    /// Plans a fault for the next reading.
    pub fn plan_next_read(&self, fault: ReadFault) {
        self.lock().reads.put_next(fault);
    }

    /// How many commits there were, failed ones included: a sweep over all of them ends here.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.lock().commits.calls
    }

    /// How many readings there were, failed ones included.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.lock().reads.calls
    }

    /// Shows every batch of records to `observer` before it is committed, so that a test can check
    /// that what they name is durable already.
    pub fn observe(&self, observer: impl Fn(&[Record]) + Send + Sync + 'static) {
        self.lock().observer = Some(Arc::new(observer));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A journal with faults in front of a real one.
#[derive(Debug)]
pub struct FaultyJournal<J> {
    inner: J,
    faults: Faults,
}

impl<J: Journal> FaultyJournal<J> {
    /// Puts `faults` in front of `inner`.
    pub fn new(inner: J, faults: Faults) -> Self {
        Self { inner, faults }
    }

    async fn commit<T>(
        &self,
        commit: impl Future<Output = Result<T, JournalError>> + Send,
    ) -> Result<T, JournalError> {
        let doubtful = || JournalError::Doubtful {
            reason: "a planned fault".to_owned(),
        };
        let fault = self.faults.lock().commits.next();
        match fault {
            None => commit.await,
            Some(Fault::Refused) => Err(JournalError::Storage {
                doing: "write to the journal",
                reason: "a planned fault".to_owned(),
            }),
            Some(Fault::DoubtfulBefore) => Err(doubtful()),
            Some(Fault::DoubtfulAfter) => {
                commit.await?;
                Err(doubtful())
            }
            Some(Fault::HeldBefore(gate)) => {
                gate.pass().await;
                commit.await
            }
            Some(Fault::HeldAfter(gate)) => {
                let result = commit.await;
                gate.pass().await;
                result
            }
        }
    }

    async fn read<T>(
        &self,
        reading: impl Future<Output = Result<T, JournalError>> + Send,
    ) -> Result<T, JournalError> {
        let fault = self.faults.lock().reads.next();
        match fault {
            None => reading.await,
            Some(ReadFault::Refused) => Err(JournalError::Storage {
                doing: "read the journal",
                reason: "a planned fault".to_owned(),
            }),
            Some(ReadFault::Held(gate)) => {
                gate.pass().await;
                reading.await
            }
        }
    }
}

#[async_trait]
impl<J: Journal> Journal for FaultyJournal<J> {
    async fn campaign(&self, candidate: &Candidate) -> Result<Campaign, JournalError> {
        self.commit(self.inner.campaign(candidate)).await
    }

    /// Never fails by plan: it comes when the clock says, so counting it would move every fault.
    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<(), JournalError> {
        self.inner.renew(epoch, lease).await
    }

    async fn resign(&self, epoch: Epoch) -> Result<(), JournalError> {
        self.inner.resign(epoch).await
    }

    async fn append(&self, epoch: Epoch, records: Vec<Record>) -> Result<(), JournalError> {
        let observer = self.faults.lock().observer.clone();
        if let Some(observer) = observer {
            observer(&records);
        }
        self.commit(self.inner.append(epoch, records)).await
    }

    async fn put_bundle(&self, digest: &str, bytes: Vec<u8>) -> Result<(), JournalError> {
        self.commit(self.inner.put_bundle(digest, bytes)).await
    }
}

#[async_trait]
impl<J: Journal> JournalReader for FaultyJournal<J> {
    async fn list_runs(
        &self,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Vec<RunSummary>, JournalError> {
        self.read(self.inner.list_runs(filter, page)).await
    }

    async fn load_run(&self, run: &RunId) -> Result<RunState, JournalError> {
        self.read(self.inner.load_run(run)).await
    }

    async fn load_unfinished(&self) -> Result<Unfinished, JournalError> {
        self.read(self.inner.load_unfinished()).await
    }

    async fn find_by_request_id(
        &self,
        request_id: &str,
    ) -> Result<Option<RunSummary>, JournalError> {
        self.read(self.inner.find_by_request_id(request_id)).await
    }

    async fn find_runs_by_prefix(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, JournalError> {
        self.read(self.inner.find_runs_by_prefix(prefix, limit))
            .await
    }

    async fn list_published(
        &self,
        kind: Option<PublishedKind>,
    ) -> Result<Vec<Publication>, JournalError> {
        self.read(self.inner.list_published(kind)).await
    }

    async fn published_versions(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        limit: usize,
    ) -> Result<Vec<Publication>, JournalError> {
        self.read(self.inner.published_versions(kind, name, limit))
            .await
    }

    async fn find_published(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        version: Option<u64>,
    ) -> Result<Option<Publication>, JournalError> {
        self.read(self.inner.find_published(kind, name, version))
            .await
    }

    async fn get_bundle(&self, digest: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.read(self.inner.get_bundle(digest)).await
    }

    async fn leader(&self) -> Result<Option<Leader>, JournalError> {
        self.read(self.inner.leader()).await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::SqliteJournal;
    use crate::testing::samples;

    #[tokio::test]
    async fn readings_are_counted_refused_and_held() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteJournal::open(folder.path().join("journal.db")).unwrap();
        let faults = Faults::new();
        let journal = Arc::new(FaultyJournal::new(sqlite, faults.clone()));
        let epoch = samples::lead(journal.as_ref()).await;
        let run = samples::run_id(1);

        faults.plan_read(2, ReadFault::Refused);
        let unknown = JournalError::UnknownRun { run: run.clone() };
        assert_eq!(journal.load_run(&run).await, Err(unknown.clone()));
        let refused = journal.load_run(&run).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot read the journal: a planned fault"
        );
        assert_eq!(journal.load_run(&run).await, Err(unknown));
        assert_eq!((faults.reads(), faults.commits()), (3, 1));

        let gate = Gate::new();
        faults.plan_next_read(ReadFault::Held(gate.clone()));
        let held = tokio::spawn({
            let (journal, run) = (Arc::clone(&journal), run.clone());
            async move { journal.load_run(&run).await }
        });
        gate.reached().await;
        let records = samples::begun_run(&run, "retail", None);
        journal.append(epoch, records.clone()).await.unwrap();
        gate.open();
        assert_eq!(held.await.unwrap(), Ok(samples::replayed(&records)));
    }
}
