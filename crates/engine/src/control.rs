//! Stages that take no worker: they wait for a person, for a time or for another run.

use marquetry_types::{Diagnostic, FailureClass, Outcome, RunId, StageName, Timestamp, codes};
use marquetry_workflow::{ControlKind, wait_until};
use serde_json::Value;

use crate::timers::Timer;
use crate::{Approval, Decision, Engine, Record, Rejection, RunStatus};

impl Engine {
    /// Lets a stage wait, or pass if what it waits for has come.
    pub(crate) fn wait(
        &mut self,
        control: ControlKind,
        run: &RunId,
        stage: StageName,
        options: &Value,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(live) = self.runs.get_mut(run) else {
            return Ok(());
        };
        match control {
            ControlKind::Run => self.want_child(run, stage, options, now, decision),
            ControlKind::Approval => {
                live.awaits_approval.insert(stage);
                Ok(())
            }
            ControlKind::Until => match wait_until(options, live.state.open_since(&stage)) {
                Ok(at) if at > now => {
                    self.timers.arm(at, Timer::Retry(run.clone(), stage));
                    Ok(())
                }
                Ok(_) => self.pass(run, stage, None, Outcome::default(), now, decision),
                Err(why) => {
                    let diagnostic = Diagnostic::new(codes::STAGE_OPTIONS, why);
                    self.fail_stage(run, stage, FailureClass::Invalid, diagnostic, now, decision)
                }
            },
        }
    }

    /// What a stage waited for came.
    pub(crate) fn pass(
        &mut self,
        run: &RunId,
        stage: StageName,
        approval: Option<Approval>,
        outcome: Outcome,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let record = Record::StagePassed {
            run: run.clone(),
            stage,
            approval,
            outcome,
            at: now,
        };
        Ok(self.record(record, decision)?)
    }

    /// Why nobody can approve a stage now, if nobody can.
    pub(crate) fn check_approval(&self, run: &RunId, stage: &StageName) -> Result<(), Rejection> {
        let live = self.runs.get(run);
        let Some(live) = live.filter(|live| live.state.status == RunStatus::Running) else {
            return Err(Rejection::NotRunning(run.clone()));
        };
        if live.awaits_approval.contains(stage) {
            return Ok(());
        }
        let (run, stage) = (run.clone(), stage.clone());
        let Some(state) = live.state.stages.get(&stage) else {
            return Err(Rejection::UnknownStage { run, stage });
        };
        let declared = live.state.workflow().stage(&stage);
        let is_approval = declared
            .is_some_and(|declared| ControlKind::of(&declared.uses) == Some(ControlKind::Approval));
        let why = if is_approval {
            format!("it is {}", state.status.as_str())
        } else {
            "it is no `wait/approval`".to_owned()
        };
        Err(Rejection::NotAwaited { run, stage, why })
    }

    /// A person decided.
    pub(crate) fn approve(
        &mut self,
        run: &RunId,
        stage: StageName,
        is_approved: bool,
        approval: Approval,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let live = self.runs.get(run);
        // A deadline that fell due with this very step was first.
        if !live.is_some_and(|live| live.awaits_approval.contains(&stage)) {
            return Ok(());
        }
        if is_approved {
            let outcome = Outcome::default();
            return self.pass(run, stage, Some(approval), outcome, now, decision);
        }
        let Approval { by, comment } = approval;
        let message = if comment.is_empty() {
            format!("{by} rejected it")
        } else {
            format!("{by} rejected it: {comment}")
        };
        let diagnostic =
            Diagnostic::new(codes::REJECTED, message).help("`marquetry retry RUN` asks once more");
        self.fail_stage(run, stage, FailureClass::Invalid, diagnostic, now, decision)
    }
}
