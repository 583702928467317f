//! Workflows that were submitted lately: whoever submits one a thousand times has it read, checked and kept
//! once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marquetry_proto::v1;
use marquetry_types::{Epoch, Timestamp};
use marquetry_workflow::Workflow;

/// Workflows that are remembered at most.
const WORKFLOWS: usize = 64;
/// A bundle of more bytes is not remembered: reading it takes long, but so does holding on to it.
const LARGEST: usize = 256 * 1024;
/// How long one is remembered: less than the day for which the journal keeps a bundle that nobody uses
/// (`upkeep`), so that what is remembered is there.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// What a client sent, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// `None` for a bundle that is too large to be remembered.
    pub(crate) fn of(bundle: &v1::WorkflowBundle) -> Option<Self> {
        let size = |(path, text): (&String, &String)| path.len().saturating_add(text.len());
        let total: usize = bundle.files.iter().map(size).sum();
        if total > LARGEST {
            return None;
        }
        let mut files: Vec<_> = bundle.files.iter().collect();
        files.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            // With its length, so that no two lists of texts read the same.
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        add(&bundle.entry);
        for (path, text) in files {
            add(path);
            add(text);
        }
        Some(Self(*hasher.finalize().as_bytes()))
    }
}

/// A workflow that was read, and whose files the journal keeps.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) workflow: Arc<Workflow>,
    /// The digest under which the journal keeps its files.
    pub(crate) bundle: String,
}

/// The workflows that were used last, in this epoch: another coordinator may have tidied the journal in
/// between.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentWorkflows(Arc<Mutex<Recent>>);

#[derive(Debug, Default)]
struct Recent {
    epoch: Epoch,
    known: HashMap<Key, Entry>,
    /// Counts uses: the smallest one is the longest ago.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    used: u64,
    put_at: Timestamp,
}

impl RecentWorkflows {
    pub(crate) fn get(&self, epoch: Epoch, key: &Key) -> Option<Known> {
        self.get_at(epoch, key, Timestamp::now())
    }

    fn get_at(&self, epoch: Epoch, key: &Key, now: Timestamp) -> Option<Known> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.epoch != epoch {
            return None;
        }
        recent.uses += 1;
        let uses = recent.uses;
        let entry = recent.known.get_mut(key)?;
        if now.saturating_since(entry.put_at) > LONGEST {
            return None;
        }
        entry.used = uses;
        Some(entry.known.clone())
    }

    pub(crate) fn put(&self, epoch: Epoch, key: Key, known: Known) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.epoch != epoch {
            recent.known.clear();
            recent.epoch = epoch;
        }
        if recent.known.len() >= WORKFLOWS
            && let Some(oldest) = recent.known.iter().min_by_key(|(_, entry)| entry.used)
        {
            let oldest = *oldest.0;
            recent.known.remove(&oldest);
        }
        recent.uses += 1;
        let entry = Entry {
            known,
            used: recent.uses,
            put_at: Timestamp::now(),
        };
        recent.known.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use marquetry_journal::testing::samples;

    use super::*;

    fn bundle(text: &str) -> v1::WorkflowBundle {
        v1::WorkflowBundle {
            entry: "w.yaml".to_owned(),
            files: [("w.yaml".to_owned(), text.to_owned())].into(),
        }
    }

    fn known(bundle: &str) -> Known {
        Known {
            workflow: samples::deployment("retail", bundle).workflow.into(),
            bundle: bundle.to_owned(),
        }
    }

    #[test]
    fn a_key_is_the_content_whatever_the_order_of_files() {
        let key = |files: &[(&str, &str)]| {
            let files = files
                .iter()
                .map(|(path, text)| ((*path).into(), (*text).into()));
            Key::of(&v1::WorkflowBundle {
                entry: "a".to_owned(),
                files: files.collect(),
            })
            .unwrap()
        };
        assert_eq!(
            key(&[("a", "1"), ("b", "2")]),
            key(&[("b", "2"), ("a", "1")])
        );
        assert_ne!(
            key(&[("a", "1"), ("b", "2")]),
            key(&[("a", "1b"), ("", "2")])
        );
        assert_ne!(key(&[("a", "1")]), key(&[("a", "2")]));
        assert!(Key::of(&bundle(&"x".repeat(LARGEST + 1))).is_none());
    }

    #[test]
    fn the_one_unused_for_longest_goes_and_none_outlives_its_epoch() {
        let recent = RecentWorkflows::default();
        let key = |number: usize| Key::of(&bundle(&number.to_string())).unwrap();
        for number in 0..WORKFLOWS {
            recent.put(Epoch(1), key(number), known(&number.to_string()));
        }
        assert_eq!(recent.get(Epoch(1), &key(0)).unwrap().bundle, "0");
        recent.put(Epoch(1), key(WORKFLOWS), known("new"));
        assert!(recent.get(Epoch(1), &key(1)).is_none(), "it was used first");
        assert!(recent.get(Epoch(1), &key(0)).is_some());
        assert!(recent.get(Epoch(2), &key(0)).is_none());
        recent.put(Epoch(2), key(5), known("5"));
        assert!(recent.get(Epoch(2), &key(0)).is_none());
        let late = Timestamp::now().saturating_add(LONGEST + Duration::from_secs(1));
        assert!(recent.get_at(Epoch(2), &key(5), late).is_none());
        assert!(recent.get(Epoch(2), &key(5)).is_some());
    }
}
