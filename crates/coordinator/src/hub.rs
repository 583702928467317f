//! Who watches which run, and what they are told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use marquetry_proto::v1::watch_run_response::Event;
use marquetry_types::RunId;
use tokio::sync::broadcast;

/// Events that a slow watcher may lag behind before it is given the whole run again.
const BACKLOG: usize = 1024;

/// Watchers by run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<HashMap<RunId, broadcast::Sender<Event>>>>);

impl Hub {
    /// From here on the receiver gets every event of the run.
    pub(crate) fn watch(&self, run: &RunId) -> broadcast::Receiver<Event> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Runs that nobody watches any more leave no trace.
        watched.retain(|_, sender| sender.receiver_count() > 0);
        let sender = watched
            .entry(run.clone())
            .or_insert_with(|| broadcast::channel(BACKLOG).0);
        sender.subscribe()
    }

    /// Tells those who watch the run, if anybody does.
    pub(crate) fn tell(&self, run: &RunId, event: impl FnOnce() -> Event) {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = watched.get(run) {
            // No receiver is no error: the last one has just gone.
            let _ = sender.send(event());
        }
    }
}
