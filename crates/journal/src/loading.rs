//! Histories put together from rows, whatever database they come from.

use marquetry_engine::{Record, RunState};
use marquetry_types::RunId;

use crate::JournalError;
use crate::envelope::{Envelope, RECORD_VERSION, SNAPSHOT_VERSION, StoredEnvelope};
use crate::history::History;
use crate::rows::missing;

/// A run's history while its rows are read: what the table of runs says of it, its snapshot, and the
/// records after that, in their order.
///
/// What is wrong with a record is kept until [`finish`](Self::finish), because rows of other runs may
/// follow, and one run's damage is no matter of theirs.
#[derive(Debug)]
pub(crate) struct Loading {
    history: History,
    last: u64,
    damage: Option<JournalError>,
}

impl Loading {
    /// Begins with a run of `last` records. A snapshot that cannot be believed is left unread.
    pub(crate) fn begin(run: RunId, last: u64, snapshot: Option<(u64, StoredEnvelope)>) -> Self {
        let restored =
            snapshot.and_then(|(sequence, stored)| restore(&run, last, sequence, &stored));
        let history = match restored {
            Some((state, sequence)) => History::restore(run, state, sequence),
            None => History::new(run),
        };
        Self {
            history,
            last,
            damage: None,
        }
    }

    /// The place of its last record.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// How many records are wanted.
    pub(crate) const fn wanted(&self) -> u64 {
        self.last.saturating_sub(self.known())
    }

    /// The place up to which it is known: the records after it are wanted.
    pub(crate) const fn known(&self) -> u64 {
        self.history.sequence()
    }

    /// Adds the record that the database has at `sequence`.
    pub(crate) fn record(&mut self, sequence: u64, stored: &StoredEnvelope) {
        if self.damage.is_none() {
            self.damage = self.try_record(sequence, stored).err();
        }
    }

    fn try_record(&mut self, sequence: u64, stored: &StoredEnvelope) -> Result<(), JournalError> {
        let run = self.history.run();
        let expected = self.known().saturating_add(1);
        if sequence != expected {
            return Err(missing(run, expected));
        }
        let record: Record = Envelope::open(run, sequence, RECORD_VERSION, stored)?;
        self.history
            .apply(&record)
            .map_err(|error| JournalError::Damaged {
                run: record.run().clone(),
                sequence,
                reason: error.to_string(),
            })
    }

    /// The history, if its records are all there and sound.
    pub(crate) fn finish(self) -> Result<History, JournalError> {
        if let Some(damage) = self.damage {
            return Err(damage);
        }
        if self.known() != self.last {
            let first_missing = self.known().saturating_add(1);
            return Err(missing(self.history.run(), first_missing));
        }
        Ok(self.history)
    }
}

/// A snapshot of a run with `last` records, if it can be believed.
fn restore(
    run: &RunId,
    last: u64,
    sequence: u64,
    stored: &StoredEnvelope,
) -> Option<(RunState, u64)> {
    match Envelope::open(run, sequence, SNAPSHOT_VERSION, stored) {
        Ok(state) => (sequence <= last).then_some((state, sequence)),
        Err(error) => {
            tracing::warn!(%run, sequence, %error, "snapshot left unread: its records say the same");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::samples;

    fn stored(
        run: &RunId,
        sequence: u64,
        version: i64,
        value: &impl serde::Serialize,
    ) -> StoredEnvelope {
        let sealed = Envelope::seal(run, sequence, version, value).unwrap();
        StoredEnvelope {
            version: sealed.version,
            checksum: i64::from(sealed.checksum),
            payload: sealed.payload.into_bytes(),
        }
    }

    #[test]
    fn a_snapshot_saves_the_records_before_it_and_a_bad_one_saves_nothing() {
        let run = samples::run_id(1);
        let records = samples::finished_run(&run, "retail", None);
        let snapshot = stored(&run, 2, SNAPSHOT_VERSION, &samples::replayed(&records[..2]));
        let mut misplaced = snapshot.clone();
        misplaced.checksum ^= 1;
        for (snapshot, known) in [(snapshot, 2), (misplaced, 0)] {
            let mut loading = Loading::begin(run.clone(), 4, Some((2, snapshot)));
            assert_eq!(loading.known(), known);
            for sequence in known + 1..=4 {
                let record = &records[usize::try_from(sequence).unwrap() - 1];
                loading.record(sequence, &stored(&run, sequence, RECORD_VERSION, record));
            }
            let state = loading.finish().unwrap().into_stored();
            assert_eq!(state, Some(samples::replayed(&records)));
        }
    }

    #[test]
    fn the_first_record_that_is_wrong_is_named() {
        let run = samples::run_id(1);
        let records = samples::finished_run(&run, "retail", None);
        let row = |sequence: u64| {
            let record = &records[usize::try_from(sequence).unwrap() - 1];
            stored(&run, sequence, RECORD_VERSION, record)
        };
        for (rows, expected) in [
            (vec![1, 2, 4], missing(&run, 3)),
            (vec![1, 2, 3], missing(&run, 4)),
            (vec![2, 3, 4], missing(&run, 1)),
            (vec![], missing(&run, 1)),
        ] {
            let mut loading = Loading::begin(run.clone(), 4, None);
            for sequence in rows {
                loading.record(sequence, &row(sequence));
            }
            assert_eq!(loading.finish().unwrap_err(), expected);
        }
    }
}
