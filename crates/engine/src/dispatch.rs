//! What happens next in a run: which stages are skipped, which fail before they begin, which are
//! ready, and who gets them.

use marquetry_script::{ScriptError, StatusFlags};
use marquetry_types::{
    AttemptId, Diagnostic, FailureClass, FencingToken, RunId, StageFailure, StageName, Timestamp,
    codes,
};
use marquetry_workflow::{Condition, Stage};
use serde_json::Value;

use crate::live_run::LiveRun;
use crate::scope::{reduce_datasets, scope};
use crate::timers::Timer;
use crate::{
    Action, Assignment, Decision, Engine, Record, Rejection, RunFailure, RunStatus, StageStatus,
};

/// What is to become of a stage whose needs have ended.
enum Verdict {
    Run(Value),
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
        let Some(live) = self.runs.get_mut(run) else {
            return Ok(());
        };
        let (Some(name), Some(retry_at)) = (live.name(index).cloned(), live.waits_until(index))
        else {
            return Ok(());
        };
        if let Some(at) = retry_at.filter(|at| *at > now) {
            self.timers.arm(at, Timer::Retry(run.clone(), name));
            return Ok(());
        }
        if !live.options.contains_key(&index) {
            match verdict(live, &name) {
                Verdict::Run(options) => {
                    live.options.insert(index, options);
                }
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
                    let failure = StageFailure {
                        class: FailureClass::Invalid,
                        diagnostic,
                    };
                    let record = Record::StageFailed {
                        run: run.clone(),
                        stage: name,
                        failure,
                        at: now,
                    };
                    return Ok(self.record(record, decision)?);
                }
            }
        }
        self.ready.insert((live.place, index, run.clone()));
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
        self.record(
            Record::RunFinished {
                run: run.clone(),
                status,
                failure,
                at: now,
            },
            decision,
        )?;
        self.touched.remove(run);
        decision.actions.push(Action::RunEnded { run: run.clone() });
        Ok(())
    }

    /// Grants ready stages to workers with free slots: runs in the order of their submission, stages
    /// in the order of the graph.
    pub(crate) fn assign_ready(
        &mut self,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        if self.ready.is_empty() || !self.workers.has_free_slot() {
            return Ok(());
        }
        for entry in std::mem::take(&mut self.ready) {
            let (place, index, run) = &entry;
            // A run that was resumed has another place: what was ready before is decided anew.
            let Some(live) = self.runs.get(run).filter(|live| live.place == *place) else {
                continue;
            };
            // It may have been cancelled, or assigned, since it became ready.
            let (Some(name), Some(_)) = (live.name(*index), live.waits_until(*index)) else {
                continue;
            };
            let Some(stage) = live.state.workflow().stages.get(name) else {
                continue;
            };
            let Some((worker, session)) = self.workers.least_loaded(&stage.uses) else {
                self.ready.insert(entry);
                continue;
            };
            let options = live.options.get(index).cloned().unwrap_or_default();
            let assignment = self.assignment(live, name, stage, options);
            let token = assignment.token.clone();
            let timeout = stage.timeout;
            let learns_from = self.shelf.learns_from(&stage.publish);
            let record = Record::AttemptAssigned {
                token: token.clone(),
                worker: worker.clone(),
                learns_from,
                at: now,
            };
            self.record(record, decision)?;
            self.arm_timeout(timeout, &token, now);
            self.workers.grant(&worker, assignment.clone());
            let assignment = Box::new(assignment);
            decision.actions.push(Action::Assign {
                worker,
                session,
                assignment,
            });
        }
        Ok(())
    }

    fn assignment(
        &self,
        live: &LiveRun,
        name: &StageName,
        stage: &Stage,
        mut options: Value,
    ) -> Assignment {
        let run = &live.state;
        self.shelf.put_policies(run, &mut options);
        let attempt = run.stages.get(name).map(crate::StageState::next_attempt);
        let attempt = AttemptId {
            run: run.id().clone(),
            stage: name.clone(),
            attempt: attempt.unwrap_or(marquetry_types::AttemptNumber(1)),
        };
        Assignment {
            token: FencingToken {
                epoch: self.epoch(),
                attempt,
            },
            kind: stage.uses.clone(),
            options,
            bundle: run.submitted.bundle.clone(),
            seed: seed(&run.workflow().name, name),
            timeout: stage.timeout,
            memory: stage.memory,
            base_dir: run.submitted.base_dir.clone(),
        }
    }
}

/// What is to become of a stage. A condition that asks how the needed stages ended (`always()`,
/// `failure()`, `success()`) is asked in any case; without one, a stage runs only when all of what it
/// needs succeeded.
fn verdict(live: &LiveRun, name: &StageName) -> Verdict {
    let run = &live.state;
    let Some(stage) = run.workflow().stages.get(name) else {
        return Verdict::Skip("the workflow does not have it".to_owned());
    };
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
    match stage.with.evaluate(&scope) {
        Ok(mut options) => {
            reduce_datasets(&mut options);
            Verdict::Run(options)
        }
        Err(error) => Verdict::Fail(in_stage(&error, name, "an option")),
    }
}

fn in_stage(error: &ScriptError, stage: &StageName, what: &str) -> Diagnostic {
    let diagnostic = Diagnostic::new(
        error.code(),
        format!("{what} of stage `{stage}`: {}", error.message),
    );
    match &error.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    }
}

/// A seed that follows from the names of workflow and stage.
fn seed(workflow: &str, stage: &StageName) -> u64 {
    let digest = blake3::hash(format!("{workflow}/{stage}").as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
