//! Why a sample could not be made.

use std::path::PathBuf;

use crate::plan::MAX_ROWS;

/// Why a sample could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// More rows than ids and memory allow.
    #[error("{rows} rows are more than a sample can have ({MAX_ROWS})")]
    TooManyRows {
        /// The rows asked for.
        rows: u64,
    },
    /// The folder already holds Parquet files, and a workflow would read both.
    #[error(
        "{} already holds Parquet files, such as {file}: remove them or choose another folder",
        folder.display()
    )]
    FolderInUse {
        /// The folder asked for.
        folder: PathBuf,
        /// One of its Parquet files.
        file: String,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Rows cannot be encoded.
    #[error("cannot encode {}: {source}", path.display())]
    Encode {
        /// What was to be written.
        path: PathBuf,
        /// Why not.
        source: parquet::errors::ParquetError,
    },
    /// Columns do not make up a batch: a bug in this crate.
    #[error("cannot build a batch of rows: {0}")]
    Batch(#[from] arrow::error::ArrowError),
}
