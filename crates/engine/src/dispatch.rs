//! What happens next in a run: which stages are skipped, which fail before they begin, which are
//! ready, and who gets them.

use marquetry_script::{ScriptError, StatusFlags};
use marquetry_types::{
    AttemptId, Diagnostic, FailureClass, FencingToken, Outcome, RunId, StageName, Timestamp,
    WorkerId, codes,
};
use marquetry_workflow::{Condition, ConfigValue, ControlKind, Stage, Throttle};
use serde_json::{Map, Value, json};

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::backlog::{Demand, Turn};
use crate::caching::reuse_kind;
use crate::fan::{Gathered, gather_kind, gathered};
use crate::live_run::LiveRun;
use crate::scope::{reduce_datasets, scope};
use crate::throttles::{Bounds, Held};
use crate::timers::Timer;
use crate::{
    Action, Assignment, Decision, Engine, Record, Rejection, RunFailure, RunStatus, StageStatus,
};

/// What is to become of a stage whose needs have ended.
enum Verdict {
    Run(Value, Option<Arc<Bounds>>),
    /// It runs once for each of these.
    Expand(Value),
    Skip(String),
    Fail(Diagnostic),
}

impl Engine {
    /// Decides about every stage whose needs have ended, until nothing more follows.
    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        while let Some(run) = self.touched.pop_first() {
            // One that waits for its group may be cancelled all the same.
            if !self.admit(&run, now, decision)? {
                self.finish_if_done(&run, now, decision)?;
                continue;
            }
            while let Some(index) = self
                .runs
                .get_mut(&run)
                .and_then(|live| live.decidable.pop())
            {
                self.decide(&run, index, now, decision)?;
            }
            self.finish_if_done(&run, now, decision)?;
        }
        Ok(())
    }

    fn decide(
        &mut self,
        run: &RunId,
        index: usize,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(live) = self.runs.get(run) else {
            return Ok(());
        };
        let (Some(name), Some(retry_at)) = (live.name(index).cloned(), live.waits_until(index))
        else {
            return Ok(());
        };
        if self.end_if_late(run, &name, now, decision)? {
            return Ok(());
        }
        if let Some(due) = self.deadline(run, &name) {
            self.timers
                .arm(due, Timer::Deadline(run.clone(), name.clone()));
        }
        if let Some(at) = retry_at.filter(|at| *at > now) {
            self.timers.arm(at, Timer::Retry(run.clone(), name));
            return Ok(());
        }
        let Some(live) = self.runs.get_mut(run) else {
            return Ok(());
        };
        if !live.admits(index) {
            return Ok(());
        }
        if !live.options.contains_key(&index) {
            let verdict = match name.place() {
                None => verdict(live, &name),
                Some(_) => item_verdict(live, &name),
            };
            match verdict {
                Verdict::Run(options, bounds) => {
                    live.options.insert(index, options);
                    live.bind(index, bounds);
                }
                Verdict::Expand(items) => return self.expand(run, name, items, now, decision),
                Verdict::Skip(reason) => {
                    let run = run.clone();
                    let record = Record::StageSkipped {
                        run,
                        stage: name,
                        reason,
                        at: now,
                    };
                    return Ok(self.record(record, decision)?);
                }
                Verdict::Fail(diagnostic) => {
                    let class = FailureClass::Invalid;
                    return self.fail_stage(run, name, class, diagnostic, now, decision);
                }
            }
        }
        if !self.knows_cached(run, index, now, decision) {
            return Ok(());
        }
        let Some(live) = self.runs.get_mut(run) else {
            return Ok(());
        };
        let uses = live.state.workflow().stage(&name).map(|stage| &stage.uses);
        if let Some(control) = uses.and_then(ControlKind::of) {
            let options = live.options.get(&index).cloned().unwrap_or_default();
            return self.wait(control, run, name, &options, now, decision);
        }
        if let Some((demand, turn)) = live.turn(index) {
            self.backlog.put(demand, turn, now);
        }
        Ok(())
    }

    /// Whether a run may begin stages: the turn of one of a concurrency group may have come.
    fn admit(
        &mut self,
        run: &RunId,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<bool, Rejection> {
        let Some(live) = self.runs.get(run) else {
            return Ok(false);
        };
        let (Some(group), false) = (live.state.submitted.group.clone(), live.state.is_admitted)
        else {
            return Ok(true);
        };
        let concurrency = live.state.workflow().concurrency.as_ref();
        let limit = concurrency.map_or(1, |concurrency| concurrency.limit);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if live.state.cancel_reason.is_some() || !self.groups.may_begin(&group, run, limit) {
            return Ok(false);
        }
        self.groups.begin(&group, run);
        let record = Record::RunAdmitted {
            run: run.clone(),
            at: now,
        };
        self.record(record, decision)?;
        // The limit may have room for more.
        self.touched.extend(self.groups.next(&group).cloned());
        Ok(true)
    }

    /// A run of a concurrency group takes its place in it.
    pub(crate) fn join_group(&mut self, run: &RunId) {
        let Some(live) = self.runs.get(run) else {
            return;
        };
        if let Some(group) = &live.state.submitted.group {
            if live.state.is_admitted {
                self.groups.activate(group, run.clone());
            } else {
                self.groups.queue(group, live.place, run.clone());
            }
        }
    }

    /// Cancels the runs of a group that a new one takes the place of.
    pub(crate) fn make_room(
        &mut self,
        group: &str,
        newcomer: &RunId,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let members: BTreeSet<RunId> = self.groups.members(group).cloned().collect();
        for run in members {
            let reason = format!("run {newcomer} of group `{group}` takes its place");
            self.cancel(&run, reason, now, decision)?;
        }
        Ok(())
    }

    /// Ends a run whose every stage has ended.
    fn finish_if_done(
        &mut self,
        run: &RunId,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(live) = self.runs.get(run) else {
            return Ok(());
        };
        if !live.all_ended() || live.state.status != RunStatus::Running {
            return Ok(());
        }
        let failed = live.state.stages.iter().find_map(|(name, stage)| {
            let failure = stage
                .failure
                .as_ref()
                .filter(|_| stage.status == StageStatus::Failed)?;
            Some(RunFailure {
                stage: Some(name.clone()),
                diagnostic: failure.diagnostic.clone(),
            })
        });
        let (status, failure) = match (&live.state.cancel_reason, failed) {
            (Some(reason), _) => {
                let diagnostic =
                    Diagnostic::new(codes::CANCELLED, format!("the run was cancelled: {reason}"))
                        .help("`marquetry resume` goes on from its last committed stages");
                (
                    RunStatus::Cancelled,
                    Some(RunFailure {
                        stage: None,
                        diagnostic,
                    }),
                )
            }
            (None, Some(failure)) => (RunStatus::Failed, Some(failure)),
            (None, None) => (RunStatus::Succeeded, None),
        };
        let given = match status {
            RunStatus::Succeeded => live.state.evaluate_outputs(),
            _ => Ok(Outcome::default()),
        };
        let (status, failure, outputs) = match given {
            Ok(outputs) => (status, failure, outputs),
            Err(diagnostic) => {
                let failure = RunFailure {
                    stage: None,
                    diagnostic,
                };
                (RunStatus::Failed, Some(failure), Outcome::default())
            }
        };
        self.record(
            Record::RunFinished {
                run: run.clone(),
                status,
                failure,
                outputs,
                at: now,
            },
            decision,
        )?;
        self.touched.remove(run);
        self.child_ended(run, now, decision)?;
        decision.actions.push(Action::RunEnded { run: run.clone() });
        let group = self
            .run(run)
            .and_then(|state| state.submitted.group.clone());
        if let Some(group) = group {
            self.groups.leave(&group, run);
            self.touched.extend(self.groups.next(&group).cloned());
        }
        Ok(())
    }

    /// Grants ready stages to workers with free slots: by priority, then runs in the order of their
    /// submission, then stages in the order of the graph.
    pub(crate) fn assign_ready(
        &mut self,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        self.throttles.at(now);
        if self.backlog.is_empty() || !self.workers.has_free_slot() {
            return Ok(());
        }
        // The first of each line that somebody can serve.
        let heads = self.backlog.heads();
        let mut heads: BTreeSet<(Turn, _)> = heads
            .filter(|(demand, _)| self.workers.can_serve(demand))
            .map(|(demand, turn)| (turn.clone(), Arc::clone(demand)))
            .collect();
        while let Some((turn, demand)) = heads.pop_first() {
            let bounds = demand.bounds.as_deref();
            match bounds.and_then(|bounds| self.throttles.held(bounds, now)) {
                // The whole line waits; a grant that ends brings a step of its own.
                Some(Held::Slot) => continue,
                Some(Held::Until(at)) => {
                    let rate = bounds.and_then(|bounds| bounds.rate.as_ref());
                    if let Some(rate) = rate {
                        self.timers.arm(at, Timer::Token(rate.group.clone()));
                    }
                    continue;
                }
                None => {}
            }
            let shunned = self
                .runs
                .get(&turn.run)
                .and_then(|live| live.shunned(turn.index));
            let Some((worker, session)) = self.workers.least_loaded(&demand, shunned) else {
                continue;
            };
            if let Some(since) = self.backlog.take(&demand, &turn) {
                decision.waits.push(now.saturating_since(since));
            }
            self.grant(&turn, &demand, (worker, session), now, decision)?;
            if let Some(next) = self.backlog.head(&demand) {
                heads.insert((next.clone(), demand));
            }
        }
        Ok(())
    }

    fn grant(
        &mut self,
        turn: &Turn,
        demand: &Demand,
        (worker, session): (WorkerId, u64),
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(live) = self
            .runs
            .get(&turn.run)
            .filter(|live| live.place == turn.place)
        else {
            return Ok(());
        };
        let (Some(name), Some(_)) = (live.name(turn.index), live.waits_until(turn.index)) else {
            return Ok(());
        };
        let Some(stage) = live.state.workflow().stage(name) else {
            return Ok(());
        };
        let options = live.options.get(&turn.index).cloned().unwrap_or_default();
        let assignment = self.assignment(live, turn.index, stage, options);
        let token = assignment.token.clone();
        let timeout = stage.timeout;
        // An item publishes nothing: what gathers them does.
        let learns_from = match name.place() {
            None => self.shelf.learns_from(&stage.publish),
            Some(_) => None,
        };
        let bounds = demand.bounds.as_deref();
        let record = Record::AttemptAssigned {
            token: token.clone(),
            worker: worker.clone(),
            learns_from,
            slot: bounds.and_then(|bounds| Some(bounds.slot.as_ref()?.group.clone())),
            cache: live.cache_use(turn.index),
            at: now,
        };
        if let Some(rate) = bounds.and_then(|bounds| bounds.rate.as_ref()) {
            self.throttles.take_token(rate, now);
        }
        self.record(record, decision)?;
        self.arm_timeout(timeout, &token, now);
        self.workers.grant(&worker, assignment.clone());
        let assignment = Box::new(assignment);
        decision.actions.push(Action::Assign {
            worker,
            session,
            assignment,
        });
        Ok(())
    }

    fn assignment(
        &self,
        live: &LiveRun,
        index: usize,
        stage: &Stage,
        mut options: Value,
    ) -> Assignment {
        let run = &live.state;
        let name = live.name(index).unwrap_or(&stage.name);
        let reuse = live.reuses.get(&index);
        let reuse = reuse.and_then(|reuse| reuse.found.as_ref());
        match reuse {
            Some(found) => options = json!({ "outcome": found.outcome }),
            None => self.shelf.put_policies(run, &mut options),
        }
        let attempt = run.stages.get(name).map(crate::StageState::next_attempt);
        let attempt = AttemptId {
            run: run.id().clone(),
            stage: name.clone(),
            attempt: attempt.unwrap_or(marquetry_types::AttemptNumber(1)),
        };
        Assignment {
            trace: run.attempt_trace(&attempt),
            token: FencingToken {
                epoch: self.epoch(),
                attempt,
            },
            kind: match run.stages.get(name).and_then(|state| state.items.as_ref()) {
                Some(_) => gather_kind(&stage.uses),
                None if reuse.is_some() => reuse_kind(&stage.uses),
                None => stage.uses.clone(),
            },
            options,
            bundle: run.submitted.bundle.clone(),
            seed: seed(&run.workflow().name, name),
            timeout: stage.timeout,
            memory: stage.memory,
            parallelism: stage.parallelism,
            base_dir: run.submitted.base_dir.clone(),
        }
    }
}

/// What is to become of a stage. A condition that asks how the needed stages ended (`always()`,
/// `failure()`, `success()`) is asked in any case; without one, a stage runs only when all of what it
/// needs succeeded.
fn verdict(live: &LiveRun, name: &StageName) -> Verdict {
    let run = &live.state;
    let Some(stage) = run.workflow().stage(name) else {
        return Verdict::Skip("the workflow does not have it".to_owned());
    };
    let state = run.stages.get(name);
    if let Some(items) = state.and_then(|state| state.items.as_ref()) {
        return match gathered(run, name, items.len()) {
            Gathered::Options(options) => Verdict::Run(options, None),
            Gathered::Failed(diagnostic) => Verdict::Fail(diagnostic),
        };
    }
    let asks = match &stage.condition {
        None => false,
        Some(Condition::Always | Condition::Failure) => true,
        Some(Condition::When(expression)) => expression.status_function().is_some(),
    };
    let unmet = stage.needs.iter().find_map(|need| {
        let status = run.stages.get(need)?.status;
        (status != StageStatus::Succeeded).then_some((need, status))
    });
    if let (false, Some((need, status))) = (asks, unmet) {
        let how = match status {
            StageStatus::Failed => "failed",
            StageStatus::Cancelled => "was cancelled",
            _ => "was skipped",
        };
        return Verdict::Skip(format!("it needs stage `{need}`, which {how}"));
    }
    let scope = scope(run, &stage.needs);
    let holds = match &stage.condition {
        None | Some(Condition::Always) => Ok(true),
        Some(Condition::Failure) => Ok(live.has_failed_ancestor(name)),
        Some(Condition::When(expression)) => {
            let failed = live.has_failed_ancestor(name);
            expression.holds(
                &scope,
                StatusFlags {
                    failed,
                    skipped: unmet.is_some() && !failed,
                },
            )
        }
    };
    match (holds, &stage.condition) {
        (Ok(true), _) => {}
        (Ok(false), Some(Condition::When(expression))) => {
            return Verdict::Skip(format!(
                "its condition does not hold: {}",
                expression.source().trim()
            ));
        }
        (Ok(false), _) => return Verdict::Skip("nothing that it needs failed".to_owned()),
        (Err(error), _) => return Verdict::Fail(in_stage(&error, name, "the condition")),
    }
    if let Some(for_each) = &stage.for_each {
        return match for_each.items.evaluate(&scope) {
            Ok(items) => Verdict::Expand(items),
            Err(error) => Verdict::Fail(in_stage(&error, name, "`for_each`")),
        };
    }
    evaluated(&stage.with, &stage.throttle, name, &scope)
}

/// What is to become of an item. Whether it runs was decided for all of them at once.
fn item_verdict(live: &mut LiveRun, name: &StageName) -> Verdict {
    // Not the whole stage: that may have the very list.
    let stage = live.state.workflow().stage(name);
    let stage = stage.map(|stage| (stage.with.clone(), stage.throttle.clone()));
    match (stage, live.item_scope(name)) {
        (Some((with, throttle)), Some(scope)) => evaluated(&with, &throttle, name, scope),
        _ => Verdict::Skip("its stage does not have it".to_owned()),
    }
}

/// The options of a stage, evaluated, and what holds it back.
fn evaluated(
    with: &ConfigValue,
    throttle: &Throttle,
    name: &StageName,
    scope: &Map<String, Value>,
) -> Verdict {
    let mut options = match with.evaluate(scope) {
        Ok(options) => options,
        Err(error) => return Verdict::Fail(in_stage(&error, name, "an option")),
    };
    reduce_datasets(&mut options);
    match Bounds::of(throttle, scope) {
        Ok(bounds) => Verdict::Run(options, bounds),
        Err(error) => Verdict::Fail(in_stage(&error, name, "`concurrency` or `rate`")),
    }
}

fn in_stage(error: &ScriptError, stage: &StageName, what: &str) -> Diagnostic {
    diagnostic_of(error, &format!("{what} of stage `{stage}`"))
}

/// What an expression's failure says to the author of the workflow.
pub(crate) fn diagnostic_of(error: &ScriptError, about: &str) -> Diagnostic {
    let diagnostic = Diagnostic::new(error.code(), format!("{about}: {}", error.message));
    match &error.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    }
}

/// A seed that follows from the names of workflow and stage.
pub(crate) fn seed(workflow: &str, stage: &StageName) -> u64 {
    let digest = blake3::hash(format!("{workflow}/{stage}").as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
