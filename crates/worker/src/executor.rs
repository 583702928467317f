//! The threads on which stages run, and the attempts under way.
//!
//! Watching over an attempt is not done there but beside the worker's stream: a stage that blocks
//! every thread it gets is timed out all the same, and its fellow stages and the heartbeat go on.

use std::collections::HashMap;
use std::sync::Arc;

use marquetry_engine::Assignment;
use marquetry_types::{AttemptResult, FencingToken, LogLine, Progress};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::attempt::{self, Workplace};

/// What an attempt says.
#[derive(Debug)]
pub(crate) enum Event {
    /// How far it is.
    Progress(FencingToken, Progress),
    /// A line of its log.
    Log(FencingToken, LogLine),
    /// How it ended.
    Finished(FencingToken, AttemptResult),
}

/// Runs attempts.
pub(crate) struct Executor {
    /// Taken when it is dropped: a runtime must not be dropped where async code runs.
    runtime: Option<Runtime>,
    workplace: Arc<Workplace>,
    events: mpsc::UnboundedSender<Event>,
    running: HashMap<FencingToken, CancellationToken>,
    watches: JoinSet<()>,
}

impl Executor {
    pub(crate) fn new(
        threads: usize,
        workplace: Arc<Workplace>,
        events: mpsc::UnboundedSender<Event>,
    ) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("stage")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            workplace,
            events,
            running: HashMap::new(),
            watches: JoinSet::new(),
        })
    }

    /// Starts an attempt; it ends with [`Event::Finished`] whatever happens.
    pub(crate) fn start(&mut self, assignment: Assignment) {
        let Some(runtime) = &self.runtime else { return };
        let token = assignment.token.clone();
        let cancellation = CancellationToken::new();
        self.running.insert(token.clone(), cancellation.clone());
        let events = self.events.clone();
        let attempt = attempt::run(
            assignment,
            Arc::clone(&self.workplace),
            runtime.handle().clone(),
            events.clone(),
            cancellation,
        );
        self.watches.spawn(async move {
            let result = attempt.await;
            // Nobody listens once the worker stops.
            let _ = events.send(Event::Finished(token, result));
        });
    }

    /// Asks an attempt to end.
    pub(crate) fn cancel(&self, token: &FencingToken) {
        if let Some(cancellation) = self.running.get(token) {
            cancellation.cancel();
        }
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
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
