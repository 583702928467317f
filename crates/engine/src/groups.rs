//! Concurrency groups: which runs of each may run, and which wait for them to end.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_types::RunId;

/// The runs of one group that have not ended.
#[derive(Debug, Clone, Default)]
struct Group {
    active: BTreeSet<RunId>,
    /// By place: first come, first served.
    queued: BTreeSet<(u64, RunId)>,
}

/// Every group that has a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups(BTreeMap<String, Group>);

impl Groups {
    /// A run that is admitted already takes its place among those that run.
    pub(crate) fn activate(&mut self, name: &str, run: RunId) {
        self.0
            .entry(name.to_owned())
            .or_default()
            .active
            .insert(run);
    }

    pub(crate) fn queue(&mut self, name: &str, place: u64, run: RunId) {
        let group = self.0.entry(name.to_owned()).or_default();
        group.queued.insert((place, run));
    }

    /// Whether a run that waits may begin: it is the first, and fewer than `limit` run.
    pub(crate) fn may_begin(&self, name: &str, run: &RunId, limit: usize) -> bool {
        self.0.get(name).is_some_and(|group| {
            let is_first = group.queued.first().is_some_and(|(_, first)| first == run);
            is_first && group.active.len() < limit
        })
    }

    /// A run that waited begins.
    pub(crate) fn begin(&mut self, name: &str, run: &RunId) {
        if let Some(group) = self.0.get_mut(name) {
            group.queued.retain(|(_, queued)| queued != run);
            group.active.insert(run.clone());
        }
    }

    /// A run ended, or is gone.
    pub(crate) fn leave(&mut self, name: &str, run: &RunId) {
        if let Some(group) = self.0.get_mut(name) {
            group.active.remove(run);
            group.queued.retain(|(_, queued)| queued != run);
            if group.active.is_empty() && group.queued.is_empty() {
                self.0.remove(name);
            }
        }
    }

    /// The run that may begin next.
    pub(crate) fn next(&self, name: &str) -> Option<&RunId> {
        self.0.get(name)?.queued.first().map(|(_, run)| run)
    }

    /// The runs of a group that run.
    pub(crate) fn active(&self, name: &str) -> impl Iterator<Item = &RunId> {
        self.0.get(name).into_iter().flat_map(|group| &group.active)
    }

    /// The runs of a group that run or wait.
    pub(crate) fn members(&self, name: &str) -> impl Iterator<Item = &RunId> {
        let queued = self.0.get(name).into_iter().flat_map(|group| &group.queued);
        self.active(name).chain(queued.map(|(_, run)| run))
    }
}
