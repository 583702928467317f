//! A journal that fails, or holds, the nth commit: before or after it took effect.
//!
//! A commit is any call that writes. What a coordinator must survive is not only the refusal but the
//! doubt: an error after the records became durable, and one before, look the same.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use marquetry_engine::Record;
use marquetry_types::Epoch;
use tokio::sync::Semaphore;

use crate::journal::ReadThrough;
use crate::{Campaign, Candidate, Journal, JournalError, JournalReader};

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

/// Where a held commit waits. The test waits for it to come, looks around, and lets it go on.
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

    /// Waits until the commit stands at the gate.
    pub async fn reached(&self) {
        // Never closed, so there is no error; the permit stays taken by nobody.
        let _ = self.arrived.acquire().await;
    }

    /// Lets the commit go on.
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
    commits: u64,
    planned: BTreeMap<u64, Fault>,
    observer: Option<Observer>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        formatter
            .debug_struct("Faults")
            .field("commits", &state.commits)
            .field("planned", &state.planned)
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
        self.lock().planned.insert(number, fault);
    }

    /// Plans a fault for the next commit.
    pub fn plan_next(&self, fault: Fault) {
        let mut state = self.lock();
        let next = state.commits.saturating_add(1);
        state.planned.insert(next, fault);
    }

    /// How many commits there were, failed ones included: a sweep over all of them ends here.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// Shows every batch of records to `observer` before it is committed, so that a test can check
    /// that what they name is durable already.
    pub fn observe(&self, observer: impl Fn(&[Record]) + Send + Sync + 'static) {
        self.lock().observer = Some(Arc::new(observer));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Fault> {
        let mut state = self.lock();
        state.commits = state.commits.saturating_add(1);
        let number = state.commits;
        state.planned.remove(&number)
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
        match self.faults.next() {
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

impl<J: Journal> ReadThrough for FaultyJournal<J> {
    fn reader(&self) -> &dyn JournalReader {
        &self.inner
    }
}
