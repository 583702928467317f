//! The worker's half of the dispatch protocol, as a pure machine: messages and ends of attempts in,
//! effects out; no clock, no stream, no task.
//!
//! It promises that a result is reported until it is acknowledged, over however many connections;
//! that nothing of a deposed coordinator is obeyed; and that of two attempts at one stage only the
//! newer goes on.

use std::collections::BTreeMap;

use marquetry_engine::Assignment;
use marquetry_types::{AttemptResult, Epoch, FencingToken};

/// What happens to the machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
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
    /// It is time to show that this worker lives.
    HeartbeatDue,
    /// The stream broke.
    Disconnected,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
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
    /// Leave this coordinator: another one reigns.
    Disconnect,
}

#[derive(Debug, Clone, PartialEq)]
enum Held {
    Running,
    Finished(AttemptResult),
}

/// The machine's memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Protocol {
    /// The highest epoch seen: older ones are deposed.
    epoch: Epoch,
    welcomed: bool,
    held: BTreeMap<FencingToken, Held>,
}

impl Protocol {
    /// A worker that holds nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether nothing runs and no result waits for its acknowledgement.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes one input and says what is to be done, in order.
    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Connected => {
                self.welcomed = false;
                vec![Effect::SendHello {
                    held: self.held_tokens(),
                }]
            }
            Input::Welcomed { epoch } => self.welcomed(epoch),
            Input::Assigned(assignment) => self.assigned(assignment),
            Input::CancelRequested { token, reason } => {
                if self.held.get(&token) == Some(&Held::Running) {
                    vec![Effect::Cancel { token, reason }]
                } else {
                    Vec::new()
                }
            }
            Input::Finished { token, result } => self.finished(token, result),
            Input::Acknowledged { token } => {
                self.held.remove(&token);
                Vec::new()
            }
            Input::HeartbeatDue if self.welcomed => {
                vec![Effect::SendHeartbeat {
                    held: self.held_tokens(),
                }]
            }
            Input::HeartbeatDue => Vec::new(),
            Input::Disconnected => {
                self.welcomed = false;
                Vec::new()
            }
        }
    }

    fn held_tokens(&self) -> Vec<FencingToken> {
        self.held.keys().cloned().collect()
    }

    fn welcomed(&mut self, epoch: Epoch) -> Vec<Effect> {
        if epoch < self.epoch {
            return vec![Effect::Disconnect];
        }
        self.epoch = epoch;
        self.welcomed = true;
        let unacknowledged = self.held.iter().filter_map(|(token, held)| match held {
            Held::Running => None,
            Held::Finished(result) => Some(Effect::SendFinished {
                token: token.clone(),
                result: result.clone(),
            }),
        });
        unacknowledged.collect()
    }

    fn assigned(&mut self, assignment: Assignment) -> Vec<Effect> {
        let token = &assignment.token;
        let is_deposed = token.epoch < self.epoch;
        if is_deposed || self.held.contains_key(token) {
            return Vec::new();
        }
        let mut effects: Vec<Effect> = self
            .held
            .iter()
            .filter(|(other, held)| {
                **held == Held::Running
                    && other.attempt.run == token.attempt.run
                    && other.attempt.stage == token.attempt.stage
            })
            .map(|(older, _)| Effect::Cancel {
                token: older.clone(),
                reason: format!("attempt {} replaces it", token.attempt.attempt),
            })
            .collect();
        self.held.insert(token.clone(), Held::Running);
        effects.push(Effect::Start(assignment));
        effects
    }

    fn finished(&mut self, token: FencingToken, result: AttemptResult) -> Vec<Effect> {
        match self.held.get_mut(&token) {
            Some(held @ Held::Running) => *held = Held::Finished(result.clone()),
            // Refused while it still ran, or ended twice: there is nobody to tell.
            Some(Held::Finished(_)) | None => return Vec::new(),
        }
        if self.welcomed {
            vec![Effect::SendFinished { token, result }]
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use marquetry_types::{AttemptId, AttemptNumber, Outcome, RunId, Timestamp};

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
            token,
            kind: "segmentation/kmeans".parse().unwrap(),
            options: serde_json::Value::Null,
            bundle: String::new(),
            seed: 7,
            timeout: None,
            memory: None,
            base_dir: None,
        }
    }

    fn success() -> AttemptResult {
        AttemptResult::Succeeded(Outcome::default())
    }

    fn welcomed_worker(epoch: u64) -> Protocol {
        let mut worker = Protocol::new();
        worker.step(Input::Connected);
        assert_eq!(
            worker.step(Input::Welcomed {
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
            worker.step(Input::Assigned(first.clone())),
            [Effect::Start(first)]
        );
        worker.step(Input::Disconnected);
        let ended = Input::Finished {
            token: token(1, 1),
            result: success(),
        };
        assert_eq!(worker.step(ended), [], "nobody listens");

        for epoch in [1, 2] {
            let hello = worker.step(Input::Connected);
            assert_eq!(
                hello,
                [Effect::SendHello {
                    held: vec![token(1, 1)]
                }]
            );
            let reported = worker.step(Input::Welcomed {
                epoch: Epoch(epoch),
            });
            let report = Effect::SendFinished {
                token: token(1, 1),
                result: success(),
            };
            assert_eq!(reported, [report]);
        }
        worker.step(Input::Acknowledged { token: token(1, 1) });
        assert!(worker.is_idle());
        worker.step(Input::Connected);
        assert_eq!(worker.step(Input::Welcomed { epoch: Epoch(2) }), []);
    }

    #[test]
    fn a_deposed_coordinator_is_left_and_not_obeyed() {
        let mut worker = welcomed_worker(5);
        assert_eq!(worker.step(Input::Assigned(assignment(token(4, 1)))), []);
        worker.step(Input::Connected);
        assert_eq!(
            worker.step(Input::Welcomed { epoch: Epoch(4) }),
            [Effect::Disconnect]
        );
        assert_eq!(
            worker.step(Input::HeartbeatDue),
            [],
            "it was never welcomed"
        );
    }

    #[test]
    fn an_assignment_that_comes_twice_starts_once() {
        let mut worker = welcomed_worker(1);
        assert_eq!(
            worker.step(Input::Assigned(assignment(token(1, 1)))).len(),
            1
        );
        assert_eq!(worker.step(Input::Assigned(assignment(token(1, 1)))), []);
    }

    #[test]
    fn a_newer_attempt_at_a_stage_ends_the_older_one() {
        let mut worker = welcomed_worker(1);
        worker.step(Input::Assigned(assignment(token(1, 1))));
        let effects = worker.step(Input::Assigned(assignment(token(1, 2))));
        assert!(
            matches!(&effects[..], [Effect::Cancel { token: older, .. }, Effect::Start(_)]
            if *older == token(1, 1))
        );
    }

    #[test]
    fn only_what_runs_can_be_cancelled() {
        let mut worker = welcomed_worker(1);
        let cancel = Input::CancelRequested {
            token: token(1, 1),
            reason: "asked".into(),
        };
        assert_eq!(worker.step(cancel.clone()), []);
        worker.step(Input::Assigned(assignment(token(1, 1))));
        assert_eq!(worker.step(cancel.clone()).len(), 1);
        worker.step(Input::Finished {
            token: token(1, 1),
            result: success(),
        });
        assert_eq!(worker.step(cancel), []);
    }
}
