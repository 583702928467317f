//! One attempt at a stage, from its assignment to its result.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use marquetry_engine::Assignment;
use marquetry_lake::Lake;
use marquetry_plugin::StageEvents;
use marquetry_types::{
    AttemptResult, Diagnostic, FailureClass, FencingToken, LogLevel, LogLine, Membership, Outcome,
    Progress, StageFailure, Timestamp, codes,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::WorkerConfig;
use crate::bundle_cache::BundleCache;
use crate::executor::Report;
#[cfg(unix)]
use crate::hosts::Hosts;
use crate::log_book::LogBook;
use crate::peers::Members;
use crate::secrets::{Redaction, Secrets};
use crate::spans;
use crate::stage::Work;
use crate::threads::{Threads, stopped};

/// How often the log of a running attempt is written.
const LOG_INTERVAL: Duration = Duration::from_secs(2);
/// How long a lake may take to write some lines of it.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// Progress within one phase is passed on this often at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// What all attempts of a worker share.
pub(crate) struct Workplace {
    pub(crate) config: WorkerConfig,
    pub(crate) lake: Lake,
    pub(crate) bundles: BundleCache,
    pub(crate) stages: Stages,
    /// Who takes parts of queries, as the coordinator last told.
    pub(crate) members: Mutex<Membership>,
}

impl Workplace {
    /// Who takes parts of queries, for stages that begin now.
    fn members(&self) -> Membership {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.clone()
    }

    pub(crate) fn use_members(&self, members: Membership) {
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = members;
    }
}

/// Where stages run.
pub(crate) enum Stages {
    Threads(Threads),
    #[cfg(unix)]
    Hosts(Hosts),
}

impl Stages {
    /// Lets go of what stands ready for more.
    pub(crate) async fn let_go(&self) {
        match self {
            Self::Threads(_) => {}
            #[cfg(unix)]
            Self::Hosts(hosts) => hosts.let_go().await,
        }
    }

    /// Runs a stage. Dropping the future cuts it off as far as that is possible there.
    async fn run(
        &self,
        work: Work,
        lake: &Lake,
        events: Arc<dyn StageEvents>,
        cancellation: CancellationToken,
    ) -> Result<Outcome, StageFailure> {
        match self {
            Self::Threads(threads) => threads.run(work, lake.clone(), events, cancellation).await,
            #[cfg(unix)]
            Self::Hosts(hosts) => hosts.run(work, events, cancellation).await,
        }
    }
}

/// Runs an attempt and watches over it. Its log is written before it ends, whatever its end.
pub(crate) async fn run(
    assignment: Assignment,
    workplace: Arc<Workplace>,
    reports: mpsc::Sender<(FencingToken, Report)>,
    cancellation: CancellationToken,
) -> AttemptResult {
    let log = Arc::new(LogBook::new(&assignment.token.attempt));
    let voice = Arc::new(Voice {
        token: assignment.token.clone(),
        log: Arc::clone(&log),
        reports,
        latest: Mutex::default(),
        redaction: OnceLock::new(),
    });
    let patience = workplace.config.cancel_patience;
    tracing::info!("an attempt begins");
    let result = {
        let overrun = overrun(assignment.timeout, patience, &cancellation);
        let stage = stage(assignment, &workplace, Arc::clone(&voice), &cancellation);
        let (mut stage, mut overrun) = (std::pin::pin!(stage), std::pin::pin!(overrun));
        loop {
            tokio::select! {
                ended = &mut stage => break ended,
                failure = &mut overrun => break Err(failure),
                () = tokio::time::sleep(LOG_INTERVAL) => write_log(&log, &workplace.lake).await,
            }
        }
    };
    let result = result.map_err(|failure| voice.redact(failure));
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
    spans::ended(&result, |failure| failure.diagnostic.message.as_str());
    match result {
        Ok(outcome) => AttemptResult::Succeeded(outcome),
        Err(failure) => AttemptResult::Failed(failure),
    }
}

/// Fetches what the stage needs and runs it.
async fn stage(
    assignment: Assignment,
    workplace: &Workplace,
    voice: Arc<Voice>,
    cancellation: &CancellationToken,
) -> Result<Outcome, StageFailure> {
    let config = &workplace.config;
    let bundle = workplace.bundles.get(&assignment.bundle).await;
    let bundle = bundle.map_err(|diagnostic| StageFailure {
        class: FailureClass::Transient,
        diagnostic,
    })?;
    let trace = spans::work_trace(&assignment);
    let mut options = assignment.options;
    let secrets = Secrets::new(config.secrets_dir.clone());
    let redaction = secrets.resolve(&mut options, &config.id)?;
    // Nothing else sets it.
    let _ = voice.redaction.set(redaction);
    let work = Work {
        trace,
        attempt: assignment.token.attempt,
        kind: assignment.kind.into(),
        options,
        files: bundle.files.clone(),
        seed: assignment.seed,
        base_dir: assignment.base_dir,
        memory_limit: assignment.memory.unwrap_or(config.memory_limit),
        threads: config.threads,
        spill_dir: config.spill_dir.clone(),
        parallelism: assignment.parallelism,
        members: Members {
            membership: workplace.members(),
            authority: config.authority.clone(),
        },
    };
    workplace
        .stages
        .run(work, &workplace.lake, voice, cancellation.clone())
        .await
}

/// Waits for the timeout, or for a cancellation that the stage does not heed.
async fn overrun(
    timeout: Option<Duration>,
    patience: Duration,
    cancellation: &CancellationToken,
) -> StageFailure {
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
        tokio::time::sleep(patience).await;
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

/// A log that cannot be written does not fail the stage, nor keep it: what counts is its outputs.
async fn write_log(log: &LogBook, lake: &Lake) {
    match tokio::time::timeout(LOG_PATIENCE, log.flush(lake)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the log of an attempt cannot be written"),
        Err(_) => tracing::warn!("the log of an attempt takes too long to be written"),
    }
}

/// What a stage says goes to its log and to whoever watches. The log keeps every line; a watcher that
/// cannot keep up misses some.
struct Voice {
    token: FencingToken,
    log: Arc<LogBook>,
    reports: mpsc::Sender<(FencingToken, Report)>,
    /// The phase that was last reported, and when.
    latest: Mutex<Option<(String, Instant)>>,
    /// Takes the stage's secrets out of what it says, once they are known.
    redaction: OnceLock<Redaction>,
}

impl Voice {
    /// What a failure says without the stage's secrets.
    fn redact(&self, failure: StageFailure) -> StageFailure {
        match self.redaction.get() {
            Some(redaction) => redaction.failure(failure),
            None => failure,
        }
    }

    fn report(&self, report: Report) {
        let _ = self.reports.try_send((self.token.clone(), report));
    }

    /// Whether this progress says something that is worth a message.
    fn is_news(&self, progress: &Progress) -> bool {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_done = progress.total == Some(progress.done);
        let is_repeated = latest.as_ref().is_some_and(|(phase, at)| {
            *phase == progress.phase && at.elapsed() < PROGRESS_INTERVAL
        });
        if is_repeated && !is_done {
            return false;
        }
        *latest = Some((progress.phase.clone(), Instant::now()));
        true
    }
}

impl StageEvents for Voice {
    fn progress(&self, progress: Progress) {
        let progress = match self.redaction.get() {
            Some(redaction) => redaction.progress(progress),
            None => progress,
        };
        if self.is_news(&progress) {
            self.report(Report::Progress(progress));
        }
    }

    fn log(&self, line: LogLine) {
        let line = match self.redaction.get() {
            Some(redaction) => redaction.line(line),
            None => line,
        };
        self.log.add(&line);
        self.report(Report::Log(line));
    }
}
