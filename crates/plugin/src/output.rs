//! An output in the making.

use arrow::array::RecordBatch;
use marquetry_lake::DatasetWriter;

use crate::StageError;

/// Writes the rows of one output. Give it to `StageContext::finish_output` at the end.
#[derive(Debug)]
pub struct OutputWriter {
    pub(crate) name: String,
    pub(crate) writer: DatasetWriter,
}

impl OutputWriter {
    /// Adds rows.
    ///
    /// # Errors
    /// The rows have other columns, or the lake cannot be written.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        Ok(self.writer.write(batch).await?)
    }

    /// Rows written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.writer.rows()
    }
}
