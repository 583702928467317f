//! What a leader does beside deciding: finished runs are archived, what is old is discarded, and files that
//! nobody needs are collected.
//!
//! It lives as long as a reign, commits with its epoch like everybody, and holds nothing up: it works in small
//! steps and rests after each, so that all of it takes a bounded share of the time however much there is to do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use marquetry_journal::{ArchiveBatch, Discard, FinishedThrough, Journal, JournalError, StoredRun};
use marquetry_types::{Diagnostic, Epoch, RunId, Timestamp};
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::Metrics;

/// It rests so many times as long as it worked: nine tenths of the time where nothing else happens, and all
/// but a fiftieth of it while runs go on.
const IDLE_REST: u32 = 9;
const BUSY_REST: u32 = 49;
/// The shortest rest.
const SHORTEST_REST: Duration = Duration::from_millis(20);
/// The longest pause between two looks at what waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The shortest one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// How long it leaves alone what failed.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Runs of a batch: when so many wait, they are archived at once.
const BATCH: u32 = 1000;
/// Runs that are loaded at once.
const LOADED_AT_ONCE: usize = 25;
/// Runs and records that one commit discards.
const DISCARDED_RUNS: u32 = 100;
const DISCARDED_RECORDS: u32 = 1000;
/// How long a bundle that nobody uses is kept for a submission that may follow.
const BUNDLE_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Where history goes. The coordinator knows no tables and no files: whoever starts it does.
#[async_trait]
pub trait History: fmt::Debug + Send + Sync {
    /// Archives a batch, durably. Doing it again, after a crash, changes nothing.
    async fn archive(&self, batch: &ArchiveBatch, runs: Vec<StoredRun>) -> Result<(), Diagnostic>;

    /// Puts small files of what is archived together, if there are many, and gives how many were. Whatever
    /// breaks off, nothing that was archived is missing or seen twice.
    async fn compact(&self) -> Result<u64, Diagnostic>;

    /// Removes files that nobody needs.
    async fn collect(&self) -> Result<Collected, Diagnostic>;
}

/// What a collection removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is done with history, and when.
#[derive(Debug, Clone, Default)]
pub struct Upkeep {
    /// Where it goes; nothing is done without.
    pub history: Option<Arc<dyn History>>,
    /// How long a finished run waits at most to be archived, unless too many do.
    pub archive_after: Duration,
    /// How long a finished run stays in the journal after it ended; for ever without.
    pub keep_for: Option<Duration>,
    /// How many finished runs stay in the journal; all without.
    pub keep_runs: Option<u64>,
    /// How often small files of the archive are put together; never without.
    pub compact_every: Option<Duration>,
    /// How often files are collected; never without.
    pub collect_every: Option<Duration>,
}

/// The task of one reign.
pub(crate) struct Caretaker {
    upkeep: Upkeep,
    history: Arc<dyn History>,
    journal: Arc<dyn Journal>,
    metrics: Metrics,
    epoch: Epoch,
    /// How much had happened when it rested last.
    happened: AtomicU64,
}

/// Why a step was not done.
enum Trouble {
    Journal(JournalError),
    History(Diagnostic),
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<Diagnostic> for Trouble {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::History(diagnostic)
    }
}

impl Caretaker {
    /// Works until it is dropped, if there is anything to do.
    pub(crate) fn start(
        upkeep: &Upkeep,
        journal: &Arc<dyn Journal>,
        metrics: &Metrics,
        epoch: Epoch,
    ) -> Option<AbortOnDropHandle<()>> {
        let caretaker = Self {
            history: Arc::clone(upkeep.history.as_ref()?),
            upkeep: upkeep.clone(),
            journal: Arc::clone(journal),
            metrics: metrics.clone(),
            epoch,
            happened: AtomicU64::new(0),
        };
        Some(AbortOnDropHandle::new(tokio::spawn(caretaker.run())))
    }

    async fn run(self) {
        let pause = (self.upkeep.archive_after / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let (mut discarded_at, mut compacted_at) = (None, None);
        let mut collected_at = Some(Instant::now());
        loop {
            tokio::time::sleep(pause).await;
            let done = self.archive_what_waits().await;
            if !self.goes_on("finished runs are not archived", done).await {
                return;
            }
            if is_due(discarded_at, Some(self.upkeep.archive_after)) {
                discarded_at = Some(Instant::now());
                let done = self.discard_what_is_old().await;
                if !self.goes_on("old runs are not discarded", done).await {
                    return;
                }
            }
            if is_due(compacted_at, self.upkeep.compact_every) {
                compacted_at = Some(Instant::now());
                let done = self.compact().await;
                if !self.goes_on("the archive is not compacted", done).await {
                    return;
                }
            }
            if is_due(collected_at, self.upkeep.collect_every) {
                collected_at = Some(Instant::now());
                let done = self.collect().await;
                if !self.goes_on("files are not collected", done).await {
                    return;
                }
            }
        }
    }

    /// Says what failed, and whether this epoch may go on.
    async fn goes_on(&self, what: &'static str, done: Result<(), Trouble>) -> bool {
        match done {
            Ok(()) => true,
            // Whoever leads now does it.
            Err(Trouble::Journal(JournalError::Fenced { .. })) => false,
            Err(Trouble::Journal(error)) => {
                tracing::warn!(%error, what, "upkeep failed");
                tokio::time::sleep(AFTER_FAILURE).await;
                true
            }
            Err(Trouble::History(error)) => {
                tracing::warn!(error = %error.message, what, "upkeep failed");
                tokio::time::sleep(AFTER_FAILURE).await;
                true
            }
        }
    }

    async fn rest(&self, begun: Instant) {
        let happened = self.metrics.activity();
        let is_busy = self.happened.swap(happened, Ordering::Relaxed) != happened;
        tokio::time::sleep(rest_after(begun.elapsed(), is_busy)).await;
    }

    async fn archive_what_waits(&self) -> Result<(), Trouble> {
        loop {
            let backlog = self.journal.archive_backlog(BATCH).await?;
            let lag = backlog
                .oldest
                .map(|oldest| Timestamp::now().saturating_since(oldest));
            self.metrics.archive_lag(lag.unwrap_or_default());
            let is_full = backlog.runs >= u64::from(BATCH);
            if !is_full && lag.is_none_or(|lag| lag < self.upkeep.archive_after) {
                return Ok(());
            }
            let begun = Instant::now();
            let Some(batch) = self.journal.plan_archive(self.epoch, BATCH).await? else {
                return Ok(());
            };
            self.rest(begun).await;
            self.archive(&batch).await?;
        }
    }

    /// Loads a batch, has it written, and says so. Nothing is said before it is durable.
    async fn archive(&self, batch: &ArchiveBatch) -> Result<(), Trouble> {
        let (mut runs, mut unreadable) = (Vec::with_capacity(batch.runs.len()), Vec::new());
        for ids in batch.runs.chunks(LOADED_AT_ONCE) {
            let begun = Instant::now();
            for (run, loaded) in self.journal.load_runs(ids).await? {
                match loaded {
                    Ok(stored) => runs.push(stored),
                    Err(error) => {
                        tracing::error!(%run, %error, "a run is not archived: it cannot be read");
                        unreadable.push(run);
                    }
                }
            }
            self.rest(begun).await;
        }
        let begun = Instant::now();
        let count = u64::try_from(runs.len()).unwrap_or(u64::MAX);
        self.history.archive(batch, runs).await?;
        self.rest(begun).await;
        let begun = Instant::now();
        self.mark(batch, unreadable).await?;
        self.metrics.archived(count);
        tracing::debug!(
            batch = batch.number,
            runs = count,
            "finished runs are archived"
        );
        self.rest(begun).await;
        Ok(())
    }

    async fn mark(&self, batch: &ArchiveBatch, unreadable: Vec<RunId>) -> Result<(), JournalError> {
        self.journal
            .archived(self.epoch, batch.number, unreadable)
            .await
    }

    async fn discard_what_is_old(&self) -> Result<(), Trouble> {
        let now = Timestamp::now();
        let age = self.upkeep.keep_for.map(|keep| FinishedThrough {
            at: before(now, keep),
            run: None,
        });
        let count = match self.upkeep.keep_runs {
            Some(keep) => self.journal.finished_beyond(keep).await?,
            None => None,
        };
        let Some(through) = age.into_iter().chain(count).max() else {
            return Ok(());
        };
        let discard = Discard {
            through,
            runs: DISCARDED_RUNS,
            records: DISCARDED_RECORDS,
            bundles_put_before: before(now, BUNDLE_PATIENCE),
        };
        loop {
            let begun = Instant::now();
            let discarded = self.journal.discard(self.epoch, discard.clone()).await?;
            self.metrics.discarded(discarded.runs);
            if discarded.is_done {
                return Ok(());
            }
            self.rest(begun).await;
        }
    }

    async fn compact(&self) -> Result<(), Trouble> {
        let files = self.history.compact().await?;
        if files > 0 {
            tracing::info!(files, "small files of the archive are put together");
        }
        Ok(())
    }

    async fn collect(&self) -> Result<(), Trouble> {
        let Collected { objects, bytes } = self.history.collect().await?;
        self.metrics.collected(bytes);
        tracing::info!(objects, bytes, "files that nobody needs are removed");
        Ok(())
    }
}

fn rest_after(work: Duration, is_busy: bool) -> Duration {
    let times = if is_busy { BUSY_REST } else { IDLE_REST };
    work.saturating_mul(times).max(SHORTEST_REST)
}

fn is_due(last: Option<Instant>, every: Option<Duration>) -> bool {
    every.is_some_and(|every| last.is_none_or(|last| last.elapsed() >= every))
}

fn before(now: Timestamp, duration: Duration) -> Timestamp {
    let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_a_small_share_of_the_time_and_less_while_runs_go_on() {
        let work = Duration::from_millis(40);
        assert_eq!(rest_after(work, false), Duration::from_millis(360));
        assert_eq!(rest_after(work, true), Duration::from_millis(1960));
        assert_eq!(rest_after(Duration::ZERO, false), SHORTEST_REST);
    }
}
