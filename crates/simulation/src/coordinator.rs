//! A coordinator without I/O: the campaigns, and the reign that decides, commits, then acts. It mirrors
//! `reign.rs` and `leadership.rs` of the coordinator crate; what these await is an effect and a later
//! input here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use marquetry_engine::{
    Action, Decision, Engine, EngineConfig, Input, Lookup, Record, Rejection, RunState,
    StageStatus, Submission, WorkerHello,
};
use marquetry_types::{Epoch, FencingToken, RunId, StageName, Timestamp, WorkerId};

use crate::Mutation;
use crate::journal::{AppendError, Snapshot};
use crate::message::{Answer, ToWorker};

/// Requests that share a commit at most.
const BATCH: usize = 256;
/// Between attempts to lead, in milliseconds.
const CAMPAIGN_PAUSE: u64 = 500;
/// Before the journal is read again after a failure, in milliseconds.
const RESTORE_PAUSE: u64 = 200;
/// For how long others leave the lead to the leader, in milliseconds.
pub(crate) const LEASE: u64 = 3000;

/// A client's call, as the network numbers it.
pub(crate) type Call = u64;
/// A worker's stream, as the network numbers it.
pub(crate) type Line = u64;

/// What arrives for the task that owns the engine.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Submit(Box<Submission>, Call),
    Cancel(RunId, Call),
    /// With the run as the journal has it when it is taken.
    Resume(RunId, Option<StageName>, Call),
    Attach(WorkerHello, Line),
    Worker(Input),
    LookedUp(Box<Input>),
}

/// What happens to a coordinator.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Arrived(Box<Request>),
    CampaignDue,
    /// The epoch that was won; none if another leads; an error if the journal did not answer.
    Campaigned(Result<Option<Epoch>, ()>),
    Loaded(Result<Box<Snapshot>, ()>),
    /// It is idle, and something waits or a timer may be due.
    Serve,
    Appended(Result<(), AppendError>),
    RenewDue(Epoch),
    Renewed(Epoch, bool),
    /// What the reign of that epoch asked for.
    LookedUp(Epoch, Box<Input>),
}

/// What a coordinator wants done.
#[derive(Debug)]
pub(crate) enum Effect {
    Campaign,
    Load,
    Append(Epoch, Vec<Record>),
    Renew(Epoch),
    LookUp(Epoch, RunId, StageName, Box<Lookup>),
    CampaignAfter(u64),
    RenewAfter(u64, Epoch),
    ServeNow,
    ServeAt(Timestamp),
    Send(Line, WorkerId, Epoch, ToWorker),
    Close(Line),
    Answer(Call, Answer),
    /// A commit was acted on: memory and journal can be compared.
    Acted(Vec<Record>),
    /// The engine's own record does not follow from its memory.
    Spoilt(String),
}

#[derive(Debug, Default)]
struct Batch {
    decision: Decision,
    replies: Vec<(Call, Answer)>,
}

#[derive(Debug)]
struct Reign {
    epoch: Epoch,
    engine: Engine,
    lines: BTreeMap<WorkerId, (u64, Line)>,
    request_ids: BTreeMap<String, RunId>,
    in_flight: Option<Batch>,
    is_deposed: bool,
}

#[derive(Debug)]
enum Role {
    Following,
    Campaigning,
    Loading(Epoch),
    Leading(Box<Reign>),
}

/// The machine's memory.
#[derive(Debug)]
pub(crate) struct Coordinator {
    role: Role,
    inbox: VecDeque<Request>,
    latest: Timestamp,
    mutation: Option<Mutation>,
}

/// Reads a run from the journal, as a resumption does in the middle of a batch.
pub(crate) type Read<'a> = &'a dyn Fn(&RunId) -> Option<RunState>;

impl Coordinator {
    pub(crate) fn new(mutation: Option<Mutation>) -> Self {
        Self {
            role: Role::Following,
            inbox: VecDeque::new(),
            latest: Timestamp::from_millis(0),
            mutation,
        }
    }

    /// Whether it believes that it leads.
    pub(crate) const fn leads(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// A run as the leader remembers it.
    pub(crate) fn remembered(&self, run: &RunId) -> Option<&RunState> {
        match &self.role {
            Role::Leading(reign) => reign.engine.run(run),
            _ => None,
        }
    }

    /// Its epoch while it believes that it leads.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        match &self.role {
            Role::Leading(reign) => Some(reign.epoch),
            _ => None,
        }
    }

    pub(crate) fn step(
        &mut self,
        clock: Timestamp,
        what: Happening,
        read: Read<'_>,
    ) -> Vec<Effect> {
        self.latest = self.latest.max(clock);
        let mut effects = Vec::new();
        match what {
            Happening::Arrived(request) => self.arrived(*request, &mut effects),
            Happening::CampaignDue => {
                if matches!(self.role, Role::Following) {
                    self.role = Role::Campaigning;
                    effects.push(Effect::Campaign);
                }
            }
            Happening::Campaigned(result) => match result {
                Ok(Some(epoch)) => {
                    self.role = Role::Loading(epoch);
                    effects.push(Effect::Load);
                }
                Ok(None) => self.follow(&mut effects),
                Err(()) => {
                    self.role = Role::Following;
                    effects.push(Effect::CampaignAfter(RESTORE_PAUSE));
                }
            },
            Happening::Loaded(result) => self.loaded(result, &mut effects),
            Happening::Serve => self.serve(read, &mut effects),
            Happening::Appended(result) => self.appended(result, &mut effects),
            Happening::RenewDue(epoch) => {
                if self.epoch() == Some(epoch) {
                    effects.push(Effect::Renew(epoch));
                    effects.push(Effect::RenewAfter(LEASE / 3, epoch));
                }
            }
            Happening::Renewed(epoch, is_kept) => {
                if !is_kept
                    && let Role::Leading(reign) = &mut self.role
                    && reign.epoch == epoch
                {
                    reign.is_deposed = true;
                    if reign.in_flight.is_none() {
                        self.follow(&mut effects);
                    }
                }
            }
            Happening::LookedUp(epoch, input) => {
                if self.epoch() == Some(epoch) {
                    self.arrived(Request::LookedUp(input), &mut effects);
                }
            }
        }
        effects
    }

    fn arrived(&mut self, request: Request, effects: &mut Vec<Effect>) {
        match &self.role {
            Role::Following => refuse(request, effects),
            Role::Campaigning | Role::Loading(_) => self.inbox.push_back(request),
            Role::Leading(reign) => {
                if reign.in_flight.is_none() && self.inbox.is_empty() {
                    effects.push(Effect::ServeNow);
                }
                self.inbox.push_back(request);
            }
        }
    }

    /// Closes the streams of a reign that is over.
    fn hang_up(&mut self, effects: &mut Vec<Effect>) {
        if let Role::Leading(reign) = &self.role {
            effects.extend(reign.lines.values().map(|(_, line)| Effect::Close(*line)));
        }
    }

    fn follow(&mut self, effects: &mut Vec<Effect>) {
        self.hang_up(effects);
        self.role = Role::Following;
        for request in std::mem::take(&mut self.inbox) {
            refuse(request, effects);
        }
        effects.push(Effect::CampaignAfter(CAMPAIGN_PAUSE));
    }

    fn loaded(&mut self, result: Result<Box<Snapshot>, ()>, effects: &mut Vec<Effect>) {
        let Role::Loading(epoch) = self.role else {
            return;
        };
        let Ok(snapshot) = result else {
            self.role = Role::Campaigning;
            effects.push(Effect::Campaign);
            return;
        };
        let Snapshot {
            published,
            mut runs,
        } = *snapshot;
        match self.mutation {
            Some(Mutation::ForgetsGrantOnRestore) => runs.iter_mut().for_each(forget_grant),
            Some(Mutation::ForgetsRunOnRestore) => drop(runs.pop()),
            Some(Mutation::ForgetsChildrenOnRestore) => runs.iter_mut().for_each(forget_children),
            Some(Mutation::ForgetsSlotsOnRestore) => runs.iter_mut().for_each(forget_slots),
            _ => {}
        }
        let of_request = |state: &RunState| {
            let id = state.submitted.request_id.clone()?;
            Some((id, state.id().clone()))
        };
        let request_ids = runs.iter().filter_map(of_request).collect();
        let config = EngineConfig::default();
        let engine = Engine::restore(epoch, config, self.latest, published, runs);
        self.role = Role::Leading(Box::new(Reign {
            epoch,
            engine,
            lines: BTreeMap::new(),
            request_ids,
            in_flight: None,
            is_deposed: false,
        }));
        effects.push(Effect::RenewAfter(LEASE / 3, epoch));
        effects.push(Effect::ServeNow);
    }

    /// Decides about all requests and commits once.
    fn serve(&mut self, read: Read<'_>, effects: &mut Vec<Effect>) {
        let now = self.latest;
        let Role::Leading(reign) = &mut self.role else {
            return;
        };
        if reign.in_flight.is_some() {
            return;
        }
        let mut batch = Batch::default();
        let mut decided = reign.take_input(now, Input::Tick, &mut batch);
        for _ in 0..BATCH {
            let Some(request) = self.inbox.pop_front() else {
                break;
            };
            if decided.is_ok() {
                decided = reign.take(now, request, read, self.mutation, &mut batch, effects);
            }
        }
        if let Err(what) = decided {
            effects.push(Effect::Spoilt(what));
            return;
        }
        mutate(self.mutation, reign, &mut batch.decision);
        self.act_early(&mut batch, effects);
        let Role::Leading(reign) = &mut self.role else {
            return;
        };
        if batch.decision.records.is_empty() {
            reign.act(&mut batch, effects);
            self.rest(effects);
        } else {
            let records = batch.decision.records.clone();
            reign.in_flight = Some(batch);
            effects.push(Effect::Append(reign.epoch, records));
        }
    }

    /// Mutations: a part of what follows from a commit is done before it.
    fn act_early(&mut self, batch: &mut Batch, effects: &mut Vec<Effect>) {
        let answers = self.mutation == Some(Mutation::AcknowledgesBeforeCommit);
        let acts = self.mutation == Some(Mutation::ActsBeforeCommit);
        let Role::Leading(reign) = &mut self.role else {
            return;
        };
        let (mut early, mut late) = (Batch::default(), Batch::default());
        for action in std::mem::take(&mut batch.decision.actions) {
            let is_early = match action {
                Action::AcknowledgeResult { .. } => answers,
                _ => acts,
            };
            let part = if is_early { &mut early } else { &mut late };
            part.decision.actions.push(action);
        }
        if answers {
            early.replies = std::mem::take(&mut batch.replies);
        }
        reign.act(&mut early, effects);
        batch.decision.actions = late.decision.actions;
    }

    /// Goes on when something waits, or when the engine wants to look again.
    fn rest(&mut self, effects: &mut Vec<Effect>) {
        let Role::Leading(reign) = &self.role else {
            return;
        };
        if !self.inbox.is_empty() {
            effects.push(Effect::ServeNow);
        } else if let Some(wake) = reign.engine.next_wake() {
            effects.push(Effect::ServeAt(wake));
        }
    }

    fn appended(&mut self, result: Result<(), AppendError>, effects: &mut Vec<Effect>) {
        let Role::Leading(reign) = &mut self.role else {
            return;
        };
        let Some(mut batch) = reign.in_flight.take() else {
            return;
        };
        match result {
            Ok(()) => {
                effects.push(Effect::Acted(batch.decision.records.clone()));
                reign.act(&mut batch, effects);
                if reign.is_deposed {
                    self.follow(effects);
                } else {
                    self.rest(effects);
                }
            }
            Err(error) => {
                let calls = batch.replies.into_iter();
                effects.extend(calls.map(|(call, _)| Effect::Answer(call, Answer::Unavailable)));
                if matches!(error, AppendError::Fenced { .. }) {
                    return self.follow(effects);
                }
                let epoch = reign.epoch;
                self.hang_up(effects);
                if self.mutation == Some(Mutation::RestoresWithoutCampaign) {
                    self.role = Role::Loading(epoch);
                    effects.push(Effect::Load);
                } else {
                    self.role = Role::Campaigning;
                    effects.push(Effect::Campaign);
                }
            }
        }
    }
}

impl Reign {
    fn take_input(
        &mut self,
        now: Timestamp,
        input: Input,
        batch: &mut Batch,
    ) -> Result<bool, String> {
        match self.engine.step(now, input) {
            Ok(decision) => {
                batch.decision.records.extend(decision.records);
                batch.decision.actions.extend(decision.actions);
                Ok(true)
            }
            Err(Rejection::Spoilt(bad)) => Err(bad.to_string()),
            Err(_) => Ok(false),
        }
    }

    fn take(
        &mut self,
        now: Timestamp,
        request: Request,
        read: Read<'_>,
        mutation: Option<Mutation>,
        batch: &mut Batch,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, String> {
        match request {
            Request::Submit(submission, call) => {
                let run = submission.run.clone();
                if let Some(id) = &submission.request_id
                    && let Some(run) = self.request_ids.get(id)
                    && mutation != Some(Mutation::ForgetsRequestIds)
                {
                    batch.replies.push((call, Answer::Begun(run.clone())));
                    return Ok(true);
                }
                let id = submission.request_id.clone();
                if !self.take_input(now, Input::Submit(*submission), batch)? {
                    effects.push(Effect::Answer(call, Answer::Refused));
                    return Ok(false);
                }
                self.request_ids.extend(id.map(|id| (id, run.clone())));
                batch.replies.push((call, Answer::Begun(run)));
                Ok(true)
            }
            Request::Cancel(run, call) => {
                let reason = "a client asked".to_owned();
                let is_taken = self.take_input(now, Input::CancelRun { run, reason }, batch)?;
                self.reply(is_taken, call, batch, effects)
            }
            Request::Resume(run, from, call) => {
                let Some(state) = read(&run).map(Box::new) else {
                    effects.push(Effect::Answer(call, Answer::Refused));
                    return Ok(false);
                };
                let is_taken = self.take_input(
                    now,
                    Input::ResumeRun {
                        state,
                        from: from.into_iter().collect(),
                    },
                    batch,
                )?;
                self.reply(is_taken, call, batch, effects)
            }
            Request::Attach(hello, line) => {
                let old = self
                    .lines
                    .insert(hello.worker.clone(), (hello.session, line));
                effects.extend(old.map(|(_, line)| Effect::Close(line)));
                let welcome = ToWorker::Welcome { epoch: self.epoch };
                self.send(&hello.worker.clone(), hello.session, welcome, effects);
                self.take_input(now, Input::WorkerConnected(hello), batch)
            }
            Request::LookedUp(input) => self.take_input(now, *input, batch),
            Request::Worker(mut input) => {
                if let Input::WorkerDisconnected { worker, session } = &input
                    && self
                        .lines
                        .get(worker)
                        .is_some_and(|(current, _)| current == session)
                {
                    self.lines.remove(worker);
                }
                if mutation == Some(Mutation::AcceptsStaleToken) {
                    self.launder(&mut input);
                }
                self.take_input(now, input, batch)
            }
        }
    }

    fn reply(
        &self,
        is_taken: bool,
        call: Call,
        batch: &mut Batch,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, String> {
        if is_taken {
            batch.replies.push((call, Answer::Done));
        } else {
            effects.push(Effect::Answer(call, Answer::Refused));
        }
        Ok(is_taken)
    }

    /// A mutation: the result of a lost attempt becomes that of the one granted now.
    fn launder(&self, input: &mut Input) {
        let Input::AttemptFinished {
            worker,
            session,
            token,
            ..
        } = input
        else {
            return;
        };
        let granted = self
            .engine
            .run(&token.attempt.run)
            .and_then(|run| run.stages.get(&token.attempt.stage))
            .and_then(|stage| stage.granted());
        if let Some(granted) = granted.filter(|granted| granted.token != *token)
            && let Some((of_holder, _)) = self.lines.get(&granted.worker)
        {
            *worker = granted.worker.clone();
            *session = *of_holder;
            *token = granted.token.clone();
        }
    }

    fn act(&mut self, batch: &mut Batch, effects: &mut Vec<Effect>) {
        for (call, answer) in std::mem::take(&mut batch.replies) {
            effects.push(Effect::Answer(call, answer));
        }
        for action in std::mem::take(&mut batch.decision.actions) {
            match action {
                // No operator is simulated, and nobody takes parts of queries.
                Action::DrainWorker { .. } | Action::TellPeers { .. } => {}
                Action::Assign {
                    worker,
                    session,
                    assignment,
                } => self.send(&worker, session, ToWorker::Assign(assignment), effects),
                Action::CancelAttempt {
                    worker,
                    session,
                    token,
                    reason,
                } => self.send(
                    &worker,
                    session,
                    ToWorker::Cancel { token, reason },
                    effects,
                ),
                Action::AcknowledgeResult {
                    worker,
                    session,
                    token,
                    accepted,
                } => {
                    let message = ToWorker::Acknowledged { token, accepted };
                    self.send(&worker, session, message, effects);
                }
                Action::CloseStream { worker, session } => {
                    if let Some((current, line)) = self.lines.get(&worker).copied()
                        && current == session
                    {
                        self.lines.remove(&worker);
                        effects.push(Effect::Close(line));
                    }
                }
                Action::LookUp { run, stage, lookup } => {
                    effects.push(Effect::LookUp(self.epoch, run, stage, lookup));
                }
                Action::RunEnded { run } => self.engine.release(&run),
            }
        }
    }

    fn send(&self, worker: &WorkerId, session: u64, message: ToWorker, effects: &mut Vec<Effect>) {
        if let Some((current, line)) = self.lines.get(worker)
            && *current == session
        {
            effects.push(Effect::Send(*line, worker.clone(), self.epoch, message));
        }
    }
}

fn refuse(request: Request, effects: &mut Vec<Effect>) {
    match request {
        Request::Submit(_, call) | Request::Cancel(_, call) | Request::Resume(_, _, call) => {
            effects.push(Effect::Answer(call, Answer::Unavailable));
        }
        Request::Attach(_, line) => effects.push(Effect::Close(line)),
        Request::Worker(_) | Request::LookedUp(_) => {}
    }
}

/// A mutation: the grants of a run that is restored are taken for lost.
fn forget_grant(state: &mut RunState) {
    for stage in state.stages.values_mut() {
        if stage.status == StageStatus::Running {
            stage.status = StageStatus::Retrying;
            if let Some(last) = stage.attempts.last_mut() {
                last.end = Some(marquetry_engine::AttemptEnd::Lost(
                    "it was forgotten".to_owned(),
                ));
            }
        }
    }
}

/// A mutation: a stage that waits for a run begins another one.
fn forget_children(state: &mut RunState) {
    for stage in state.stages.values_mut() {
        if stage.awaited_child().is_some() {
            stage.status = StageStatus::Pending;
            stage.child = None;
        }
    }
}

fn forget_slots(state: &mut RunState) {
    let attempts = state
        .stages
        .values_mut()
        .flat_map(|stage| &mut stage.attempts);
    attempts.for_each(|attempt| attempt.slot = None);
}

/// Breaks a rule in what was decided.
fn mutate(mutation: Option<Mutation>, reign: &Reign, decision: &mut Decision) {
    match mutation {
        Some(Mutation::SkipsVersion) => {
            for record in &mut decision.records {
                if let Record::StageSucceeded { published, .. } = record {
                    published
                        .iter_mut()
                        .for_each(|it| it.version = it.version.saturating_add(1));
                }
            }
        }
        Some(Mutation::GrantsBeforeNeeds) => {
            let granted = decision.records.iter().find_map(|record| match record {
                Record::AttemptAssigned {
                    token, worker, at, ..
                } => Some((token.clone(), worker.clone(), *at)),
                _ => None,
            });
            let Some((token, worker, at)) = granted else {
                return;
            };
            let Some(run) = reign.engine.run(&token.attempt.run) else {
                return;
            };
            let next = run.workflow().stages.iter().find(|(name, stage)| {
                let waits = run
                    .stages
                    .get(*name)
                    .is_some_and(|it| it.status == StageStatus::Pending);
                waits && stage.needs.contains(&token.attempt.stage)
            });
            if let Some((name, _)) = next {
                let mut attempt = token.attempt.clone();
                attempt.stage = name.clone();
                attempt.attempt = marquetry_types::AttemptNumber(1);
                let token = FencingToken {
                    epoch: token.epoch,
                    attempt,
                };
                decision.records.push(Record::AttemptAssigned {
                    token,
                    worker,
                    learns_from: None,
                    slot: None,
                    cache: None,
                    at,
                });
            }
        }
        _ => {}
    }
}

/// A duration as the queue of events counts.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
