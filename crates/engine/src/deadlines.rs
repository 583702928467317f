//! Timeouts: of an attempt, which its worker keeps and the engine watches, and of a stage with all its
//! attempts, which the engine keeps.

use std::time::Duration;

use marquetry_types::{
    Diagnostic, FailureClass, FencingToken, RunId, StageFailure, StageName, Timestamp, codes,
};

use crate::timers::Timer;
use crate::{Decision, Engine, Record, Rejection};

impl Engine {
    /// Arms the engine's own watch over an attempt's timeout, for a worker that does not keep it.
    pub(crate) fn arm_timeout(
        &mut self,
        timeout: Option<Duration>,
        token: &FencingToken,
        from: Timestamp,
    ) {
        if let Some(timeout) = timeout {
            let due = from
                .saturating_add(timeout)
                .saturating_add(self.config.timeout_grace);
            self.timers.arm(due, Timer::Timeout(token.clone()));
        }
    }

    /// The worker should have ended the attempt itself; it is not listening to its own clock.
    pub(crate) fn outlived(
        &mut self,
        token: &FencingToken,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let stage = self
            .run(&token.attempt.run)
            .and_then(|run| run.stages.get(&token.attempt.stage));
        let grant = stage
            .and_then(|stage| stage.granted())
            .filter(|grant| grant.token == *token);
        let Some(grant) = grant else { return Ok(()) };
        let worker = grant.worker.clone();
        let ran = now.saturating_since(grant.assigned_at);
        let message = format!(
            "the stage ran for {} s, longer than its timeout",
            ran.as_secs()
        );
        let failure = StageFailure {
            class: FailureClass::Transient,
            diagnostic: timed_out(message),
        };
        let reason = "it outlived its timeout".to_owned();
        self.tell_cancel(&worker, token.clone(), reason, decision);
        self.workers.release(&worker, token);
        self.fail(token.clone(), failure, now, decision)
    }

    /// When a stage must have ended, if it has a timeout of its own.
    pub(crate) fn deadline(&self, run: &RunId, stage: &StageName) -> Option<Timestamp> {
        let state = self.run(run)?;
        let timeout = state.workflow().stage(stage)?.stage_timeout?;
        Some(state.open_since(stage).saturating_add(timeout))
    }

    /// Ends a stage whose time is over, whether it runs or waits. Says whether it did.
    pub(crate) fn end_if_late(
        &mut self,
        run: &RunId,
        stage: &StageName,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<bool, Rejection> {
        let is_late = self.deadline(run, stage).is_some_and(|due| due <= now);
        let Some(state) = self.run(run).filter(|_| is_late) else {
            return Ok(false);
        };
        // A timer of before the run was resumed may ask while its needs are open again.
        let is_open = |need: &StageName| {
            let need = state.stages.get(need);
            need.is_some_and(|need| !need.status.is_terminal())
        };
        let declared = state.workflow().stage(stage);
        if declared.is_none_or(|declared| declared.needs.iter().any(is_open)) {
            return Ok(false);
        }
        let Some(standing) = state
            .stages
            .get(stage)
            .filter(|it| !it.status.is_terminal())
        else {
            return Ok(false);
        };
        // Its items have no more time than it has.
        let items = standing.items.as_ref().map_or(0, Vec::len);
        let items: Vec<StageName> = (0..items).map(|place| stage.item(place)).collect();
        let took = now.saturating_since(state.open_since(stage));
        let diagnostic = timed_out(format!(
            "the stage took {} s with all its attempts, longer than its timeout",
            took.as_secs()
        ));
        if let Some(child) = standing.awaited_child() {
            // With the run that it waits for it ends itself.
            let child = child.run.clone();
            let reason = format!("stage `{stage}` of run {run} outlived its timeout");
            self.cancel(&child, reason, now, decision)?;
            return Ok(true);
        }
        let is_gathering = standing.granted().is_some();
        let has_open = items.iter().any(|item| {
            let item = state.stages.get(item);
            item.is_some_and(|item| !item.status.is_terminal())
        });
        if has_open && !is_gathering {
            for item in &items {
                self.end_if_late(run, item, now, decision)?;
            }
            // With the last of its items it is decided about.
            return Ok(true);
        }
        let Some(standing) = self.run(run).and_then(|state| state.stages.get(stage)) else {
            return Ok(false);
        };
        let grant = standing
            .granted()
            .map(|it| (it.token.clone(), it.worker.clone()));
        let Some((token, worker)) = grant else {
            let class = FailureClass::Transient;
            self.fail_stage(run, stage.clone(), class, diagnostic, now, decision)?;
            return Ok(true);
        };
        let reason = "its stage outlived its timeout".to_owned();
        self.tell_cancel(&worker, token.clone(), reason, decision);
        self.workers.release(&worker, &token);
        let failure = StageFailure {
            class: FailureClass::Transient,
            diagnostic,
        };
        let record = Record::AttemptFailed {
            token,
            failure,
            retry_at: None,
            at: now,
        };
        self.record(record, decision)?;
        Ok(true)
    }
}

fn timed_out(message: String) -> Diagnostic {
    Diagnostic::new(codes::STAGE_TIMEOUT, message)
        .help("raise the stage's `timeout`, or give it less to do")
}
