//! What a running stage says.

use std::sync::Arc;

use marquetry_types::{LogLevel, LogLine, Progress, Timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::StageError;

/// Who hears what a stage says. Calls must not block.
pub trait StageEvents: Send + Sync {
    /// How far it is.
    fn progress(&self, progress: Progress);
    /// A line of its log.
    fn log(&self, line: LogLine);
}

/// The voice of a stage, cheap to clone, for tasks and threads of its own.
#[derive(Clone)]
pub struct Reporter {
    events: Arc<dyn StageEvents>,
    cancellation: CancellationToken,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reporter").finish_non_exhaustive()
    }
}

impl Reporter {
    pub(crate) fn new(events: Arc<dyn StageEvents>, cancellation: CancellationToken) -> Self {
        Self {
            events,
            cancellation,
        }
    }

    /// Says how many of `total` units of a phase are done.
    pub fn progress(&self, phase: &str, done: u64, total: Option<u64>, unit: &str) {
        let (phase, unit) = (phase.to_owned(), unit.to_owned());
        self.events.progress(Progress {
            phase,
            done,
            total,
            unit,
        });
    }

    /// Adds a line to the log: a message in lower case, and values by name.
    pub fn log<'a>(
        &self,
        level: LogLevel,
        message: &str,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) {
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.events.log(LogLine {
            at: Timestamp::now(),
            level,
            message: message.to_owned(),
            fields,
        });
    }

    /// Whether somebody asked the stage to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Fails if somebody asked the stage to stop.
    ///
    /// # Errors
    /// [`StageError::Cancelled`].
    pub fn check_cancelled(&self) -> Result<(), StageError> {
        if self.is_cancelled() {
            Err(StageError::Cancelled)
        } else {
            Ok(())
        }
    }

    pub(crate) const fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }
}
