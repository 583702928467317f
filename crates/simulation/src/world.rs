//! The cluster as a whole: the queue of events, and who handles which.

use std::collections::BTreeMap;

use marquetry_engine::{Input, Record, RunStatus, WorkerHello};
use marquetry_types::{AttemptResult, Epoch, FencingToken, Timestamp, WorkerId};

use crate::audit::{Audit, Breach, Invariant};
use crate::chaos::Profile;
use crate::client::Client;
use crate::coordinator::{Call, Coordinator, Effect, Happening, Request};
use crate::dice::Dice;
use crate::journal::Journal;
use crate::message::{Answer, Ask, Endpoint, ToCoordinator, ToWorker};
use crate::network::Stream;
use crate::storage::JournalCall;
use crate::worker::WorkerHost;
use crate::{Fault, Mutation, Options, Report, Violation, workload};

/// When the virtual time begins, in milliseconds since 1970.
const BEGINNING: i64 = 1_700_000_000_000;
/// Within which time after the faults cease every run must have ended, in milliseconds.
const BOUND: u64 = 1_200_000;
/// How many events a violation comes with.
const LAST_EVENTS: usize = 40;
/// More steps than any seed takes that does not run in circles.
const MOST_STEPS: u64 = 400_000;

/// An end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Worker,
    Coordinator,
}

/// What will happen at its time.
#[derive(Debug)]
pub(crate) enum Event {
    Coordinator(usize, u64, Box<Happening>),
    Serve(usize, u64, u64),
    CoordinatorStarts(usize),
    Journal(usize, u64, Box<JournalCall>),
    LateAppend(Epoch, Vec<Record>),
    ToCoordinator(u64, Box<ToCoordinator>),
    ToWorker(u64, Epoch, Box<ToWorker>),
    StreamEnds(u64, Side),
    WorkerLosesStream(usize, u64, u64),
    CoordinatorLosesStream((usize, u64), (WorkerId, u64)),
    WorkerStarts(usize),
    WorkerConnects(usize, u64),
    WorkerBeats(usize, u64, u64),
    TaskEnds(usize, u64, FencingToken, Box<AttemptResult>),
    ClientActs(usize),
    CallArrives(Call),
    Answered(usize, Call, Answer),
    ClientGivesUp(usize, Call),
    Chaos,
    Calm,
}

/// The place of a coordinator and the process that is there now.
#[derive(Debug)]
pub(crate) struct CoordinatorHost {
    pub(crate) life: u64,
    pub(crate) is_up: bool,
    pub(crate) paused_until: u64,
    /// By how many milliseconds its clock is ahead.
    pub(crate) clock_offset: i64,
    pub(crate) machine: Coordinator,
    sessions: u64,
    /// When it wants to be served next, and the number of the event that does it.
    serve: Option<(u64, u64)>,
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    pub(crate) now: u64,
    numbers: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub(crate) dice: Dice,
    pub(crate) profile: Profile,
    pub(crate) faults: BTreeMap<Fault, u64>,
    pub(crate) is_calm: bool,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) journal: Journal,
    pub(crate) audit: Audit,
    pub(crate) coordinators: Vec<CoordinatorHost>,
    pub(crate) workers: Vec<WorkerHost>,
    pub(crate) clients: Vec<Client>,
    pub(crate) streams: BTreeMap<u64, Stream>,
    pub(crate) calls: BTreeMap<Call, (usize, usize, Ask)>,
    pub(crate) blocked: BTreeMap<(Endpoint, Endpoint), u64>,
    trace: Option<Vec<String>>,
    breach: Option<Breach>,
}

impl World {
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        let mut dice = Dice::new(seed);
        let profile = Profile::draw(&mut dice);
        let coordinators = dice.between(2, 3);
        let workers = dice.between(3, 5);
        let clients = dice.between(1, 3);
        let storm = dice.between(15_000, 50_000);
        let mut world = Self {
            seed,
            now: 0,
            numbers: 0,
            queue: BTreeMap::new(),
            profile,
            faults: BTreeMap::new(),
            is_calm: false,
            mutation: options.mutation,
            journal: Journal::new(options.mutation),
            audit: Audit::default(),
            coordinators: Vec::new(),
            workers: Vec::new(),
            clients: Vec::new(),
            streams: BTreeMap::new(),
            calls: BTreeMap::new(),
            blocked: BTreeMap::new(),
            trace: options.trace.then(Vec::new),
            breach: None,
            dice,
        };
        for place in 0..usize::try_from(coordinators).unwrap_or(2) {
            world.coordinators.push(CoordinatorHost {
                life: 0,
                is_up: false,
                paused_until: 0,
                clock_offset: 0,
                machine: Coordinator::new(options.mutation),
                sessions: 0,
                serve: None,
            });
            world.after(0, Event::CoordinatorStarts(place));
        }
        for place in 0..usize::try_from(workers).unwrap_or(3) {
            let slots = u32::try_from(world.dice.between(1, 3)).unwrap_or(1);
            let first = world.dice.index(world.coordinators.len());
            world.workers.push(WorkerHost::new(slots, first));
            world.after(0, Event::WorkerStarts(place));
        }
        for place in 0..usize::try_from(clients).unwrap_or(1) {
            let quota = world.dice.between(1, 4);
            world.clients.push(Client::new(quota));
            world.after(100, Event::ClientActs(place));
        }
        world.after(1000, Event::Chaos);
        world.after(storm, Event::Calm);
        world
    }

    /// Handles events until every run has ended, something does not hold, or time is up.
    pub(crate) fn live(mut self) -> Report {
        let mut steps: u64 = 0;
        let mut bound = u64::MAX;
        while self.breach.is_none() {
            let Some(((at, _), event)) = self.queue.pop_first() else {
                break;
            };
            self.now = self.now.max(at);
            steps = steps.saturating_add(1);
            if let Event::Calm = event {
                bound = self.now.saturating_add(BOUND);
            }
            self.handle(event);
            if self.is_calm && self.is_done() {
                break;
            }
            if self.now > bound || steps > MOST_STEPS {
                break;
            }
        }
        if self.breach.is_none() {
            let ended = self.audit.ended(self.journal.runs());
            self.check(ended);
            if let Some(place) = self.clients.iter().position(|it| !it.is_content()) {
                let what = format!(
                    "client {place} is not answered: {:?}",
                    self.clients.get(place)
                );
                self.check(Err((Invariant::EveryRunEnds, what)));
            }
        }
        let trace = self.trace.take().unwrap_or_default();
        let violation = self.breach.take().map(|(invariant, what)| Violation {
            invariant,
            what,
            at_ms: self.now,
            events: trace
                .iter()
                .skip(trace.len().saturating_sub(LAST_EVENTS))
                .cloned()
                .collect(),
        });
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Report {
            seed: self.seed,
            steps,
            virtual_ms: self.now,
            faults: self.faults,
            runs: count(self.journal.runs().count()),
            attempts: count(self.audit.attempts()),
            epochs: self.journal.epoch().0,
            violation,
            trace,
        }
    }

    fn is_done(&self) -> bool {
        let all_ended = || {
            let mut runs = self.journal.runs();
            runs.all(|run| run.status != RunStatus::Running)
        };
        self.clients.iter().all(Client::is_content) && all_ended()
    }

    /// The first thing that does not hold ends the simulation.
    pub(crate) fn breach(&mut self, breach: Breach) {
        self.breach.get_or_insert(breach);
    }

    pub(crate) fn check(&mut self, checked: Result<(), Breach>) {
        if let Err(breach) = checked {
            self.breach(breach);
        }
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8} {}", self.now, text()));
        }
    }

    pub(crate) const fn next_number(&mut self) -> u64 {
        self.numbers = self.numbers.saturating_add(1);
        self.numbers
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        let number = self.next_number();
        self.queue.insert((at.max(self.now), number), event);
    }

    pub(crate) fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now.saturating_add(delay), event);
    }

    /// What a coordinator's clock shows.
    pub(crate) fn clock(&self, place: usize) -> Timestamp {
        let offset = self.coordinators.get(place).map_or(0, |it| it.clock_offset);
        let now = i64::try_from(self.now).unwrap_or(i64::MAX);
        Timestamp::from_millis(BEGINNING.saturating_add(now).saturating_add(offset))
    }

    /// Until when the party that would handle an event stands still.
    fn stands_still(&self, event: &Event) -> Option<u64> {
        let coordinator = |place: usize| self.coordinators.get(place).map(|it| it.paused_until);
        let worker = |place: usize| self.workers.get(place).map(|it| it.paused_until);
        let until = match event {
            Event::Coordinator(place, ..)
            | Event::Serve(place, ..)
            | Event::CoordinatorLosesStream((place, _), _) => coordinator(*place),
            Event::ToCoordinator(stream, _) => coordinator(self.streams.get(stream)?.coordinator),
            Event::CallArrives(call) => coordinator(self.calls.get(call)?.1),
            Event::ToWorker(stream, ..) => worker(self.streams.get(stream)?.worker),
            Event::WorkerLosesStream(place, ..)
            | Event::WorkerConnects(place, _)
            | Event::WorkerBeats(place, ..)
            | Event::TaskEnds(place, ..) => worker(*place),
            _ => None,
        };
        until.filter(|until| *until > self.now)
    }

    fn handle(&mut self, event: Event) {
        if let Some(until) = self.stands_still(&event) {
            // Whoever wakes up finds everything in the order in which it came.
            return self.at(until, event);
        }
        let worker_lives = |world: &Self, place: usize, life: u64| {
            let host = world.workers.get(place);
            host.is_some_and(|host| host.is_up && host.life == life)
        };
        match event {
            Event::Coordinator(place, life, happening) => {
                self.coordinator_steps(place, life, *happening);
            }
            Event::Serve(place, life, number) => {
                let host = self.coordinators.get_mut(place);
                if let Some(host) = host.filter(|host| host.serve.is_some_and(|it| it.1 == number))
                {
                    host.serve = None;
                    self.coordinator_steps(place, life, Happening::Serve);
                }
            }
            Event::CoordinatorStarts(place) => self.start_coordinator(place),
            Event::Journal(place, life, call) => self.journal_does(place, life, *call),
            Event::LateAppend(epoch, records) => {
                self.note(|| format!("journal: a late append of epoch {epoch}"));
                drop(self.append(epoch, &records));
            }
            Event::ToCoordinator(number, message) => self.coordinator_hears(number, *message),
            Event::ToWorker(number, epoch, message) => self.worker_hears(number, epoch, *message),
            Event::StreamEnds(number, side) => self.stream_ends(number, side),
            Event::WorkerLosesStream(place, life, number) => {
                if worker_lives(self, place, life) {
                    self.worker_loses_stream(place, number);
                }
            }
            Event::CoordinatorLosesStream((place, life), (worker, session)) => {
                let input = Input::WorkerDisconnected { worker, session };
                let request = Request::Worker(input);
                self.coordinator_steps(place, life, Happening::Arrived(Box::new(request)));
            }
            Event::WorkerStarts(place) => self.start_worker(place),
            Event::WorkerConnects(place, life) => {
                if worker_lives(self, place, life) {
                    self.worker_connects(place);
                }
            }
            Event::WorkerBeats(place, life, number) => {
                if worker_lives(self, place, life) {
                    self.worker_beats(place, number);
                }
            }
            Event::TaskEnds(place, life, token, result) => {
                if worker_lives(self, place, life) {
                    self.task_ends(place, token, *result);
                }
            }
            Event::ClientActs(place) => self.client_acts(place),
            Event::CallArrives(call) => self.call_arrives(call),
            Event::Answered(place, call, answer) => self.answered(place, call, answer),
            Event::ClientGivesUp(place, call) => self.client_gives_up(place, call),
            Event::Chaos => self.chaos(),
            Event::Calm => self.calm(),
        }
    }

    fn start_coordinator(&mut self, place: usize) {
        let mutation = self.mutation;
        let Some(host) = self.coordinators.get_mut(place) else {
            return;
        };
        host.life = host.life.saturating_add(1);
        host.is_up = true;
        host.machine = Coordinator::new(mutation);
        host.sessions = 0;
        host.serve = None;
        let life = host.life;
        let first = self.dice.between(0, 300);
        self.after(
            first,
            Event::Coordinator(place, life, Box::new(Happening::CampaignDue)),
        );
    }

    pub(crate) fn crash_coordinator(&mut self, place: usize) {
        let Some(host) = self.coordinators.get_mut(place).filter(|host| host.is_up) else {
            return;
        };
        host.is_up = false;
        host.life = host.life.saturating_add(1);
        let streams: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.coordinator == place)
            .map(|(number, _)| *number)
            .collect();
        streams
            .into_iter()
            .for_each(|number| self.break_stream(number));
        let pause = self.dice.between(50, 6000);
        self.after(pause, Event::CoordinatorStarts(place));
    }

    fn coordinator_hears(&mut self, number: u64, message: ToCoordinator) {
        let Some(stream) = self
            .streams
            .get_mut(&number)
            .filter(|it| it.open_at_coordinator)
        else {
            return;
        };
        let (place, life) = (stream.coordinator, stream.coordinator_life);
        let Some(host) = self
            .coordinators
            .get_mut(place)
            .filter(|host| host.is_up && host.life == life)
        else {
            return;
        };
        let (worker, session) = (stream.worker_id.clone(), stream.session);
        let request = match message {
            ToCoordinator::Hello {
                worker,
                slots,
                is_bulky,
                held,
            } => {
                host.sessions = host.sessions.saturating_add(1);
                stream.session = host.sessions;
                let hello = WorkerHello {
                    worker,
                    session: host.sessions,
                    slots,
                    queues: workload::queues(is_bulky),
                    labels: Default::default(),
                    kinds: workload::kinds(),
                    version: String::new(),
                    data_plane: None,
                    is_draining: false,
                    held,
                };
                Request::Attach(hello, number)
            }
            ToCoordinator::Heartbeat { held } => Request::Worker(Input::Heartbeat {
                worker,
                session,
                held,
                is_draining: false,
            }),
            ToCoordinator::Finished { token, result } => Request::Worker(Input::AttemptFinished {
                worker,
                session,
                token,
                result,
            }),
        };
        self.coordinator_steps(place, life, Happening::Arrived(Box::new(request)));
    }

    /// Steps a coordinator, if its process still lives, and does what it wants done.
    fn coordinator_steps(&mut self, place: usize, life: u64, happening: Happening) {
        let clock = self.clock(place);
        let journal = &self.journal;
        let Some(host) = self
            .coordinators
            .get_mut(place)
            .filter(|host| host.is_up && host.life == life)
        else {
            return;
        };
        let read = |run: &marquetry_types::RunId| journal.run(run).cloned();
        let effects = host.machine.step(clock, happening, &read);
        for effect in effects {
            self.do_for(place, life, effect);
        }
    }

    fn do_for(&mut self, place: usize, life: u64, effect: Effect) {
        match effect {
            Effect::Campaign => self.ask_journal(place, life, JournalCall::Campaign),
            Effect::Load => self.ask_journal(place, life, JournalCall::Load),
            Effect::Append(epoch, records) => {
                self.ask_journal(place, life, JournalCall::Append(epoch, records));
            }
            Effect::LookUp(epoch, run, stage, lookup) => {
                let call = JournalCall::LookUp(epoch, run, stage, *lookup);
                self.ask_journal(place, life, call);
            }
            Effect::Renew(epoch) => self.ask_journal(place, life, JournalCall::Renew(epoch)),
            Effect::CampaignAfter(delay) => {
                let due = Box::new(Happening::CampaignDue);
                self.after(delay, Event::Coordinator(place, life, due));
            }
            Effect::RenewAfter(delay, epoch) => {
                let due = Box::new(Happening::RenewDue(epoch));
                self.after(delay, Event::Coordinator(place, life, due));
            }
            Effect::ServeNow => self.serve_at(place, life, self.now),
            Effect::ServeAt(wake) => {
                let wait = wake.saturating_since(self.clock(place));
                let at = self.now.saturating_add(crate::coordinator::millis(wait));
                self.serve_at(place, life, at);
            }
            Effect::Send(line, worker, epoch, message) => {
                self.note(|| format!("c{place}, epoch {epoch}: to {worker}: {}", shown(&message)));
                let checked = self.audit.sends(epoch, &worker, &message);
                self.check(checked);
                self.send_to_worker(line, epoch, &message);
            }
            Effect::Close(line) => self.close_stream(line),
            Effect::Answer(call, answer) => self.answer(call, answer),
            Effect::Acted(records) => self.compare(place, &records),
            Effect::Spoilt(what) => self.breach((Invariant::MemoryIsFold, what)),
        }
    }

    fn serve_at(&mut self, place: usize, life: u64, at: u64) {
        let number = self.next_number();
        let Some(host) = self.coordinators.get_mut(place) else {
            return;
        };
        if host
            .serve
            .is_none_or(|(planned, _)| planned > at || planned < self.now)
        {
            host.serve = Some((at, number));
            self.at(at, Event::Serve(place, life, number));
        }
    }

    /// The leader's memory of what it just committed must be what the journal says.
    fn compare(&mut self, place: usize, records: &[Record]) {
        let Some(host) = self.coordinators.get(place) else {
            return;
        };
        if host.machine.epoch() != Some(self.journal.epoch()) {
            return;
        }
        let mut checked = Ok(());
        for record in records {
            let run = record.run();
            let memory = host.machine.remembered(run);
            checked = checked.and_then(|()| self.audit.remembers(memory, self.journal.run(run)));
        }
        self.check(checked);
    }
}

fn shown(message: &ToWorker) -> String {
    match message {
        ToWorker::Welcome { .. } => "welcome".to_owned(),
        ToWorker::Assign(assignment) => format!("run {}", assignment.token),
        ToWorker::Cancel { token, reason } => format!("end {token}: {reason}"),
        ToWorker::Acknowledged { token, accepted } => format!("has {token} (accepted: {accepted})"),
    }
}
