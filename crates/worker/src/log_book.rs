//! The log of an attempt: kept in the lake as chunks of NDJSON beside the attempt's outputs, because
//! an object store does not append, and passed on to whoever watches.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use marquetry_lake::{LOG_FOLDER, Lake, LakeError};
use marquetry_types::{AttemptId, LogLine};

/// Lines that have not been written yet, and how many chunks have.
#[derive(Debug)]
pub(crate) struct LogBook {
    prefix: String,
    state: Mutex<Unwritten>,
}

#[derive(Debug, Default)]
struct Unwritten {
    lines: Vec<u8>,
    chunks: u32,
}

impl LogBook {
    pub(crate) fn new(attempt: &AttemptId) -> Self {
        let prefix = format!("{}/{LOG_FOLDER}", Lake::attempt_prefix(attempt));
        Self {
            prefix,
            state: Mutex::default(),
        }
    }

    pub(crate) fn add(&self, line: &LogLine) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A line of texts and JSON values can always be written; if not, it is not worth a stage.
        if serde_json::to_writer(&mut state.lines, line).is_ok() {
            state.lines.push(b'\n');
        }
    }

    /// Writes what has not been written. After an error, or when it is dropped, the lines are still
    /// there, and the next call writes them to the same object.
    pub(crate) async fn flush(&self, lake: &Lake) -> Result<(), LakeError> {
        let (path, lines) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.lines.is_empty() {
                return Ok(());
            }
            let path = format!("{}/{:06}.ndjson", self.prefix, state.chunks + 1);
            (path, Bytes::copy_from_slice(&state.lines))
        };
        lake.put(&path, lines.clone()).await?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.chunks += 1;
        state.lines.drain(..lines.len());
        Ok(())
    }
}

/// The log of an attempt as far as it is written, oldest line first. Lines that cannot be read are
/// left out.
///
/// # Errors
/// The lake cannot be read.
pub async fn read_log(lake: &Lake, attempt: &AttemptId) -> Result<Vec<LogLine>, LakeError> {
    let prefix = format!("{}/{LOG_FOLDER}", Lake::attempt_prefix(attempt));
    let mut chunks = lake.list(&prefix).await?;
    chunks.sort_by(|left, right| left.path.cmp(&right.path));
    let mut lines = Vec::new();
    for chunk in chunks {
        let bytes = lake.get(&chunk.path).await?;
        let read = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines.extend(read.filter_map(|line| serde_json::from_slice::<LogLine>(line).ok()));
    }
    Ok(lines)
}
