//! What stages gave, by their content: how a row of it is kept. It is a help and no truth: a row that is damaged
//! is as good as none.

use marquetry_engine::{Cached, Record};
use marquetry_types::RunId;

use crate::JournalError;
use crate::envelope::{Envelope, StoredEnvelope};

/// The version that this program writes.
const VERSION: i64 = 1;

/// A row to be put.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Whose attempt gave it: with that run it goes.
    pub(crate) run: RunId,
    pub(crate) envelope: Envelope,
}

impl Entry {
    /// What a record leaves to be used again.
    pub(crate) fn of(record: &Record) -> Result<Option<Self>, JournalError> {
        let Some((key, cached)) = record.cached() else {
            return Ok(None);
        };
        let run = cached.attempt.run.clone();
        let payload = serde_json::to_string(&cached);
        let payload = payload.map_err(|error| JournalError::Inconsistent {
            run: run.clone(),
            reason: format!("an outcome cannot be written as JSON: {error}"),
        })?;
        Ok(Some(Self {
            key: key.to_owned(),
            run,
            envelope: Envelope::around(key, 0, VERSION, payload),
        }))
    }
}

/// What a row says, if it is sound.
pub(crate) fn open(key: &str, stored: &StoredEnvelope) -> Option<Cached> {
    let opened = Envelope::open_at(key, 0, VERSION, stored);
    opened
        .inspect_err(|reason| tracing::warn!(key, reason, "an outcome is not used again"))
        .ok()
}
