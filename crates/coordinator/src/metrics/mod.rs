//! What an operator sees of a coordinator in Prometheus.
//!
//! The figures are counted where things happen and written as text only when somebody asks. The reign
//! pays for a commit with a few atomic additions and the short locks of four histograms, which nobody
//! holds but whoever asks, for as long as it takes to copy their numbers.
//!
//! - `registry`: every metric by name, type and help.
//! - `queues`: a gauge for each queue.
//! - `methods` and `calls`: gRPC calls, counted by a layer in front of the services.
//! - `http`: where it is asked for, with the probes beside it.
//!
//! A coordinator counts what it commits itself. What was in doubt and turns out to be durable is not
//! counted: an exact account is the journal's.

mod calls;
mod http;
mod methods;
mod queues;
mod registry;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use marquetry_engine::{Engine, Gauges, Record, RunState, StageStatus};
use marquetry_journal::JournalError;
use marquetry_types::Epoch;
use prometheus_client::metrics::gauge::Gauge;

pub(crate) use self::calls::CallsLayer;
pub(crate) use self::http::serve;
use self::methods::Method;
use self::registry::Figures;
use crate::leadership::Role;

/// What a coordinator asks of its journal to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// To make records durable.
    Append,
    /// To let it lead.
    Campaign,
    /// To let it go on leading.
    Renew,
    /// To say what stands in it.
    Restore,
}

/// The figures of one coordinator; clones count in the same.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    figures: Figures,
    leader: Mutex<Option<Leader>>,
}

/// Who leads, as far as changes are counted.
#[derive(Debug, PartialEq, Eq)]
enum Leader {
    Itself,
    Other(String),
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            figures: Figures::new(),
            leader: Mutex::new(None),
        }))
    }

    fn figures(&self) -> &Figures {
        &self.0.figures
    }

    /// All figures as OpenMetrics text.
    fn text(&self) -> Result<String, fmt::Error> {
        self.figures().text()
    }

    fn method(&self, path: &str) -> &Method {
        self.figures().methods.find(path)
    }

    /// Waits for a commit and takes notice of it.
    pub(crate) async fn commit(
        &self,
        requests: usize,
        records: usize,
        append: impl Future<Output = Result<(), JournalError>>,
    ) -> Result<(), JournalError> {
        let begun = Instant::now();
        let result = append.await;
        let figures = self.figures();
        match &result {
            Ok(()) => {
                figures
                    .commit_duration
                    .observe(begun.elapsed().as_secs_f64());
                figures.commit_requests.observe(as_f64(requests));
                figures.commit_records.observe(as_f64(records));
            }
            Err(error) => self.journal_failed(Operation::Append, error),
        }
        result
    }

    /// Counts what became durable, before anybody is told of it. The engine has it in memory and has not
    /// released what ended. Gives the number of attempts that were granted.
    pub(crate) fn committed(&self, records: &[Record], engine: &Engine) -> u64 {
        let figures = self.figures();
        let mut granted = 0;
        for record in records {
            match record {
                Record::RunSubmitted(_) => {
                    figures.runs_submitted.inc();
                }
                Record::RunResumed { .. } => {
                    figures.runs_resumed.inc();
                }
                Record::AttemptAssigned { cache, .. } => {
                    granted += 1;
                    if let Some(cache) = cache {
                        let was_known = cache.reuses.is_some();
                        figures.stages_cached.inc(was_known);
                    }
                }
                Record::AttemptFailed { token, failure, .. } => {
                    figures.attempts_failed.inc(failure.class);
                    let run = engine.run(&token.attempt.run);
                    let stage = run.and_then(|run| run.stages.get(&token.attempt.stage));
                    // It may be tried again, or its run may have been cancelled.
                    if stage.is_some_and(|stage| stage.status == StageStatus::Failed) {
                        figures.stages_ended.inc(StageStatus::Failed);
                    }
                }
                Record::AttemptLost { .. } => {
                    figures.attempts_lost.inc();
                }
                Record::StageSucceeded { .. } | Record::StagePassed { .. } => {
                    figures.stages_ended.inc(StageStatus::Succeeded)
                }
                Record::StageSkipped { .. } => figures.stages_ended.inc(StageStatus::Skipped),
                Record::StageFailed { run, stage, .. } => {
                    let run = engine.run(run);
                    let stage = run.and_then(|run| run.stages.get(stage));
                    // It may have waited for a run that was cancelled with its own: that is counted below.
                    if stage.is_some_and(|stage| stage.status == StageStatus::Failed) {
                        figures.stages_ended.inc(StageStatus::Failed);
                    }
                }
                // No record of its own says that a stage was cancelled.
                Record::CancelRequested { .. }
                | Record::RunAdmitted { .. }
                | Record::ChildStarted { .. }
                | Record::StageExpanded { .. } => {}
                Record::RunFinished { run, status, .. } => {
                    figures.runs_ended.inc(*status);
                    let cancelled = engine.run(run).map_or(0, cancelled_stages);
                    figures
                        .stages_ended
                        .inc_by(StageStatus::Cancelled, cancelled);
                }
            }
        }
        figures.attempts_granted.inc_by(granted);
        granted
    }

    /// Takes notice of a batch that began to be decided at `begun` and granted so many attempts: all that
    /// follows from it was done.
    pub(crate) fn acted(&self, begun: Instant, granted: u64, engine: &Engine) {
        let latency = begun.elapsed().as_secs_f64();
        for _ in 0..granted {
            self.figures().dispatch_duration.observe(latency);
        }
        self.show(engine);
    }

    /// Takes notice of how long stages that were granted had waited for a worker.
    pub(crate) fn waited(&self, waits: &[Duration]) {
        for wait in waits {
            self.figures().stage_wait.observe(wait.as_secs_f64());
        }
    }

    /// Shows how much there is.
    pub(crate) fn show(&self, engine: &Engine) {
        self.figures().stages_ready.show(engine.ready());
        self.set(engine.gauges());
    }

    fn set(&self, gauges: Gauges) {
        let figures = self.figures();
        set(&figures.runs_active, gauges.runs);
        set(&figures.workers_connected, gauges.workers);
        set(&figures.worker_slots, gauges.slots);
        set(&figures.worker_slots_in_use, gauges.slots_in_use);
    }

    /// Shows who leads.
    pub(crate) fn role(&self, role: &Role) {
        let figures = self.figures();
        let seen = match role {
            Role::Leading(epoch) => {
                figures.leading.set(1);
                self.epoch(*epoch);
                Leader::Itself
            }
            Role::Following(leader) => {
                figures.leading.set(0);
                // What it had to do is the next leader's.
                figures.stages_ready.show(std::iter::empty());
                self.set(Gauges::default());
                self.archive_lag(Duration::ZERO);
                let Some(leader) = leader else { return };
                self.epoch(leader.epoch);
                Leader::Other(leader.name.clone())
            }
        };
        let mut known = self.0.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != Some(&seen) {
            figures.leader_changes.inc();
            *known = Some(seen);
        }
    }

    /// A number that changes while runs go on.
    pub(crate) fn activity(&self) -> u64 {
        let figures = self.figures();
        figures
            .runs_submitted
            .get()
            .wrapping_add(figures.attempts_granted.get())
    }

    /// Counts runs that were archived.
    pub(crate) fn archived(&self, runs: u64) {
        self.figures().archived_runs.inc_by(runs);
    }

    /// Shows how long the first of the runs that are to be archived has waited.
    pub(crate) fn archive_lag(&self, lag: Duration) {
        self.figures().archive_lag.set(lag.as_secs_f64());
    }

    /// Counts runs that were discarded.
    pub(crate) fn discarded(&self, runs: u64) {
        self.figures().discarded_runs.inc_by(runs);
    }

    /// Counts what was collected.
    pub(crate) fn collected(&self, bytes: u64) {
        self.figures().collected_bytes.inc_by(bytes);
    }

    /// Shows the epoch.
    pub(crate) fn epoch(&self, epoch: Epoch) {
        self.figures().epoch.set(epoch.0);
    }

    /// Counts a failure of the journal. That another coordinator leads is none.
    pub(crate) fn journal_failed(&self, operation: Operation, error: &JournalError) {
        if !matches!(error, JournalError::Fenced { .. }) {
            self.figures().journal_errors.inc(operation);
        }
    }
}

/// Stages that were cancelled, of a run that ended.
fn cancelled_stages(run: &RunState) -> u64 {
    let stages = run.stages.values();
    let cancelled = stages.filter(|stage| stage.status == StageStatus::Cancelled);
    u64::try_from(cancelled.count()).unwrap_or(u64::MAX)
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of batches are far below 2^52"
)]
fn as_f64(size: usize) -> f64 {
    size as f64
}
