//! The logs that a coordinator streams: those that workers leave in the lake.

use async_trait::async_trait;
use marquetry_coordinator::LogStore;
use marquetry_lake::Lake;
use marquetry_types::{AttemptId, Diagnostic, LogLine};

/// Those in a lake.
pub(crate) struct KeptLogs(pub(crate) Lake);

#[async_trait]
impl LogStore for KeptLogs {
    async fn read(&self, attempt: &AttemptId) -> Result<Vec<LogLine>, Diagnostic> {
        let read = marquetry_worker::read_log(&self.0, attempt).await;
        read.map_err(Diagnostic::from)
    }
}
