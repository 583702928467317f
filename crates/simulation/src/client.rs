//! Clients: they submit, cancel and resume, and ask again, elsewhere, when they are not answered.

use marquetry_engine::Submission;
use marquetry_types::{RunId, Timestamp};

use crate::coordinator::{Call, Happening, Request};
use crate::message::{Answer, Ask, Endpoint};
use crate::world::{Event, World};
use crate::{Mutation, workload};

/// How long a client waits for an answer, in milliseconds.
const PATIENCE: u64 = 2000;

#[derive(Debug)]
pub(crate) struct Client {
    /// Runs that it still wants to submit.
    quota: u64,
    /// Its request that is not answered.
    pending: Option<Ask>,
    /// The call that it waits for.
    call: Option<Call>,
    known: Vec<RunId>,
    next_coordinator: usize,
    requests: u64,
}

impl Client {
    pub(crate) const fn new(quota: u64) -> Self {
        Self {
            quota,
            pending: None,
            call: None,
            known: Vec::new(),
            next_coordinator: 0,
            requests: 0,
        }
    }

    /// Whether it waits for nothing.
    pub(crate) const fn is_content(&self) -> bool {
        self.pending.is_none() && self.quota == 0
    }
}

impl World {
    /// A client with nothing to wait for thinks of something.
    pub(crate) fn client_acts(&mut self, place: usize) {
        let Some(client) = self.clients.get_mut(place) else {
            return;
        };
        if client.pending.is_none() {
            let choice = self.dice.between(1, 10);
            let run = self.dice.index(client.known.len());
            let run = client.known.get(run).cloned();
            client.pending = match (choice, run) {
                (1..=2, Some(run)) if !self.is_calm => Some(Ask::Cancel { run }),
                (3..=4, Some(run)) if !self.is_calm => {
                    let stage = format!("s{}", self.dice.between(0, 4));
                    let from = stage.parse().ok().filter(|_| self.dice.chance(500));
                    Some(Ask::Resume { run, from })
                }
                _ if client.quota > 0 => workload::workflow(&mut self.dice).map(|workflow| {
                    client.quota = client.quota.saturating_sub(1);
                    client.requests = client.requests.saturating_add(1);
                    Ask::Submit {
                        workflow: Box::new(workflow),
                        request_id: format!("k{place}-{}", client.requests),
                    }
                }),
                _ => None,
            };
        }
        if self
            .clients
            .get(place)
            .is_some_and(|client| client.pending.is_some())
        {
            self.client_asks(place);
            if self.dice.chance(150) {
                // Impatience: the same request once more, at once.
                self.client_asks(place);
            }
        } else if !self.is_calm || self.clients.get(place).is_some_and(|it| it.quota > 0) {
            let pause = self.dice.between(100, 4000);
            self.after(pause, Event::ClientActs(place));
        }
    }

    fn client_asks(&mut self, place: usize) {
        let call = self.next_number();
        let Some(client) = self.clients.get_mut(place) else {
            return;
        };
        let Some(ask) = client.pending.clone() else {
            return;
        };
        client.call = Some(call);
        let target = client.next_coordinator;
        self.calls.insert(call, (place, target, ask));
        self.after(PATIENCE, Event::ClientGivesUp(place, call));
        let way = (Endpoint::Client(place), Endpoint::Coordinator(target));
        if self.blocked_until(way.0, way.1).is_none() {
            let delay = self.dice.between(1, 30);
            self.after(delay, Event::CallArrives(call));
        }
    }

    /// A call arrives at a coordinator: a request that is known already is answered from the journal.
    pub(crate) fn call_arrives(&mut self, call: Call) {
        let Some((_, target, ask)) = self.calls.get(&call).cloned() else {
            return;
        };
        let Some(host) = self.coordinators.get(target).filter(|host| host.is_up) else {
            return;
        };
        if !host.machine.leads() {
            return self.answer(call, Answer::Unavailable);
        }
        let (life, clock) = (host.life, self.clock(target));
        let request = match ask {
            Ask::Submit {
                workflow,
                request_id,
            } => {
                if self.mutation != Some(Mutation::ForgetsRequestIds)
                    && let Some(run) = self.journal.find_by_request_id(&request_id)
                {
                    return self.answer(call, Answer::Begun(run.clone()));
                }
                let entropy = self.next_number();
                let group = workflow.group(&serde_json::Map::new()).ok().flatten();
                let submission = Submission {
                    group,
                    run: RunId::new(clock.max(Timestamp::from_millis(1)), u128::from(entropy)),
                    workflow,
                    bundle: "b".to_owned(),
                    params: serde_json::Map::new(),
                    request_id: Some(request_id),
                    base_dir: None,
                    schedule: None,
                    trace: None,
                    parent: None,
                    ignores_cache: false,
                };
                Request::Submit(Box::new(submission), call)
            }
            Ask::Cancel { run } => Request::Cancel(run, call),
            Ask::Resume { run, from } => Request::Resume(run, from, call),
        };
        let delay = self.dice.between(0, 10);
        let happening = Happening::Arrived(Box::new(request));
        self.after(delay, Event::Coordinator(target, life, Box::new(happening)));
    }

    /// A coordinator answers a call.
    pub(crate) fn answer(&mut self, call: Call, answer: Answer) {
        let Some((place, target, ask)) = self.calls.get(&call) else {
            return;
        };
        let (place, target) = (*place, *target);
        let checked = self.audit.answers(ask, &answer);
        self.check(checked);
        self.note(|| format!("c{target}: answers call {call} of client {place}: {answer:?}"));
        let way = (Endpoint::Coordinator(target), Endpoint::Client(place));
        if self.blocked_until(way.0, way.1).is_none() {
            let delay = self.dice.between(1, 30);
            self.after(delay, Event::Answered(place, call, answer));
        }
    }

    pub(crate) fn answered(&mut self, place: usize, call: Call, answer: Answer) {
        let Some((_, _, ask)) = self.calls.remove(&call) else {
            return;
        };
        let Some(client) = self.clients.get_mut(place) else {
            return;
        };
        if answer == Answer::Unavailable {
            // The call that gives up asks elsewhere.
            self.calls.insert(call, (place, usize::MAX, ask));
            return;
        }
        if client.pending.as_ref() != Some(&ask) {
            return;
        }
        client.pending = None;
        client.call = None;
        if let Answer::Begun(run) = answer {
            client.known.push(run);
        }
        let pause = self.dice.between(50, 3000);
        self.after(pause, Event::ClientActs(place));
    }

    pub(crate) fn client_gives_up(&mut self, place: usize, call: Call) {
        self.calls.remove(&call);
        let count = self.coordinators.len();
        let Some(client) = self.clients.get_mut(place) else {
            return;
        };
        if client.call == Some(call) {
            client.next_coordinator = client
                .next_coordinator
                .saturating_add(1)
                .checked_rem(count)
                .unwrap_or(0);
            self.client_asks(place);
        }
    }
}
