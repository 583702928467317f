//! How finished runs leave the journal: they wait in a line until they are archived elsewhere, and what is
//! archived may be discarded.
//!
//! - A run enters the line in the commit that ends it, and leaves it in the commit that resumes it.
//! - A batch is planned, written elsewhere, and only then said to be archived. Until then planning gives the
//!   same batch again, whoever asks: what was written before a crash is written once more, under the same
//!   number. A run that was resumed meanwhile is no longer in it.
//! - Only what is in no line is discarded. Request ids stay, so that a request begins nothing twice, and so do
//!   bundles that a run, a deployment or a submission under way may need.

use marquetry_engine::RunState;
use marquetry_types::{Epoch, RunId, Timestamp};

/// Finished runs that are to be archived together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveBatch {
    /// Counted from 1. With [`epoch`](Self::epoch) it is the batch's name for ever.
    pub number: u64,
    /// The epoch that planned it, which need not be the present one.
    pub epoch: Epoch,
    /// Its runs, the first that finished first.
    pub runs: Vec<RunId>,
}

/// A run with the number of its records, which tells two states of a run apart.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// The run.
    pub state: RunState,
    /// How many records it has.
    pub records: u64,
}

/// How much waits to be archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Runs, counted up to the limit that was asked for.
    pub runs: u64,
    /// When the first of them finished.
    pub oldest: Option<Timestamp>,
}

/// A place in the order in which runs finished: after those that finished before [`at`](Self::at), and, of
/// those that finished then, after [`run`](Self::run).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FinishedThrough {
    /// An instant.
    pub at: Timestamp,
    /// The last run of those that finished at it; none of them.
    pub run: Option<RunId>,
}

impl FinishedThrough {
    /// What rows of `(finished_at, run_id)` are below. `~` sorts after every letter of an id.
    pub(crate) fn bound(&self) -> (i64, String) {
        let run = self.run.as_ref().map(|run| format!("{run}~"));
        (self.at.as_millis(), run.unwrap_or_default())
    }
}

/// What to discard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discard {
    /// Runs up to here.
    pub through: FinishedThrough,
    /// At most so many runs in one commit.
    pub runs: u32,
    /// At most so many records in one commit; what is left of a run is discarded by the next.
    pub records: u32,
    /// Bundles that nobody uses and that were not put since then go, too: somebody may have put one to submit
    /// a run that uses it.
    pub bundles_put_before: Timestamp,
}

/// What was discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discarded {
    /// Runs that are no longer there.
    pub runs: u64,
    /// Records that were deleted.
    pub records: u64,
    /// Bundles that were deleted.
    pub bundles: u64,
    /// Whether nothing is left of what was asked for.
    pub is_done: bool,
}
