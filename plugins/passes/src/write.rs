//! Writing the rows of a query in the order of their key.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::Keys;
use marquetry_types::codes;

use crate::{Scan, key_column};

/// Sorts a query of a scan by its key, which must be its first column, and writes what `make` makes of the
/// keys and the batch: rows of this schema. As where rows are in memory, a key that is missing or repeated is
/// refused. Gives the number of rows.
///
/// # Errors
/// As said, or the query fails, or the lake cannot be written.
pub async fn write_by_key(
    stage: &mut StageContext,
    output: &str,
    scan: &Scan,
    frame: DataFrame,
    schema: SchemaRef,
    mut make: impl FnMut(&Keys, &RecordBatch) -> Result<RecordBatch, StageError>,
) -> Result<u64, StageError> {
    let sorted = frame.sort(vec![key_column().sort(true, true)])?;
    let mut rows = sorted.execute_stream().await?;
    let mut writer = stage.writer(output, schema).await?;
    let mut last: Option<ArrayRef> = None;
    while let Some(batch) = rows.next().await {
        stage.check_cancelled()?;
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        let Some(column) = batch.columns().first() else {
            return Err(StageError::invalid(
                codes::STAGE_INTERNAL,
                "rows to be written have no key",
            ));
        };
        // With the last of the batch before, so that a key is also told from its neighbour there.
        let before = last.take();
        let joined = match &before {
            Some(before) => concat(&[before.as_ref(), column.as_ref()])?,
            None => ArrayRef::clone(column),
        };
        let keys = Keys::new(scan.option(), scan.key(), &joined)?;
        let keys = keys.slice(usize::from(before.is_some()), column.len());
        last = Some(column.slice(column.len() - 1, 1));
        writer.write(&make(&keys, &batch)?).await?;
        stage.progress("writing", writer.rows(), None, "rows");
    }
    let rows = writer.rows();
    stage.finish_output(writer).await?;
    Ok(rows)
}
