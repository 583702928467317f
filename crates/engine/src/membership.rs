//! Workers that come, show that they live, are drained, and go.

use marquetry_types::{FencingToken, Timestamp, WorkerId};

use crate::timers::Timer;
use crate::{Action, Decision, Engine, Rejection, WorkerHello};

impl Engine {
    pub(crate) fn connected(
        &mut self,
        hello: &WorkerHello,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(worker) = self.workers.connect(hello, now) else {
            return Ok(());
        };
        let gone: Vec<_> = worker
            .granted
            .iter()
            .filter(|token| !hello.held.contains(token))
            .cloned()
            .collect();
        self.timers.arm(
            now.saturating_add(self.config.lease),
            Timer::Lease(hello.worker.clone()),
        );
        for token in gone {
            self.lose(&token, "its worker no longer has it", now, decision)?;
        }
        self.refuse_stale(&hello.worker, &hello.held, decision);
        Ok(())
    }

    pub(crate) fn disconnected(&mut self, worker: &WorkerId, session: u64, now: Timestamp) {
        if self.workers.current(worker, session).is_some() {
            self.workers.disconnect(worker);
            let grace = Timer::Grace(worker.clone(), session);
            self.timers
                .arm(now.saturating_add(self.config.disconnect_grace), grace);
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        worker: &WorkerId,
        session: u64,
        held: &[FencingToken],
        now: Timestamp,
        decision: &mut Decision,
    ) {
        if let Some(known) = self.workers.current(worker, session) {
            known.last_seen = now;
            for assignment in known.unheard(held) {
                let assignment = Box::new(assignment);
                decision.actions.push(Action::Assign {
                    worker: worker.clone(),
                    session,
                    assignment,
                });
            }
            self.refuse_stale(worker, held, decision);
        }
    }

    /// Tells a worker to end what it holds without a right to, or what was cancelled while it was away.
    /// A result that it still holds is no matter: it reports it, and is told what became of it.
    pub(crate) fn refuse_stale(
        &self,
        worker: &WorkerId,
        held: &[FencingToken],
        decision: &mut Decision,
    ) {
        for token in held {
            let run = self.run(&token.attempt.run);
            let stage = run.and_then(|run| run.stages.get(&token.attempt.stage));
            let grant = stage.and_then(|stage| stage.granted());
            let is_granted =
                grant.is_some_and(|grant| grant.token == *token && grant.worker == *worker);
            let reason = match run.and_then(|run| run.cancel_reason.as_ref()) {
                None if is_granted => continue,
                Some(reason) if is_granted => reason.clone(),
                _ => "it was given up".to_owned(),
            };
            self.tell_cancel(worker, token.clone(), reason, decision);
        }
    }

    /// A worker that leaves for good takes no grace.
    pub(crate) fn left(
        &mut self,
        worker: &WorkerId,
        session: u64,
        reason: &str,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        if self.workers.current(worker, session).is_none() {
            return Ok(());
        }
        self.lose_worker(worker, &format!("its worker left: {reason}"), now, decision)
    }

    pub(crate) fn drain(&mut self, worker: WorkerId, reason: String, decision: &mut Decision) {
        let Some(known) = self.workers.get(&worker).filter(|known| known.is_connected) else {
            return;
        };
        let session = known.session;
        self.workers.set_draining(&worker, true);
        decision.actions.push(Action::DrainWorker {
            worker,
            session,
            reason,
        });
    }

    pub(crate) fn lose_worker(
        &mut self,
        id: &WorkerId,
        reason: &str,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let granted = self
            .workers
            .get(id)
            .map(|worker| worker.granted.clone())
            .unwrap_or_default();
        self.workers.remove(id);
        for token in granted {
            self.lose(&token, reason, now, decision)?;
        }
        Ok(())
    }

    pub(crate) fn tell_cancel(
        &self,
        worker: &WorkerId,
        token: FencingToken,
        reason: String,
        decision: &mut Decision,
    ) {
        if let Some(known) = self.workers.get(worker).filter(|known| known.is_connected) {
            let (worker, session) = (worker.clone(), known.session);
            decision.actions.push(Action::CancelAttempt {
                worker,
                session,
                token,
                reason,
            });
        }
    }
}
