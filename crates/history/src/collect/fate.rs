//! What becomes of a file, by where it lies and how its run stands.

use std::collections::BTreeMap;

use marquetry_engine::{AttemptEnd, RunState};
use marquetry_lake::LOG_FOLDER;
use marquetry_types::Timestamp;

use super::Rules;

/// What becomes of an old file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Somebody may need it.
    Kept,
    /// Nobody ever could see it.
    Garbage,
    /// It goes unless something refers to it.
    Questionable,
}

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its files stay: it goes on, or what it committed is not known.
    Kept,
    /// It ended: what its attempts came to, by their folders.
    Ended(BTreeMap<String, Attempt>),
    /// It ended so long ago that its data need not be kept.
    Expired,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Its outcome is the stage's.
    Current,
    /// Its outcome was the stage's, before the stage was done again.
    Superseded,
    /// It has none.
    InVain,
}

impl Standing {
    /// How a run of the journal stands.
    pub(super) fn of(run: &RunState, rules: &Rules) -> Self {
        if run.finished_at.is_none() {
            return Self::Kept;
        }
        if rules.is_expired(run.finished_at) {
            return Self::Expired;
        }
        let mut attempts = BTreeMap::new();
        for (name, stage) in &run.stages {
            let last = stage.attempts.len().saturating_sub(1);
            for (place, attempt) in stage.attempts.iter().enumerate() {
                let came_to = match &attempt.end {
                    Some(AttemptEnd::Succeeded) if place == last && stage.outcome.is_some() => {
                        Attempt::Current
                    }
                    Some(AttemptEnd::Succeeded) => Attempt::Superseded,
                    // An attempt without an end is nobody's any more, for its run has one.
                    Some(AttemptEnd::Failed(_) | AttemptEnd::Lost(_)) | None => Attempt::InVain,
                };
                let folder = format!("{name}/{}", attempt.token.attempt.attempt);
                attempts.insert(folder, came_to);
            }
        }
        Self::Ended(attempts)
    }

    /// How a run stands that is in the archive only.
    pub(super) fn archived(finished_at: Timestamp, rules: &Rules) -> Self {
        match rules.is_expired(Some(finished_at)) {
            true => Self::Expired,
            false => Self::Kept,
        }
    }

    /// What becomes of `runs/RUN/STAGE/ATTEMPT/…`.
    pub(super) fn fate(&self, path: &str) -> Fate {
        let attempts = match self {
            Self::Kept => return Fate::Kept,
            Self::Expired => return Fate::Questionable,
            Self::Ended(attempts) => attempts,
        };
        let mut parts = path.splitn(5, '/').skip(2);
        let (Some(stage), Some(attempt), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            // No attempt's.
            return Fate::Kept;
        };
        let is_log = rest.split('/').next() == Some(LOG_FOLDER);
        match attempts.get(&format!("{stage}/{attempt}")) {
            Some(_) if is_log => Fate::Kept,
            Some(Attempt::Current) => Fate::Kept,
            Some(Attempt::InVain) => Fate::Garbage,
            // Of an item, for instance, whose stage was done again with another list.
            Some(Attempt::Superseded) | None => Fate::Questionable,
        }
    }
}
