//! `StreamLogs`: what the stages of a run said, and what they say.
//!
//! Lines of attempts are kept in the lake, a moment after they were said; the reign passes on at once what
//! running attempts say, to whoever listens, and may drop some. Whoever follows gets both: first what is
//! kept, then what is said, and at the end of an attempt whatever of its kept lines had not come. So every
//! line comes, and none twice.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use marquetry_engine::RunState;
use marquetry_journal::Journal;
use marquetry_proto::v1::watch_run_response::Event;
use marquetry_proto::{status_from_diagnostics, timestamp_from_wire, v1};
use marquetry_types::{
    AttemptId, AttemptNumber, Diagnostic, LogLine, RunId, StageName, Timestamp, codes,
};
use prost::Message;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::hub::Notice;
use crate::request::Refusal;
use crate::run_service::{
    Runs, STOPPING, must_lead, run_id, stage_name, status_of_journal, status_of_refusal,
};
use crate::views;

/// Where the logs of attempts are kept. The lake is one; a coordinator knows none itself.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// The lines of an attempt as far as they are kept, oldest first; none where nothing was said.
    ///
    /// # Errors
    /// They cannot be read.
    async fn read(&self, attempt: &AttemptId) -> Result<Vec<LogLine>, Diagnostic>;
}

/// Logs that are read at a time.
const READERS: usize = 8;
/// Lines in a message at most.
const LINES: usize = 256;

/// Messages that wait for a client.
const BACKLOG: usize = 16;

type Lines = Result<v1::StreamLogsResponse, Status>;

/// Answers a request.
pub(crate) async fn open(
    runs: &Runs,
    request: v1::StreamLogsRequest,
) -> Result<ReceiverStream<Lines>, Status> {
    let Some(store) = runs.logs.clone() else {
        let message = "this coordinator does not know where logs are kept";
        return Err(Status::unimplemented(message));
    };
    if request.follow {
        must_lead(&runs.role)?;
    }
    let run = run_id(request.run_id)?;
    let stage = match request.stage.as_str() {
        "" => None,
        _ => Some(stage_name(request.stage)?),
    };
    // Listen first, then read: what is said in between is known twice rather than not at all.
    let notices = request.follow.then(|| runs.hub.watch(&run));
    let state = runs.journal.load_run(&run).await;
    let state = state.map_err(|error| status_of_journal(&error))?;
    if let Some(stage) = &stage
        && !state.stages.contains_key(stage.stage())
    {
        let message = format!("run {run} has no stage `{stage}`");
        let diagnostic = Diagnostic::new(codes::NO_MATCH, message);
        return Err(status_of_refusal(Refusal::NotFound(diagnostic)));
    }
    let wanted = Wanted {
        run,
        stage,
        attempt: request.attempt,
        since: request.since.as_ref().map(timestamp_from_wire),
        tail: request.tail.and_then(|tail| usize::try_from(tail).ok()),
    };
    let (lines, stream) = mpsc::channel(BACKLOG);
    let journal = Arc::clone(&runs.journal);
    let logs = LogStream {
        journal,
        store,
        wanted,
        lines,
    };
    // It ends when nobody takes its lines any more.
    tokio::spawn(logs.run(state, notices));
    Ok(ReceiverStream::new(stream))
}

/// Which lines are wanted.
#[derive(Debug)]
struct Wanted {
    run: RunId,
    /// A stage with its items, or one item; none for all.
    stage: Option<StageName>,
    /// 0 for all.
    attempt: u32,
    /// From this time on.
    since: Option<Timestamp>,
    /// So many of those that are there already.
    tail: Option<usize>,
}

impl Wanted {
    fn is_of(&self, stage: &str, attempt: u32) -> bool {
        let is_stage = self.stage.as_ref().is_none_or(|wanted| {
            let whole = stage.split_once('.').map_or(stage, |(whole, _)| whole);
            wanted.as_str() == stage || wanted.as_str() == whole
        });
        is_stage && (self.attempt == 0 || self.attempt == attempt)
    }

    fn has(&self, line: &v1::AttemptLog) -> bool {
        self.since.is_none_or(|since| at(line) >= since)
    }
}

/// When a line was said.
fn at(line: &v1::AttemptLog) -> Timestamp {
    timestamp_from_wire(&line.at.unwrap_or_default())
}

/// How often a line has come from where it is kept, and from whoever said it. Both is once.
#[derive(Debug, Default)]
struct Came {
    kept: usize,
    live: usize,
    /// How often it stands in what is being read.
    read: usize,
}

/// The lines of attempts that had not ended at first.
#[derive(Debug, Default)]
struct UnderWay(HashMap<(String, u32), HashMap<u64, Came>>);

impl UnderWay {
    fn of(&mut self, line: &v1::AttemptLog) -> &mut Came {
        let mut hasher = DefaultHasher::new();
        line.encode_to_vec().hash(&mut hasher);
        let attempt = self.0.entry((line.stage.clone(), line.attempt));
        attempt.or_default().entry(hasher.finish()).or_default()
    }

    /// Whether a line that was said just now is new.
    fn is_new(&mut self, line: &v1::AttemptLog) -> bool {
        let came = self.of(line);
        came.live += 1;
        came.live > came.kept
    }

    /// Those of the kept lines of attempts that have not come. From here on they have.
    fn missing(&mut self, kept: Vec<v1::AttemptLog>) -> Vec<v1::AttemptLog> {
        let is_missing: Vec<bool> = kept
            .iter()
            .map(|line| {
                let came = self.of(line);
                came.read += 1;
                came.read > came.kept.max(came.live)
            })
            .collect();
        for line in &kept {
            let came = self.of(line);
            came.kept = came.kept.max(came.read);
        }
        kept.iter().for_each(|line| self.of(line).read = 0);
        let lines = kept.into_iter().zip(is_missing);
        lines
            .filter_map(|(line, is_missing)| is_missing.then_some(line))
            .collect()
    }
}

/// Nobody listens any more, or what is left cannot be told: either way it is over.
enum Over {
    Gone,
    Failed(Status),
}

impl From<Status> for Over {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

/// One who listens to the logs of a run.
struct LogStream {
    journal: Arc<dyn Journal>,
    store: Arc<dyn LogStore>,
    wanted: Wanted,
    lines: mpsc::Sender<Lines>,
}

impl LogStream {
    /// Sends what is kept of a run that was loaded, and with `notices` what is said until the run has
    /// ended.
    async fn run(self, state: RunState, notices: Option<broadcast::Receiver<Notice>>) {
        if let Err(Over::Failed(status)) = self.tell(state, notices).await {
            // Whoever is gone is not told.
            let _ = self.lines.send(Err(status)).await;
        }
    }

    async fn tell(
        &self,
        state: RunState,
        notices: Option<broadcast::Receiver<Notice>>,
    ) -> Result<(), Over> {
        let before = ended(&state);
        let mut done = before.clone();
        let mut lines = self.kept(self.attempts(&state)).await?;
        let mut under_way = UnderWay::default();
        let goes_on: BTreeSet<(&str, u32)> = {
            let attempts = state.stages.values().flat_map(|stage| &stage.attempts);
            let open = attempts.filter(|attempt| attempt.finished_at.is_none());
            let ids = open.map(|attempt| &attempt.token.attempt);
            ids.map(|id| (id.stage.as_str(), id.attempt.0)).collect()
        };
        for line in &lines {
            if goes_on.contains(&(line.stage.as_str(), line.attempt)) {
                under_way.of(line).kept += 1;
            }
        }
        lines.retain(|line| self.wanted.has(line));
        lines.sort_by_key(at);
        if let Some(tail) = self.wanted.tail {
            lines.drain(..lines.len().saturating_sub(tail));
        }
        self.send(lines).await?;
        let Some(mut notices) = notices else {
            return Ok(());
        };
        let mut is_over = state.status.is_over();
        while !is_over {
            let notice = tokio::select! {
                notice = notices.recv() => notice,
                () = self.lines.closed() => return Err(Over::Gone),
            };
            match notice {
                Ok(Notice::Event(event)) => match *event {
                    Event::Log(line)
                        if self.wanted.is_of(&line.stage, line.attempt)
                            && under_way.is_new(&line)
                            && self.wanted.has(&line) =>
                    {
                        self.send(vec![line]).await?;
                    }
                    Event::Summary(summary) => {
                        is_over = views::is_over(&summary);
                    }
                    Event::Run(run) => {
                        let summary = run.summary.unwrap_or_default();
                        is_over = views::is_over(&summary);
                    }
                    // What was said before one listened came in nobody's notice.
                    Event::Stage(stage) => {
                        let ended = self.ended_of(&stage);
                        self.complete(ended, &mut done, &mut under_way).await?;
                    }
                    _ => {}
                },
                Ok(Notice::LookAgain) | Err(RecvError::Lagged(_)) => {
                    let state = self.load().await?;
                    let ended = ended(&state).into_iter().collect();
                    self.complete(ended, &mut done, &mut under_way).await?;
                    is_over = state.status.is_over();
                }
                Err(RecvError::Closed) => return Err(Status::unavailable(STOPPING).into()),
            }
        }
        // Once more: an attempt that was lost may have said something after it was given up.
        let state = self.load().await?;
        let (all, mut done) = (self.attempts(&state), before);
        self.complete(all, &mut done, &mut under_way).await
    }

    async fn load(&self) -> Result<RunState, Status> {
        let state = self.journal.load_run(&self.wanted.run).await;
        state.map_err(|error| status_of_journal(&error))
    }

    /// Sends what is kept of attempts that have ended since, and has not come.
    async fn complete(
        &self,
        mut attempts: Vec<AttemptId>,
        done: &mut BTreeSet<AttemptId>,
        under_way: &mut UnderWay,
    ) -> Result<(), Over> {
        attempts.retain(|id| {
            self.wanted.is_of(id.stage.as_str(), id.attempt.0) && done.insert(id.clone())
        });
        let kept = self.kept(attempts).await?;
        let mut lines = under_way.missing(kept);
        lines.retain(|line| self.wanted.has(line));
        lines.sort_by_key(at);
        self.send(lines).await
    }

    /// The attempts of a stage that have ended, as a watcher is told.
    fn ended_of(&self, stage: &v1::Stage) -> Vec<AttemptId> {
        let Ok(name) = StageName::try_from(stage.name.clone()) else {
            return Vec::new();
        };
        let ended = stage
            .attempts
            .iter()
            .filter(|attempt| attempt.finished_at.is_some());
        ended
            .map(|attempt| AttemptId {
                run: self.wanted.run.clone(),
                stage: name.clone(),
                attempt: AttemptNumber(attempt.number),
            })
            .collect()
    }

    /// The attempts whose lines are wanted.
    fn attempts(&self, state: &RunState) -> Vec<AttemptId> {
        let attempts = state.stages.values().flat_map(|stage| &stage.attempts);
        let ids = attempts.map(|attempt| &attempt.token.attempt);
        let wanted = ids.filter(|id| self.wanted.is_of(id.stage.as_str(), id.attempt.0));
        wanted.cloned().collect()
    }

    async fn kept(&self, attempts: Vec<AttemptId>) -> Result<Vec<v1::AttemptLog>, Status> {
        let reads = attempts.into_iter().map(|attempt| self.kept_of(attempt));
        let mut reads = stream::iter(reads).buffered(READERS);
        let mut all = Vec::new();
        while let Some(lines) = reads.next().await {
            all.extend(lines?);
        }
        Ok(all)
    }

    async fn kept_of(&self, attempt: AttemptId) -> Result<Vec<v1::AttemptLog>, Status> {
        let unavailable =
            |diagnostic: Diagnostic| status_from_diagnostics(Code::Unavailable, &diagnostic.into());
        let lines = self.store.read(&attempt).await.map_err(unavailable)?;
        let lines = lines.into_iter();
        Ok(lines
            .map(|line| v1::AttemptLog::new(&attempt, line))
            .collect())
    }

    async fn send(&self, lines: Vec<v1::AttemptLog>) -> Result<(), Over> {
        let mut lines = lines.into_iter().peekable();
        while lines.peek().is_some() {
            let lines = lines.by_ref().take(LINES).collect();
            let response = v1::StreamLogsResponse { lines };
            let sent = self.lines.send(Ok(response)).await;
            sent.map_err(|_| Over::Gone)?;
        }
        Ok(())
    }
}

/// The attempts that have ended.
fn ended(state: &RunState) -> BTreeSet<AttemptId> {
    let attempts = state.stages.values().flat_map(|stage| &stage.attempts);
    let ended = attempts.filter(|attempt| attempt.finished_at.is_some());
    ended.map(|attempt| attempt.token.attempt.clone()).collect()
}
