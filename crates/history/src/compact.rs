//! Putting small files of the archive together.
//!
//! Every batch leaves a file a day and table. Where many small ones lie in a day, one is made of them:
//!
//! 1. it is written beside them, durably, under a name that follows from theirs;
//! 2. a note of what is in it is written, `history/v1/merged/…`;
//! 3. once the note is old enough for those who had listed the files to have read them, they are removed, and
//!    then the note.
//!
//! **No run is missing at any moment**, since files are removed by a note only, which is written after what it
//! vouches for. **None is seen twice**, since queries take one row a run whatever lies there. Whoever breaks off,
//! or does the same beside somebody else, leaves something that is gone on with or done again. What is in a note
//! is removed only while it has the size that it had: a file that somebody wrote since is another one.

use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, new_null_array};
use arrow::error::ArrowError;
use bytes::Bytes;
use marquetry_lake::ObjectInfo;
use marquetry_types::Timestamp;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

use crate::archive::{Archive, folder, writer};
use crate::columns::Table;
use crate::runs::RUNS;
use crate::stages::STAGES;
use crate::{HistoryError, archive};

/// Where notes lie.
const NOTES: &str = "history/v1/merged";
/// What is larger is left as it is, in bytes.
const SMALL: u64 = 4 * 1024 * 1024;
/// So much at most becomes one file, in bytes.
const LARGE: u64 = 32 * 1024 * 1024;
/// So many files at most do.
const MOST: usize = 256;

/// When files are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// The present.
    pub now: Timestamp,
    /// How many small files of a day are too many.
    pub least: usize,
    /// How long files stay that were put together, for queries that had found them.
    pub patience: Duration,
    /// It rests so many times as long as it works.
    pub rest: u32,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Files that were put together.
    pub merged: u64,
    /// Files that were removed.
    pub removed: u64,
}

/// A change of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Files of a table become one.
    Merge {
        is_stages: bool,
        day: String,
        parts: Vec<Part>,
    },
    /// An object is not needed any more.
    Remove(String),
}

/// A file that is put together with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    path: String,
    bytes: u64,
}

/// What is in a file that others were put together in.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    merged: Part,
    parts: Vec<Part>,
}

impl Archive {
    /// Puts small files together, and removes those that were.
    ///
    /// # Errors
    /// The lake refuses; whatever was done does no harm.
    pub async fn compact(&self, rules: &Compaction) -> Result<Compacted, HistoryError> {
        let mut done = Compacted::default();
        for change in self.plan_compaction(rules).await? {
            let begun = Instant::now();
            self.make(&change).await?;
            match &change.0 {
                Kind::Merge { parts, .. } => done.merged += count(parts),
                Kind::Remove(_) => done.removed += 1,
            }
            tokio::time::sleep(begun.elapsed().saturating_mul(rules.rest)).await;
        }
        Ok(done)
    }

    /// What there is to be done, in the order in which it must be.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn plan_compaction(&self, rules: &Compaction) -> Result<Vec<Change>, HistoryError> {
        let mut changes = Vec::new();
        for table in [&RUNS, &STAGES] {
            for day in self.lake.folders(&folder(table)).await? {
                let place = format!("{}/{day}", folder(table));
                let mut files = self.lake.list(&place).await?;
                files.sort_by(|a, b| a.path.cmp(&b.path));
                let notes = self.lake.list(&notes(table, &day)).await?;
                // What is noted is not put together once more.
                if notes.is_empty() {
                    changes.extend(merge(table, &day, &files, rules));
                }
                for note in notes {
                    if rules.now.saturating_since(note.modified) >= rules.patience {
                        changes.extend(self.removals(&note.path, &files).await?);
                    }
                }
            }
        }
        Ok(changes)
    }

    /// Makes a change.
    ///
    /// # Errors
    /// The lake refuses, or a file is damaged.
    pub async fn make(&self, change: &Change) -> Result<(), HistoryError> {
        match &change.0 {
            Kind::Remove(path) => Ok(self.lake.delete(path).await?),
            Kind::Merge {
                is_stages,
                day,
                parts,
            } => {
                let table = if *is_stages { &STAGES } else { &RUNS };
                self.merge(table, day, parts).await
            }
        }
    }

    /// What a note says can go.
    async fn removals(
        &self,
        note: &str,
        files: &[ObjectInfo],
    ) -> Result<Vec<Change>, HistoryError> {
        let text = self.lake.get(note).await?;
        let Ok(Note { merged, parts }) = serde_json::from_slice(&text) else {
            tracing::warn!(note, "a note of the archive cannot be read; it is dropped");
            return Ok(vec![Change(Kind::Remove(note.to_owned()))]);
        };
        let is_there = |part: &Part| {
            files
                .iter()
                .any(|file| file.path == part.path && file.bytes == part.bytes)
        };
        let mut gone = Vec::new();
        if is_there(&merged) {
            gone.extend(parts.into_iter().filter(is_there).map(|part| part.path));
        }
        gone.push(note.to_owned());
        Ok(gone
            .into_iter()
            .map(|path| Change(Kind::Remove(path)))
            .collect())
    }

    async fn merge(&self, table: &Table, day: &str, parts: &[Part]) -> Result<(), HistoryError> {
        let name = name(parts);
        let path = format!("{}/{day}/{name}.parquet", folder(table));
        let mut bytes = Vec::new();
        let encoding = |error: ArrowError| HistoryError::Encoding {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mut merged = Vec::new();
        let mut rows = writer(&mut bytes, table.schema()).map_err(encoding)?;
        for part in parts {
            let file = self.lake.get(&part.path).await?;
            match read(table, file).map_err(encoding)? {
                Some(batches) => {
                    for batch in batches {
                        rows.write(&batch).map_err(|error| encoding(error.into()))?;
                    }
                    merged.push(part.clone());
                }
                // What a later version knows more of must not be cut down.
                None => tracing::warn!(path = part.path, "a file of the archive has other columns"),
            }
        }
        rows.close().map_err(|error| encoding(error.into()))?;
        let note = Note {
            merged: Part {
                path: path.clone(),
                bytes: archive::size(&bytes),
            },
            parts: merged,
        };
        self.lake.put(&path, Bytes::from(bytes)).await?;
        let text = serde_json::to_vec(&note).map_err(|error| HistoryError::Encoding {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let place = format!("{}/{name}.json", notes(table, day));
        Ok(self.lake.put(&place, Bytes::from(text)).await?)
    }
}

/// The small files of a day, if there are too many.
fn merge(table: &Table, day: &str, files: &[ObjectInfo], rules: &Compaction) -> Option<Change> {
    let small = files.iter().filter(|file| file.bytes < SMALL);
    let mut total = 0_u64;
    let parts: Vec<Part> = small
        .take_while(|file| {
            total = total.saturating_add(file.bytes);
            total <= LARGE
        })
        .take(MOST)
        .map(|file| Part {
            path: file.path.clone(),
            bytes: file.bytes,
        })
        .collect();
    (parts.len() >= rules.least.max(2)).then(|| {
        Change(Kind::Merge {
            is_stages: table.name == STAGES.name,
            day: day.to_owned(),
            parts,
        })
    })
}

/// The folder of the notes about a day.
fn notes(table: &Table, day: &str) -> String {
    format!("{NOTES}/{}/{day}", table.name)
}

/// The same files make the same name, whoever puts them together.
fn name(parts: &[Part]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.path.as_bytes()).update(b"\n");
        hasher.update(&part.bytes.to_le_bytes());
    }
    let digest = hasher.finalize().to_hex();
    format!(
        "merged-{}",
        digest.as_str().chars().take(16).collect::<String>()
    )
}

/// The rows of a file as the table has them now; none if the file has columns that the table has not.
fn read(table: &Table, file: Bytes) -> Result<Option<Vec<RecordBatch>>, ArrowError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    let schema = table.schema();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch?;
        let found = batch.schema();
        let is_known = |(name, kind): (&str, _)| {
            schema
                .field_with_name(name)
                .is_ok_and(|field| field.data_type() == kind)
        };
        if !found
            .fields()
            .iter()
            .all(|field| is_known((field.name(), field.data_type())))
        {
            return Ok(None);
        }
        let columns = schema.fields().iter().map(|field| {
            let column = batch.column_by_name(field.name()).cloned();
            column.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
        });
        rows.push(RecordBatch::try_new(schema.clone(), columns.collect())?);
    }
    Ok(Some(rows))
}

fn count(parts: &[Part]) -> u64 {
    u64::try_from(parts.len()).unwrap_or(u64::MAX)
}
