//! The workers that the engine knows: who is there, what each can do and what it holds.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_types::{FencingToken, Peer, QueueName, StageKind, Timestamp, WorkerId};

use crate::backlog::Demand;
use crate::{Assignment, WorkerHello};

/// What workers of one make can do. Most clusters have one or a few makes, so that finding a worker costs
/// their number and not that of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Make {
    pub(crate) queues: BTreeSet<QueueName>,
    pub(crate) kinds: BTreeMap<StageKind, u32>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Make {
    pub(crate) fn of(hello: &WorkerHello) -> Self {
        let mut queues = hello.queues.clone();
        if queues.is_empty() {
            queues.insert(QueueName::default());
        }
        Self {
            queues,
            kinds: hello.kinds.clone(),
            labels: hello.labels.clone(),
        }
    }

    pub(crate) fn meets(&self, demand: &Demand) -> bool {
        self.queues.contains(&demand.queue) && self.has_kind(demand) && self.has_labels(demand)
    }

    pub(crate) fn has_kind(&self, demand: &Demand) -> bool {
        let version = self.kinds.get(&demand.kind);
        version.is_some_and(|version| *version >= demand.version)
    }

    pub(crate) fn has_labels(&self, demand: &Demand) -> bool {
        let mut asked = demand.labels.iter();
        asked.all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// A worker as its hello, its heartbeats and its grants make it.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) session: u64,
    pub(crate) is_connected: bool,
    /// It takes nothing new.
    pub(crate) is_draining: bool,
    pub(crate) last_seen: Timestamp,
    pub(crate) slots: usize,
    /// The version of its binary.
    pub(crate) version: String,
    /// Where others reach it with parts of queries, if it takes any.
    pub(crate) data_plane: Option<String>,
    /// Index among the makes; none for one that an earlier reign knew and that has not come yet.
    make: Option<usize>,
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

    /// Itself as one that takes parts of queries, if it does.
    fn as_peer(&self) -> Option<Peer> {
        let takes_parts = self.is_connected && !self.is_draining;
        let url = self.data_plane.clone().filter(|_| takes_parts)?;
        Some(Peer {
            url,
            version: self.version.clone(),
        })
    }

    /// The make under which it is free for one more attempt, if it is.
    fn free_as(&self) -> Option<usize> {
        let is_free = self.is_connected && !self.is_draining && self.granted.len() < self.slots;
        self.make.filter(|_| is_free)
    }
}

/// Workers of one make that are free, by what they have to do already.
#[derive(Debug, Clone)]
struct Pool {
    make: Make,
    /// Workers of this make, free or not.
    members: usize,
    free: BTreeSet<(usize, WorkerId)>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workers {
    all: BTreeMap<WorkerId, Worker>,
    /// By make. One without members is reused.
    pools: Vec<Pool>,
    /// Those that take parts of queries.
    peers: BTreeMap<WorkerId, Peer>,
    /// Since somebody was last told of them.
    have_peers_changed: bool,
}

impl Workers {
    pub(crate) fn get(&self, id: &WorkerId) -> Option<&Worker> {
        self.all.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&WorkerId, &Worker)> {
        self.all.iter()
    }

    /// What a worker can do; none for one that has not come yet.
    pub(crate) fn make(&self, worker: &Worker) -> Option<&Make> {
        Some(&self.pools.get(worker.make?)?.make)
    }

    /// The worker, if `session` is its current connection: what an older one says is void.
    pub(crate) fn current(&mut self, id: &WorkerId, session: u64) -> Option<&mut Worker> {
        self.all
            .get_mut(id)
            .filter(|worker| worker.is_connected && worker.session == session)
    }

    /// Changes a worker and keeps the books of who is free.
    fn change(&mut self, id: &WorkerId, change: impl FnOnce(&mut Worker)) {
        let Some(worker) = self.all.get_mut(id) else {
            return;
        };
        let before = worker.free_as().map(|make| (make, worker.granted.len()));
        change(worker);
        let after = worker.free_as().map(|make| (make, worker.granted.len()));
        if worker.data_plane.is_some() {
            let peer = worker.as_peer();
            self.have_peers_changed |= self.peers.get(id) != peer.as_ref();
            match peer {
                Some(peer) => self.peers.insert(id.clone(), peer),
                None => self.peers.remove(id),
            };
        }
        if before == after {
            return;
        }
        if let Some((make, load)) = before
            && let Some(pool) = self.pools.get_mut(make)
        {
            pool.free.remove(&(load, id.clone()));
        }
        if let Some((make, load)) = after
            && let Some(pool) = self.pools.get_mut(make)
        {
            pool.free.insert((load, id.clone()));
        }
    }

    /// Those that take parts of queries, if they are others than when they were last asked for.
    pub(crate) fn take_changed_peers(&mut self) -> Option<Vec<Peer>> {
        std::mem::take(&mut self.have_peers_changed).then(|| {
            let peers: BTreeSet<&Peer> = self.peers.values().collect();
            peers.into_iter().cloned().collect()
        })
    }

    /// Takes a worker in; what it was granted before stays granted. None if its hello is older than
    /// the connection that it has.
    pub(crate) fn connect(&mut self, hello: &WorkerHello, now: Timestamp) -> Option<&Worker> {
        let known = self.all.get(&hello.worker);
        if known.is_some_and(|known| known.session > hello.session) {
            return None;
        }
        let granted = known.map(|known| known.granted.clone()).unwrap_or_default();
        self.remove(&hello.worker);
        let make = self.join(Make::of(hello));
        let worker = Worker {
            session: hello.session,
            is_connected: false,
            is_draining: hello.is_draining,
            last_seen: now,
            slots: usize::try_from(hello.slots).unwrap_or(usize::MAX),
            version: hello.version.clone(),
            data_plane: hello.data_plane.clone(),
            make: Some(make),
            granted,
            unconfirmed: BTreeMap::new(),
        };
        self.all.insert(hello.worker.clone(), worker);
        self.change(&hello.worker, |worker| worker.is_connected = true);
        self.all.get(&hello.worker)
    }

    /// The index of a make, with one more member.
    fn join(&mut self, make: Make) -> usize {
        let mut pools = self.pools.iter();
        let known = pools.position(|pool| pool.make == make);
        let index = known.or_else(|| self.pools.iter().position(|pool| pool.members == 0));
        match index.and_then(|index| Some((index, self.pools.get_mut(index)?))) {
            Some((index, pool)) => {
                pool.make = make;
                pool.members += 1;
                index
            }
            None => {
                self.pools.push(Pool {
                    make,
                    members: 1,
                    free: BTreeSet::new(),
                });
                self.pools.len() - 1
            }
        }
    }

    /// A worker that an earlier reign granted something: not seen yet.
    pub(crate) fn expect(&mut self, id: &WorkerId, token: FencingToken, now: Timestamp) {
        let absent = || Worker {
            session: 0,
            is_connected: false,
            is_draining: false,
            last_seen: now,
            slots: 0,
            version: String::new(),
            data_plane: None,
            make: None,
            granted: BTreeSet::new(),
            unconfirmed: BTreeMap::new(),
        };
        self.all
            .entry(id.clone())
            .or_insert_with(absent)
            .granted
            .insert(token);
    }

    pub(crate) fn disconnect(&mut self, id: &WorkerId) {
        self.change(id, |worker| worker.is_connected = false);
    }

    pub(crate) fn set_draining(&mut self, id: &WorkerId, is_draining: bool) {
        self.change(id, |worker| worker.is_draining = is_draining);
    }

    pub(crate) fn remove(&mut self, id: &WorkerId) {
        self.disconnect(id);
        if let Some(worker) = self.all.remove(id)
            && let Some(pool) = worker.make.and_then(|make| self.pools.get_mut(make))
        {
            pool.members = pool.members.saturating_sub(1);
        }
    }

    pub(crate) fn grant(&mut self, id: &WorkerId, assignment: Assignment) {
        self.change(id, |worker| {
            let token = assignment.token.clone();
            worker.granted.insert(token.clone());
            let unconfirmed = Unconfirmed {
                assignment,
                was_missed: false,
            };
            worker.unconfirmed.insert(token, unconfirmed);
        });
    }

    pub(crate) fn release(&mut self, id: &WorkerId, token: &FencingToken) {
        self.change(id, |worker| {
            worker.granted.remove(token);
            worker.unconfirmed.remove(token);
        });
    }

    /// Whether anybody is free at all.
    pub(crate) fn has_free_slot(&self) -> bool {
        self.pools.iter().any(|pool| !pool.free.is_empty())
    }

    /// Whether somebody is free who can do what is asked.
    pub(crate) fn can_serve(&self, demand: &Demand) -> bool {
        let mut pools = self.pools.iter();
        pools.any(|pool| !pool.free.is_empty() && pool.make.meets(demand))
    }

    /// The least loaded worker that is free and can do what is asked; of equals the first by name.
    /// Another than `shunned`, if there is one.
    pub(crate) fn least_loaded(
        &self,
        demand: &Demand,
        shunned: Option<&WorkerId>,
    ) -> Option<(WorkerId, u64)> {
        let able = self.pools.iter().filter(|pool| pool.make.meets(demand));
        let firsts = able.filter_map(|pool| {
            let mut free = pool.free.iter();
            let other = free.find(|(_, id)| Some(id) != shunned);
            // One that is shunned is better than none.
            other
                .map(|it| (false, it))
                .or_else(|| Some((true, pool.free.first()?)))
        });
        let (_, (_, id)) = firsts.min()?;
        Some((id.clone(), self.all.get(id)?.session))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use marquetry_types::{AttemptId, AttemptNumber, Epoch, RunId, TraceContext};

    fn hello(name: &str, slots: u32, queue: &str, zone: &str) -> WorkerHello {
        WorkerHello {
            worker: name.parse().unwrap(),
            session: 1,
            slots,
            queues: BTreeSet::from([queue.parse().unwrap()]),
            labels: BTreeMap::from([("zone".to_owned(), zone.to_owned())]),
            kinds: BTreeMap::from([("a/b".parse().unwrap(), 2)]),
            version: String::new(),
            data_plane: None,
            is_draining: false,
            held: Vec::new(),
        }
    }

    fn demand(queue: &str, zone: Option<&str>, version: u32) -> Demand {
        Demand {
            queue: queue.parse().unwrap(),
            kind: "a/b".parse().unwrap(),
            version,
            labels: zone
                .map(|zone| ("zone".to_owned(), zone.to_owned()))
                .into_iter()
                .collect(),
            bounds: None,
        }
    }

    fn assignment(number: u32) -> Assignment {
        Assignment {
            token: FencingToken {
                epoch: Epoch(1),
                attempt: AttemptId {
                    run: RunId::new(Timestamp::from_millis(1), 1),
                    stage: "a".parse().unwrap(),
                    attempt: AttemptNumber(number),
                },
            },
            kind: "a/b".parse().unwrap(),
            options: serde_json::Value::Null,
            bundle: String::new(),
            seed: 1,
            timeout: None,
            memory: None,
            parallelism: Default::default(),
            base_dir: None,
            trace: TraceContext::of_run(&RunId::new(Timestamp::from_millis(1), 1)),
        }
    }

    fn found(workers: &Workers, demand: &Demand) -> Option<String> {
        let found = workers.least_loaded(demand, None);
        assert_eq!(found.is_some(), workers.can_serve(demand));
        found.map(|(id, _)| id.to_string())
    }

    #[test]
    fn a_worker_is_found_by_queue_labels_and_version() {
        let now = Timestamp::from_millis(1);
        let mut workers = Workers::default();
        workers.connect(&hello("w1", 1, "default", "a"), now);
        workers.connect(&hello("w2", 1, "gpu", "b"), now);
        assert_eq!(
            found(&workers, &demand("default", None, 2)).as_deref(),
            Some("w1")
        );
        assert_eq!(
            found(&workers, &demand("gpu", Some("b"), 1)).as_deref(),
            Some("w2")
        );
        assert_eq!(
            found(&workers, &demand("gpu", Some("a"), 1)),
            None,
            "another zone"
        );
        assert_eq!(
            found(&workers, &demand("default", None, 3)),
            None,
            "it is too old"
        );
        assert_eq!(
            found(&workers, &demand("batch", None, 1)),
            None,
            "nobody serves it"
        );
        workers.set_draining(&"w1".parse().unwrap(), true);
        assert_eq!(
            found(&workers, &demand("default", None, 2)),
            None,
            "it takes nothing new"
        );
    }

    #[test]
    fn the_least_loaded_is_found_and_the_one_that_failed_is_shunned() {
        let now = Timestamp::from_millis(1);
        let mut workers = Workers::default();
        for name in ["w1", "w2"] {
            workers.connect(&hello(name, 2, "default", "a"), now);
        }
        let any = demand("default", None, 0);
        let (w1, w2) = ("w1".parse().unwrap(), "w2".parse().unwrap());
        workers.grant(&w1, assignment(1));
        assert_eq!(found(&workers, &any).as_deref(), Some("w2"));
        let other = workers.least_loaded(&any, Some(&w2)).unwrap().0;
        assert_eq!(other, w1, "though it has more to do");
        workers.grant(&w1, assignment(2));
        let other = workers.least_loaded(&any, Some(&w2)).unwrap().0;
        assert_eq!(other, w2, "the only one that is free");
        workers.release(&w1, &assignment(1).token);
        workers.release(&w1, &assignment(2).token);
        workers.grant(&w2, assignment(3));
        assert_eq!(found(&workers, &any).as_deref(), Some("w1"));
        workers.remove(&w1);
        workers.remove(&w2);
        assert!(!workers.has_free_slot());
        workers.connect(&hello("w3", 1, "gpu", "a"), now);
        assert_eq!(workers.pools.len(), 1, "a make without members is reused");
    }
}
