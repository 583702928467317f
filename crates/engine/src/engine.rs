//! The engine: one input at a time, to records and actions.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_types::{Epoch, Published, RunId, StageName, Timestamp, WorkerId};
use marquetry_workflow::{Concurrency, OnConflict};

use crate::backlog::Backlog;
use crate::groups::Groups;
use crate::live_run::LiveRun;
use crate::shelf::Shelf;
use crate::throttles::Throttles;
use crate::timers::{Timer, Timers};
use crate::workers::Workers;
use crate::{
    Action, BadRecord, Decision, EngineConfig, Input, Record, RunState, RunStatus, RunSubmitted,
    StageState, Submission,
};

/// Why an input was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The run exists already.
    #[error("run {0} exists already")]
    DuplicateRun(RunId),
    /// The run is not in the working set: it ended, or never was.
    #[error("run {0} does not run")]
    NotRunning(RunId),
    /// The run cannot be resumed.
    #[error("run {run} is {}, and only a failed or cancelled run can be resumed", status.as_str())]
    NotResumable {
        /// The run.
        run: RunId,
        /// Where it stands.
        status: RunStatus,
    },
    /// The run has no such stage.
    #[error("run {run} has no stage `{stage}`")]
    UnknownStage {
        /// The run.
        run: RunId,
        /// What was asked for.
        stage: StageName,
    },
    /// The stage does not wait for anybody's approval.
    #[error("stage `{stage}` of run {run} does not wait for approval: {why}")]
    NotAwaited {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// Why not.
        why: String,
    },
    /// The run's concurrency group is full, and its workflow says that it is refused then.
    #[error("concurrency group `{group}` is full: run {} runs", runs.iter().map(RunId::as_str).collect::<Vec<_>>().join(", "))]
    GroupFull {
        /// The group.
        group: String,
        /// The runs that run.
        runs: Vec<RunId>,
    },
    /// No such worker is connected.
    #[error("no worker `{0}` is connected")]
    UnknownWorker(WorkerId),
    /// A record does not follow: memory is spoilt and must be restored from the journal.
    #[error(transparent)]
    Spoilt(#[from] BadRecord),
}

/// The state machine. See the crate's documentation for its contract.
#[derive(Debug, Clone)]
pub struct Engine {
    epoch: Epoch,
    pub(crate) config: EngineConfig,
    pub(crate) runs: BTreeMap<RunId, LiveRun>,
    pub(crate) workers: Workers,
    pub(crate) timers: Timers,
    /// Stages that may run now and wait for a worker.
    pub(crate) backlog: Backlog,
    /// Runs of which a few run at a time.
    pub(crate) groups: Groups,
    /// Runs about which something is to be decided before this step ends.
    pub(crate) touched: BTreeSet<RunId>,
    /// Groups of stages of which a few run at a time, and rates at which they begin.
    pub(crate) throttles: Throttles,
    /// The current version of everything published.
    pub(crate) shelf: Shelf,
    next_place: u64,
}

impl Engine {
    /// The engine of a new reign, with the current versions of what is published and the runs that
    /// have not ended. Whoever was granted something has the take-over grace to come and say that it
    /// still has it.
    #[must_use]
    pub fn restore(
        epoch: Epoch,
        config: EngineConfig,
        now: Timestamp,
        published: Vec<Published>,
        runs: Vec<RunState>,
    ) -> Self {
        let mut engine = Self {
            epoch,
            config,
            runs: BTreeMap::new(),
            workers: Workers::default(),
            timers: Timers::default(),
            backlog: Backlog::default(),
            groups: Groups::default(),
            throttles: Throttles::new(now, epoch <= Epoch(1)),
            touched: BTreeSet::new(),
            shelf: published.into_iter().collect(),
            next_place: 0,
        };
        let mut runs = runs;
        // Those that wait for their group do so in the order in which they came.
        runs.sort_by_key(|state| {
            (
                state.begun_at.unwrap_or(state.submitted.at),
                state.id().clone(),
            )
        });
        for state in runs {
            if state.status != RunStatus::Running {
                continue;
            }
            for (token, worker) in state.grants() {
                engine.workers.expect(worker, token.clone(), now);
                let grace = Timer::Grace(worker.clone(), 0);
                engine
                    .timers
                    .arm(now.saturating_add(engine.config.takeover_grace), grace);
                let stage = state.workflow().stage(&token.attempt.stage);
                engine.arm_timeout(stage.and_then(|stage| stage.timeout), token, now);
            }
            for attempt in state.stages.values().filter_map(StageState::granted) {
                if let Some(group) = &attempt.slot {
                    engine.throttles.take_slot(group, attempt.token.clone());
                }
            }
            let run = state.id().clone();
            let running = |(name, stage): (&StageName, &StageState)| {
                let runs = stage.granted().is_some() || stage.awaited_child().is_some();
                runs.then(|| name.clone())
            };
            let running: Vec<_> = state.stages.iter().filter_map(running).collect();
            for (name, stage) in &state.stages {
                if stage.awaited_child().is_some() {
                    engine
                        .timers
                        .arm(now, Timer::Child(run.clone(), name.clone()));
                }
            }
            engine.enter(state);
            engine.join_group(&run);
            for stage in running {
                if let Some(due) = engine.deadline(&run, &stage) {
                    engine.timers.arm(due, Timer::Deadline(run.clone(), stage));
                }
            }
        }
        engine
    }

    /// The reign in which it grants attempts.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A run of the working set.
    #[must_use]
    pub fn run(&self, run: &RunId) -> Option<&RunState> {
        self.runs.get(run).map(|live| &live.state)
    }

    /// The runs of the working set, in no order.
    pub fn runs(&self) -> impl Iterator<Item = &RunState> {
        self.runs.values().map(|live| &live.state)
    }

    /// When it wants a [`Input::Tick`] at the latest.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Forgets a run that has ended. A finished run costs the next one nothing.
    pub fn release(&mut self, run: &RunId) {
        if self
            .run(run)
            .is_some_and(|state| state.status != RunStatus::Running)
        {
            self.runs.remove(run);
        }
    }

    /// Takes one input at the time `now`, which does not run backwards.
    ///
    /// # Errors
    /// The input asks for what cannot be; nothing changed, except after [`Rejection::Spoilt`].
    pub fn step(&mut self, now: Timestamp, input: Input) -> Result<Decision, Rejection> {
        self.check(&input)?;
        let mut decision = Decision::default();
        while let Some(timer) = self.timers.pop_due(now) {
            self.timer_due(timer, now, &mut decision)?;
        }
        match input {
            Input::Submit(submission) => self.submit(submission, now, &mut decision)?,
            Input::WorkerConnected(hello) => self.connected(&hello, now, &mut decision)?,
            Input::WorkerDisconnected { worker, session } => {
                self.disconnected(&worker, session, now)
            }
            Input::WorkerLeft {
                worker,
                session,
                reason,
            } => self.left(&worker, session, &reason, now, &mut decision)?,
            Input::DrainWorker { worker, reason } => self.drain(worker, reason, &mut decision),
            Input::Heartbeat {
                worker,
                session,
                held,
                is_draining,
            } => {
                self.heartbeat(&worker, session, &held, now, &mut decision);
                if is_draining && self.workers.current(&worker, session).is_some() {
                    self.workers.set_draining(&worker, true);
                }
            }
            Input::AttemptFinished {
                worker,
                session,
                token,
                result,
            } => {
                self.finished(&worker, session, token, result, now, &mut decision)?;
            }
            Input::CancelRun { run, reason } => self.cancel(&run, reason, now, &mut decision)?,
            Input::ResumeRun { state, from } => self.resume(*state, from, now, &mut decision)?,
            Input::Approve {
                run,
                stage,
                is_approved,
                approval,
            } => self.approve(&run, stage, is_approved, approval, now, &mut decision)?,
            Input::LookedUp { run, stage, found } => {
                self.looked_up(&run, &stage, found, now, &mut decision)?;
            }
            Input::Tick => {}
        }
        self.settle(now, &mut decision)?;
        self.assign_ready(now, &mut decision)?;
        if let Some(peers) = self.workers.take_changed_peers() {
            decision.actions.push(Action::TellPeers { peers });
        }
        Ok(decision)
    }

    /// Refuses what cannot be, before the timers that are due leave their traces in memory. None of
    /// them begins or ends a run, so what can be before them can be after them.
    fn check(&self, input: &Input) -> Result<(), Rejection> {
        let is_running = |run: &RunId| {
            self.run(run)
                .is_some_and(|state| state.status == RunStatus::Running)
        };
        match input {
            Input::Submit(submission) if self.runs.contains_key(&submission.run) => {
                Err(Rejection::DuplicateRun(submission.run.clone()))
            }
            Input::Submit(submission) => {
                let concurrency = submission.workflow.concurrency.as_ref();
                self.check_group(submission.group.as_ref(), concurrency)
            }
            Input::Approve { run, stage, .. } => self.check_approval(run, stage),
            Input::DrainWorker { worker, .. } => match self.workers.get(worker) {
                Some(known) if known.is_connected => Ok(()),
                _ => Err(Rejection::UnknownWorker(worker.clone())),
            },
            Input::CancelRun { run, .. } if !is_running(run) => {
                Err(Rejection::NotRunning(run.clone()))
            }
            Input::ResumeRun { state, from } => {
                let run = state.id().clone();
                // What was read may be older than memory: another resumption in the same commit.
                let known = self.run(&run).unwrap_or(state);
                if let Some(stage) = from.iter().find(|name| !known.stages.contains_key(*name)) {
                    let stage = stage.clone();
                    return Err(Rejection::UnknownStage { run, stage });
                }
                if !known.can_resume(from) {
                    let status = known.status;
                    return Err(Rejection::NotResumable { run, status });
                }
                let concurrency = known.workflow().concurrency.as_ref();
                self.check_group(known.submitted.group.as_ref(), concurrency)
            }
            _ => Ok(()),
        }
    }

    /// Refuses a run whose group is full, where its workflow says so.
    pub(crate) fn check_group(
        &self,
        group: Option<&String>,
        concurrency: Option<&Concurrency>,
    ) -> Result<(), Rejection> {
        let (Some(group), Some(concurrency)) = (group, concurrency) else {
            return Ok(());
        };
        let runs: Vec<RunId> = self.groups.members(group).cloned().collect();
        let limit = usize::try_from(concurrency.limit).unwrap_or(usize::MAX);
        if concurrency.on_conflict == OnConflict::Reject && runs.len() >= limit {
            let group = group.clone();
            return Err(Rejection::GroupFull { group, runs });
        }
        Ok(())
    }

    /// Applies a record to memory and puts it among those to be made durable.
    pub(crate) fn record(
        &mut self,
        record: Record,
        decision: &mut Decision,
    ) -> Result<(), BadRecord> {
        if let Record::StageSucceeded { published, .. } = &record {
            published
                .iter()
                .for_each(|version| self.shelf.put(version.clone()));
        }
        self.take_out_of_line(&record);
        self.count_slots(&record);
        if let Some(live) = self.runs.get_mut(record.run()) {
            live.apply(&record)?;
            self.touched.insert(record.run().clone());
        }
        decision.records.push(record);
        Ok(())
    }

    /// A grant takes its slot with it when it ends.
    fn count_slots(&mut self, record: &Record) {
        match record {
            Record::AttemptAssigned {
                token,
                slot: Some(group),
                ..
            } => self.throttles.take_slot(group, token.clone()),
            Record::AttemptFailed { token, .. }
            | Record::AttemptLost { token, .. }
            | Record::StageSucceeded { token, .. } => {
                let run = self.runs.get(&token.attempt.run).map(|live| &live.state);
                let stage = run.and_then(|run| run.stages.get(&token.attempt.stage));
                let grant = stage.and_then(StageState::granted);
                if let Some(group) = grant.and_then(|grant| grant.slot.as_ref()) {
                    self.throttles.give_slot(group, token);
                }
            }
            _ => {}
        }
    }

    /// Nothing waits for a worker about which something else was decided.
    fn take_out_of_line(&mut self, record: &Record) {
        let Some(live) = self.runs.get(record.run()) else {
            return;
        };
        let whole_run = matches!(record, Record::CancelRequested { .. });
        let stage = record
            .stage()
            .and_then(|stage| live.state.stages.get_index_of(stage));
        let all = live.options.keys().copied().filter(|_| whole_run);
        for (demand, turn) in all.chain(stage).filter_map(|index| live.turn(index)) {
            self.backlog.take(&demand, &turn);
        }
    }

    /// Takes a run into the working set.
    fn enter(&mut self, state: RunState) {
        let run = state.id().clone();
        let live = LiveRun::new(state, self.next_place, self.config.ignores_placement);
        self.runs.insert(run.clone(), live);
        self.next_place += 1;
        self.touched.insert(run);
    }

    pub(crate) fn submit(
        &mut self,
        submission: Submission,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Submission {
            run,
            workflow,
            bundle,
            params,
            request_id,
            base_dir,
            group,
            schedule,
            trace,
            parent,
            ignores_cache,
        } = submission;
        let pins = self.shelf.pins(&workflow);
        let submitted = RunSubmitted {
            run,
            at: now,
            workflow,
            bundle,
            params,
            request_id,
            base_dir,
            group,
            schedule,
            trace,
            pins,
            parent,
            ignores_cache,
        };
        self.take_place(&submitted, now, decision)?;
        let run = submitted.run.clone();
        self.enter(RunState::submitted(submitted.clone()));
        self.join_group(&run);
        decision.records.push(Record::RunSubmitted(submitted));
        Ok(())
    }

    /// Makes room in a concurrency group whose workflow says that the newest run goes first.
    fn take_place(
        &mut self,
        submitted: &RunSubmitted,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let concurrency = submitted.workflow.concurrency.as_ref();
        let cancels = concurrency.is_some_and(|it| it.on_conflict == OnConflict::CancelRunning);
        match &submitted.group {
            Some(group) if cancels => self.make_room(group, &submitted.run, now, decision),
            _ => Ok(()),
        }
    }

    pub(crate) fn cancel(
        &mut self,
        run: &RunId,
        reason: String,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(state) = self.run(run) else {
            return Ok(());
        };
        if state.cancel_reason.is_some() {
            return Ok(());
        }
        let grants: Vec<_> = state
            .grants()
            .map(|(t, w)| (t.clone(), w.clone()))
            .collect();
        for (token, worker) in grants {
            self.tell_cancel(&worker, token, reason.clone(), decision);
        }
        let record = Record::CancelRequested {
            run: run.clone(),
            reason,
            at: now,
        };
        self.record(record, decision)?;
        self.cancel_children(run, now, decision)
    }

    pub(crate) fn resume(
        &mut self,
        state: RunState,
        from: BTreeSet<StageName>,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let run = state.id().clone();
        let state = self.run(&run).cloned().unwrap_or(state);
        self.take_place(&state.submitted, now, decision)?;
        self.enter(state);
        let record = Record::RunResumed {
            run: run.clone(),
            from,
            at: now,
        };
        self.record(record, decision)?;
        self.join_group(&run);
        Ok(())
    }

    fn timer_due(
        &mut self,
        timer: Timer,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        match timer {
            Timer::Retry(run, stage) => {
                if let Some(live) = self.runs.get_mut(&run)
                    && let Some(index) = live.state.stages.get_index_of(&stage)
                {
                    live.decidable.push(index);
                    self.touched.insert(run);
                }
            }
            Timer::Lease(id) => {
                let Some(worker) = self.workers.get(&id) else {
                    return Ok(());
                };
                let due = worker.last_seen.saturating_add(self.config.lease);
                if !worker.is_connected {
                    // The grace decides.
                } else if due > now {
                    self.timers.arm(due, Timer::Lease(id));
                } else {
                    let session = worker.session;
                    decision.actions.push(Action::CloseStream {
                        worker: id.clone(),
                        session,
                    });
                    let reason = format!("its worker was silent for {:?}", self.config.lease);
                    self.lose_worker(&id, &reason, now, decision)?;
                }
            }
            Timer::Grace(id, session) => {
                let is_gone = |worker: &crate::workers::Worker| {
                    !worker.is_connected && worker.session == session
                };
                if self.workers.get(&id).is_some_and(is_gone) {
                    self.lose_worker(&id, "its worker went away", now, decision)?;
                }
            }
            Timer::Deadline(run, stage) => {
                self.end_if_late(&run, &stage, now, decision)?;
            }
            Timer::Child(run, stage) => self.check_child(&run, stage, now, decision)?,
            Timer::Timeout(token) => self.outlived(&token, now, decision)?,
            // Granting follows in any case.
            Timer::Token(_) => {}
        }
        Ok(())
    }
}
