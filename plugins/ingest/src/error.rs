//! What can go wrong on the way from files to rows, before it becomes the stage's error.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use marquetry_types::{Diagnostic, ErrorCode, codes};
use parquet::errors::ParquetError;

/// Why an ingestion ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    /// The author of the workflow or the owner of the data must act.
    #[error("{0}")]
    Invalid(Diagnostic),
    /// Another attempt may succeed.
    #[error("{0}")]
    Transient(Diagnostic),
    /// The engine says what it is.
    #[error(transparent)]
    Engine(#[from] DataFusionError),
    /// Somebody asked for it.
    #[error("cancelled")]
    Cancelled,
}

impl IngestError {
    /// An error of the data or the options.
    pub(crate) fn invalid(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Invalid(Diagnostic::new(code, message))
    }

    /// A file that cannot be decoded.
    pub(crate) fn unreadable(file: &str, why: impl std::fmt::Display, help: &str) -> Self {
        let message = format!("{file} cannot be read: {why}");
        Self::Invalid(Diagnostic::new(codes::UNREADABLE_INPUT, message).help(help))
    }

    /// An object store's refusal. An object that is gone or changed since the files were listed is a
    /// matter of time: the next attempt lists them anew.
    pub(crate) fn store(file: &str, error: &object_store::Error) -> Self {
        use object_store::Error;
        match error {
            Error::NotFound { .. } | Error::Precondition { .. } | Error::NotModified { .. } => {
                Self::changed(file)
            }
            other => Self::Transient(Diagnostic::new(
                codes::OBJECT_STORE,
                format!("{file}: {other}"),
            )),
        }
    }

    /// A file that is not what it was when the stage listed it.
    pub(crate) fn changed(file: &str) -> Self {
        let message = format!("{file} changed or vanished while it was read");
        let help = "write input files under a temporary name and rename them when they are whole";
        Self::Transient(Diagnostic::new(codes::SOURCE_CHANGED, message).help(help))
    }

    /// A Parquet file that cannot be decoded, or a store that does not give it.
    pub(crate) fn parquet(file: &str, error: ParquetError) -> Self {
        const HELP: &str = "the file is truncated, damaged or no Parquet: write it again";
        match error {
            ParquetError::External(source) => match source.downcast::<Self>() {
                Ok(fetching) => *fetching,
                Err(other) => Self::unreadable(file, other, HELP),
            },
            other => Self::unreadable(file, other, HELP),
        }
    }
}

impl From<Diagnostic> for IngestError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Invalid(diagnostic)
    }
}

impl From<ArrowError> for IngestError {
    fn from(error: ArrowError) -> Self {
        Self::Engine(error.into())
    }
}
