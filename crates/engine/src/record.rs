//! What the journal keeps: each record is a transition that was decided, once.

use std::collections::BTreeSet;

use marquetry_types::{
    AttemptId, FencingToken, Outcome, Publication, Published, RunId, StageFailure, StageName,
    Timestamp, TraceContext, WorkerId,
};
use marquetry_workflow::Workflow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{RunFailure, RunStatus};

/// Why a run began that nobody asked for: a schedule of its workflow was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// The schedule's name within its workflow.
    pub schedule: String,
    /// The instant that it was due at, which may be long before the run began.
    pub at: Timestamp,
    /// Where the time begins that the run is about.
    pub interval_start: Timestamp,
    /// Where it ends; the end is no part of it.
    pub interval_end: Timestamp,
    /// It catches up on what was past when somebody asked for it, and is no step of the schedule.
    pub is_backfill: bool,
}

/// The stage of another run that began a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The other run.
    pub run: RunId,
    /// Its stage.
    pub stage: StageName,
}

/// A run that a stage began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRun {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The workflow's version.
    pub version: u64,
}

/// What an attempt has to do with the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheUse {
    /// The content of its stage.
    pub key: String,
    /// It does not compute, but looks whether what another attempt gave is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuses: Option<Remembered>,
}

/// An outcome that was computed before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The attempt that gave it last.
    pub attempt: AttemptId,
    /// When it was computed.
    pub computed_at: Timestamp,
}

/// What a success leaves to be used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// The content of the stage.
    pub key: String,
    /// When it was computed.
    pub computed_at: Timestamp,
}

/// The beginning of a run, with all that it needs to go on anywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSubmitted {
    /// The run.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
    /// The workflow as it was: a run stays on the version it began with.
    pub workflow: Box<Workflow>,
    /// Digest of the workflow, SQL and script files.
    pub bundle: String,
    /// Values by parameter, defaults filled in.
    pub params: Map<String, Value>,
    /// The client's own id of its request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The folder in which relative source paths start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_dir: Option<String>,
    /// The concurrency group that it belongs to, its expressions evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The schedule that it is a run of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Scheduled>,
    /// The caller's span, if it has one: the run is part of that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
    /// The versions of published things that it works with, whatever is published later. What it
    /// reads or publishes and is not among them had no version yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Published>,
    /// The stage that began it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Its stages are computed, whatever was computed before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignores_cache: bool,
}

/// An output that should have been published, and was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// The output.
    pub output: String,
    /// Why, as a person reads it.
    pub reason: String,
}

/// A person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who, as the coordinator knows them.
    pub by: String,
    /// What they said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// A durable transition of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A run began.
    RunSubmitted(RunSubmitted),
    /// A run of a concurrency group may begin.
    RunAdmitted {
        /// The run.
        run: RunId,
        /// When.
        at: Timestamp,
    },
    /// A worker was granted an attempt.
    AttemptAssigned {
        /// The grant.
        token: FencingToken,
        /// To whom.
        worker: WorkerId,
        /// For a stage that learns: the version of its policy that it starts from, 0 for none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        learns_from: Option<u64>,
        /// The concurrency group of stages in which it counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<String>,
        /// For a stage whose outputs are used again: its content.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cache: Option<CacheUse>,
        /// When.
        at: Timestamp,
    },
    /// The granted attempt failed.
    AttemptFailed {
        /// The grant that ends.
        token: FencingToken,
        /// Why.
        failure: StageFailure,
        /// When the next attempt may begin; the stage has failed for good if there is none.
        retry_at: Option<Timestamp>,
        /// When.
        at: Timestamp,
    },
    /// The granted attempt is given up through no fault of the stage; it does not count as a try.
    AttemptLost {
        /// The grant that ends.
        token: FencingToken,
        /// What was seen, as in `its worker was silent for 15 s`.
        reason: String,
        /// When the next attempt may begin; at once if nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
        /// When.
        at: Timestamp,
    },
    /// The granted attempt succeeded: its outputs are visible from here on.
    StageSucceeded {
        /// The grant that ends.
        token: FencingToken,
        /// What it gave.
        outcome: Outcome,
        /// The versions of published things that it makes current.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        published: Vec<Published>,
        /// What it did not publish, for somebody else was first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        withheld: Vec<Withheld>,
        /// Where it is to be used again: as what.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cache: Option<CacheEntry>,
        /// When.
        at: Timestamp,
    },
    /// A stage runs once for each of these.
    StageExpanded {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// The items; each is a stage of its own from here on, with the name `STAGE.PLACE`.
        items: Vec<Value>,
        /// When.
        at: Timestamp,
    },
    /// A stage began a run of a deployed workflow, or goes on with it, and waits for its end.
    ChildStarted {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// What it waits for.
        child: ChildRun,
        /// When.
        at: Timestamp,
    },
    /// A stage that takes no worker is over: what it waited for came.
    StagePassed {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// Who approved, if it waited for that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Approval>,
        /// What it gave, if it waited for another run.
        #[serde(default, skip_serializing_if = "is_nothing")]
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
    /// A stage will not run.
    StageSkipped {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// A stage failed before or between attempts: its expressions, or too many lost attempts.
    StageFailed {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// Why.
        failure: StageFailure,
        /// When.
        at: Timestamp,
    },
    /// Somebody asked for the run to stop. What has not started will not.
    CancelRequested {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Somebody asked for an ended run to go on: what did not succeed is open again.
    RunResumed {
        /// The run.
        run: RunId,
        /// Stages that are open again although they succeeded, and with them all that needs them.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        from: BTreeSet<StageName>,
        /// When.
        at: Timestamp,
    },
    /// Every stage has ended.
    RunFinished {
        /// The run.
        run: RunId,
        /// How.
        status: RunStatus,
        /// The first failure, where there is one.
        failure: Option<RunFailure>,
        /// What it gives to whoever asked for it, if it succeeded.
        #[serde(default, skip_serializing_if = "is_nothing")]
        outputs: Outcome,
        /// When.
        at: Timestamp,
    },
}

fn is_nothing(outcome: &Outcome) -> bool {
    *outcome == Outcome::default()
}

impl Record {
    /// The run that it belongs to.
    #[must_use]
    pub fn run(&self) -> &RunId {
        match self {
            Self::RunSubmitted(submitted) => &submitted.run,
            Self::AttemptAssigned { token, .. }
            | Self::AttemptFailed { token, .. }
            | Self::AttemptLost { token, .. }
            | Self::StageSucceeded { token, .. } => &token.attempt.run,
            Self::RunAdmitted { run, .. }
            | Self::StageExpanded { run, .. }
            | Self::ChildStarted { run, .. }
            | Self::StagePassed { run, .. }
            | Self::StageSkipped { run, .. }
            | Self::StageFailed { run, .. }
            | Self::CancelRequested { run, .. }
            | Self::RunResumed { run, .. }
            | Self::RunFinished { run, .. } => run,
        }
    }

    /// The stage that it is about, if it is about one.
    #[must_use]
    pub fn stage(&self) -> Option<&StageName> {
        match self {
            Self::AttemptAssigned { token, .. }
            | Self::AttemptFailed { token, .. }
            | Self::AttemptLost { token, .. }
            | Self::StageSucceeded { token, .. } => Some(&token.attempt.stage),
            Self::StageExpanded { stage, .. }
            | Self::ChildStarted { stage, .. }
            | Self::StagePassed { stage, .. }
            | Self::StageSkipped { stage, .. }
            | Self::StageFailed { stage, .. } => Some(stage),
            Self::RunSubmitted(_)
            | Self::RunAdmitted { .. }
            | Self::CancelRequested { .. }
            | Self::RunResumed { .. }
            | Self::RunFinished { .. } => None,
        }
    }

    /// The versions of published things that become current with it.
    pub fn publications(&self) -> impl Iterator<Item = Publication> {
        let (published, origin) = match self {
            Self::StageSucceeded {
                token,
                published,
                at,
                ..
            } => (published.as_slice(), Some((&token.attempt, *at))),
            _ => (&[][..], None),
        };
        published.iter().filter_map(move |published| {
            let (attempt, at) = origin?;
            Some(Publication {
                published: published.clone(),
                run: attempt.run.clone(),
                stage: attempt.stage.clone(),
                at,
            })
        })
    }

    /// What it leaves to be used again: the key, who gave it, what, and when that was computed.
    #[must_use]
    pub fn cached(&self) -> Option<(&str, crate::Cached)> {
        let Self::StageSucceeded {
            token,
            outcome,
            cache: Some(entry),
            ..
        } = self
        else {
            return None;
        };
        let cached = crate::Cached {
            attempt: token.attempt.clone(),
            outcome: outcome.clone(),
            computed_at: entry.computed_at,
        };
        Some((&entry.key, cached))
    }

    /// When it was decided.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::RunSubmitted(submitted) => submitted.at,
            Self::RunAdmitted { at, .. }
            | Self::StageExpanded { at, .. }
            | Self::ChildStarted { at, .. }
            | Self::StagePassed { at, .. }
            | Self::AttemptAssigned { at, .. }
            | Self::AttemptFailed { at, .. }
            | Self::AttemptLost { at, .. }
            | Self::StageSucceeded { at, .. }
            | Self::StageSkipped { at, .. }
            | Self::StageFailed { at, .. }
            | Self::CancelRequested { at, .. }
            | Self::RunResumed { at, .. }
            | Self::RunFinished { at, .. } => *at,
        }
    }
}
