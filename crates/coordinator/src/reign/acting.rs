//! What follows a commit: messages to workers, and news for watchers.

use std::collections::BTreeSet;

use marquetry_engine::{Action, Record};
use marquetry_proto::v1;
use marquetry_proto::v1::attach_response::Message;
use marquetry_proto::v1::watch_run_response::Event;
use marquetry_types::{RunId, StageName, WorkerId};

use super::Reign;
use crate::request::Outbound;
use crate::run_ends::is_over;
use crate::views;

impl Reign {
    pub(super) fn welcome(&mut self, worker: &WorkerId, session: u64, outbound: Outbound) {
        let interval = self.config.heartbeat_interval.as_millis();
        let welcome = v1::Welcome {
            epoch: self.epoch.0,
            lake: self.config.lake.clone(),
            heartbeat_interval_ms: u32::try_from(interval).unwrap_or(u32::MAX),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.lines.insert(worker.clone(), (session, outbound));
        self.send(worker, session, Message::Welcome(welcome));
        self.introduce(worker, session);
    }

    /// Tells the watchers what became durable.
    pub(super) fn publish(&self, records: &[Record]) {
        let mut stages: BTreeSet<(&RunId, &str)> = BTreeSet::new();
        let mut runs: BTreeSet<&RunId> = BTreeSet::new();
        for record in records {
            match (record, record.stage()) {
                (_, Some(stage)) => {
                    // What happens to an item is news of its stage.
                    stages.insert((record.run(), stage.stage()));
                }
                (Record::RunResumed { run, .. } | Record::CancelRequested { run, .. }, None) => {
                    if let Some(state) = self.engine.run(run) {
                        let waiting = |name: &StageName| self.engine.waiting(run, name);
                        self.hub
                            .tell(run, || Event::Run(views::run(state, &waiting)));
                    }
                }
                (_, None) => {
                    runs.insert(record.run());
                }
            }
        }
        for (run, stage) in stages {
            self.hub.tell(run, || {
                let state = self.engine.run(run)?;
                let (name, _) = state.stages.get_key_value(stage)?;
                let waiting = self.engine.waiting(run, name);
                views::stage(state, name, waiting).map(Event::Stage)
            });
        }
        for run in runs {
            if let Some(state) = self.engine.run(run) {
                self.hub
                    .tell(run, || Event::Summary(views::summary(&state.summary())));
                if is_over(state.status) {
                    self.hub.ended(run, || views::summary(&state.summary()));
                }
            }
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Assign {
                worker,
                session,
                assignment,
            } => {
                let assignment = v1::Assignment {
                    token: Some((&assignment.token).into()),
                    kind: assignment.kind.to_string(),
                    options_json: assignment.options.to_string(),
                    bundle_digest: assignment.bundle,
                    seed: assignment.seed,
                    timeout_ms: assignment.timeout.map_or(0, |timeout| {
                        u64::try_from(timeout.as_millis())
                            .unwrap_or(u64::MAX)
                            .max(1)
                    }),
                    memory_bytes: assignment.memory.unwrap_or(0),
                    base_dir: assignment.base_dir.unwrap_or_default(),
                    parallelism: v1::Parallelism::from(assignment.parallelism).into(),
                    traceparent: assignment.trace.to_string(),
                };
                self.send(&worker, session, Message::Assign(assignment));
            }
            Action::CancelAttempt {
                worker,
                session,
                token,
                reason,
            } => {
                let cancel = v1::CancelAttempt {
                    token: Some((&token).into()),
                    reason,
                };
                self.send(&worker, session, Message::Cancel(cancel));
            }
            Action::AcknowledgeResult {
                worker,
                session,
                token,
                accepted,
            } => {
                let token = Some((&token).into());
                let acknowledged = v1::ResultAcknowledged { token, accepted };
                self.send(&worker, session, Message::Acknowledged(acknowledged));
            }
            Action::DrainWorker {
                worker,
                session,
                reason,
            } => self.send(&worker, session, Message::Drain(v1::Drain { reason })),
            Action::CloseStream { worker, session } => {
                if self
                    .lines
                    .get(&worker)
                    .is_some_and(|(current, _)| *current == session)
                {
                    self.lines.remove(&worker);
                }
            }
            Action::TellPeers { peers } => self.peers_changed(peers),
            Action::LookUp { run, stage, lookup } => {
                self.lookups.ask(&self.journal, run, stage, *lookup);
            }
            Action::RunEnded { run } => {
                self.own.remove(&run);
                self.engine.release(&run);
            }
        }
    }

    /// Sends to a worker's stream. One that takes nothing any more is closed: the worker comes back
    /// with what it holds, and what got lost is made up for.
    pub(super) fn send(&mut self, worker: &WorkerId, session: u64, message: Message) {
        let Some((current, outbound)) = self.lines.get(worker) else {
            return;
        };
        let response = v1::AttachResponse {
            message: Some(message),
        };
        if *current == session && outbound.try_send(Ok(response)).is_err() {
            tracing::warn!(%worker, "a worker takes no messages: its stream is closed");
            self.lines.remove(worker);
        }
    }
}
