//! Where a stage of a run stands.

use marquetry_types::{
    AttemptNumber, FencingToken, Outcome, Published, StageFailure, Timestamp, WorkerId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Approval, CacheUse, ChildRun, Remembered, Withheld};

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    /// It waits for what it needs, or for a worker.
    Pending,
    /// An attempt ended without success, and another one will follow.
    Retrying,
    /// An attempt is granted.
    Running,
    /// Its outputs are committed.
    Succeeded,
    /// It failed for good.
    Failed,
    /// It will not run.
    Skipped,
    /// The run was cancelled before it ended.
    Cancelled,
}

impl StageStatus {
    /// Whether nothing more happens to the stage, unless the run is resumed.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled
        )
    }

    /// The word that expressions, the command line and the report use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// With the stage's outcome.
    Succeeded,
    /// With a failure.
    Failed(StageFailure),
    /// Given up, through no fault of the stage.
    Lost(String),
}

/// One attempt at a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptState {
    /// The grant.
    pub token: FencingToken,
    /// Who runs it.
    pub worker: WorkerId,
    /// For a stage that learns: the version of its policy that it starts from, 0 for none.
    #[serde(default)]
    pub learns_from: Option<u64>,
    /// The concurrency group of stages in which it counts until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// For a stage whose outputs are used again: its content, and whether it only looks at what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheUse>,
    /// When it was granted.
    pub assigned_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub end: Option<AttemptEnd>,
}

/// How many items of a stage stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ItemCounts {
    /// All of them.
    pub total: u32,
    /// With an attempt that is granted, or another one to follow.
    pub running: u32,
    /// Committed.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
    /// Ended, one way or another.
    pub ended: u32,
}

impl ItemCounts {
    pub(crate) fn add(&mut self, status: StageStatus) {
        self.change(status, |count| count.saturating_add(1));
    }

    pub(crate) fn take(&mut self, status: StageStatus) {
        self.change(status, |count| count.saturating_sub(1));
    }

    fn change(&mut self, status: StageStatus, change: fn(u32) -> u32) {
        match status {
            StageStatus::Running | StageStatus::Retrying => self.running = change(self.running),
            StageStatus::Succeeded => self.succeeded = change(self.succeeded),
            StageStatus::Failed => self.failed = change(self.failed),
            StageStatus::Pending | StageStatus::Skipped | StageStatus::Cancelled => {}
        }
        if status.is_terminal() {
            self.ended = change(self.ended);
        }
    }
}

/// A stage of a run: the fold of its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageState {
    /// Where it stands.
    pub status: StageStatus,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptState>,
    /// What it gave, once it succeeded.
    pub outcome: Option<Outcome>,
    /// The versions of published things that it made.
    #[serde(default)]
    pub published: Vec<Published>,
    /// What it did not publish, for somebody else was first.
    #[serde(default)]
    pub withheld: Vec<Withheld>,
    /// Why it failed for good.
    pub failure: Option<StageFailure>,
    /// Why it was skipped.
    pub skip_reason: Option<String>,
    /// When the next attempt may begin, while it is retrying.
    pub retry_at: Option<Timestamp>,
    /// Attempts that failed since the run began or was last resumed.
    pub failed_attempts: u32,
    /// Attempts that were lost since the run began or was last resumed.
    pub lost_attempts: u32,
    /// When the first attempt since it was last opened was granted: its own, or an item's. From here to
    /// [`ended_at`](Self::ended_at) is what it took, with the pauses between attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended, one way or another.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// Who approved, if it waited for that.
    #[serde(default)]
    pub approval: Option<Approval>,
    /// Its items, once they are known, if it runs once for each of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Value>>,
    /// How its items stand.
    #[serde(default)]
    pub item_counts: ItemCounts,
    /// The number after which its attempts are counted: of an item, when its stage was done again as a
    /// whole; of a stage with items, for those to come. No attempt of a run has the token of another.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts_before: u32,
    /// The run that it began last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<ChildRun>,
    /// Somebody wants it computed, whatever was computed before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_anew: bool,
}

impl AttemptState {
    /// What it looks at, if it does not compute, but looks whether what another attempt gave is still
    /// there.
    #[must_use]
    pub fn reused(&self) -> Option<&Remembered> {
        self.cache.as_ref()?.reuses.as_ref()
    }

    /// Whether it looks at what another attempt gave.
    #[must_use]
    pub fn is_reuse(&self) -> bool {
        self.reused().is_some()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl StageState {
    pub(crate) fn new() -> Self {
        Self {
            status: StageStatus::Pending,
            attempts: Vec::new(),
            outcome: None,
            published: Vec::new(),
            withheld: Vec::new(),
            failure: None,
            skip_reason: None,
            retry_at: None,
            failed_attempts: 0,
            lost_attempts: 0,
            started_at: None,
            ended_at: None,
            approval: None,
            items: None,
            item_counts: ItemCounts::default(),
            attempts_before: 0,
            child: None,
            is_anew: false,
        }
    }

    /// Whether it waits: for what it needs, for its items, for a worker or for the next attempt.
    #[must_use]
    pub fn waits(&self) -> bool {
        match self.status {
            StageStatus::Pending | StageStatus::Retrying => true,
            StageStatus::Running => self.items.is_some() && self.granted().is_none(),
            _ => false,
        }
    }

    /// The attempt that is granted now: the last one, as long as it has not ended.
    #[must_use]
    pub fn granted(&self) -> Option<&AttemptState> {
        self.attempts.last().filter(|attempt| attempt.end.is_none())
    }

    /// The run that it waits for.
    #[must_use]
    pub fn awaited_child(&self) -> Option<&ChildRun> {
        let child = self.child.as_ref();
        child.filter(|_| self.status == StageStatus::Running && self.granted().is_none())
    }

    /// Whether what was known of it was not there when it was looked at.
    pub(crate) fn was_refused_reuse(&self) -> bool {
        let mut ends = self.attempts.iter().filter(|attempt| attempt.is_reuse());
        ends.any(|attempt| matches!(attempt.end, Some(AttemptEnd::Failed(_))))
    }

    /// The number that the next attempt will have.
    #[must_use]
    pub fn next_attempt(&self) -> AttemptNumber {
        let last = self
            .attempts
            .last()
            .map_or(0, |attempt| attempt.token.attempt.attempt.0)
            .max(match self.items {
                None => self.attempts_before,
                // They are its items'.
                Some(_) => 0,
            });
        AttemptNumber(last.saturating_add(1))
    }

    /// Whether this very grant is the one that succeeded.
    #[must_use]
    pub fn was_won_by(&self, token: &FencingToken) -> bool {
        self.attempts
            .last()
            .is_some_and(|last| last.token == *token && last.end == Some(AttemptEnd::Succeeded))
    }

    pub(crate) fn end(&mut self, status: StageStatus, at: Timestamp) {
        self.status = status;
        self.ended_at = Some(at);
    }

    pub(crate) fn end_attempt(&mut self, end: AttemptEnd, at: Timestamp) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.finished_at = Some(at);
            attempt.end = Some(end);
        }
    }

    /// Opens a stage for another go. Its past attempts stay on record, and so does what it published:
    /// the next version follows that one.
    pub(crate) fn reopen(&mut self, keeps_items: bool) {
        let items = self.items.take().filter(|_| keeps_items);
        *self = Self {
            status: match items {
                Some(_) => StageStatus::Running,
                None => StageStatus::Pending,
            },
            attempts: std::mem::take(&mut self.attempts),
            published: std::mem::take(&mut self.published),
            attempts_before: self.attempts_before,
            child: self.child.take(),
            items,
            ..Self::new()
        };
    }
}
