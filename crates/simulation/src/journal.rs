//! What a journal promises, in memory: one epoch row, a lease, records that are appended all or not at
//! all, and by the latest epoch only.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_engine::{Cached, Record, RunState, RunStatus};
use marquetry_types::{Epoch, Published, PublishedKind, PublishedName, RunId};

use crate::Mutation;

/// Why an append failed; what the caller may believe afterwards is as with the real journal's errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// Another epoch has begun: nothing was written.
    #[error("epoch {ours} was superseded by epoch {current}")]
    Fenced { ours: Epoch, current: Epoch },
    /// Nothing was written.
    #[error("the storage refuses")]
    Refused,
    /// The records may be there, may not be, or may come to be.
    #[error("the outcome is unknown")]
    Doubtful,
    /// The request id has a run already: nothing was written.
    #[error("request {0} has a run already")]
    DuplicateRequest(String),
    /// A record does not follow: nothing was written.
    #[error("{0}")]
    Inconsistent(String),
}

/// What a coordinator that takes over reads.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) published: Vec<Published>,
    pub(crate) runs: Vec<RunState>,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    epoch: Epoch,
    leader: Option<String>,
    /// Until when others leave the lead to the leader, by the storage's clock.
    leads_until: u64,
    runs: BTreeMap<RunId, RunState>,
    requests: BTreeMap<String, RunId>,
    published: BTreeMap<(PublishedKind, PublishedName), Published>,
    /// What stages gave, by their content.
    cached: BTreeMap<String, Cached>,
    mutation: Option<Mutation>,
}

impl Journal {
    pub(crate) fn new(mutation: Option<Mutation>) -> Self {
        Self {
            mutation,
            ..Self::default()
        }
    }

    /// Tries to lead: the new epoch, if nobody else does.
    pub(crate) fn campaign(&mut self, name: &str, now: u64, lease: u64) -> Option<Epoch> {
        let is_free = now >= self.leads_until || self.leader.as_deref() == Some(name);
        if !is_free {
            return None;
        }
        self.epoch = Epoch(self.epoch.0.saturating_add(1));
        self.leader = Some(name.to_owned());
        self.leads_until = now.saturating_add(lease);
        Some(self.epoch)
    }

    /// Keeps the lead; false if another epoch has begun.
    pub(crate) fn renew(&mut self, epoch: Epoch, now: u64, lease: u64) -> bool {
        let is_current = self.epoch == epoch;
        if is_current {
            self.leads_until = now.saturating_add(lease);
        }
        is_current
    }

    /// Whether an append of this epoch would be compared and found current.
    pub(crate) fn takes(&self, epoch: Epoch) -> bool {
        self.mutation == Some(Mutation::JournalIgnoresEpoch) || epoch == self.epoch
    }

    /// The request id among these records that has a run already, if there is one.
    pub(crate) fn duplicate(&self, records: &[Record]) -> Option<String> {
        if self.mutation == Some(Mutation::ForgetsRequestIds) {
            return None;
        }
        let mut new = BTreeSet::new();
        let mut ids = records.iter().filter_map(|record| match record {
            Record::RunSubmitted(submitted) => submitted.request_id.as_ref(),
            _ => None,
        });
        let known = ids.find(|id| self.requests.contains_key(*id) || !new.insert(*id));
        known.cloned()
    }

    pub(crate) fn append(&mut self, epoch: Epoch, records: &[Record]) -> Result<(), AppendError> {
        if !self.takes(epoch) {
            return Err(AppendError::Fenced {
                ours: epoch,
                current: self.epoch,
            });
        }
        if let Some(id) = self.duplicate(records) {
            return Err(AppendError::DuplicateRequest(id));
        }
        let mut changed: BTreeMap<RunId, RunState> = BTreeMap::new();
        let mut requests = BTreeMap::new();
        for record in records {
            let run = record.run();
            let inconsistent =
                |bad: marquetry_engine::BadRecord| AppendError::Inconsistent(bad.to_string());
            if let Some(state) = self.runs.get(run) {
                changed.entry(run.clone()).or_insert_with(|| state.clone());
            }
            let state = changed.get_mut(run);
            match state {
                Some(state) => state.apply(record).map_err(inconsistent)?,
                None => {
                    let state = RunState::begin(record).map_err(inconsistent)?;
                    changed.insert(run.clone(), state);
                }
            }
            if let Record::RunSubmitted(submitted) = record
                && let Some(id) = &submitted.request_id
            {
                requests.insert(id.clone(), run.clone());
            }
        }
        self.runs.extend(changed);
        self.requests.extend(requests);
        let cached = records.iter().filter_map(Record::cached);
        self.cached
            .extend(cached.map(|(key, cached)| (key.to_owned(), cached)));
        for publication in records.iter().flat_map(Record::publications) {
            let published = publication.published;
            self.published
                .insert((published.kind, published.name.clone()), published);
        }
        Ok(())
    }

    pub(crate) fn run(&self, run: &RunId) -> Option<&RunState> {
        self.runs.get(run)
    }

    pub(crate) fn cached(&self, key: &str) -> Option<&Cached> {
        self.cached.get(key)
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = &RunState> {
        self.runs.values()
    }

    pub(crate) fn find_by_request_id(&self, request_id: &str) -> Option<&RunId> {
        self.requests.get(request_id)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let running = |state: &&RunState| state.status == RunStatus::Running;
        Snapshot {
            published: self.published.values().cloned().collect(),
            runs: self.runs.values().filter(running).cloned().collect(),
        }
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }
}
