//! A run as its records made it.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use marquetry_types::{
    Diagnostic, FencingToken, Outcome, Published, PublishedKind, RunId, StageFailure, StageName,
    Timestamp, WorkerId,
};
use marquetry_workflow::Workflow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::stage_state::{AttemptEnd, AttemptState, ItemCounts, StageState, StageStatus};
use crate::{Record, RunSubmitted};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Stages wait or run.
    Running,
    /// Every stage succeeded or was skipped by its own condition.
    Succeeded,
    /// A stage failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl RunStatus {
    /// The word that the command line and the report use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which stage's failure made a run fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// The stage; none when the run was cancelled.
    pub stage: Option<StageName>,
    /// Why.
    pub diagnostic: Diagnostic,
}

/// How many stages of a run stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StageCounts {
    /// All of them.
    pub total: u32,
    /// Committed.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
}

/// A line of a list of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many stages stand where.
    pub stages: StageCounts,
    /// Why it failed or was cancelled.
    pub failure: Option<RunFailure>,
}

/// A record that does not follow from the state it is applied to: the journal is damaged, or there
/// is a bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run {run}: {what}")]
pub struct BadRecord {
    /// The run.
    pub run: RunId,
    /// What does not follow.
    pub what: String,
}

/// A run: the fold of its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// How it began.
    pub submitted: RunSubmitted,
    /// Where it stands.
    pub status: RunStatus,
    /// Its stages, in an order in which they can run.
    pub stages: IndexMap<StageName, StageState>,
    /// Why it is being stopped, once somebody asked.
    pub cancel_reason: Option<String>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed or was cancelled.
    pub failure: Option<RunFailure>,
    /// When it last began: when it was admitted by its concurrency group, or resumed.
    #[serde(default)]
    pub begun_at: Option<Timestamp>,
    /// What it gives to whoever asked for it, once it succeeded.
    #[serde(default)]
    pub outputs: Outcome,
    /// Whether it may begin stages: a run of a concurrency group waits for its turn.
    #[serde(default = "admitted")]
    pub is_admitted: bool,
}

const fn admitted() -> bool {
    true
}

impl RunState {
    /// The state after a run's first record.
    ///
    /// # Errors
    /// It is not the submission of a run.
    pub fn begin(first: &Record) -> Result<Self, BadRecord> {
        match first {
            Record::RunSubmitted(submitted) => Ok(Self::submitted(submitted.clone())),
            other => {
                let what = "its first record is not its submission".to_owned();
                Err(BadRecord {
                    run: other.run().clone(),
                    what,
                })
            }
        }
    }

    pub(crate) fn submitted(submitted: RunSubmitted) -> Self {
        let is_admitted = submitted.group.is_none();
        let order = submitted.workflow.topological_order();
        let stages = order
            .into_iter()
            .map(|name| (name, StageState::new()))
            .collect();
        Self {
            submitted,
            status: RunStatus::Running,
            stages,
            cancel_reason: None,
            finished_at: None,
            failure: None,
            begun_at: None,
            outputs: Outcome::default(),
            is_admitted,
        }
    }

    /// The run.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.submitted.run
    }

    /// The workflow that it runs.
    #[must_use]
    pub fn workflow(&self) -> &Workflow {
        &self.submitted.workflow
    }

    /// Its parameters, defaults filled in.
    #[must_use]
    pub fn params(&self) -> &Map<String, Value> {
        &self.submitted.params
    }

    /// The version of a published thing that it works with; none where there was none yet.
    #[must_use]
    pub fn pin(&self, kind: PublishedKind, name: &str) -> Option<&Published> {
        let mut pins = self.submitted.pins.iter();
        pins.find(|pin| pin.kind == kind && pin.name.as_str() == name)
    }

    /// The version of a table that this run has seen: the one that it is pinned to, or that it published
    /// itself before it was resumed; 0 for none.
    #[must_use]
    pub fn seen_version(&self, kind: PublishedKind, name: &str) -> u64 {
        let own = self.stages.values().flat_map(|stage| &stage.published);
        let own = own.filter(|own| own.kind == kind && own.name.as_str() == name);
        let all = own.chain(self.pin(kind, name));
        all.map(|it| it.version).max().unwrap_or(0)
    }

    /// Since when everything that a stage needs has ended: what its own time is counted from. Where
    /// nothing is needed, since the run began or was resumed.
    #[must_use]
    pub fn open_since(&self, name: &StageName) -> Timestamp {
        let begun = self.begun_at.unwrap_or(self.submitted.at);
        let stage = self.workflow().stage(name);
        let needs = stage.into_iter().flat_map(|stage| &stage.needs);
        let ends = needs.filter_map(|need| self.stages.get(need)?.ended_at);
        ends.max().map_or(begun, |end| end.max(begun))
    }

    /// Grants that have not ended, with their workers.
    pub fn grants(&self) -> impl Iterator<Item = (&FencingToken, &WorkerId)> {
        let granted = self.stages.values().filter_map(StageState::granted);
        granted.map(|attempt| (&attempt.token, &attempt.worker))
    }

    /// The run as a line of a list.
    #[must_use]
    pub fn summary(&self) -> RunSummary {
        let mut stages = StageCounts::default();
        let own = self
            .stages
            .iter()
            .filter(|(name, _)| name.place().is_none());
        for (_, stage) in own {
            stages.total += 1;
            match stage.status {
                StageStatus::Succeeded => stages.succeeded += 1,
                StageStatus::Failed => stages.failed += 1,
                StageStatus::Skipped => stages.skipped += 1,
                StageStatus::Pending
                | StageStatus::Retrying
                | StageStatus::Running
                | StageStatus::Cancelled => {}
            }
        }
        RunSummary {
            run: self.submitted.run.clone(),
            workflow: self.submitted.workflow.name.clone(),
            status: self.status,
            submitted_at: self.submitted.at,
            finished_at: self.finished_at,
            stages,
            failure: self.failure.clone(),
        }
    }

    /// Applies one record.
    ///
    /// # Errors
    /// The record does not follow from this state; the state is as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), BadRecord> {
        let item = record.stage().filter(|name| name.place().is_some());
        let before = item
            .and_then(|name| self.stages.get(name))
            .map(|item| item.status);
        self.transition(record)?;
        match (item, before) {
            (Some(name), Some(before)) => self.count_anew(name, before),
            _ if matches!(
                record,
                Record::StageExpanded { .. }
                    | Record::CancelRequested { .. }
                    | Record::RunResumed { .. }
            ) =>
            {
                self.count_items();
            }
            _ => {}
        }
        Ok(())
    }

    /// An item stands elsewhere than before.
    fn count_anew(&mut self, name: &StageName, before: StageStatus) {
        let Some(after) = self.stages.get(name).map(|item| item.status) else {
            return;
        };
        if let Some(stage) = self.stages.get_mut(name.stage()) {
            stage.item_counts.take(before);
            stage.item_counts.add(after);
        }
    }

    /// Counts the items of all stages, after a record that changed many at once.
    fn count_items(&mut self) {
        let mut counts: BTreeMap<String, ItemCounts> = BTreeMap::new();
        for (name, item) in &self.stages {
            if name.place().is_some() {
                let counts = counts.entry(name.stage().to_owned()).or_default();
                counts.total = counts.total.saturating_add(1);
                counts.add(item.status);
            }
        }
        for (name, stage) in &mut self.stages {
            if name.place().is_none() {
                stage.item_counts = counts.remove(name.as_str()).unwrap_or_default();
            }
        }
    }

    fn transition(&mut self, record: &Record) -> Result<(), BadRecord> {
        match record {
            Record::RunSubmitted(_) => Err(self.bad("it is submitted twice")),
            Record::RunAdmitted { at, .. } => {
                if self.is_admitted {
                    return Err(self.bad("it is admitted twice"));
                }
                self.is_admitted = true;
                self.begun_at = Some(*at);
                Ok(())
            }
            Record::AttemptAssigned {
                token,
                worker,
                learns_from,
                slot,
                cache,
                at,
            } => {
                let attempt = AttemptState {
                    token: token.clone(),
                    worker: worker.clone(),
                    learns_from: *learns_from,
                    slot: slot.clone(),
                    cache: cache.clone(),
                    assigned_at: *at,
                    finished_at: None,
                    end: None,
                };
                self.assign(attempt)
            }
            Record::AttemptFailed {
                token,
                failure,
                retry_at,
                at,
            } => self.fail_attempt(token, failure, *retry_at, *at),
            Record::AttemptLost {
                token,
                reason,
                retry_at,
                at,
            } => {
                let is_cancelled = self.cancel_reason.is_some();
                let stage = self.granted_stage(token)?;
                stage.end_attempt(AttemptEnd::Lost(reason.clone()), *at);
                stage.lost_attempts = stage.lost_attempts.saturating_add(1);
                if is_cancelled {
                    stage.end(StageStatus::Cancelled, *at);
                } else {
                    stage.status = StageStatus::Retrying;
                    stage.retry_at = *retry_at;
                }
                Ok(())
            }
            Record::StageSucceeded {
                token,
                outcome,
                published,
                withheld,
                cache: _,
                at,
            } => {
                let stage = self.granted_stage(token)?;
                stage.end_attempt(AttemptEnd::Succeeded, *at);
                stage.end(StageStatus::Succeeded, *at);
                stage.outcome = Some(outcome.clone());
                stage.published.clone_from(published);
                stage.withheld.clone_from(withheld);
                Ok(())
            }
            Record::StageExpanded { stage, items, .. } => self.expand(stage, items),
            Record::ChildStarted { stage, child, .. } => {
                let stage = self.waiting_stage(stage)?;
                stage.status = StageStatus::Running;
                stage.retry_at = None;
                stage.child = Some(child.clone());
                Ok(())
            }
            Record::StagePassed {
                stage,
                approval,
                outcome,
                at,
                ..
            } => {
                let stage = self.ungranted_stage(stage)?;
                stage.end(StageStatus::Succeeded, *at);
                stage.outcome = Some(outcome.clone());
                stage.approval.clone_from(approval);
                Ok(())
            }
            Record::StageSkipped {
                stage, reason, at, ..
            } => {
                let stage = self.waiting_stage(stage)?;
                stage.end(StageStatus::Skipped, *at);
                stage.skip_reason = Some(reason.clone());
                Ok(())
            }
            Record::StageFailed {
                stage, failure, at, ..
            } => {
                let end = match self.cancel_reason {
                    // It waited for a run that was cancelled with this one.
                    Some(_) => StageStatus::Cancelled,
                    None => StageStatus::Failed,
                };
                let stage = self.ungranted_stage(stage)?;
                stage.end(end, *at);
                stage.failure = Some(failure.clone());
                Ok(())
            }
            Record::CancelRequested { reason, at, .. } => self.request_cancel(reason, *at),
            Record::RunResumed { from, at, .. } => self.resume(from, *at),
            Record::RunFinished {
                status,
                failure,
                outputs,
                at,
                ..
            } => {
                if self.status != RunStatus::Running {
                    return Err(self.bad("it finishes twice"));
                }
                self.status = *status;
                self.failure.clone_from(failure);
                self.outputs.clone_from(outputs);
                self.finished_at = Some(*at);
                Ok(())
            }
        }
    }

    fn assign(&mut self, attempt: AttemptState) -> Result<(), BadRecord> {
        let id = &attempt.token.attempt;
        let stage = self.waiting_stage(&id.stage)?;
        if id.attempt != stage.next_attempt() {
            let what = format!("attempt {id} is out of order");
            return Err(self.bad(what));
        }
        let (name, at) = (id.stage.clone(), attempt.assigned_at);
        stage.status = StageStatus::Running;
        stage.retry_at = None;
        stage.started_at.get_or_insert(at);
        stage.attempts.push(attempt);
        if name.place().is_some()
            && let Some(whole) = self.stages.get_mut(name.stage())
        {
            whole.started_at.get_or_insert(at);
        }
        Ok(())
    }

    fn fail_attempt(
        &mut self,
        token: &FencingToken,
        failure: &StageFailure,
        retry_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), BadRecord> {
        let is_cancelled = self.cancel_reason.is_some();
        let stage = self.granted_stage(token)?;
        // Looking for what was computed before is no try at computing it.
        let is_try = !stage.granted().is_some_and(AttemptState::is_reuse);
        stage.end_attempt(AttemptEnd::Failed(failure.clone()), at);
        stage.failed_attempts = stage.failed_attempts.saturating_add(is_try.into());
        stage.retry_at = retry_at;
        if is_cancelled {
            stage.end(StageStatus::Cancelled, at);
        } else if retry_at.is_some() {
            stage.status = StageStatus::Retrying;
        } else {
            stage.end(StageStatus::Failed, at);
            stage.failure = Some(failure.clone());
        }
        Ok(())
    }

    fn request_cancel(&mut self, reason: &str, at: Timestamp) -> Result<(), BadRecord> {
        if self.status != RunStatus::Running {
            return Err(self.bad("it is cancelled after its end"));
        }
        self.cancel_reason = Some(reason.to_owned());
        for stage in self.stages.values_mut() {
            if stage.waits() {
                stage.end(StageStatus::Cancelled, at);
            }
        }
        Ok(())
    }

    /// Whether it can go on: it ended early, or it succeeded and is to be done again from some stages.
    #[must_use]
    pub(crate) fn can_resume(&self, from: &BTreeSet<StageName>) -> bool {
        match self.status {
            RunStatus::Failed | RunStatus::Cancelled => true,
            RunStatus::Succeeded => !from.is_empty(),
            RunStatus::Running => false,
        }
    }

    fn resume(&mut self, from: &BTreeSet<StageName>, at: Timestamp) -> Result<(), BadRecord> {
        if !self.can_resume(from) {
            return Err(self.bad("it is resumed but did not end early"));
        }
        let again = self.with_dependents(from);
        // A stage that is done again as a whole makes its list anew; one of which an item is, does not.
        let is_whole = |name: &StageName| {
            let is_item_only = !from.contains(name.stage())
                && from
                    .iter()
                    .any(|it| it.place().is_some() && it.stage() == name.stage());
            again.contains(name.stage()) && !is_item_only
        };
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        self.stages.retain(|name, item| {
            let is_gone = name.place().is_some() && is_whole(name);
            if is_gone {
                let count = counts.entry(name.stage().to_owned()).or_default();
                *count = (*count).max(item.next_attempt().0.saturating_sub(1));
            }
            !is_gone
        });
        for (name, count) in counts {
            if let Some(stage) = self.stages.get_mut(name.as_str()) {
                stage.attempts_before = stage.attempts_before.max(count);
            }
        }
        self.status = RunStatus::Running;
        self.begun_at = Some(at);
        self.is_admitted = self.submitted.group.is_none();
        self.cancel_reason = None;
        self.finished_at = None;
        self.failure = None;
        self.outputs = Outcome::default();
        for (name, stage) in &mut self.stages {
            let is_again = match name.place() {
                None => again.contains(name),
                Some(_) => from.contains(name),
            };
            if stage.status != StageStatus::Succeeded || is_again {
                stage.reopen(!is_whole(name));
                stage.is_anew = from.contains(name);
            }
        }
        Ok(())
    }

    fn expand(&mut self, name: &StageName, items: &[Value]) -> Result<(), BadRecord> {
        let stage = self.waiting_stage(name)?;
        if stage.items.is_some() || name.place().is_some() {
            return Err(self.bad(format!("stage `{name}` has its items already")));
        }
        stage.status = StageStatus::Running;
        stage.items = Some(items.to_vec());
        let item = StageState {
            attempts_before: stage.attempts_before,
            ..StageState::new()
        };
        let places = (0..items.len()).map(|place| (name.item(place), item.clone()));
        self.stages.extend(places);
        Ok(())
    }

    /// These stages and all that need them, directly or not.
    fn with_dependents(&self, from: &BTreeSet<StageName>) -> BTreeSet<StageName> {
        let whole = |name: &StageName| name.stage().parse().ok();
        let mut all: BTreeSet<StageName> = from.iter().filter_map(whole).collect();
        // In an order in which they can run, so that one pass finds them.
        for name in self.stages.keys() {
            let stage = self.workflow().stage(name);
            if stage.is_some_and(|stage| stage.needs.iter().any(|need| all.contains(need))) {
                all.insert(name.clone());
            }
        }
        all
    }

    /// The stage whose current grant is `token`.
    fn granted_stage(&mut self, token: &FencingToken) -> Result<&mut StageState, BadRecord> {
        let is_current = self
            .stages
            .get(&token.attempt.stage)
            .and_then(StageState::granted)
            .is_some_and(|attempt| attempt.token == *token);
        let run = self.submitted.run.clone();
        match self.stages.get_mut(&token.attempt.stage) {
            Some(stage) if is_current => Ok(stage),
            _ => Err(BadRecord {
                run,
                what: format!("{token} is not granted"),
            }),
        }
    }

    /// The stage, if it waits for anything but an attempt that is granted.
    fn ungranted_stage(&mut self, name: &StageName) -> Result<&mut StageState, BadRecord> {
        let awaits = self.stages.get(name).and_then(StageState::awaited_child);
        if awaits.is_none() {
            return self.waiting_stage(name);
        }
        let what = format!("there is no stage `{name}`");
        let run = self.submitted.run.clone();
        let stage = self.stages.get_mut(name);
        stage.ok_or(BadRecord { run, what })
    }

    /// The stage, if it waits for an attempt.
    fn waiting_stage(&mut self, name: &StageName) -> Result<&mut StageState, BadRecord> {
        let run = self.submitted.run.clone();
        match self.stages.get_mut(name) {
            Some(stage) if stage.waits() => Ok(stage),
            Some(stage) => {
                let what = format!(
                    "stage `{name}` is {} and does not wait",
                    stage.status.as_str()
                );
                Err(BadRecord { run, what })
            }
            None => Err(BadRecord {
                run,
                what: format!("there is no stage `{name}`"),
            }),
        }
    }

    fn bad(&self, what: impl Into<String>) -> BadRecord {
        BadRecord {
            run: self.submitted.run.clone(),
            what: what.into(),
        }
    }
}
