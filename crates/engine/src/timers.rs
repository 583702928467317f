//! Times at which the engine has to look again.

use std::collections::BTreeSet;

use marquetry_types::{FencingToken, RunId, StageName, Timestamp, WorkerId};

/// Why the engine wants to look again. A timer may have lost its cause by the time that it is due;
/// whoever handles it checks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A stage's next attempt may begin.
    Retry(RunId, StageName),
    /// A worker may have been silent for too long.
    Lease(WorkerId),
    /// A worker may not have come back in time; the connection that it had then.
    Grace(WorkerId, u64),
    /// A stage may have outlived its own timeout, all attempts included.
    Deadline(RunId, StageName),
    /// A stage may wait for a run that could not be restored.
    Child(RunId, StageName),
    /// A bucket has a token again.
    Token(String),
    /// An attempt may have outlived its stage's timeout.
    Timeout(FencingToken),
}

/// Timers by when they are due.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    pub(crate) fn arm(&mut self, at: Timestamp, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
