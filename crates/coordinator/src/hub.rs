//! Who watches which run, and what they are told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marquetry_proto::v1::watch_run_response::Event;
use marquetry_types::RunId;
use tokio::sync::broadcast;

/// Notices that a slow watcher may lag behind before it is given the whole run again.
const BACKLOG: usize = 1024;

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
        // Runs that nobody watches any more leave no trace.
        watched.runs.retain(|_, sender| sender.receiver_count() > 0);
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

    /// Tells everybody to look at the journal again.
    pub(crate) fn tell_to_look_again(&self) {
        for sender in self.lock().runs.values() {
            let _ = sender.send(Notice::LookAgain);
        }
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
    }
}
