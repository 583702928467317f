//! The task that owns the engine: it decides, commits, then acts.

mod acting;
mod lookups;
mod peers;
mod restoring;
mod telling;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use marquetry_engine::{Decision, Engine, Input, Rejection};
use marquetry_journal::{Deployed, Deployment, Journal, JournalError};
use marquetry_types::{Epoch, RunId, StageName, WorkerId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::lookups::Lookups;
use self::peers::Peers;
use self::restoring::RESTORE_PAUSE;
use crate::CoordinatorConfig;
use crate::clock::Clock;
use crate::hub::Hub;
use crate::leadership::Lease;
use crate::metrics::Metrics;
use crate::recent_requests::RecentRequests;
use crate::refusals::{answer_of_journal, refusal_of_journal, refusal_of_rejection};
use crate::request::{Begun, Outbound, Refusal, Reply, Request};
use crate::scheduler::Scheduler;
use crate::submissions;
use crate::upkeep::Caretaker;

/// Requests that share a commit at most: more would make the first of them wait.
const BATCH: usize = 256;

/// One reign: from the acquisition of an epoch until the coordinator stops or is superseded.
pub(crate) struct Reign {
    config: CoordinatorConfig,
    journal: Arc<dyn Journal>,
    hub: Hub,
    metrics: Metrics,
    epoch: Epoch,
    engine: Engine,
    /// Streams to the workers, with the numbers of their connections.
    lines: HashMap<WorkerId, (u64, Outbound)>,
    /// Who takes parts of queries.
    peers: Peers,
    /// What the engine asked of the journal.
    lookups: Lookups,
    /// Runs that this reign began or resumed, to be restored whatever was taken up at the start.
    own: HashSet<RunId>,
    /// Clients' request ids of late, so that of two that come at once one makes a run.
    request_ids: RecentRequests,
    /// The deployed workflows that run by themselves.
    scheduler: Scheduler,
    clock: Clock,
}

/// What one commit makes durable, and what follows from it.
#[derive(Default)]
struct Batch {
    decision: Decision,
    replies: Vec<Pending>,
}

impl Batch {
    fn add(&mut self, decision: Decision) {
        self.decision.records.extend(decision.records);
        self.decision.actions.extend(decision.actions);
        self.decision.waits.extend(decision.waits);
    }
}

/// Somebody who waits for the commit.
enum Pending {
    Begun(Reply<Begun>, Begun),
    Done(Reply<()>),
}

impl Pending {
    /// Answers; whoever no longer waits is no error.
    fn answer(self, result: Result<(), Refusal>) {
        match self {
            Self::Begun(reply, begun) => drop(reply.send(result.map(|()| begun))),
            Self::Done(reply) => drop(reply.send(result)),
        }
    }
}

/// How a reign ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The coordinator is to stop.
    ShutDown,
    /// Another coordinator leads.
    Deposed,
}

impl Reign {
    /// Begins to reign in an epoch that was won: restores what is to be taken up.
    pub(crate) async fn begin(
        config: CoordinatorConfig,
        journal: Arc<dyn Journal>,
        hub: Hub,
        metrics: Metrics,
        epoch: Epoch,
    ) -> Result<Self, JournalError> {
        let mut clock = Clock::new();
        let now = clock.now();
        let engine = Engine::restore(epoch, config.engine.clone(), now, Vec::new(), Vec::new());
        let mut reign = Self {
            config,
            journal,
            hub,
            metrics,
            epoch,
            engine,
            lines: HashMap::new(),
            peers: Peers::new(),
            lookups: Lookups::default(),
            own: HashSet::new(),
            request_ids: RecentRequests::default(),
            scheduler: Scheduler::default(),
            clock,
        };
        let grace = reign.config.engine.takeover_grace;
        reign.restore(grace).await?;
        telling::tell_again(&reign.engine);
        Ok(reign)
    }

    /// Reigns until `shutdown`, or until another coordinator does.
    pub(crate) async fn run(
        mut self,
        requests: &mut mpsc::Receiver<Request>,
        shutdown: &CancellationToken,
    ) -> Ended {
        let mut pending = Vec::new();
        let mut failures: u32 = 0;
        let mut lease = self.keep_lease();
        let mut caretaker = self.keep_up();
        loop {
            pending.clear();
            let wakes = [
                self.engine.next_wake(),
                self.scheduler.next(),
                self.peers.due(),
            ];
            let wake = wakes.into_iter().flatten().min();
            let wait = wake.map(|wake| self.clock.until(wake));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.resign().await,
                () = lease.lost() => {
                    tracing::error!(epoch = %self.epoch, "another coordinator leads: this one follows");
                    return Ended::Deposed;
                }
                count = requests.recv_many(&mut pending, BATCH) => {
                    if count == 0 {
                        return Ended::ShutDown;
                    }
                }
                answer = self.lookups.next() => pending.push(Request::Worker(answer)),
                () = sleep(wait) => {}
            }
            // Whatever else comes: those who ask much must not keep answers waiting.
            let answers = std::iter::from_fn(|| self.lookups.ready());
            pending.extend(answers.map(Request::Worker));
            let Err(error) = self.serve(pending.drain(..)).await else {
                failures = 0;
                continue;
            };
            if matches!(error, JournalError::Fenced { .. }) {
                tracing::error!(%error, "another coordinator leads: this one follows");
                return Ended::Deposed;
            }
            tracing::error!(%error, "nothing can be decided: the engine is restored from the journal");
            failures = failures.saturating_add(1);
            // What failed once may work at once; what fails again, such as a full disk, takes time.
            let pause = if failures > 1 {
                RESTORE_PAUSE
            } else {
                Duration::ZERO
            };
            let restored = self.restore_until(&error, pause, requests, shutdown).await;
            if let Some(ended) = restored {
                return ended;
            }
            lease = self.keep_lease();
            // Of the epoch before: it could do nothing more.
            drop(std::mem::replace(&mut caretaker, self.keep_up()));
        }
    }

    fn keep_lease(&self) -> Lease {
        let (journal, metrics) = (Arc::clone(&self.journal), self.metrics.clone());
        Lease::keep(journal, self.epoch, self.config.lease, metrics)
    }

    fn keep_up(&self) -> Option<AbortOnDropHandle<()>> {
        Caretaker::start(
            &self.config.upkeep,
            &self.journal,
            &self.metrics,
            self.epoch,
        )
    }

    /// Lets the lead go, so that another coordinator need not wait for the end of the lease.
    async fn resign(&self) -> Ended {
        if let Err(error) = self.journal.resign(self.epoch).await {
            tracing::warn!(%error, "the lead is not let go: it ends with its lease");
        }
        Ended::ShutDown
    }

    /// Decides about all requests, commits once, and acts. After an error memory is spoilt.
    async fn serve(
        &mut self,
        requests: impl ExactSizeIterator<Item = Request>,
    ) -> Result<(), JournalError> {
        let (begun, count) = (Instant::now(), requests.len());
        let mut batch = Batch::default();
        // Timers first: what is due was due before these requests came.
        let due = self.step(Input::Tick);
        let mut result = self.collect(due, &mut batch);
        if result.is_ok() {
            result = self.begin_scheduled(&mut batch);
        }
        let mut untaken = Vec::new();
        for request in requests {
            if result.is_ok() {
                result = self.take(request, &mut batch).await;
            } else {
                untaken.push(request);
            }
        }
        if result.is_ok() && !batch.decision.records.is_empty() {
            let records = batch.decision.records.clone();
            let (size, append) = (records.len(), self.journal.append(self.epoch, records));
            result = self.metrics.commit(count, size, append).await;
        }
        if let Err(error) = result {
            let refusal = match &error {
                JournalError::Fenced { .. } => {
                    Refusal::NotLeading(self.journal.leader().await.ok().flatten())
                }
                other => refusal_of_journal(other),
            };
            batch
                .replies
                .into_iter()
                .for_each(|pending| pending.answer(Err(refusal.clone())));
            untaken
                .into_iter()
                .for_each(|request| request.refuse(refusal.clone()));
            return Err(error);
        }
        let granted = self
            .metrics
            .committed(&batch.decision.records, &self.engine);
        self.metrics.waited(&batch.decision.waits);
        self.publish(&batch.decision.records);
        telling::tell(&batch.decision.records, &self.engine);
        batch
            .replies
            .into_iter()
            .for_each(|pending| pending.answer(Ok(())));
        for action in batch.decision.actions {
            self.act(action);
        }
        self.tell_peers();
        self.metrics.acted(begun, granted, &self.engine);
        Ok(())
    }

    fn step(&mut self, input: Input) -> Result<Decision, Rejection> {
        self.engine.step(self.clock.now(), input)
    }

    /// Adds a decision that nobody waits for.
    fn collect(
        &self,
        decided: Result<Decision, Rejection>,
        batch: &mut Batch,
    ) -> Result<(), JournalError> {
        match decided {
            Ok(decision) => {
                batch.add(decision);
                Ok(())
            }
            Err(Rejection::Spoilt(bad)) => Err(JournalError::Inconsistent {
                run: bad.run,
                reason: bad.what,
            }),
            Err(rejection) => {
                tracing::warn!(%rejection, "an input was not taken");
                Ok(())
            }
        }
    }

    async fn take(&mut self, request: Request, batch: &mut Batch) -> Result<(), JournalError> {
        match request {
            Request::Submit { submission, reply } => {
                let run = submission.run.clone();
                if let Some(request_id) = &submission.request_id
                    && let Some(run) = self.request_ids.get(request_id).cloned()
                {
                    let begun = Begun { run, is_new: false };
                    batch.replies.push(Pending::Begun(reply, begun));
                    return Ok(());
                }
                let request_id = submission.request_id.clone();
                let decided = self.step(Input::Submit(*submission));
                if let Err(rejection @ Rejection::GroupFull { .. }) = &decided {
                    drop(reply.send(Err(refusal_of_rejection(rejection))));
                    return Ok(());
                }
                if let Some(request_id) = request_id {
                    self.request_ids.put(request_id, run.clone());
                }
                self.own.insert(run.clone());
                batch
                    .replies
                    .push(Pending::Begun(reply, Begun { run, is_new: true }));
                self.collect(decided, batch)
            }
            Request::Cancel { run, reason, reply } => {
                let decided = self.step(Input::CancelRun { run, reason });
                self.answer_when_durable(decided, reply, batch)
            }
            Request::Retry { run, from, reply } => self.retry(run, from, reply, batch).await,
            Request::Approve {
                run,
                stage,
                is_approved,
                approval,
                reply,
            } => {
                let decided = self.step(Input::Approve {
                    run,
                    stage,
                    is_approved,
                    approval,
                });
                self.answer_when_durable(decided, reply, batch)
            }
            Request::Drain {
                worker,
                reason,
                reply,
            } => {
                let decided = self.step(Input::DrainWorker { worker, reason });
                self.answer_when_durable(decided, reply, batch)
            }
            Request::Waiting { run, reply } => {
                let state = self.engine.run(&run);
                let names = state.into_iter().flat_map(|state| state.stages.keys());
                // Items are not shown one by one, and there may be thousands.
                let waiting = names
                    .filter(|name| name.place().is_none())
                    .filter_map(|name| Some((name.clone(), self.engine.waiting(&run, name)?)))
                    .collect();
                drop(reply.send(Ok(waiting)));
                Ok(())
            }
            Request::Deploy { deployment, reply } => self.deploy(*deployment, reply).await,
            Request::Retire { name, reply } => {
                let retired = self.journal.retire(self.epoch, &name).await;
                if retired.is_ok() {
                    self.scheduler.remove(&name);
                }
                answer_of_journal(retired, reply)
            }
            Request::Schedules(reply) => {
                drop(reply.send(Ok(self.scheduler.views())));
                Ok(())
            }
            Request::Workers(reply) => {
                drop(reply.send(Ok(self.engine.workers())));
                Ok(())
            }
            Request::Queues(reply) => {
                drop(reply.send(Ok(self.engine.queues())));
                Ok(())
            }
            Request::Attach { hello, outbound } => {
                self.welcome(&hello.worker, hello.session, outbound);
                let decided = self.step(Input::WorkerConnected(hello));
                self.collect(decided, batch)
            }
            Request::Worker(input) => {
                if let Input::WorkerDisconnected { worker, session }
                | Input::WorkerLeft {
                    worker, session, ..
                } = &input
                    && self
                        .lines
                        .get(worker)
                        .is_some_and(|(current, _)| current == session)
                {
                    self.lines.remove(worker);
                }
                let decided = self.step(input);
                self.collect(decided, batch)
            }
        }
    }

    /// Makes a version of a workflow current. A commit of its own: it is rare, and no run waits for it.
    async fn deploy(
        &mut self,
        deployment: Deployment,
        reply: Reply<Deployed>,
    ) -> Result<(), JournalError> {
        // Deploying moves no position. Whoever waits is told of either failure.
        let positions = match self.journal.schedule_positions(&deployment.name).await {
            Ok(positions) => positions,
            Err(error) => return answer_of_journal(Err(error), reply),
        };
        let deployed = self.journal.deploy(self.epoch, deployment).await;
        if let Ok(deployed) = &deployed {
            let now = self.clock.now();
            self.scheduler
                .put(deployed.deployment.clone(), &positions, now);
        }
        answer_of_journal(deployed, reply)
    }

    /// Begins what schedules want by now.
    fn begin_scheduled(&mut self, batch: &mut Batch) -> Result<(), JournalError> {
        let now = self.clock.now();
        if self.scheduler.next().is_none_or(|next| next > now) {
            return Ok(());
        }
        for submission in self.scheduler.due(now, submissions::new_run) {
            self.own.insert(submission.run.clone());
            let decided = self.step(Input::Submit(submission));
            self.collect(decided, batch)?;
        }
        Ok(())
    }

    /// Answers once what was decided is durable, or at once with why it cannot be.
    fn answer_when_durable(
        &self,
        decided: Result<Decision, Rejection>,
        reply: Reply<()>,
        batch: &mut Batch,
    ) -> Result<(), JournalError> {
        match decided {
            Err(Rejection::Spoilt(_)) | Ok(_) => {
                batch.replies.push(Pending::Done(reply));
                self.collect(decided, batch)
            }
            Err(rejection) => {
                drop(reply.send(Err(refusal_of_rejection(&rejection))));
                Ok(())
            }
        }
    }

    async fn retry(
        &mut self,
        run: RunId,
        from: BTreeSet<StageName>,
        reply: Reply<()>,
        batch: &mut Batch,
    ) -> Result<(), JournalError> {
        let state = match self.journal.load_run(&run).await {
            Ok(state) => Box::new(state),
            Err(error) => {
                drop(reply.send(Err(refusal_of_journal(&error))));
                return Ok(());
            }
        };
        let decided = self.step(Input::ResumeRun { state, from });
        if decided.is_ok() {
            self.own.insert(run);
        }
        self.answer_when_durable(decided, reply, batch)
    }
}

/// Waits; for ever where there is nothing to wait for.
async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
