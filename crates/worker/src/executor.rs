//! The attempts under way.
//!
//! Watching over an attempt is not done where its stage runs but beside the worker's stream: a stage
//! that blocks every thread it gets is timed out all the same, and its fellow stages and the heartbeat
//! go on.

use std::collections::HashMap;
use std::sync::Arc;

use marquetry_engine::Assignment;
use marquetry_types::{AttemptResult, FencingToken, LogLine, Membership, Progress};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::attempt::{self, Workplace};
use crate::spans;

/// Reports that wait for the worker's stream; those beyond are dropped, as they are only watched.
const REPORTS: usize = 1024;

/// What an attempt says while it runs, for whoever watches.
#[derive(Debug)]
pub(crate) enum Report {
    /// How far it is.
    Progress(Progress),
    /// A line of its log.
    Log(LogLine),
}

/// Where attempts are heard.
pub(crate) struct Events {
    pub(crate) reports: mpsc::Receiver<(FencingToken, Report)>,
    pub(crate) finished: mpsc::UnboundedReceiver<(FencingToken, AttemptResult)>,
}

/// Runs attempts.
pub(crate) struct Executor {
    workplace: Arc<Workplace>,
    reports: mpsc::Sender<(FencingToken, Report)>,
    finished: mpsc::UnboundedSender<(FencingToken, AttemptResult)>,
    running: HashMap<FencingToken, CancellationToken>,
    watches: JoinSet<()>,
}

impl Executor {
    pub(crate) fn new(workplace: Arc<Workplace>) -> (Self, Events) {
        let (reports, heard) = mpsc::channel(REPORTS);
        let (finished, ended) = mpsc::unbounded_channel();
        let executor = Self {
            workplace,
            reports,
            finished,
            running: HashMap::new(),
            watches: JoinSet::new(),
        };
        let events = Events {
            reports: heard,
            finished: ended,
        };
        (executor, events)
    }

    /// Starts an attempt; its end is heard whatever happens.
    pub(crate) fn start(&mut self, assignment: Assignment) {
        let token = assignment.token.clone();
        let cancellation = CancellationToken::new();
        self.running.insert(token.clone(), cancellation.clone());
        let finished = self.finished.clone();
        let span = spans::work(&assignment, &self.workplace.config.id);
        let attempt = attempt::run(
            assignment,
            Arc::clone(&self.workplace),
            self.reports.clone(),
            cancellation,
        );
        self.watches.spawn(async move {
            // The span ends before anybody hears of the result: within the attempt's own.
            let result = attempt.instrument(span).await;
            // Nobody listens once the worker stops.
            let _ = finished.send((token, result));
        });
    }

    /// Spreads the queries of stages that begin from now on over these.
    pub(crate) fn use_members(&self, members: Membership) {
        self.workplace.use_members(members);
    }

    /// Asks an attempt to end.
    pub(crate) fn cancel(&self, token: &FencingToken) {
        if let Some(cancellation) = self.running.get(token) {
            cancellation.cancel();
        }
    }

    /// Gives up what runs, and lets go of what stands ready for more.
    pub(crate) async fn end(mut self) {
        self.running.values().for_each(CancellationToken::cancel);
        self.watches.shutdown().await;
        self.workplace.stages.let_go().await;
    }

    /// Forgets an attempt that ended.
    pub(crate) fn forget(&mut self, token: &FencingToken) {
        self.running.remove(token);
        while self.watches.try_join_next().is_some() {}
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.running.values().for_each(CancellationToken::cancel);
        self.watches.abort_all();
    }
}
