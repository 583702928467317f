//! Attempts on threads of their own: the stream and its heartbeat never wait for a stage.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use marquetry_engine::Assignment;
use marquetry_types::{
    AttemptResult, Diagnostic, FailureClass, FencingToken, LogLine, Progress, StageFailure, codes,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::attempt::{self, Workplace};

/// How long a cancelled stage may take to notice before it is cut off.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

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
        })
    }

    /// Starts an attempt; it ends with [`Event::Finished`] whatever happens.
    pub(crate) fn start(&mut self, assignment: Assignment) {
        let Some(runtime) = &self.runtime else { return };
        let token = assignment.token.clone();
        let cancellation = CancellationToken::new();
        self.running.insert(token.clone(), cancellation.clone());
        let (workplace, events) = (Arc::clone(&self.workplace), self.events.clone());
        let timeout = assignment.timeout;
        let stage = runtime.spawn(attempt::run(
            assignment,
            workplace,
            events.clone(),
            cancellation.clone(),
        ));
        runtime.spawn(async move {
            let abort = stage.abort_handle();
            let end = tokio::select! {
                ended = stage => match ended {
                    Ok(result) => result,
                    Err(panic) => AttemptResult::Failed(panicked(panic)),
                },
                failure = cut_off(timeout, &cancellation) => {
                    abort.abort();
                    AttemptResult::Failed(failure)
                }
            };
            // Nobody listens once the worker stops.
            let _ = events.send(Event::Finished(token, end));
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
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.running.values().for_each(CancellationToken::cancel);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for the timeout, or for a cancellation that the stage does not heed.
async fn cut_off(timeout: Option<Duration>, cancellation: &CancellationToken) -> StageFailure {
    let overrun = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let unheeded = async {
        cancellation.cancelled().await;
        tokio::time::sleep(CANCEL_PATIENCE).await;
    };
    tokio::select! {
        () = overrun => {
            cancellation.cancel();
            let limit = timeout.unwrap_or_default();
            let message = format!("the stage ran longer than its timeout of {limit:?}");
            let diagnostic = Diagnostic::new(codes::STAGE_TIMEOUT, message)
                .help("raise the stage's `timeout`, or give it less to do");
            StageFailure { class: FailureClass::Transient, diagnostic }
        }
        () = unheeded => {
            let diagnostic = Diagnostic::new(codes::CANCELLED, "the stage was stopped on request");
            StageFailure { class: FailureClass::Cancelled, diagnostic }
        }
    }
}

/// A panic is a bug in the stage: another attempt would meet it again.
fn panicked(error: tokio::task::JoinError) -> StageFailure {
    let what = match error.try_into_panic() {
        Ok(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => match payload.downcast::<&'static str>() {
                Ok(text) => (*text).to_owned(),
                Err(_) => "it gave no reason".to_owned(),
            },
        },
        Err(_) => "it was stopped".to_owned(),
    };
    let diagnostic = Diagnostic::new(codes::STAGE_PANIC, format!("the stage panicked: {what}"))
        .help("this is a bug in the stage; please report it with its log");
    StageFailure {
        class: FailureClass::Invalid,
        diagnostic,
    }
}
