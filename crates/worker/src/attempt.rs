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
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::WorkerConfig;
use crate::bundle_cache::BundleCache;
use crate::executor::Event;
use crate::log_book::LogBook;

/// How often the log of a running attempt is written.
const LOG_INTERVAL: Duration = Duration::from_secs(2);

/// What all attempts of a worker share.
pub(crate) struct Workplace {
    pub(crate) config: WorkerConfig,
    pub(crate) registry: Arc<Registry>,
    pub(crate) lake: Lake,
    pub(crate) bundles: BundleCache,
}

/// Runs an attempt. Its log is written before it ends, whatever its end.
pub(crate) async fn run(
    assignment: Assignment,
    workplace: Arc<Workplace>,
    events: mpsc::UnboundedSender<Event>,
    cancellation: CancellationToken,
) -> AttemptResult {
    let log = Arc::new(LogBook::new(&assignment.token.attempt));
    let voice = Arc::new(Voice {
        token: assignment.token.clone(),
        log: Arc::clone(&log),
        events,
    });
    let result = {
        let stage = stage(&assignment, &workplace, Arc::clone(&voice), cancellation);
        let mut stage = std::pin::pin!(stage);
        loop {
            tokio::select! {
                result = &mut stage => break result,
                () = tokio::time::sleep(LOG_INTERVAL) => write_log(&log, &workplace.lake).await,
            }
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

/// A log that cannot be written does not fail the stage: what counts is its outputs.
async fn write_log(log: &LogBook, lake: &Lake) {
    if let Err(error) = log.flush(lake).await {
        tracing::warn!(%error, "the log of an attempt cannot be written");
    }
}

async fn stage(
    assignment: &Assignment,
    workplace: &Workplace,
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
        attempt: assignment.token.attempt.clone(),
        options: assignment.options.clone(),
        files: bundle.files.clone(),
        lake: workplace.lake.clone(),
        session,
        seed: assignment.seed,
        base_dir: assignment.base_dir.as_ref().map(PathBuf::from),
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
