//! A run that has not ended, with what the engine works out from its records: which stages wait for
//! which, and how many are still open. None of it is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marquetry_types::{StageName, Timestamp, WorkerId};
use serde_json::{Map, Value};

use crate::backlog::{Demand, Turn};
use crate::caching::{Reuse, reuse_kind};
use crate::fan::{Fan, gather_kind};
use crate::scope::scope as scope_of;
use crate::throttles::Bounds;
use crate::{AttemptEnd, BadRecord, Record, RunState, StageStatus};

/// A run in the working set.
#[derive(Debug, Clone)]
pub(crate) struct LiveRun {
    pub(crate) state: RunState,
    /// Runs are served in the order in which they came.
    pub(crate) place: u64,
    /// By stage: needs that have not ended.
    unmet: Vec<usize>,
    /// By stage: the stages that need it.
    dependents: Vec<Vec<usize>>,
    /// Stages that have not ended.
    open: usize,
    /// Stages, all of whose needs ended, and that nothing was decided about yet.
    pub(crate) decidable: Vec<usize>,
    /// By stage: what it asks of a worker.
    demands: Vec<Arc<Demand>>,
    /// By stage that runs once for each item: which of them may run.
    fans: BTreeMap<usize, Fan>,
    /// By stage that runs once for each item: what its expressions read, made for the first of them.
    scopes: BTreeMap<usize, Map<String, Value>>,
    ignores_placement: bool,
    /// Stages that wait for a person.
    pub(crate) awaits_approval: BTreeSet<StageName>,
    /// Options of the stages that may run, by stage, as they were evaluated once.
    pub(crate) options: BTreeMap<usize, Value>,
    /// By stage whose outputs are used again: what is known of them.
    pub(crate) reuses: BTreeMap<usize, Reuse>,
}

impl LiveRun {
    pub(crate) fn new(state: RunState, place: u64, ignores_placement: bool) -> Self {
        let mut run = Self {
            demands: Vec::new(),
            fans: BTreeMap::new(),
            scopes: BTreeMap::new(),
            ignores_placement,
            awaits_approval: BTreeSet::new(),
            dependents: Vec::new(),
            unmet: Vec::new(),
            open: 0,
            decidable: Vec::new(),
            options: BTreeMap::new(),
            reuses: BTreeMap::new(),
            state,
            place,
        };
        run.take_stock();
        run
    }

    /// Works everything out anew, after a record that changed many stages at once.
    fn take_stock(&mut self) {
        let stages = &self.state.stages;
        self.dependents = vec![Vec::new(); stages.len()];
        self.unmet = vec![0; stages.len()];
        self.open = 0;
        self.decidable.clear();
        self.fans.clear();
        self.scopes.clear();
        self.demands.clear();
        for index in 0..stages.len() {
            self.demands.extend(self.demand_of(index));
        }
        let stages = &self.state.stages;
        for (index, (name, stage)) in stages.iter().enumerate() {
            let needs = self.state.workflow().stage(name).map(|stage| &stage.needs);
            for need in needs.into_iter().flatten() {
                let Some((need, _, needed)) = stages.get_full(need) else {
                    continue;
                };
                self.dependents[need].push(index);
                if !needed.status.is_terminal() {
                    self.unmet[index] += 1;
                }
            }
            self.open += usize::from(!stage.status.is_terminal());
            if let Some(parent) = parent_of(stages, name) {
                self.dependents[index].push(parent);
                self.unmet[parent] += usize::from(!stage.status.is_terminal());
                let limit = self.state.workflow().stage(name);
                let limit = limit.and_then(|stage| stage.for_each.as_ref()?.limit);
                let fan = self.fans.entry(parent).or_insert_with(|| Fan::new(limit));
                if stage.granted().is_some() || stage.awaited_child().is_some() {
                    fan.activate(index);
                }
            }
        }
        for (index, stage) in stages.values().enumerate() {
            if stage.waits() && self.unmet[index] == 0 {
                self.decidable.push(index);
            }
        }
    }

    /// What a stage asks of a worker; once all its items are there, what gathers them does.
    fn demand_of(&self, index: usize) -> Option<Arc<Demand>> {
        let (name, state) = self.state.stages.get_index(index)?;
        let stage = self.state.workflow().stage(name)?;
        let mut demand = Demand::of(stage);
        if state.items.is_some() {
            demand.kind = gather_kind(&stage.uses);
            demand.version = 0;
        }
        Some(Arc::new(match self.ignores_placement {
            true => demand.anywhere(),
            false => demand,
        }))
    }

    /// The items of a stage became known.
    fn expanded(&mut self, parent: usize, stage: &StageName) {
        let stages = &self.state.stages;
        let count = stages.len().saturating_sub(self.unmet.len());
        let limit = self.state.workflow().stage(stage);
        let limit = limit.and_then(|stage| stage.for_each.as_ref()?.limit);
        self.fans.insert(parent, Fan::new(limit));
        let demand = Arc::clone(&self.demands[parent]);
        for index in self.unmet.len()..stages.len() {
            self.unmet.push(0);
            self.dependents.push(vec![parent]);
            self.demands.push(Arc::clone(&demand));
            self.decidable.push(index);
        }
        // The last is taken first.
        self.decidable.reverse();
        self.unmet[parent] += count;
        self.open += count;
        if let Some(gathers) = self.demand_of(parent) {
            self.demands[parent] = gathers;
        }
    }

    /// The names for the expressions of an item: those of its stage, and `item`. They are made once for all
    /// items: the parameters may hold the very list.
    pub(crate) fn item_scope(&mut self, name: &StageName) -> Option<&Map<String, Value>> {
        let run = &self.state;
        let parent = parent_of(&run.stages, name)?;
        let (_, stage) = run.stages.get_index(parent)?;
        let item = stage.items.as_ref()?.get(name.place()?)?;
        let needs = &run.workflow().stage(name)?.needs;
        let scope = self.scopes.entry(parent);
        let scope = scope.or_insert_with(|| scope_of(run, needs));
        scope.insert("item".to_owned(), item.clone());
        Some(scope)
    }

    /// Whether an item may go ahead: as many of its stage's may as that says.
    pub(crate) fn admits(&mut self, index: usize) -> bool {
        let name = self.name(index).filter(|name| name.place().is_some());
        let parent = name.and_then(|name| parent_of(&self.state.stages, name));
        match parent.and_then(|parent| self.fans.get_mut(&parent)) {
            Some(fan) => fan.admit(index),
            None => true,
        }
    }

    /// Applies a record and keeps the books.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), BadRecord> {
        self.state.apply(record)?;
        if matches!(
            record,
            Record::CancelRequested { .. } | Record::RunResumed { .. }
        ) {
            self.options.clear();
            self.reuses.clear();
            self.awaits_approval.clear();
            self.take_stock();
            return Ok(());
        }
        let Some(stage) = record.stage() else {
            return Ok(());
        };
        let Some((index, _, state)) = self.state.stages.get_full(stage) else {
            return Ok(());
        };
        if matches!(record, Record::StageExpanded { .. }) {
            let stage = stage.clone();
            self.expanded(index, &stage);
            return Ok(());
        }
        if state.status.is_terminal() {
            self.open = self.open.saturating_sub(1);
            self.options.remove(&index);
            self.reuses.remove(&index);
            self.scopes.remove(&index);
            self.awaits_approval.remove(stage);
            for &dependent in &self.dependents[index] {
                self.unmet[dependent] = self.unmet[dependent].saturating_sub(1);
                if self.unmet[dependent] == 0 {
                    self.decidable.push(dependent);
                }
                if let Some(fan) = self.fans.get_mut(&dependent) {
                    self.decidable.extend(fan.end(index));
                }
            }
        } else if state.status == StageStatus::Retrying {
            self.decidable.push(index);
        }
        Ok(())
    }

    pub(crate) const fn all_ended(&self) -> bool {
        self.open == 0
    }

    pub(crate) fn name(&self, index: usize) -> Option<&StageName> {
        self.state.stages.get_index(index).map(|(name, _)| name)
    }

    /// What a stage asks of a worker now: to look at what is there already, or to compute.
    pub(crate) fn demand(&self, index: usize) -> Option<Arc<Demand>> {
        let demand = self.demands.get(index)?;
        let reuse = self.reuses.get(&index);
        if reuse.is_none_or(|reuse| reuse.found.is_none()) {
            return Some(Arc::clone(demand));
        }
        Some(Arc::new(Demand {
            kind: reuse_kind(&demand.kind),
            version: 0,
            bounds: None,
            ..Demand::clone(demand)
        }))
    }

    /// What a stage asks of a worker, and its turn among those that ask for the same.
    pub(crate) fn turn(&self, index: usize) -> Option<(Arc<Demand>, Turn)> {
        let demand = self.demand(index)?;
        let stage = self.state.workflow().stage(self.name(index)?)?;
        let run = self.state.id().clone();
        Some((demand, Turn::new(stage, self.place, index, run)))
    }

    /// What holds a stage back became known with its options.
    pub(crate) fn bind(&mut self, index: usize, bounds: Option<Arc<Bounds>>) {
        if let (Some(bounds), Some(demand)) = (bounds, self.demands.get_mut(index)) {
            *demand = Arc::new(Demand {
                bounds: Some(bounds),
                ..Demand::clone(demand)
            });
        }
    }

    /// The worker whose attempt at the stage ended without success: another one may do better.
    pub(crate) fn shunned(&self, index: usize) -> Option<&WorkerId> {
        let (_, stage) = self.state.stages.get_index(index)?;
        let last = stage.attempts.last()?;
        let failed = !matches!(last.end, None | Some(AttemptEnd::Succeeded));
        failed.then_some(&last.worker)
    }

    /// Whether the stage waits for an attempt and for nothing that it needs, and when that may begin. A
    /// timer of before the run was resumed may ask while its needs are open again.
    pub(crate) fn waits_until(&self, index: usize) -> Option<Option<Timestamp>> {
        let (_, stage) = self.state.stages.get_index(index)?;
        let is_free = self.unmet.get(index) == Some(&0);
        (stage.waits() && is_free).then_some(stage.retry_at)
    }

    /// Whether a stage that this one needs, directly or not, failed: what `failure()` asks.
    pub(crate) fn has_failed_ancestor(&self, name: &StageName) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            let Some(stage) = self.state.workflow().stage(name) else {
                continue;
            };
            for need in &stage.needs {
                if self
                    .state
                    .stages
                    .get(need)
                    .is_some_and(|need| need.status == StageStatus::Failed)
                {
                    return true;
                }
                if seen.insert(need) {
                    open.push(need);
                }
            }
        }
        false
    }
}

/// The stage that an item is of.
fn parent_of(
    stages: &indexmap::IndexMap<StageName, crate::StageState>,
    name: &StageName,
) -> Option<usize> {
    name.place()?;
    stages.get_index_of(name.stage())
}
