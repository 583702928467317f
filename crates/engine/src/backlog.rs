//! Stages that may run now and wait for a worker, by what they ask of it.
//!
//! Stages that ask for the same form one line, so that granting costs the number of different demands and
//! not the number of stages that wait.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use marquetry_types::{QueueName, RunId, StageKind, Timestamp};
use marquetry_workflow::Stage;

use crate::throttles::Bounds;

/// What a stage asks of its worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Demand {
    pub(crate) queue: QueueName,
    pub(crate) kind: StageKind,
    /// The least version of the kind.
    pub(crate) version: u32,
    pub(crate) labels: BTreeMap<String, String>,
    /// What else may hold it back, once its expressions are evaluated.
    pub(crate) bounds: Option<Arc<Bounds>>,
}

impl Demand {
    pub(crate) fn of(stage: &Stage) -> Self {
        Self {
            queue: stage.placement.queue.clone(),
            kind: stage.uses.clone(),
            version: stage.version,
            labels: stage.placement.labels.clone(),
            bounds: None,
        }
    }

    /// The same stage, wherever its workflow wants it.
    pub(crate) fn anywhere(self) -> Self {
        Self {
            queue: QueueName::default(),
            labels: BTreeMap::new(),
            ..self
        }
    }
}

/// A stage's turn: by priority, then by the place of its run, then by its own in the graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    priority: Reverse<i32>,
    pub(crate) place: u64,
    pub(crate) index: usize,
    pub(crate) run: RunId,
}

impl Turn {
    pub(crate) fn new(stage: &Stage, place: u64, index: usize, run: RunId) -> Self {
        Self {
            priority: Reverse(stage.placement.priority),
            place,
            index,
            run,
        }
    }
}

/// The stages that wait for a worker, with the moment since when.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog(BTreeMap<Arc<Demand>, BTreeMap<Turn, Timestamp>>);

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a stage in line; one that is there already keeps its moment.
    pub(crate) fn put(&mut self, demand: Arc<Demand>, turn: Turn, since: Timestamp) {
        let line = self.0.entry(demand).or_default();
        line.entry(turn).or_insert(since);
    }

    /// Takes a stage out of line, if it is in it. Gives since when it was.
    pub(crate) fn take(&mut self, demand: &Arc<Demand>, turn: &Turn) -> Option<Timestamp> {
        let line = self.0.get_mut(demand)?;
        let since = line.remove(turn);
        if line.is_empty() {
            self.0.remove(demand);
        }
        since
    }

    /// Whose turn it is among those who ask for the same.
    pub(crate) fn head(&self, demand: &Arc<Demand>) -> Option<&Turn> {
        self.0.get(demand)?.first_key_value().map(|(turn, _)| turn)
    }

    /// Every demand with the first in its line.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (&Arc<Demand>, &Turn)> {
        let lines = self.0.iter();
        lines.filter_map(|(demand, line)| Some((demand, line.first_key_value()?.0)))
    }

    /// The queue of every demand with the number of stages that wait.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = (&QueueName, usize)> {
        let lines = self.0.iter();
        lines.map(|(demand, line)| (&demand.queue, line.len()))
    }

    /// Every demand with the number of stages that wait, and since when the one that waits longest does.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&Demand, usize, Timestamp)> {
        self.0.iter().filter_map(|(demand, line)| {
            let oldest = line.values().min()?;
            Some((demand.as_ref(), line.len(), *oldest))
        })
    }
}
