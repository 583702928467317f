//! Who watches which run, and what they are told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marquetry_proto::v1::RunSummary;
use marquetry_proto::v1::watch_run_response::Event;
use marquetry_types::RunId;
use tokio::sync::{broadcast, oneshot};

use crate::run_ends::End;

/// Notices that a slow watcher may lag behind before it is given the whole run again. The room for them is
/// made when the watch begins.
const BACKLOG: usize = 256;
/// Watched runs among which it does not pay to look for those that nobody watches any more.
const FEW: usize = 64;

/// What a watcher is told.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    /// Something became durable, or a stage said something.
    Event(Box<Event>),
    /// The journal was read again: it may hold what nobody was told of.
    LookAgain,
}

/// Watchers by run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<Watched>>);

#[derive(Debug, Default)]
struct Watched {
    runs: HashMap<RunId, broadcast::Sender<Notice>>,
    /// So many watched runs make it worth looking for those that nobody watches any more.
    many: usize,
    /// Those who wait for nothing but the end of a run.
    ends: HashMap<RunId, Vec<oneshot::Sender<RunSummary>>>,
    /// Whether there is anything to be told: only a coordinator that leads hears of changes.
    is_open: bool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on the receiver gets every notice of the run.
    pub(crate) fn watch(&self, run: &RunId) -> broadcast::Receiver<Notice> {
        let mut watched = self.lock();
        if !watched.is_open {
            return broadcast::channel(1).1;
        }
        if watched.runs.len() >= watched.many.max(FEW) {
            watched.runs.retain(|_, sender| sender.receiver_count() > 0);
            watched.many = watched.runs.len().saturating_mul(2);
        }
        let sender = watched
            .runs
            .entry(run.clone())
            .or_insert_with(|| broadcast::channel(BACKLOG).0);
        sender.subscribe()
    }

    /// Tells those who watch the run, if anybody does and there is something to tell.
    pub(crate) fn tell<E: Into<Option<Event>>>(&self, run: &RunId, event: impl FnOnce() -> E) {
        if let Some(sender) = self.lock().runs.get(run)
            && let Some(event) = event().into()
        {
            // No receiver is no error: the last one has just gone.
            let _ = sender.send(Notice::Event(Box::new(event)));
        }
    }

    /// Fires when the run has ended. `None` where nothing will be told.
    pub(crate) fn end_of(&self, run: &RunId) -> Option<End> {
        let (end, ended) = oneshot::channel();
        let mut watched = self.lock();
        if !watched.is_open {
            return None;
        }
        let waiting = watched.ends.entry(run.clone()).or_default();
        waiting.retain(|end| !end.is_closed());
        waiting.push(end);
        Some(ended)
    }

    /// Tells those who wait for its end that a run has ended.
    pub(crate) fn ended(&self, run: &RunId, summary: impl FnOnce() -> RunSummary) {
        let Some(waiting) = self.lock().ends.remove(run) else {
            return;
        };
        let summary = summary();
        for end in waiting {
            // Who no longer waits is no error.
            let _ = end.send(summary.clone());
        }
    }

    /// Nobody waits for the end of a run that did not begin.
    pub(crate) fn forget(&self, run: &RunId) {
        self.lock().ends.remove(run);
    }

    /// Tells everybody to look at the journal again.
    pub(crate) fn tell_to_look_again(&self) {
        let mut watched = self.lock();
        for sender in watched.runs.values() {
            let _ = sender.send(Notice::LookAgain);
        }
        watched.ends.clear();
    }

    /// Takes watchers: a reign begins.
    pub(crate) fn open(&self) {
        self.lock().is_open = true;
    }

    /// Lets go of all watchers, and of those who come until it is opened again: nothing will be told.
    pub(crate) fn close(&self) {
        let mut watched = self.lock();
        watched.is_open = false;
        watched.runs.clear();
        watched.ends.clear();
    }
}
