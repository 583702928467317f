//! One attempt at a stage, from its assignment to its result.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use marquetry_engine::Assignment;
use marquetry_lake::{Lake, SessionOptions};
use marquetry_plugin::{Registry, StageContext, StageError, StageEvents, StageSetup};
use marquetry_types::{
    AttemptResult, Diagnostic, FailureClass, FencingToken, LogLevel, LogLine, Outcome, Progress,
    StageFailure, Timestamp, codes,
};
use marquetry_workflow::check_options;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::WorkerConfig;
use crate::bundle_cache::BundleCache;
use crate::executor::Event;
use crate::log_book::LogBook;

/// How often the log of a running attempt is written.
const LOG_INTERVAL: Duration = Duration::from_secs(2);
/// How long a lake may take to write some lines of it.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// How long a cancelled stage may take to notice before it is cut off.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// What all attempts of a worker share.
pub(crate) struct Workplace {
    pub(crate) config: WorkerConfig,
    pub(crate) registry: Arc<Registry>,
    pub(crate) lake: Lake,
    pub(crate) bundles: BundleCache,
}

/// Runs an attempt on the threads of `stages` and watches over it from here. Its log is written before
/// it ends, whatever its end.
pub(crate) async fn run(
    assignment: Assignment,
    workplace: Arc<Workplace>,
    stages: Handle,
    events: mpsc::UnboundedSender<Event>,
    cancellation: CancellationToken,
) -> AttemptResult {
    let log = Arc::new(LogBook::new(&assignment.token.attempt));
    let voice = Arc::new(Voice {
        token: assignment.token.clone(),
        log: Arc::clone(&log),
        events,
    });
    let timeout = assignment.timeout;
    // Dropped with this future, so that a worker that stops leaves no stage running.
    let dismissal = CancellationToken::new();
    let _dismisses = dismissal.clone().drop_guard();
    let mut stage = on_thread_of_its_own(
        &stages,
        stage(
            assignment,
            Arc::clone(&workplace),
            Arc::clone(&voice),
            cancellation.clone(),
        ),
        dismissal.clone(),
    );
    let mut overrun = std::pin::pin!(overrun(timeout, &cancellation));
    let result = loop {
        tokio::select! {
            ended = &mut stage => break match ended {
                Ok(Some(result)) => result,
                Ok(None) => Err(stopped()),
                Err(error) => Err(panicked(error)),
            },
            failure = &mut overrun => {
                dismissal.cancel();
                break Err(failure);
            }
            () = tokio::time::sleep(LOG_INTERVAL) => write_log(&log, &workplace.lake).await,
        }
    };
    if let Err(failure) = &result {
        let mut line = LogLine {
            at: Timestamp::now(),
            level: LogLevel::Error,
            message: failure.diagnostic.message.clone(),
            fields: [("code".to_owned(), failure.diagnostic.code.as_str().into())].into(),
        };
        if let Some(help) = &failure.diagnostic.help {
            line.fields.insert("help".to_owned(), help.as_str().into());
        }
        voice.log(line);
    }
    write_log(&log, &workplace.lake).await;
    match result {
        Ok(outcome) => AttemptResult::Succeeded(outcome),
        Err(failure) => AttemptResult::Failed(failure),
    }
}

/// Drives a stage on a thread that no other stage needs: one that blocks it harms nobody else. What it
/// spawns, such as the partitions of its queries, runs on the threads that all stages share. It is
/// dropped, where it lets go of its thread at all, when `dismissal` fires.
fn on_thread_of_its_own<T: Send + 'static>(
    stages: &Handle,
    stage: impl Future<Output = T> + Send + 'static,
    dismissal: CancellationToken,
) -> JoinHandle<Option<T>> {
    let runtime = stages.clone();
    stages.spawn_blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = dismissal.cancelled() => None,
                ended = stage => Some(ended),
            }
        })
    })
}

/// Waits for the timeout, or for a cancellation that the stage does not heed.
async fn overrun(timeout: Option<Duration>, cancellation: &CancellationToken) -> StageFailure {
    let too_long = async {
        match timeout {
            Some(timeout) => {
                tokio::time::sleep(timeout).await;
                timeout
            }
            None => std::future::pending().await,
        }
    };
    let unheeded = async {
        cancellation.cancelled().await;
        tokio::time::sleep(CANCEL_PATIENCE).await;
    };
    tokio::select! {
        limit = too_long => {
            cancellation.cancel();
            let message = format!("the stage ran longer than its timeout of {limit:?}");
            let diagnostic = Diagnostic::new(codes::STAGE_TIMEOUT, message)
                .help("raise the stage's `timeout`, or give it less to do");
            StageFailure { class: FailureClass::Transient, diagnostic }
        }
        () = unheeded => stopped(),
    }
}

fn stopped() -> StageFailure {
    StageError::Cancelled.into()
}

/// A panic is a bug in the stage: another attempt would meet it again.
fn panicked(error: JoinError) -> StageFailure {
    let Ok(payload) = error.try_into_panic() else {
        return stopped();
    };
    let what = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(_) => "it gave no reason".to_owned(),
        },
    };
    let diagnostic = Diagnostic::new(codes::STAGE_PANIC, format!("the stage panicked: {what}"))
        .help("this is a bug in the stage; please report it with its log");
    StageFailure {
        class: FailureClass::Invalid,
        diagnostic,
    }
}

/// A log that cannot be written does not fail the stage, nor keep it: what counts is its outputs.
async fn write_log(log: &LogBook, lake: &Lake) {
    match tokio::time::timeout(LOG_PATIENCE, log.flush(lake)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the log of an attempt cannot be written"),
        Err(_) => tracing::warn!("the log of an attempt takes too long to be written"),
    }
}

async fn stage(
    assignment: Assignment,
    workplace: Arc<Workplace>,
    voice: Arc<Voice>,
    cancellation: CancellationToken,
) -> Result<Outcome, StageFailure> {
    let invalid = |diagnostic: Diagnostic| StageFailure {
        class: FailureClass::Invalid,
        diagnostic,
    };
    let config = &workplace.config;
    let kind = assignment.kind.as_str();
    let handler = workplace.registry.get(kind).ok_or_else(|| {
        let message = format!("worker {} has no stage kind `{kind}`", config.id);
        invalid(Diagnostic::new(codes::UNKNOWN_STAGE_KIND, message))
    })?;
    check_options(handler.descriptor(), &assignment.options).map_err(invalid)?;
    let bundle = workplace.bundles.get(&assignment.bundle).await;
    let bundle = bundle.map_err(|diagnostic| StageFailure {
        class: FailureClass::Transient,
        diagnostic,
    })?;
    let memory_limit = assignment.memory.unwrap_or(config.memory_limit);
    let spill_dir = config.spill_dir.clone();
    let options = SessionOptions {
        memory_limit,
        spill_dir,
        threads: config.threads,
    };
    let session = marquetry_lake::session(&workplace.lake, &options);
    let session = session.map_err(|error| StageFailure::from(StageError::from(error)))?;
    let context = StageContext::new(StageSetup {
        attempt: assignment.token.attempt,
        options: assignment.options,
        files: bundle.files.clone(),
        lake: workplace.lake.clone(),
        session,
        seed: assignment.seed,
        base_dir: assignment.base_dir.map(PathBuf::from),
        memory_limit,
        threads: config.threads,
        cancellation,
        events: voice,
    });
    handler.run(context).await.map_err(StageFailure::from)
}

/// What a stage says goes to its log and to whoever watches.
struct Voice {
    token: FencingToken,
    log: Arc<LogBook>,
    events: mpsc::UnboundedSender<Event>,
}

impl StageEvents for Voice {
    fn progress(&self, progress: Progress) {
        // Nobody listens once the worker stops.
        let _ = self
            .events
            .send(Event::Progress(self.token.clone(), progress));
    }

    fn log(&self, line: LogLine) {
        self.log.add(&line);
        let _ = self.events.send(Event::Log(self.token.clone(), line));
    }
}
