//! What must hold, checked from records of its own: it believes neither the engine's memory nor the
//! journal's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use marquetry_engine::{AttemptEnd, Record, RunState, RunStatus, StageStatus};
use marquetry_types::{
    Epoch, FencingToken, PublishedKind, PublishedName, RunId, StageName, Timestamp, WorkerId,
};
use marquetry_workflow::Workflow;
use serde::Serialize;

use crate::message::{Answer, Ask, ToWorker};
use crate::workload::{BURST, RATE, SLOTS};

/// What must hold at every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Invariant {
    /// No attempt is granted and no stage starts before everything that it needs is committed.
    NeedsFirst,
    /// A stage of a run has one committed output, and it is that of the attempt that won.
    OneOutput,
    /// A stage has at most one grant that has not ended, and every token is granted once.
    OneLease,
    /// No record is appended by a stale epoch, and no worker starts or ends anything on its word.
    LatestEpoch,
    /// What was acknowledged is in the journal, and a worker keeps a result until it is.
    NothingLost,
    /// A request id makes one run.
    OneRunARequest,
    /// Published versions follow one another without gaps.
    VersionsFollow,
    /// Of a concurrency group no more runs run than its limit says.
    GroupLimit,
    /// Of a concurrency group of stages no more attempts are granted at a time than its limit says.
    SlotLimit,
    /// A coordinator grants no faster than a rate limit says.
    RateLimit,
    /// A stage waits for one run at most, which is in the journal, and ends in the commit in which that does.
    OneChild,
    /// When faults cease every run ends, and its stages ended consistently.
    EveryRunEnds,
    /// What a coordinator sends follows from what is durable.
    CommitThenAct,
    /// The records of the latest epoch follow from the journal: its memory is the fold of the records.
    MemoryIsFold,
}

impl fmt::Display for Invariant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NeedsFirst => "needs first",
            Self::OneOutput => "one output a stage",
            Self::OneLease => "one lease a stage",
            Self::LatestEpoch => "the latest epoch only",
            Self::NothingLost => "nothing acknowledged is lost",
            Self::OneRunARequest => "one run a request",
            Self::VersionsFollow => "versions follow one another",
            Self::GroupLimit => "no more of a group than its limit",
            Self::SlotLimit => "no more attempts of a group than its limit",
            Self::RateLimit => "no faster than the rate",
            Self::OneChild => "a stage ends with its run",
            Self::EveryRunEnds => "every run ends",
            Self::CommitThenAct => "commit, then act",
            Self::MemoryIsFold => "memory is the fold of the records",
        })
    }
}

/// An invariant that does not hold, and what was seen.
pub(crate) type Breach = (Invariant, String);

/// How a grant stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lease {
    Live(WorkerId),
    Ended,
}

type Place = (RunId, StageName);

/// The auditor's own books.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    latest: Epoch,
    workflows: BTreeMap<RunId, Workflow>,
    pins: BTreeMap<RunId, u64>,
    leases: BTreeMap<FencingToken, Lease>,
    live: BTreeMap<Place, FencingToken>,
    ended: BTreeMap<Place, StageStatus>,
    requests: BTreeMap<String, RunId>,
    cancelled: BTreeSet<RunId>,
    resumed: BTreeSet<RunId>,
    /// How many items a stage has that runs once for each.
    items: BTreeMap<Place, usize>,
    /// Runs of the concurrency group that were admitted and have not ended.
    admitted: BTreeSet<RunId>,
    /// Grants that have not ended, of the group of stages.
    slots: BTreeSet<FencingToken>,
    /// When grants of the group with a rate came, of the latest epoch: every coordinator has a clock of its own.
    paced: (Epoch, Vec<Timestamp>),
    /// The runs that stages wait for.
    children: BTreeMap<Place, RunId>,
    /// Runs that have ended.
    over: BTreeSet<RunId>,
    /// The outputs that attempts gave for a content.
    known: BTreeMap<String, BTreeSet<Vec<String>>>,
    /// The content of a stage, of attempts that look at what is known of it.
    reuses: BTreeMap<FencingToken, String>,
    versions: BTreeMap<(PublishedKind, PublishedName), u64>,
    learns_from: BTreeMap<FencingToken, u64>,
}

impl Audit {
    pub(crate) fn attempts(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn epoch_begins(&mut self, epoch: Epoch) -> Result<(), Breach> {
        if epoch <= self.latest {
            let what = format!("epoch {epoch} begins after epoch {}", self.latest);
            return Err((Invariant::LatestEpoch, what));
        }
        self.latest = epoch;
        Ok(())
    }

    /// Records that the journal is about to keep.
    pub(crate) fn appended(&mut self, epoch: Epoch, records: &[Record]) -> Result<(), Breach> {
        if epoch != self.latest {
            let what = format!("epoch {epoch} appends in epoch {}", self.latest);
            return Err((Invariant::LatestEpoch, what));
        }
        records.iter().try_for_each(|record| self.record(record))?;
        let vain = self
            .children
            .iter()
            .find(|(_, child)| self.over.contains(*child));
        if let Some(((run, stage), child)) = vain {
            let what = format!("{run}/{stage} waits for run {child}, which is over");
            return Err((Invariant::OneChild, what));
        }
        Ok(())
    }

    /// A stage that waited for a run ends, and so must that have. Says whether it is one.
    fn leaves_child(&mut self, run: &RunId, stage: &StageName) -> Result<bool, Breach> {
        let child = self.children.remove(&(run.clone(), stage.clone()));
        match child {
            None => Ok(false),
            Some(child) if self.over.contains(&child) => Ok(true),
            Some(child) => {
                let what = format!("{run}/{stage} ends before run {child}, which it waits for");
                Err((Invariant::OneChild, what))
            }
        }
    }

    fn record(&mut self, record: &Record) -> Result<(), Breach> {
        match record {
            Record::RunSubmitted(submitted) => {
                let run = submitted.run.clone();
                if let Some(id) = &submitted.request_id
                    && let Some(other) = self.requests.insert(id.clone(), run.clone())
                {
                    let what = format!("request {id} made runs {other} and {run}");
                    return Err((Invariant::OneRunARequest, what));
                }
                let table = submitted
                    .pins
                    .iter()
                    .find(|pin| pin.kind == PublishedKind::Table);
                self.pins
                    .insert(run.clone(), table.map_or(0, |pin| pin.version));
                self.workflows.insert(run, (*submitted.workflow).clone());
            }
            Record::RunAdmitted { run, .. } => {
                self.admitted.insert(run.clone());
                let workflow = self.workflows.get(run);
                let limit =
                    workflow.and_then(|workflow| workflow.concurrency.as_ref()?.limit.into());
                let limit = usize::try_from(limit.unwrap_or(0)).unwrap_or(0);
                if self.admitted.len() > limit {
                    let what = format!(
                        "run {run} is the {}th of its group, and the limit {limit}",
                        self.admitted.len()
                    );
                    return Err((Invariant::GroupLimit, what));
                }
            }
            Record::StageExpanded {
                run, stage, items, ..
            } => {
                self.may_begin(run, stage)?;
                let place = (run.clone(), stage.clone());
                if self.items.insert(place, items.len()).is_some() {
                    let what = format!("{run}/{stage} gets its items twice");
                    return Err((Invariant::OneOutput, what));
                }
            }
            Record::ChildStarted {
                run, stage, child, ..
            } => {
                self.may_begin(run, stage)?;
                let child = &child.run;
                let is_known = self.workflows.contains_key(child);
                let is_awaited = self.children.values().any(|other| other == child);
                let place = (run.clone(), stage.clone());
                let before = self.children.insert(place, child.clone());
                if before.is_some() || is_awaited || !is_known {
                    let what = format!("{run}/{stage} waits for run {child}, after {before:?}");
                    return Err((Invariant::OneChild, what));
                }
            }
            Record::StagePassed { run, stage, .. } => {
                if !self.leaves_child(run, stage)? {
                    self.may_begin(run, stage)?;
                }
                let place = (run.clone(), stage.clone());
                if self.ended.insert(place, StageStatus::Succeeded).is_some() {
                    let what = format!("{run}/{stage} passes after it ended");
                    return Err((Invariant::OneOutput, what));
                }
            }
            Record::AttemptAssigned {
                token,
                worker,
                learns_from,
                cache,
                at,
                ..
            } => {
                if let Some(cache) = cache.as_ref().filter(|cache| cache.reuses.is_some()) {
                    self.reuses.insert(token.clone(), cache.key.clone());
                }
                self.is_within_bounds(token, *at)?;
                self.may_begin(&token.attempt.run, &token.attempt.stage)?;
                self.learns_from
                    .extend(learns_from.map(|version| (token.clone(), version)));
                let place = place(token);
                if let Some(other) = self.live.insert(place.clone(), token.clone()) {
                    let what = format!("{token} is granted while {other} is");
                    return Err((Invariant::OneLease, what));
                }
                let lease = Lease::Live(worker.clone());
                if self.leases.insert(token.clone(), lease).is_some() {
                    return Err((Invariant::OneLease, format!("{token} is granted twice")));
                }
                if self.ended.contains_key(&place) {
                    let what = format!("{token} is granted after the stage ended");
                    return Err((Invariant::OneOutput, what));
                }
            }
            Record::AttemptFailed {
                token, retry_at, ..
            } => {
                self.ends(token)?;
                if self.cancelled.contains(&token.attempt.run) {
                    self.ended.insert(place(token), StageStatus::Cancelled);
                } else if retry_at.is_none() {
                    self.ended.insert(place(token), StageStatus::Failed);
                }
            }
            Record::AttemptLost { token, .. } => {
                self.ends(token)?;
                if self.cancelled.contains(&token.attempt.run) {
                    self.ended.insert(place(token), StageStatus::Cancelled);
                }
            }
            Record::StageSucceeded {
                token,
                outcome,
                published,
                cache,
                ..
            } => {
                self.ends(token)?;
                let before = self.ended.insert(place(token), StageStatus::Succeeded);
                if before.is_some() {
                    let what = format!("{token} succeeds after its stage ended");
                    return Err((Invariant::OneOutput, what));
                }
                let outputs: Vec<String> = outcome
                    .outputs
                    .values()
                    .map(|output| output.manifest.clone())
                    .collect();
                let is_right = match self.reuses.get(token) {
                    None => outputs.iter().all(|output| *output == token.to_string()),
                    Some(key) => self
                        .known
                        .get(key)
                        .is_some_and(|known| known.contains(&outputs)),
                };
                if let Some(entry) = cache {
                    let known = self.known.entry(entry.key.clone()).or_default();
                    known.insert(outputs);
                }
                if !is_right {
                    let what = format!("{token} commits the output of another attempt");
                    return Err((Invariant::OneOutput, what));
                }
                for version in published {
                    let key = (version.kind, version.name.clone());
                    let before = self.versions.insert(key, version.version).unwrap_or(0);
                    let base = match version.kind {
                        PublishedKind::Table => self.pins.get(&token.attempt.run),
                        PublishedKind::Policy => self.learns_from.get(token),
                    };
                    if version.version != before.saturating_add(1) || base != Some(&before) {
                        let what = format!(
                            "{version} is published by {token}, made from {base:?}, after version {before}"
                        );
                        return Err((Invariant::VersionsFollow, what));
                    }
                    // What the run itself published it may follow when it is done again.
                    if version.kind == PublishedKind::Table {
                        self.pins.insert(token.attempt.run.clone(), version.version);
                    }
                }
            }
            Record::StageSkipped { run, stage, .. } => {
                self.ended
                    .insert((run.clone(), stage.clone()), StageStatus::Skipped);
            }
            Record::StageFailed { run, stage, .. } => {
                self.leaves_child(run, stage)?;
                self.ended
                    .insert((run.clone(), stage.clone()), StageStatus::Failed);
            }
            Record::CancelRequested { run, .. } => {
                self.cancelled.insert(run.clone());
            }
            Record::RunResumed { run, from, .. } => {
                self.resumed.insert(run.clone());
                self.over.remove(run);
                self.cancelled.remove(run);
                let mut again = from.clone();
                let stages = self.workflows.get(run).map(|workflow| &workflow.stages);
                // They stand in an order in which they can run.
                for (name, stage) in stages.into_iter().flatten() {
                    if stage.needs.iter().any(|need| again.contains(need)) {
                        again.insert(name.clone());
                    }
                }
                let is_again =
                    |name: &StageName| again.iter().any(|it| it.as_str() == name.stage());
                self.ended.retain(|(of, name), status| {
                    of != run || (*status == StageStatus::Succeeded && !is_again(name))
                });
                self.items
                    .retain(|(of, name), _| of != run || !again.contains(name));
            }
            Record::RunFinished { run, .. } => {
                self.admitted.remove(run);
                self.over.insert(run.clone());
                if let Some((_, child)) = self.children.iter().find(|((of, _), _)| of == run) {
                    let what = format!("run {run} ends before run {child}, which is part of it");
                    return Err((Invariant::OneChild, what));
                }
                if let Some((_, token)) = self.live.iter().find(|((of, _), _)| of == run) {
                    let what = format!("run {run} ends while {token} is granted");
                    return Err((Invariant::OneLease, what));
                }
            }
        }
        Ok(())
    }

    /// A grant of a stage that is held back by others.
    fn is_within_bounds(&mut self, token: &FencingToken, at: Timestamp) -> Result<(), Breach> {
        let workflow = self.workflows.get(&token.attempt.run);
        let stage = workflow.and_then(|workflow| workflow.stage(&token.attempt.stage));
        // What gathers items runs in no group, and neither does what looks at what there is.
        let computes = !self.items.contains_key(&place(token)) && !self.reuses.contains_key(token);
        let throttle = stage.filter(|_| computes).map(|stage| &stage.throttle);
        if throttle.is_some_and(|throttle| throttle.concurrency.is_some()) {
            self.slots.insert(token.clone());
            if self.slots.len() > SLOTS as usize {
                let what = format!("{token} is granted, and the group has {SLOTS} already");
                return Err((Invariant::SlotLimit, what));
            }
        }
        if throttle.is_some_and(|throttle| throttle.rate.is_some()) {
            let (epoch, grants) = &mut self.paced;
            if *epoch != token.epoch {
                (*epoch, *grants) = (token.epoch, Vec::new());
            }
            grants.push(at);
            // Of any grants in a row, all but those that may come at once need time.
            for (index, first) in grants.iter().enumerate() {
                let count = u32::try_from(grants.len() - index).unwrap_or(u32::MAX);
                let paced = count.saturating_sub(BURST);
                if at.saturating_since(*first) < Duration::from_secs(1) / RATE * paced {
                    let what = format!("{token} is the {count}th since {first}");
                    return Err((Invariant::RateLimit, what));
                }
            }
        }
        Ok(())
    }

    /// A grant ends; only the live one can.
    fn ends(&mut self, token: &FencingToken) -> Result<(), Breach> {
        if self.live.get(&place(token)) != Some(token) {
            let what = format!("{token} ends and is not granted");
            return Err((Invariant::OneLease, what));
        }
        self.live.remove(&place(token));
        self.slots.remove(token);
        self.leases.insert(token.clone(), Lease::Ended);
        Ok(())
    }

    /// Whether all that a stage needs has ended as it must, and its run may begin stages.
    fn may_begin(&self, run: &RunId, name: &StageName) -> Result<(), Breach> {
        let workflow = self.workflows.get(run);
        let stage = workflow.and_then(|workflow| workflow.stage(name));
        let (Some(workflow), Some(stage)) = (workflow, stage) else {
            let what = format!("{run}/{name} begins, and its run is not in the journal");
            return Err((Invariant::NeedsFirst, what));
        };
        if workflow.concurrency.is_some() && !self.admitted.contains(run) {
            let what = format!("{run}/{name} begins, and its run was not admitted");
            return Err((Invariant::GroupLimit, what));
        }
        // What gathers the items of a stage comes when all of them have succeeded.
        let place = (run.clone(), name.clone());
        for item in 0..self.items.get(&place).copied().unwrap_or(0) {
            let item = (run.clone(), name.item(item));
            if self.ended.get(&item) != Some(&StageStatus::Succeeded) {
                let what = format!("{run}/{name} gathers before `{}` succeeded", item.1);
                return Err((Invariant::NeedsFirst, what));
            }
        }
        for need in &stage.needs {
            let status = self.ended.get(&(run.clone(), need.clone()));
            let is_met = match (&stage.condition, status) {
                (_, None) => false,
                (None, Some(status)) => *status == StageStatus::Succeeded,
                (Some(_), Some(_)) => true,
            };
            if !is_met {
                let what = format!("{run}/{name} goes ahead while stage `{need}` is {status:?}");
                return Err((Invariant::NeedsFirst, what));
            }
        }
        Ok(())
    }

    /// A coordinator of `epoch` speaks to `worker`.
    pub(crate) fn sends(
        &self,
        epoch: Epoch,
        worker: &WorkerId,
        message: &ToWorker,
    ) -> Result<(), Breach> {
        let act = Invariant::CommitThenAct;
        match message {
            ToWorker::Welcome { epoch } if *epoch > self.latest => {
                Err((act, format!("epoch {epoch} is spoken of before it began")))
            }
            ToWorker::Welcome { .. } => Ok(()),
            ToWorker::Assign(assignment) => {
                let token = &assignment.token;
                match self.leases.get(token) {
                    None => Err((act, format!("{token} is pushed before it is granted"))),
                    Some(Lease::Live(holder)) if holder != worker => {
                        Err((act, format!("{token} of {holder} is pushed to {worker}")))
                    }
                    Some(_) if token.epoch != epoch => {
                        Err((act, format!("{token} is pushed in epoch {epoch}")))
                    }
                    Some(_) => Ok(()),
                }
            }
            ToWorker::Cancel { token, reason } => {
                let is_live = matches!(self.leases.get(token), Some(Lease::Live(_)));
                // A grant that was cancelled and whose run went on has ended.
                if is_live && !self.cancelled.contains(&token.attempt.run) && epoch == self.latest {
                    let what = format!("{token} is to end because {reason}, and nothing says so");
                    return Err((act, what));
                }
                Ok(())
            }
            ToWorker::Acknowledged { token, accepted } => {
                let has_ended = self.leases.get(token) == Some(&Lease::Ended);
                if *accepted && !has_ended {
                    let what = format!("the result of {token} is acknowledged and not durable");
                    return Err((Invariant::NothingLost, what));
                }
                Ok(())
            }
        }
    }

    /// A coordinator answers a client.
    pub(crate) fn answers(&self, ask: &Ask, answer: &Answer) -> Result<(), Breach> {
        let is_durable = match (ask, answer) {
            (Ask::Submit { request_id, .. }, Answer::Begun(run)) => {
                self.requests.get(request_id) == Some(run)
            }
            (Ask::Cancel { run }, Answer::Done) => {
                self.cancelled.contains(run) || self.resumed.contains(run)
            }
            (Ask::Resume { run, .. }, Answer::Done) => self.resumed.contains(run),
            _ => true,
        };
        if is_durable {
            Ok(())
        } else {
            let what = format!("{answer:?} is answered and not in the journal");
            Err((Invariant::NothingLost, what))
        }
    }

    /// A worker starts an attempt on the word of a coordinator of `epoch`.
    pub(crate) fn starts(
        &self,
        token: &FencingToken,
        epoch: Epoch,
        highest: Epoch,
    ) -> Result<(), Breach> {
        self.obeys(token, epoch, highest)?;
        if !self.leases.contains_key(token) {
            let what = format!("{token} starts and is not granted");
            return Err((Invariant::NeedsFirst, what));
        }
        // A run that was resumed meanwhile has open needs again; the grant is an old one then.
        if self.leases.get(token) == Some(&Lease::Ended) {
            return Ok(());
        }
        self.may_begin(&token.attempt.run, &token.attempt.stage)
    }

    /// A worker does something with an attempt on the word of a coordinator of `epoch`.
    pub(crate) fn obeys(
        &self,
        token: &FencingToken,
        epoch: Epoch,
        highest: Epoch,
    ) -> Result<(), Breach> {
        if epoch < highest {
            let what = format!("{token}: a worker that knows epoch {highest} obeys epoch {epoch}");
            return Err((Invariant::LatestEpoch, what));
        }
        Ok(())
    }

    /// Memory of the leader beside the journal.
    pub(crate) fn remembers(
        &self,
        memory: Option<&RunState>,
        journal: Option<&RunState>,
    ) -> Result<(), Breach> {
        match (memory, journal) {
            (Some(memory), Some(journal)) if memory != journal => {
                let what = format!("run {} is remembered otherwise", journal.id());
                Err((Invariant::MemoryIsFold, what))
            }
            (Some(memory), None) => {
                let what = format!("run {} is only remembered", memory.id());
                Err((Invariant::MemoryIsFold, what))
            }
            _ => Ok(()),
        }
    }

    /// Every run, when it should long have ended.
    pub(crate) fn ended<'a>(&self, runs: impl Iterator<Item = &'a RunState>) -> Result<(), Breach> {
        let breach = |what: String| Err((Invariant::EveryRunEnds, what));
        for state in runs {
            let run = state.id();
            if state.status == RunStatus::Running {
                let open = state
                    .stages
                    .iter()
                    .find(|(_, stage)| !stage.status.is_terminal());
                let open = open.map(|(name, stage)| {
                    let last = stage.attempts.last();
                    let last = last.map(|last| format!("{} on {}", last.token, last.worker));
                    format!("stage `{name}` is {}, last {last:?}", stage.status.as_str())
                });
                return breach(format!("run {run} hangs: {open:?}"));
            }
            for (name, stage) in &state.stages {
                if !stage.status.is_terminal() {
                    return breach(format!("run {run} ended, and stage `{name}` did not"));
                }
                let Some(declared) = state.workflow().stage(name) else {
                    continue;
                };
                let all_succeeded = declared.needs.iter().all(|need| {
                    let need = state.stages.get(need);
                    need.is_some_and(|need| need.status == StageStatus::Succeeded)
                });
                let is_success = stage.status == StageStatus::Succeeded;
                if is_success && declared.condition.is_none() && !all_succeeded {
                    return breach(format!(
                        "stage `{name}` of {run} succeeded without its needs"
                    ));
                }
                let last = stage.attempts.last().and_then(|last| last.end.as_ref());
                let takes_worker = marquetry_workflow::ControlKind::of(&declared.uses).is_none();
                // One that is done again may end early with an attempt of before that succeeded.
                if is_success && takes_worker && last != Some(&AttemptEnd::Succeeded) {
                    return breach(format!(
                        "stage `{name}` of {run} and its last attempt differ"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn place(token: &FencingToken) -> Place {
    (token.attempt.run.clone(), token.attempt.stage.clone())
}
