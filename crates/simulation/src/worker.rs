//! A worker's process around the pure agent, with stages that take virtual time.

use std::collections::BTreeSet;

use marquetry_engine::{Agent, AgentEffect, AgentInput, Assignment};
use marquetry_types::{AttemptResult, Epoch, FailureClass, FencingToken, WorkerId};

use crate::Mutation;
use crate::audit::Invariant;
use crate::coordinator::millis;
use crate::message::{ToCoordinator, ToWorker};
use crate::network::Stream;
use crate::workload::{REUSE, failure, reused, success};
use crate::world::{Event, World};

/// Between two heartbeats, in milliseconds.
const HEARTBEAT: u64 = 3000;

/// The place of a worker and the process that is there now.
#[derive(Debug)]
pub(crate) struct WorkerHost {
    pub(crate) life: u64,
    pub(crate) is_up: bool,
    pub(crate) paused_until: u64,
    pub(crate) slots: u32,
    pub(crate) stream: Option<u64>,
    id: Option<WorkerId>,
    agent: Agent,
    /// Attempts that run.
    tasks: BTreeSet<FencingToken>,
    /// Stages that do not listen when they are to end.
    deaf: BTreeSet<FencingToken>,
    /// What the process must not forget: what it began and nobody acknowledged.
    owed: BTreeSet<FencingToken>,
    /// The highest epoch that welcomed it.
    highest: Epoch,
    /// The epoch that welcomed it on its stream.
    welcomed_by: Epoch,
    next_coordinator: usize,
}

impl WorkerHost {
    pub(crate) fn new(slots: u32, next_coordinator: usize) -> Self {
        Self {
            life: 0,
            is_up: false,
            paused_until: 0,
            slots,
            stream: None,
            id: None,
            agent: Agent::new(),
            tasks: BTreeSet::new(),
            deaf: BTreeSet::new(),
            owed: BTreeSet::new(),
            highest: Epoch(0),
            welcomed_by: Epoch(0),
            next_coordinator,
        }
    }
}

impl World {
    /// A new process: a new name, and nothing in its hands.
    pub(crate) fn start_worker(&mut self, place: usize) {
        let Some(host) = self.workers.get_mut(place) else {
            return;
        };
        let life = host.life.saturating_add(1);
        *host = WorkerHost {
            life,
            is_up: true,
            paused_until: 0,
            id: format!("w{place}-{life}").parse().ok(),
            ..WorkerHost::new(host.slots, host.next_coordinator)
        };
        self.after(1, Event::WorkerConnects(place, life));
    }

    pub(crate) fn crash_worker(&mut self, place: usize) {
        let Some(host) = self.workers.get_mut(place).filter(|host| host.is_up) else {
            return;
        };
        host.is_up = false;
        host.life = host.life.saturating_add(1);
        if let Some(stream) = host.stream.take() {
            self.break_stream(stream);
        }
        let pause = self.dice.between(50, 4000);
        self.after(pause, Event::WorkerStarts(place));
    }

    pub(crate) fn worker_connects(&mut self, place: usize) {
        let Some(host) = self.workers.get_mut(place) else {
            return;
        };
        let Some(id) = host.id.clone().filter(|_| host.stream.is_none()) else {
            return;
        };
        let life = host.life;
        let target = host.next_coordinator;
        host.next_coordinator = target
            .saturating_add(1)
            .checked_rem(self.coordinators.len())
            .unwrap_or(0);
        let Some(coordinator) = self.coordinators.get(target).filter(|it| it.is_up) else {
            let pause = self.dice.between(20, 400);
            return self.after(pause, Event::WorkerConnects(place, life));
        };
        let stream = Stream::new((place, life), (target, coordinator.life), id);
        let number = self.next_number();
        self.streams.insert(number, stream);
        if let Some(host) = self.workers.get_mut(place) {
            host.stream = Some(number);
        }
        self.step_agent(place, AgentInput::Connected, None);
        let first = self.dice.between(1, HEARTBEAT);
        self.after(first, Event::WorkerBeats(place, life, number));
    }

    pub(crate) fn worker_loses_stream(&mut self, place: usize, number: u64) {
        self.streams.remove(&number);
        let Some(host) = self.workers.get_mut(place) else {
            return;
        };
        if host.stream == Some(number) {
            host.stream = None;
            let life = host.life;
            if self.dice.chance(500) {
                let next = host.next_coordinator.saturating_add(1);
                host.next_coordinator = next.checked_rem(self.coordinators.len()).unwrap_or(0);
            }
            self.step_agent(place, AgentInput::Disconnected, None);
            let pause = self.dice.between(20, 300);
            self.after(pause, Event::WorkerConnects(place, life));
        }
    }

    pub(crate) fn worker_beats(&mut self, place: usize, number: u64) {
        let Some(host) = self
            .workers
            .get(place)
            .filter(|host| host.stream == Some(number))
        else {
            return;
        };
        let life = host.life;
        self.step_agent(place, AgentInput::HeartbeatDue, None);
        self.after(HEARTBEAT, Event::WorkerBeats(place, life, number));
    }

    /// A message arrives at a worker.
    pub(crate) fn worker_hears(&mut self, number: u64, epoch: Epoch, message: ToWorker) {
        let Some(stream) = self.streams.get(&number) else {
            return;
        };
        let (place, life) = (stream.worker, stream.worker_life);
        let Some(host) = self.workers.get_mut(place) else {
            return;
        };
        if host.life != life || host.stream != Some(number) {
            return;
        }
        let input = match message {
            ToWorker::Welcome { epoch } => {
                // Back where it was welcome, as long as that lasts.
                host.next_coordinator = self.streams.get(&number).map_or(0, |it| it.coordinator);
                let told = if self.mutation == Some(Mutation::WorkerObeysDeposed) {
                    epoch.max(host.highest)
                } else {
                    epoch
                };
                host.highest = host.highest.max(epoch);
                host.welcomed_by = epoch;
                AgentInput::Welcomed { epoch: told }
            }
            ToWorker::Assign(assignment) => AgentInput::Assigned(*assignment),
            ToWorker::Cancel { token, reason } => AgentInput::CancelRequested { token, reason },
            ToWorker::Acknowledged { token, .. } => {
                host.owed.remove(&token);
                AgentInput::Acknowledged { token }
            }
        };
        self.step_agent(place, input, Some(epoch));
    }

    pub(crate) fn task_ends(&mut self, place: usize, token: FencingToken, result: AttemptResult) {
        let Some(host) = self.workers.get_mut(place) else {
            return;
        };
        if !host.tasks.remove(&token) {
            return;
        }
        host.deaf.remove(&token);
        let is_alone = host.stream.is_none();
        let input = AgentInput::Finished {
            token: token.clone(),
            result,
        };
        self.step_agent(place, input, None);
        if is_alone && self.mutation == Some(Mutation::WorkerDropsResult) {
            self.step_agent(
                place,
                AgentInput::Acknowledged {
                    token: token.clone(),
                },
                None,
            );
            // The agent listens to nobody while it is alone: the whole of it is forgotten.
            if let Some(host) = self.workers.get_mut(place) {
                host.agent = Agent::new();
            }
        }
    }

    /// Steps the agent and does what it wants done; `epoch` is that of who made it want it.
    fn step_agent(&mut self, place: usize, input: AgentInput, epoch: Option<Epoch>) {
        let Some(host) = self.workers.get_mut(place) else {
            return;
        };
        let effects = host.agent.step(input);
        for effect in effects {
            self.perform(place, effect, epoch);
        }
    }

    fn perform(&mut self, place: usize, effect: AgentEffect, epoch: Option<Epoch>) {
        self.note(|| format!("w{place}: {}", shown(&effect)));
        let Some(host) = self.workers.get_mut(place) else {
            return;
        };
        let (life, highest, stream) = (host.life, host.highest, host.stream);
        let message = match effect {
            AgentEffect::SendHello { held } => {
                let Some(worker) = host.id.clone() else {
                    return;
                };
                if let Some(lost) = host.owed.iter().find(|token| !held.contains(token)) {
                    let what =
                        format!("{worker} no longer knows of {lost}, which nobody acknowledged");
                    self.breach((Invariant::NothingLost, what));
                    return;
                }
                let slots = host.slots;
                ToCoordinator::Hello {
                    worker,
                    slots,
                    // The first one can do everything, so that every run can end.
                    is_bulky: place.is_multiple_of(2),
                    held,
                }
            }
            AgentEffect::SendHeartbeat { held } => {
                if host.welcomed_by < highest {
                    let what = format!(
                        "w{place} knows epoch {highest} and stays with epoch {}",
                        host.welcomed_by
                    );
                    self.breach((Invariant::LatestEpoch, what));
                }
                ToCoordinator::Heartbeat { held }
            }
            AgentEffect::SendFinished { token, result } => {
                ToCoordinator::Finished { token, result }
            }
            AgentEffect::Start(assignment) => {
                host.owed.insert(assignment.token.clone());
                host.tasks.insert(assignment.token.clone());
                let checked =
                    self.audit
                        .starts(&assignment.token, epoch.unwrap_or_default(), highest);
                self.check(checked);
                return self.begin_task(place, life, &assignment);
            }
            AgentEffect::Cancel { token, .. } => {
                let is_deaf = host.deaf.contains(&token);
                if let Some(epoch) = epoch {
                    let checked = self.audit.obeys(&token, epoch, highest);
                    self.check(checked);
                }
                if !is_deaf {
                    let pause = self.dice.between(1, 200);
                    let result = failure(FailureClass::Cancelled);
                    self.after(pause, Event::TaskEnds(place, life, token, Box::new(result)));
                }
                return;
            }
            // Nobody takes any.
            AgentEffect::UseMembers(_) => return,
            AgentEffect::Disconnect => {
                if let Some(number) = stream {
                    self.break_stream(number);
                }
                return;
            }
        };
        if let Some(number) = stream {
            self.send_to_coordinator(number, &message);
        }
    }

    /// A stage begins: what becomes of it, and when.
    fn begin_task(&mut self, place: usize, life: u64, assignment: &Assignment) {
        let token = assignment.token.clone();
        let duration = if self.dice.chance(100) {
            self.dice.between(1000, 9000)
        } else {
            self.dice.between(0, 900)
        };
        let gives = match reused(assignment).filter(|_| assignment.kind.as_str() == REUSE) {
            // What was computed is gone now and then.
            Some(_) if self.dice.chance(150) => failure(FailureClass::Invalid),
            Some(outcome) if self.mutation != Some(Mutation::WorkerInventsOutputs) => outcome,
            _ => success(&token),
        };
        let (duration, result) = match self.dice.between(1, 100) {
            _ if self.is_calm => (duration, gives),
            1..=10 => (duration, failure(FailureClass::Transient)),
            11..=13 => (duration, failure(FailureClass::Invalid)),
            14..=15 => (duration, failure(FailureClass::Cancelled)),
            16..=30 if assignment.timeout.is_some() => {
                // It never ends by itself; most are cut off by their worker.
                if self.dice.chance(400) {
                    if let Some(host) = self.workers.get_mut(place)
                        && self.dice.chance(500)
                    {
                        host.deaf.insert(token);
                    }
                    return;
                }
                (u64::MAX, failure(FailureClass::Transient))
            }
            _ => (duration, gives),
        };
        let cut = assignment.timeout.map_or(u64::MAX, millis);
        let (duration, result) = if duration > cut {
            (cut, failure(FailureClass::Transient))
        } else {
            (duration, result)
        };
        self.after(
            duration,
            Event::TaskEnds(place, life, token, Box::new(result)),
        );
    }
}

/// An effect in one line.
fn shown(effect: &AgentEffect) -> String {
    let tokens = |held: &[FencingToken]| {
        let held: Vec<String> = held.iter().map(ToString::to_string).collect();
        held.join(" ")
    };
    match effect {
        AgentEffect::SendHello { held } => format!("hello, holding [{}]", tokens(held)),
        AgentEffect::SendHeartbeat { held } => format!("heartbeat, holding [{}]", tokens(held)),
        AgentEffect::SendFinished { token, result } => {
            let how = match result {
                AttemptResult::Succeeded(_) => "succeeded".to_owned(),
                AttemptResult::Failed(failure) => format!("failed ({:?})", failure.class),
            };
            format!("reports that {token} {how}")
        }
        AgentEffect::Start(assignment) => format!("starts {}", assignment.token),
        AgentEffect::Cancel { token, reason } => format!("ends {token}: {reason}"),
        AgentEffect::UseMembers(_) => "hears who takes parts of queries".to_owned(),
        AgentEffect::Disconnect => "leaves its coordinator".to_owned(),
    }
}
