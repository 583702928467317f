//! What the engine knows of workers and queues, for people.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_types::{FencingToken, QueueName, StageKind, Timestamp, WorkerId};

use crate::Engine;

/// A worker as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    /// Its name.
    pub worker: WorkerId,
    /// Whether its stream is open. One that is not may come back, until its grace has passed.
    pub is_connected: bool,
    /// Whether it takes nothing new.
    pub is_draining: bool,
    /// How many attempts it runs at a time.
    pub slots: usize,
    /// What it was granted and has not ended.
    pub granted: Vec<FencingToken>,
    /// The queues that it serves.
    pub queues: BTreeSet<QueueName>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its stage kinds, with their versions.
    pub kinds: BTreeMap<StageKind, u32>,
    /// The version of its binary.
    pub version: String,
    /// Where others reach it with parts of queries, if it takes any.
    pub data_plane: Option<String>,
    /// When it was last heard of.
    pub last_seen: Timestamp,
}

/// A queue that somebody serves or something waits in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// Its name.
    pub queue: QueueName,
    /// Stages that wait for a worker.
    pub waiting: usize,
    /// Since when the one that waits longest does.
    pub oldest: Option<Timestamp>,
    /// Attempts that run.
    pub running: usize,
    /// Workers that serve it and take new attempts.
    pub workers: usize,
    /// Their slots. A worker that serves two queues counts in both.
    pub slots: usize,
    /// Those of them that are free.
    pub free_slots: usize,
}

impl QueueView {
    fn new(queue: QueueName) -> Self {
        Self {
            queue,
            waiting: 0,
            oldest: None,
            running: 0,
            workers: 0,
            slots: 0,
            free_slots: 0,
        }
    }
}

impl Engine {
    /// Every worker that is connected or may come back, by name.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerView> {
        let all = self.workers.iter().map(|(id, worker)| {
            let make = self.workers.make(worker);
            WorkerView {
                worker: id.clone(),
                is_connected: worker.is_connected,
                is_draining: worker.is_draining,
                slots: worker.slots,
                granted: worker.granted.iter().cloned().collect(),
                queues: make.map(|make| make.queues.clone()).unwrap_or_default(),
                labels: make.map(|make| make.labels.clone()).unwrap_or_default(),
                kinds: make.map(|make| make.kinds.clone()).unwrap_or_default(),
                version: worker.version.clone(),
                data_plane: worker.data_plane.clone(),
                last_seen: worker.last_seen,
            }
        });
        all.collect()
    }

    /// Every queue that somebody serves or something waits in, by name.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueView> {
        let mut queues: BTreeMap<QueueName, QueueView> = BTreeMap::new();
        let mut at = |queue: &QueueName, change: &mut dyn FnMut(&mut QueueView)| {
            let view = queues
                .entry(queue.clone())
                .or_insert_with(|| QueueView::new(queue.clone()));
            change(view);
        };
        for (demand, waiting, oldest) in self.backlog.lines() {
            at(&demand.queue, &mut |view| {
                view.waiting += waiting;
                view.oldest = Some(view.oldest.map_or(oldest, |known| known.min(oldest)));
            });
        }
        for (_, worker) in self.workers.iter() {
            for token in &worker.granted {
                let run = self.run(&token.attempt.run);
                let stage = run.and_then(|run| run.workflow().stage(&token.attempt.stage));
                if let Some(stage) = stage {
                    at(&stage.placement.queue, &mut |view| view.running += 1);
                }
            }
            let Some(make) = self.workers.make(worker) else {
                continue;
            };
            if worker.is_connected && !worker.is_draining {
                for queue in &make.queues {
                    at(queue, &mut |view| {
                        view.workers += 1;
                        view.slots += worker.slots;
                        view.free_slots += worker.slots.saturating_sub(worker.granted.len());
                    });
                }
            }
        }
        queues.into_values().collect()
    }
}
