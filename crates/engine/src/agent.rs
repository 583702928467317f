//! The worker's half of the dispatch protocol, as pure as the coordinator's: messages and ends of
//! attempts in, effects out; no clock, no stream, no task.
//!
//! It promises that a result is reported until it is acknowledged, over however many connections;
//! that nothing of a deposed coordinator is obeyed; and that of two attempts at one stage only the
//! newer goes on.

use std::collections::BTreeMap;

use marquetry_types::{AttemptResult, Epoch, FencingToken, Membership};

use crate::Assignment;

/// What happens to the machine.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentInput {
    /// A stream to a coordinator is open.
    Connected,
    /// The coordinator answered the hello.
    Welcomed {
        /// Its reign.
        epoch: Epoch,
    },
    /// The coordinator wants an attempt run.
    Assigned(Assignment),
    /// The coordinator wants an attempt ended.
    CancelRequested {
        /// Which.
        token: FencingToken,
        /// Why.
        reason: String,
    },
    /// An attempt ended.
    Finished {
        /// Which.
        token: FencingToken,
        /// How.
        result: AttemptResult,
    },
    /// The coordinator has the result, or refuses it for good.
    Acknowledged {
        /// Which.
        token: FencingToken,
    },
    /// The coordinator says who takes parts of queries.
    MembershipChanged(Membership),
    /// It is time to show that this worker lives.
    HeartbeatDue,
    /// The stream broke.
    Disconnected,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEffect {
    /// Say hello with what is held.
    SendHello {
        /// Attempts that run, or whose results are not acknowledged.
        held: Vec<FencingToken>,
    },
    /// Send a heartbeat with what is held.
    SendHeartbeat {
        /// Attempts that run, or whose results are not acknowledged.
        held: Vec<FencingToken>,
    },
    /// Report how an attempt ended.
    SendFinished {
        /// Which.
        token: FencingToken,
        /// How.
        result: AttemptResult,
    },
    /// Run an attempt.
    Start(Assignment),
    /// End an attempt; it answers with `Finished` all the same.
    Cancel {
        /// Which.
        token: FencingToken,
        /// Why.
        reason: String,
    },
    /// Spread queries over these workers from now on, and show them this secret.
    UseMembers(Membership),
    /// Leave this coordinator: another one reigns.
    Disconnect,
}

#[derive(Debug, Clone, PartialEq)]
enum Held {
    Running,
    Finished {
        result: AttemptResult,
        /// A heartbeat passed since it was reported: if another one does, the report got lost.
        is_overdue: bool,
    },
}

/// The machine's memory.
#[derive(Debug, Clone, Default)]
pub struct Agent {
    /// The highest epoch seen: older ones are deposed.
    epoch: Epoch,
    welcomed: bool,
    /// It was told who takes parts of queries.
    knows_members: bool,
    held: BTreeMap<FencingToken, Held>,
}

impl Agent {
    /// A worker that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing runs and no result waits for its acknowledgement.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes one input and says what is to be done, in order.
    pub fn step(&mut self, input: AgentInput) -> Vec<AgentEffect> {
        match input {
            AgentInput::Connected => {
                self.welcomed = false;
                vec![AgentEffect::SendHello {
                    held: self.held_tokens(),
                }]
            }
            AgentInput::Welcomed { epoch } => self.welcomed(epoch),
            // Who has not said in which epoch it reigns may be deposed: nobody is obeyed before that.
            AgentInput::Assigned(_)
            | AgentInput::CancelRequested { .. }
            | AgentInput::Acknowledged { .. }
            | AgentInput::MembershipChanged(_)
                if !self.welcomed =>
            {
                Vec::new()
            }
            AgentInput::Assigned(assignment) => self.assigned(assignment),
            AgentInput::CancelRequested { token, reason } => {
                if self.held.get(&token) == Some(&Held::Running) {
                    vec![AgentEffect::Cancel { token, reason }]
                } else {
                    Vec::new()
                }
            }
            AgentInput::Finished { token, result } => self.finished(token, result),
            AgentInput::Acknowledged { token } => {
                self.held.remove(&token);
                Vec::new()
            }
            AgentInput::MembershipChanged(membership) => {
                self.knows_members = true;
                vec![AgentEffect::UseMembers(membership)]
            }
            AgentInput::HeartbeatDue if self.welcomed => self.heartbeat(),
            AgentInput::HeartbeatDue => Vec::new(),
            AgentInput::Disconnected => {
                self.welcomed = false;
                Vec::new()
            }
        }
    }

    fn held_tokens(&self) -> Vec<FencingToken> {
        self.held.keys().cloned().collect()
    }

    fn welcomed(&mut self, epoch: Epoch) -> Vec<AgentEffect> {
        if epoch < self.epoch {
            return vec![AgentEffect::Disconnect];
        }
        // Another reign has another secret, and tells who shares it.
        let forgets = epoch > self.epoch && std::mem::take(&mut self.knows_members);
        self.epoch = epoch;
        self.welcomed = true;
        let unacknowledged = self.held.iter().filter_map(|(token, held)| match held {
            Held::Running => None,
            Held::Finished { result, .. } => Some(AgentEffect::SendFinished {
                token: token.clone(),
                result: result.clone(),
            }),
        });
        let forgotten = forgets.then(|| AgentEffect::UseMembers(Membership::default()));
        unacknowledged.chain(forgotten).collect()
    }

    /// Shows what is held, and reports once more what was reported more than a heartbeat ago.
    fn heartbeat(&mut self) -> Vec<AgentEffect> {
        let mut effects = vec![AgentEffect::SendHeartbeat {
            held: self.held_tokens(),
        }];
        for (token, held) in &mut self.held {
            if let Held::Finished { result, is_overdue } = held
                && std::mem::replace(is_overdue, true)
            {
                effects.push(AgentEffect::SendFinished {
                    token: token.clone(),
                    result: result.clone(),
                });
            }
        }
        effects
    }

    fn assigned(&mut self, assignment: Assignment) -> Vec<AgentEffect> {
        let token = &assignment.token;
        let is_deposed = token.epoch < self.epoch;
        if is_deposed || self.held.contains_key(token) {
            return Vec::new();
        }
        let mut effects: Vec<AgentEffect> = self
            .held
            .iter()
            .filter(|(other, held)| {
                **held == Held::Running
                    && other.attempt.run == token.attempt.run
                    && other.attempt.stage == token.attempt.stage
            })
            .map(|(older, _)| AgentEffect::Cancel {
                token: older.clone(),
                reason: format!("attempt {} replaces it", token.attempt.attempt),
            })
            .collect();
        self.held.insert(token.clone(), Held::Running);
        effects.push(AgentEffect::Start(assignment));
        effects
    }

    fn finished(&mut self, token: FencingToken, result: AttemptResult) -> Vec<AgentEffect> {
        match self.held.get_mut(&token) {
            Some(held @ Held::Running) => {
                *held = Held::Finished {
                    result: result.clone(),
                    is_overdue: false,
                };
            }
            // Refused while it still ran, or ended twice: there is nobody to tell.
            Some(Held::Finished { .. }) | None => return Vec::new(),
        }
        if self.welcomed {
            vec![AgentEffect::SendFinished { token, result }]
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use marquetry_types::{AttemptId, AttemptNumber, Outcome, RunId, Timestamp, TraceContext};

    fn token(epoch: u64, attempt: u32) -> FencingToken {
        let run = RunId::new(Timestamp::from_millis(1), 1);
        let stage = "segments".parse().unwrap();
        let attempt = AttemptId {
            run,
            stage,
            attempt: AttemptNumber(attempt),
        };
        FencingToken {
            epoch: Epoch(epoch),
            attempt,
        }
    }

    fn assignment(token: FencingToken) -> Assignment {
        Assignment {
            trace: TraceContext::of_run(&token.attempt.run),
            token,
            kind: "segmentation/kmeans".parse().unwrap(),
            options: serde_json::Value::Null,
            bundle: String::new(),
            seed: 7,
            timeout: None,
            memory: None,
            parallelism: Default::default(),
            base_dir: None,
        }
    }

    fn success() -> AttemptResult {
        AttemptResult::Succeeded(Outcome::default())
    }

    fn welcomed_worker(epoch: u64) -> Agent {
        let mut worker = Agent::new();
        worker.step(AgentInput::Connected);
        assert_eq!(
            worker.step(AgentInput::Welcomed {
                epoch: Epoch(epoch)
            }),
            []
        );
        worker
    }

    #[test]
    fn a_result_is_reported_until_it_is_acknowledged() {
        let mut worker = welcomed_worker(1);
        let first = assignment(token(1, 1));
        assert_eq!(
            worker.step(AgentInput::Assigned(first.clone())),
            [AgentEffect::Start(first)]
        );
        worker.step(AgentInput::Disconnected);
        let ended = AgentInput::Finished {
            token: token(1, 1),
            result: success(),
        };
        assert_eq!(worker.step(ended), [], "nobody listens");

        for epoch in [1, 2] {
            let hello = worker.step(AgentInput::Connected);
            assert_eq!(
                hello,
                [AgentEffect::SendHello {
                    held: vec![token(1, 1)]
                }]
            );
            let reported = worker.step(AgentInput::Welcomed {
                epoch: Epoch(epoch),
            });
            let report = AgentEffect::SendFinished {
                token: token(1, 1),
                result: success(),
            };
            assert_eq!(reported, [report]);
        }
        worker.step(AgentInput::Acknowledged { token: token(1, 1) });
        assert!(worker.is_idle());
        worker.step(AgentInput::Connected);
        assert_eq!(worker.step(AgentInput::Welcomed { epoch: Epoch(2) }), []);
    }

    #[test]
    fn a_deposed_coordinator_is_left_and_not_obeyed() {
        let mut worker = welcomed_worker(5);
        assert_eq!(
            worker.step(AgentInput::Assigned(assignment(token(4, 1)))),
            []
        );
        worker.step(AgentInput::Connected);
        assert_eq!(
            worker.step(AgentInput::Welcomed { epoch: Epoch(4) }),
            [AgentEffect::Disconnect]
        );
        assert_eq!(
            worker.step(AgentInput::HeartbeatDue),
            [],
            "it was never welcomed"
        );
    }

    #[test]
    fn a_report_that_got_lost_is_made_again_with_the_second_heartbeat() {
        let mut worker = welcomed_worker(1);
        worker.step(AgentInput::Assigned(assignment(token(1, 1))));
        worker.step(AgentInput::Finished {
            token: token(1, 1),
            result: success(),
        });
        let heartbeat = AgentEffect::SendHeartbeat {
            held: vec![token(1, 1)],
        };
        let report = AgentEffect::SendFinished {
            token: token(1, 1),
            result: success(),
        };
        assert_eq!(
            worker.step(AgentInput::HeartbeatDue),
            std::slice::from_ref(&heartbeat)
        );
        assert_eq!(worker.step(AgentInput::HeartbeatDue), [heartbeat, report]);
        worker.step(AgentInput::Acknowledged { token: token(1, 1) });
        assert_eq!(worker.step(AgentInput::HeartbeatDue).len(), 1);
    }

    #[test]
    fn nobody_is_obeyed_before_the_welcome() {
        let mut worker = welcomed_worker(5);
        let started = assignment(token(5, 1));
        worker.step(AgentInput::Assigned(started));
        worker.step(AgentInput::Disconnected);
        worker.step(AgentInput::Connected);
        let cancel = AgentInput::CancelRequested {
            token: token(5, 1),
            reason: "it was given up".into(),
        };
        assert_eq!(worker.step(cancel.clone()), [], "it may be deposed");
        worker.step(AgentInput::Acknowledged { token: token(5, 1) });
        assert!(!worker.is_idle(), "it may be deposed");
        worker.step(AgentInput::Welcomed { epoch: Epoch(5) });
        assert_eq!(worker.step(cancel).len(), 1);
    }

    #[test]
    fn an_assignment_that_comes_twice_starts_once() {
        let mut worker = welcomed_worker(1);
        assert_eq!(
            worker
                .step(AgentInput::Assigned(assignment(token(1, 1))))
                .len(),
            1
        );
        assert_eq!(
            worker.step(AgentInput::Assigned(assignment(token(1, 1)))),
            []
        );
    }

    #[test]
    fn a_newer_attempt_at_a_stage_ends_the_older_one() {
        let mut worker = welcomed_worker(1);
        worker.step(AgentInput::Assigned(assignment(token(1, 1))));
        let effects = worker.step(AgentInput::Assigned(assignment(token(1, 2))));
        assert!(
            matches!(&effects[..], [AgentEffect::Cancel { token: older, .. }, AgentEffect::Start(_)]
            if *older == token(1, 1))
        );
    }

    #[test]
    fn members_of_another_reign_are_forgotten_until_the_new_one_tells() {
        let members = |secret: &str| Membership {
            secret: marquetry_types::Secret::new(secret),
            ..Membership::default()
        };
        let mut worker = Agent::new();
        worker.step(AgentInput::Connected);
        let told = AgentInput::MembershipChanged(members("one"));
        assert_eq!(worker.step(told.clone()), [], "it may be deposed");
        worker.step(AgentInput::Welcomed { epoch: Epoch(1) });
        assert_eq!(worker.step(told), [AgentEffect::UseMembers(members("one"))]);
        worker.step(AgentInput::Disconnected);
        worker.step(AgentInput::Connected);
        let same = worker.step(AgentInput::Welcomed { epoch: Epoch(1) });
        assert_eq!(same, [], "it is the reign that told");
        worker.step(AgentInput::Disconnected);
        worker.step(AgentInput::Connected);
        let other = worker.step(AgentInput::Welcomed { epoch: Epoch(2) });
        assert_eq!(other, [AgentEffect::UseMembers(Membership::default())]);
    }

    #[test]
    fn only_what_runs_can_be_cancelled() {
        let mut worker = welcomed_worker(1);
        let cancel = AgentInput::CancelRequested {
            token: token(1, 1),
            reason: "asked".into(),
        };
        assert_eq!(worker.step(cancel.clone()), []);
        worker.step(AgentInput::Assigned(assignment(token(1, 1))));
        assert_eq!(worker.step(cancel.clone()).len(), 1);
        worker.step(AgentInput::Finished {
            token: token(1, 1),
            result: success(),
        });
        assert_eq!(worker.step(cancel), []);
    }
}
