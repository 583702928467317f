//! The workers that the engine knows: who is there, what each can do and what it holds.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_types::{FencingToken, StageKind, Timestamp, WorkerId};

use crate::{Assignment, WorkerHello};

/// A worker as its hello, its heartbeats and its grants make it.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) session: u64,
    pub(crate) is_connected: bool,
    pub(crate) last_seen: Timestamp,
    slots: usize,
    kinds: BTreeSet<StageKind>,
    /// Grants that have not ended.
    pub(crate) granted: BTreeSet<FencingToken>,
    /// Assignments of this connection that no heartbeat listed yet.
    unconfirmed: BTreeMap<FencingToken, Unconfirmed>,
}

/// An assignment that may not have arrived.
#[derive(Debug, Clone)]
struct Unconfirmed {
    assignment: Assignment,
    /// A heartbeat did not list it. It may have been on its way then: the next one decides.
    was_missed: bool,
}

impl Worker {
    /// Takes notice of what a heartbeat lists. Gives the assignments that are missing in two heartbeats
    /// in a row: they got lost. Pushing one once more is harmless where it did not.
    pub(crate) fn unheard(&mut self, held: &[FencingToken]) -> Vec<Assignment> {
        for token in held {
            self.unconfirmed.remove(token);
        }
        let mut lost = Vec::new();
        for unconfirmed in self.unconfirmed.values_mut() {
            if std::mem::replace(&mut unconfirmed.was_missed, true) {
                lost.push(unconfirmed.assignment.clone());
            }
        }
        lost
    }

    fn free_slots(&self) -> usize {
        if self.is_connected {
            self.slots.saturating_sub(self.granted.len())
        } else {
            0
        }
    }
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workers(BTreeMap<WorkerId, Worker>);

impl Workers {
    pub(crate) fn get(&self, id: &WorkerId) -> Option<&Worker> {
        self.0.get(id)
    }

    /// The worker, if `session` is its current connection: what an older one says is void.
    pub(crate) fn current(&mut self, id: &WorkerId, session: u64) -> Option<&mut Worker> {
        self.0
            .get_mut(id)
            .filter(|worker| worker.is_connected && worker.session == session)
    }

    /// Takes a worker in; what it was granted before stays granted. None if its hello is older than
    /// the connection that it has.
    pub(crate) fn connect(&mut self, hello: &WorkerHello, now: Timestamp) -> Option<&Worker> {
        let known = self.0.get(&hello.worker);
        if known.is_some_and(|known| known.session > hello.session) {
            return None;
        }
        let granted = known.map(|known| known.granted.clone()).unwrap_or_default();
        let worker = Worker {
            session: hello.session,
            is_connected: true,
            last_seen: now,
            slots: usize::try_from(hello.slots).unwrap_or(usize::MAX),
            kinds: hello.kinds.clone(),
            granted,
            unconfirmed: BTreeMap::new(),
        };
        self.0.insert(hello.worker.clone(), worker);
        self.0.get(&hello.worker)
    }

    /// A worker that an earlier reign granted something: not seen yet.
    pub(crate) fn expect(&mut self, id: &WorkerId, token: FencingToken, now: Timestamp) {
        let absent = || Worker {
            session: 0,
            is_connected: false,
            last_seen: now,
            slots: 0,
            kinds: BTreeSet::new(),
            granted: BTreeSet::new(),
            unconfirmed: BTreeMap::new(),
        };
        self.0
            .entry(id.clone())
            .or_insert_with(absent)
            .granted
            .insert(token);
    }

    pub(crate) fn disconnect(&mut self, id: &WorkerId) {
        if let Some(worker) = self.0.get_mut(id) {
            worker.is_connected = false;
        }
    }

    pub(crate) fn remove(&mut self, id: &WorkerId) {
        self.0.remove(id);
    }

    pub(crate) fn grant(&mut self, id: &WorkerId, assignment: Assignment) {
        if let Some(worker) = self.0.get_mut(id) {
            let token = assignment.token.clone();
            worker.granted.insert(token.clone());
            let unconfirmed = Unconfirmed {
                assignment,
                was_missed: false,
            };
            worker.unconfirmed.insert(token, unconfirmed);
        }
    }

    pub(crate) fn release(&mut self, id: &WorkerId, token: &FencingToken) {
        if let Some(worker) = self.0.get_mut(id) {
            worker.granted.remove(token);
            worker.unconfirmed.remove(token);
        }
    }

    pub(crate) fn has_free_slot(&self) -> bool {
        self.0.values().any(|worker| worker.free_slots() > 0)
    }

    /// The least loaded worker that has the kind and a free slot; of equals the first by name.
    pub(crate) fn least_loaded(&self, kind: &StageKind) -> Option<(WorkerId, u64)> {
        let able = self
            .0
            .iter()
            .filter(|(_, worker)| worker.free_slots() > 0 && worker.kinds.contains(kind));
        let (id, worker) = able.min_by_key(|(_, worker)| worker.granted.len())?;
        Some((id.clone(), worker.session))
    }
}
