//! Histories that stay in memory between commits, so that a run that goes on is not read again.

use std::collections::{HashMap, HashSet};

use marquetry_engine::Record;
use marquetry_types::RunId;

use crate::JournalError;
use crate::history::History;

/// Runs whose histories are kept at most; beyond it they are read again when they go on.
const MOST: usize = 4096;

/// Unfinished runs as their committed records tell them. Only a cache: whoever writes forgets what was
/// refused or is in doubt, and reads it again.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    kept: HashMap<RunId, History>,
}

impl Histories {
    /// Whether a run need not be read.
    pub(crate) fn knows(&self, run: &RunId) -> bool {
        self.kept.contains_key(run)
    }

    /// Keeps what was read.
    pub(crate) fn keep(&mut self, history: History) {
        self.kept.insert(history.run().clone(), history);
    }

    /// Adds the next record of a run; one that is not kept is a new run.
    ///
    /// # Errors
    /// It does not continue the run, whose history is spoilt and must be forgotten.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<&History, JournalError> {
        let run = record.run();
        let history = self
            .kept
            .entry(run.clone())
            .or_insert_with(|| History::new(run.clone()));
        history.apply(record)?;
        Ok(history)
    }

    /// Calls `put` with the history of each run among `records`, once, in the order in which they
    /// appear.
    pub(crate) fn for_each_of<'r>(
        &mut self,
        records: impl Iterator<Item = &'r Record>,
        mut put: impl FnMut(&mut History) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut seen = HashSet::new();
        for run in records.map(Record::run) {
            if seen.insert(run)
                && let Some(history) = self.kept.get_mut(run)
            {
                put(history)?;
            }
        }
        Ok(())
    }

    /// Forgets the runs of these records.
    pub(crate) fn forget<'r>(&mut self, records: impl Iterator<Item = &'r Record>) {
        for record in records {
            self.kept.remove(record.run());
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Lets go what will hardly be asked for, between two commits.
    pub(crate) fn tidy(&mut self) {
        self.kept.retain(|_, history| !history.is_finished());
        if self.kept.len() > MOST {
            self.kept.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::samples;

    #[test]
    fn unfinished_runs_are_kept_and_what_is_forgotten_is_gone() {
        let (ended, begun) = (samples::run_id(1), samples::run_id(2));
        let mut records = samples::finished_run(&ended, "retail", None);
        records.extend(samples::begun_run(&begun, "retail", None));
        let mut histories = Histories::default();
        for record in &records {
            histories.apply(record).unwrap();
        }
        let mut seen = Vec::new();
        let looked = histories.for_each_of(records.iter(), |history| {
            seen.push((history.run().clone(), history.sequence()));
            Ok(())
        });
        looked.unwrap();
        assert_eq!(seen, [(ended.clone(), 4), (begun.clone(), 2)]);
        histories.tidy();
        assert!(!histories.knows(&ended) && histories.knows(&begun));
        histories.forget(records.iter());
        assert!(!histories.knows(&begun));
    }
}
