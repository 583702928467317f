//! Ends of attempts and stages: success, failure, and what is given up.

use marquetry_types::{
    AttemptResult, Diagnostic, FailureClass, FencingToken, Outcome, RunId, StageFailure, StageName,
    Timestamp, WorkerId, codes,
};
use marquetry_workflow::Retry;

use crate::shelf::Shelved;
use crate::{Action, CacheEntry, Decision, Engine, Record, Rejection, backoff};

impl Engine {
    pub(crate) fn finished(
        &mut self,
        worker: &WorkerId,
        session: u64,
        token: FencingToken,
        result: AttemptResult,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(known) = self.workers.current(worker, session) else {
            return Ok(());
        };
        known.last_seen = now;
        let run = self.run(&token.attempt.run);
        let stage = run.and_then(|run| run.stages.get(&token.attempt.stage));
        let is_granted = stage
            .and_then(|stage| stage.granted())
            .is_some_and(|grant| grant.token == token && grant.worker == *worker);
        let was_won = stage.is_some_and(|stage| stage.was_won_by(&token));
        if is_granted {
            self.workers.release(worker, &token);
            match result {
                AttemptResult::Succeeded(outcome) => {
                    self.succeed(token.clone(), outcome, now, decision)?
                }
                AttemptResult::Failed(failure) => {
                    self.fail(token.clone(), failure, now, decision)?
                }
            }
        }
        decision.actions.push(Action::AcknowledgeResult {
            worker: worker.clone(),
            session,
            token,
            accepted: is_granted || was_won,
        });
        Ok(())
    }

    pub(crate) fn succeed(
        &mut self,
        token: FencingToken,
        mut outcome: Outcome,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        // JSON has no such numbers, so the record could not be read back.
        outcome.metrics.retain(|_, value| value.is_finite());
        let Some(run) = self.run(&token.attempt.run) else {
            return Ok(());
        };
        let Shelved {
            published,
            withheld,
        } = match self.shelf.take(run, &token, &outcome) {
            Ok(shelved) => shelved,
            Err(failure) => return self.fail(token, failure, now, decision),
        };
        let stage = run.stages.get(&token.attempt.stage);
        let grant = stage.and_then(|stage| stage.granted());
        let used = grant.and_then(|grant| grant.cache.as_ref());
        let cache = used.map(|used| CacheEntry {
            key: used.key.clone(),
            computed_at: used
                .reuses
                .as_ref()
                .map_or(now, |reused| reused.computed_at),
        });
        Ok(self.record(
            Record::StageSucceeded {
                token,
                outcome,
                published,
                withheld,
                cache,
                at: now,
            },
            decision,
        )?)
    }

    pub(crate) fn fail(
        &mut self,
        token: FencingToken,
        mut failure: StageFailure,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(run) = self.run(&token.attempt.run) else {
            return Ok(());
        };
        let is_cancelled = run.cancel_reason.is_some();
        if failure.class == FailureClass::Cancelled && !is_cancelled {
            // Nobody asked the stage to stop.
            let message = format!(
                "the stage stopped as if it were cancelled, and nobody cancelled it: {}",
                failure.diagnostic.message
            );
            failure = StageFailure {
                class: FailureClass::Transient,
                diagnostic: Diagnostic::new(codes::STAGE_INTERNAL, message)
                    .help("this is an error of the plugin that provides the stage kind"),
            };
        }
        let stage = run.stages.get(&token.attempt.stage);
        let grant = stage.and_then(|stage| stage.granted());
        if grant.is_some_and(|grant| grant.is_reuse()) && !is_cancelled {
            // What was computed before is not to be had: it is computed now, at once.
            let record = Record::AttemptFailed {
                token,
                failure,
                retry_at: Some(now),
                at: now,
            };
            return Ok(self.record(record, decision)?);
        }
        let retry = run
            .workflow()
            .stage(&token.attempt.stage)
            .map(|stage| &stage.retry);
        let failures = run
            .stages
            .get(&token.attempt.stage)
            .map_or(0, |stage| stage.failed_attempts.saturating_add(1));
        let retry_at = retry
            .filter(|retry| {
                !is_cancelled && retry.on.includes(failure.class) && failures < retry.attempts
            })
            .map(|retry| now.saturating_add(backoff::delay(retry, failures, &token.attempt)));
        Ok(self.record(
            Record::AttemptFailed {
                token,
                failure,
                retry_at,
                at: now,
            },
            decision,
        )?)
    }

    /// Gives an attempt up. A stage that loses too many fails: it may be what kills its workers.
    pub(crate) fn lose(
        &mut self,
        token: &FencingToken,
        reason: &str,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let run = self.run(&token.attempt.run);
        let Some(stage) = run.and_then(|run| run.stages.get(&token.attempt.stage)) else {
            return Ok(());
        };
        let Some(grant) = stage.granted().filter(|grant| grant.token == *token) else {
            return Ok(());
        };
        let worker = grant.worker.clone();
        let lost = stage.lost_attempts.saturating_add(1);
        let is_cancelled = run.is_some_and(|run| run.cancel_reason.is_some());
        self.workers.release(&worker, token);
        // The first time at once: the worker is to blame. Then with more and more patience: it may be the
        // stage, or what they all depend on.
        let pause = (lost > 1).then(|| backoff::delay(&Retry::default(), lost - 1, &token.attempt));
        let record = Record::AttemptLost {
            token: token.clone(),
            reason: reason.to_owned(),
            retry_at: pause.map(|pause| now.saturating_add(pause)),
            at: now,
        };
        self.record(record, decision)?;
        if lost >= self.config.lost_attempts && !is_cancelled {
            let message = format!("{lost} attempts were lost, the last one because {reason}");
            let diagnostic = Diagnostic::new(codes::WORKER_LOST, message)
                .help("look at the workers' logs: the stage may need more memory than they have");
            let (run, stage) = (&token.attempt.run, token.attempt.stage.clone());
            let class = FailureClass::Transient;
            self.fail_stage(run, stage, class, diagnostic, now, decision)?;
        }
        Ok(())
    }

    /// Ends a stage that has no grant.
    pub(crate) fn fail_stage(
        &mut self,
        run: &RunId,
        stage: StageName,
        class: FailureClass,
        diagnostic: Diagnostic,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let record = Record::StageFailed {
            run: run.clone(),
            stage,
            failure: StageFailure { class, diagnostic },
            at: now,
        };
        Ok(self.record(record, decision)?)
    }
}
