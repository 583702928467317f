//! A run as its records made it.

use indexmap::IndexMap;
use marquetry_types::{
    Diagnostic, FencingToken, Published, PublishedKind, RunId, StageFailure, StageName, Timestamp,
    WorkerId,
};
use marquetry_workflow::Workflow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::stage_state::{AttemptEnd, AttemptState, StageState, StageStatus};
use crate::{Record, RunSubmitted};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Stages wait or run.
    Running,
    /// Every stage succeeded or was skipped by its own condition.
    Succeeded,
    /// A stage failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl RunStatus {
    /// The word that the command line and the report use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which stage's failure made a run fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// The stage; none when the run was cancelled.
    pub stage: Option<StageName>,
    /// Why.
    pub diagnostic: Diagnostic,
}

/// How many stages of a run stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StageCounts {
    /// All of them.
    pub total: u32,
    /// Committed.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
}

/// A line of a list of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many stages stand where.
    pub stages: StageCounts,
    /// Why it failed or was cancelled.
    pub failure: Option<RunFailure>,
}

/// A record that does not follow from the state it is applied to: the journal is damaged, or there
/// is a bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run {run}: {what}")]
pub struct BadRecord {
    /// The run.
    pub run: RunId,
    /// What does not follow.
    pub what: String,
}

/// A run: the fold of its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// How it began.
    pub submitted: RunSubmitted,
    /// Where it stands.
    pub status: RunStatus,
    /// Its stages, in an order in which they can run.
    pub stages: IndexMap<StageName, StageState>,
    /// Why it is being stopped, once somebody asked.
    pub cancel_reason: Option<String>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed or was cancelled.
    pub failure: Option<RunFailure>,
}

impl RunState {
    /// The state after a run's first record.
    ///
    /// # Errors
    /// It is not the submission of a run.
    pub fn begin(first: &Record) -> Result<Self, BadRecord> {
        match first {
            Record::RunSubmitted(submitted) => Ok(Self::submitted(submitted.clone())),
            other => {
                let what = "its first record is not its submission".to_owned();
                Err(BadRecord {
                    run: other.run().clone(),
                    what,
                })
            }
        }
    }

    pub(crate) fn submitted(submitted: RunSubmitted) -> Self {
        let order = submitted.workflow.topological_order();
        let stages = order
            .into_iter()
            .map(|name| (name, StageState::new()))
            .collect();
        Self {
            submitted,
            status: RunStatus::Running,
            stages,
            cancel_reason: None,
            finished_at: None,
            failure: None,
        }
    }

    /// The run.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.submitted.run
    }

    /// The workflow that it runs.
    #[must_use]
    pub fn workflow(&self) -> &Workflow {
        &self.submitted.workflow
    }

    /// Its parameters, defaults filled in.
    #[must_use]
    pub fn params(&self) -> &Map<String, Value> {
        &self.submitted.params
    }

    /// The version of a published thing that it works with; none where there was none yet.
    #[must_use]
    pub fn pin(&self, kind: PublishedKind, name: &str) -> Option<&Published> {
        let mut pins = self.submitted.pins.iter();
        pins.find(|pin| pin.kind == kind && pin.name.as_str() == name)
    }

    /// Grants that have not ended, with their workers.
    pub fn grants(&self) -> impl Iterator<Item = (&FencingToken, &WorkerId)> {
        let granted = self.stages.values().filter_map(StageState::granted);
        granted.map(|attempt| (&attempt.token, &attempt.worker))
    }

    /// The run as a line of a list.
    #[must_use]
    pub fn summary(&self) -> RunSummary {
        let mut stages = StageCounts::default();
        for stage in self.stages.values() {
            stages.total += 1;
            match stage.status {
                StageStatus::Succeeded => stages.succeeded += 1,
                StageStatus::Failed => stages.failed += 1,
                StageStatus::Skipped => stages.skipped += 1,
                StageStatus::Pending
                | StageStatus::Retrying
                | StageStatus::Running
                | StageStatus::Cancelled => {}
            }
        }
        RunSummary {
            run: self.submitted.run.clone(),
            workflow: self.submitted.workflow.name.clone(),
            status: self.status,
            submitted_at: self.submitted.at,
            finished_at: self.finished_at,
            stages,
            failure: self.failure.clone(),
        }
    }

    /// Applies one record.
    ///
    /// # Errors
    /// The record does not follow from this state; the state is as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), BadRecord> {
        match record {
            Record::RunSubmitted(_) => Err(self.bad("it is submitted twice")),
            Record::AttemptAssigned {
                token,
                worker,
                learns_from,
                at,
            } => self.assign(token, worker, *learns_from, *at),
            Record::AttemptFailed {
                token,
                failure,
                retry_at,
                at,
            } => self.fail_attempt(token, failure, *retry_at, *at),
            Record::AttemptLost { token, reason, at } => {
                let is_cancelled = self.cancel_reason.is_some();
                let stage = self.granted_stage(token)?;
                stage.end_attempt(AttemptEnd::Lost(reason.clone()), *at);
                stage.lost_attempts = stage.lost_attempts.saturating_add(1);
                stage.status = if is_cancelled {
                    StageStatus::Cancelled
                } else {
                    StageStatus::Retrying
                };
                Ok(())
            }
            Record::StageSucceeded {
                token,
                outcome,
                published,
                withheld,
                at,
            } => {
                let stage = self.granted_stage(token)?;
                stage.end_attempt(AttemptEnd::Succeeded, *at);
                stage.status = StageStatus::Succeeded;
                stage.outcome = Some(outcome.clone());
                stage.published.clone_from(published);
                stage.withheld.clone_from(withheld);
                Ok(())
            }
            Record::StageSkipped { stage, reason, .. } => {
                let stage = self.waiting_stage(stage)?;
                stage.status = StageStatus::Skipped;
                stage.skip_reason = Some(reason.clone());
                Ok(())
            }
            Record::StageFailed { stage, failure, .. } => {
                let stage = self.waiting_stage(stage)?;
                stage.status = StageStatus::Failed;
                stage.failure = Some(failure.clone());
                Ok(())
            }
            Record::CancelRequested { reason, .. } => self.request_cancel(reason),
            Record::RunResumed { .. } => self.resume(),
            Record::RunFinished {
                status,
                failure,
                at,
                ..
            } => {
                if self.status != RunStatus::Running {
                    return Err(self.bad("it finishes twice"));
                }
                self.status = *status;
                self.failure.clone_from(failure);
                self.finished_at = Some(*at);
                Ok(())
            }
        }
    }

    fn assign(
        &mut self,
        token: &FencingToken,
        worker: &WorkerId,
        learns_from: Option<u64>,
        at: Timestamp,
    ) -> Result<(), BadRecord> {
        let stage = self.waiting_stage(&token.attempt.stage)?;
        if token.attempt.attempt != stage.next_attempt() {
            let what = format!("attempt {} is out of order", token.attempt);
            return Err(self.bad(what));
        }
        stage.status = StageStatus::Running;
        stage.retry_at = None;
        stage.attempts.push(AttemptState {
            token: token.clone(),
            worker: worker.clone(),
            learns_from,
            assigned_at: at,
            finished_at: None,
            end: None,
        });
        Ok(())
    }

    fn fail_attempt(
        &mut self,
        token: &FencingToken,
        failure: &StageFailure,
        retry_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), BadRecord> {
        let is_cancelled = self.cancel_reason.is_some();
        let stage = self.granted_stage(token)?;
        stage.end_attempt(AttemptEnd::Failed(failure.clone()), at);
        stage.failed_attempts = stage.failed_attempts.saturating_add(1);
        stage.retry_at = retry_at;
        if is_cancelled {
            stage.status = StageStatus::Cancelled;
        } else if retry_at.is_some() {
            stage.status = StageStatus::Retrying;
        } else {
            stage.status = StageStatus::Failed;
            stage.failure = Some(failure.clone());
        }
        Ok(())
    }

    fn request_cancel(&mut self, reason: &str) -> Result<(), BadRecord> {
        if self.status != RunStatus::Running {
            return Err(self.bad("it is cancelled after its end"));
        }
        self.cancel_reason = Some(reason.to_owned());
        for stage in self.stages.values_mut() {
            if matches!(stage.status, StageStatus::Pending | StageStatus::Retrying) {
                stage.status = StageStatus::Cancelled;
            }
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), BadRecord> {
        if !matches!(self.status, RunStatus::Failed | RunStatus::Cancelled) {
            return Err(self.bad("it is resumed but did not end early"));
        }
        self.status = RunStatus::Running;
        self.cancel_reason = None;
        self.finished_at = None;
        self.failure = None;
        self.stages.values_mut().for_each(StageState::reopen);
        Ok(())
    }

    /// The stage whose current grant is `token`.
    fn granted_stage(&mut self, token: &FencingToken) -> Result<&mut StageState, BadRecord> {
        let is_current = self
            .stages
            .get(&token.attempt.stage)
            .and_then(StageState::granted)
            .is_some_and(|attempt| attempt.token == *token);
        let run = self.submitted.run.clone();
        match self.stages.get_mut(&token.attempt.stage) {
            Some(stage) if is_current => Ok(stage),
            _ => Err(BadRecord {
                run,
                what: format!("{token} is not granted"),
            }),
        }
    }

    /// The stage, if it waits for an attempt.
    fn waiting_stage(&mut self, name: &StageName) -> Result<&mut StageState, BadRecord> {
        let run = self.submitted.run.clone();
        match self.stages.get_mut(name) {
            Some(stage) if matches!(stage.status, StageStatus::Pending | StageStatus::Retrying) => {
                Ok(stage)
            }
            Some(stage) => {
                let what = format!(
                    "stage `{name}` is {} and does not wait",
                    stage.status.as_str()
                );
                Err(BadRecord { run, what })
            }
            None => Err(BadRecord {
                run,
                what: format!("there is no stage `{name}`"),
            }),
        }
    }

    fn bad(&self, what: impl Into<String>) -> BadRecord {
        BadRecord {
            run: self.submitted.run.clone(),
            what: what.into(),
        }
    }
}
