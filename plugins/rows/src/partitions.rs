//! Reading a frame on as many threads as its session has.

use std::future::Future;

use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::DataFrame;
use marquetry_plugin::StageError;

/// Gives the rows of each partition of a frame to a task of its own. What the tasks give is in the order of the
/// partitions; when one fails, the others end.
///
/// # Errors
/// The frame cannot be run, or a task fails.
pub async fn by_partition<Done, Work>(
    frame: DataFrame,
    work: impl Fn(SendableRecordBatchStream) -> Work,
) -> Result<Vec<Done>, StageError>
where
    Done: Send + 'static,
    Work: Future<Output = Result<Done, StageError>> + Send + 'static,
{
    let streams = frame.execute_stream_partitioned().await?;
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|stream| SpawnedTask::spawn(work(stream)))
        .collect();
    let mut all = Vec::with_capacity(tasks.len());
    for task in tasks {
        let done = task.join_unwind().await;
        all.push(done.map_err(|error| DataFusionError::External(Box::new(error)))??);
    }
    Ok(all)
}
