//! What is to happen to which call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marquetry_engine::Record;
use tokio::sync::Semaphore;

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

    pub(super) async fn pass(&self) {
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

    /// Counts a commit, and says what is to happen to it.
    pub(super) fn next_commit(&self) -> Option<Fault> {
        self.lock().commits.next()
    }

    /// Counts a reading, and says what is to happen to it.
    pub(super) fn next_read(&self) -> Option<ReadFault> {
        self.lock().reads.next()
    }

    /// Shows records to whoever observes.
    pub(super) fn show(&self, records: &[Record]) {
        let observer = self.lock().observer.clone();
        if let Some(observer) = observer {
            observer(records);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
