//! A run as its records tell it so far, and how many there are.

use marquetry_engine::{BadRecord, Record, RunState};
use marquetry_types::RunId;

use crate::{JournalError, StoredRun};

/// The fold of a run's records up to [`sequence`](Self::sequence).
#[derive(Debug, Clone)]
pub(crate) struct History {
    run: RunId,
    /// Nothing before the first record.
    state: Option<RunState>,
    sequence: u64,
    snapshot: u64,
}

impl History {
    /// A run without records.
    pub(crate) const fn new(run: RunId) -> Self {
        Self {
            run,
            state: None,
            sequence: 0,
            snapshot: 0,
        }
    }

    /// A run as a snapshot after record `sequence` has it.
    pub(crate) const fn restore(run: RunId, state: RunState, sequence: u64) -> Self {
        Self {
            run,
            state: Some(state),
            sequence,
            snapshot: sequence,
        }
    }

    /// Adds the next record. After an error the history is spoilt and must be dropped.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), JournalError> {
        let inconsistent = |bad: BadRecord| JournalError::Inconsistent {
            run: bad.run,
            reason: bad.what,
        };
        match &mut self.state {
            Some(state) => state.apply(record).map_err(inconsistent)?,
            None => self.state = Some(RunState::begin(record).map_err(inconsistent)?),
        }
        self.sequence = self.sequence.saturating_add(1);
        Ok(())
    }

    pub(crate) const fn run(&self) -> &RunId {
        &self.run
    }

    pub(crate) const fn state(&self) -> Option<&RunState> {
        self.state.as_ref()
    }

    /// How many records there are; the last one's place.
    pub(crate) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether a snapshot is due that is written after every so many records of an unfinished run.
    pub(crate) fn is_snapshot_due(&self, every: u64) -> bool {
        !self.is_finished() && self.sequence.saturating_sub(self.snapshot) >= every
    }

    /// Remembers that a snapshot was written here.
    pub(crate) const fn snapshot_taken(&mut self) {
        self.snapshot = self.sequence;
    }

    /// Whether the run has ended, so that no more records are expected.
    pub(crate) fn is_finished(&self) -> bool {
        self.state
            .as_ref()
            .is_some_and(|state| state.summary().finished_at.is_some())
    }

    /// What readers get.
    pub(crate) fn into_stored(self) -> Option<RunState> {
        self.state
    }

    /// The same, with how many records there are.
    pub(crate) fn into_counted(self) -> Option<StoredRun> {
        let records = self.sequence;
        self.state.map(|state| StoredRun { state, records })
    }
}
