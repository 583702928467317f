//! Writing finished runs into the lake.
//!
//! A batch of the journal becomes two objects for every day on which a run of it finished, one a table:
//!
//! ```text
//! history/v1/runs/date=2026-11-28/00000003-000017.parquet
//! history/v1/stages/date=2026-11-28/00000003-000017.parquet
//! ```
//!
//! The name is the batch's: the epoch that planned it and its number. Whoever writes the batch again, after a
//! crash, writes the same rows under the same names. A run that went on after it was archived is archived once
//! more, with a higher `sequence`; readers take the highest.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;
use marquetry_journal::{ArchiveBatch, StoredRun};
use marquetry_lake::Lake;
use marquetry_types::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::HistoryError;
use crate::columns::{Table, Value};
use crate::runs::{self, RUNS};
use crate::stages::{self, STAGES};

/// The folder of a table, below the lake's root.
pub(crate) fn folder(table: &Table) -> String {
    format!("history/v1/{}", table.name)
}

/// The archive of a lake.
#[derive(Debug, Clone)]
pub struct Archive {
    pub(crate) lake: Lake,
}

/// What a batch was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SavedRows {
    /// Rows of the table of runs.
    pub runs: u64,
    /// Bytes of all objects.
    pub bytes: u64,
}

impl Archive {
    /// The archive of this lake, which need not be there yet.
    #[must_use]
    pub const fn new(lake: Lake) -> Self {
        Self { lake }
    }

    /// Writes a batch, durably. A run that has not finished is no part of it.
    ///
    /// # Errors
    /// The lake refuses; what was written already does no harm.
    pub async fn write(
        &self,
        batch: &ArchiveBatch,
        runs: &[StoredRun],
    ) -> Result<SavedRows, HistoryError> {
        let name = format!("{:08}-{:06}.parquet", batch.epoch.0, batch.number);
        let mut days: BTreeMap<String, Vec<&StoredRun>> = BTreeMap::new();
        for run in runs {
            if let Some(at) = run.state.finished_at {
                days.entry(day(at)).or_default().push(run);
            }
        }
        let mut saved = SavedRows::default();
        for (day, runs) in days {
            // Stages first: a run that is there has its stages.
            let rows: Vec<_> = runs.iter().flat_map(|run| stages::rows(run)).collect();
            saved.bytes += self.put(&STAGES, &day, &name, &rows).await?;
            let rows: Vec<_> = runs.iter().map(|run| runs::row(run)).collect();
            saved.bytes += self.put(&RUNS, &day, &name, &rows).await?;
            saved.runs += u64::try_from(runs.len()).unwrap_or(u64::MAX);
        }
        Ok(saved)
    }

    async fn put(
        &self,
        table: &Table,
        day: &str,
        name: &str,
        rows: &[Vec<Value>],
    ) -> Result<u64, HistoryError> {
        let path = format!("{}/date={day}/{name}", folder(table));
        let batch = table.batch(rows);
        let encoded = batch.and_then(|batch| encode(&batch));
        let bytes = encoded.map_err(|error| HistoryError::Encoding {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let size = size(&bytes);
        self.lake.put(&path, Bytes::from(bytes)).await?;
        Ok(size)
    }
}

/// The day of an instant in UTC, as in `2026-11-28`.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

fn encode(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = writer(&mut bytes, batch.schema())?;
    writer.write(batch)?;
    writer.close()?;
    Ok(bytes)
}

/// Writes a file of the archive.
pub(crate) fn writer(
    bytes: &mut Vec<u8>,
    schema: SchemaRef,
) -> Result<ArrowWriter<&mut Vec<u8>>, ArrowError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("marquetry ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    Ok(ArrowWriter::try_new(bytes, schema, Some(properties))?)
}

pub(crate) fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
