//! Why a stage failed, by who must act.

use datafusion::error::DataFusionError;
use marquetry_lake::{LakeError, PeerLost};
use marquetry_types::{Diagnostic, ErrorCode, FailureClass, StageFailure, codes};

/// Why a stage failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The author of the workflow or the owner of the data must act: it is not tried again.
    #[error("{0}")]
    Invalid(Diagnostic),
    /// Nobody must act: another attempt may succeed.
    #[error("{0}")]
    Transient(Diagnostic),
    /// Another attempt needs more memory or another machine.
    #[error("{0}")]
    ResourceExhausted(Diagnostic),
    /// Somebody asked for it.
    #[error("the stage was cancelled")]
    Cancelled,
}

impl StageError {
    /// An error that the author or the owner of the data can put right.
    #[must_use]
    pub fn invalid(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Invalid(Diagnostic::new(code, message))
    }

    /// The same error, with what to do instead.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        match self {
            Self::Invalid(diagnostic) => Self::Invalid(diagnostic.help(help)),
            Self::Transient(diagnostic) => Self::Transient(diagnostic.help(help)),
            Self::ResourceExhausted(diagnostic) => Self::ResourceExhausted(diagnostic.help(help)),
            Self::Cancelled => Self::Cancelled,
        }
    }
}

impl From<StageError> for StageFailure {
    fn from(error: StageError) -> Self {
        let (class, diagnostic) = match error {
            StageError::Invalid(diagnostic) => (FailureClass::Invalid, diagnostic),
            StageError::Transient(diagnostic) => (FailureClass::Transient, diagnostic),
            StageError::ResourceExhausted(diagnostic) => {
                (FailureClass::ResourceExhausted, diagnostic)
            }
            StageError::Cancelled => {
                let diagnostic =
                    Diagnostic::new(codes::CANCELLED, "the stage was stopped on request");
                (FailureClass::Cancelled, diagnostic)
            }
        };
        Self { class, diagnostic }
    }
}

impl From<LakeError> for StageError {
    fn from(error: LakeError) -> Self {
        let (is_transient, is_full) = (error.is_transient(), error.is_full());
        match error {
            LakeError::Query(query) => query.into(),
            other if is_full => Self::ResourceExhausted(other.into()),
            other if is_transient => Self::Transient(other.into()),
            other => Self::Invalid(other.into()),
        }
    }
}

impl From<DataFusionError> for StageError {
    fn from(error: DataFusionError) -> Self {
        if let Some(lost) = PeerLost::find(&error) {
            let diagnostic = Diagnostic::new(codes::PEER_LOST, lost.to_string())
                .help("the next attempt goes on with the workers that are left");
            return Self::Transient(diagnostic);
        }
        // A reader of Parquet passes on what its store said; that says nothing against the file.
        if let Some((diagnostic, is_transient)) = LakeError::store_behind(&error) {
            return match is_transient {
                true => Self::Transient(diagnostic),
                false => Self::Invalid(diagnostic),
            };
        }
        // The engine wraps causes in context; what matters is the innermost.
        let root = error.find_root();
        match root {
            DataFusionError::ResourcesExhausted(reason) => {
                let diagnostic = Diagnostic::new(codes::OUT_OF_MEMORY, reason.clone())
                    .help("raise the stage's `memory`, or give it less to do");
                Self::ResourceExhausted(diagnostic)
            }
            DataFusionError::ParquetError(cause) => {
                let message = format!("a Parquet file cannot be read: {cause}");
                Self::invalid(codes::UNREADABLE_INPUT, message)
            }
            DataFusionError::IoError(cause) => {
                Self::Transient(Diagnostic::new(codes::OBJECT_STORE, cause.to_string()))
            }
            other => Self::invalid(codes::QUERY, other.strip_backtrace()),
        }
    }
}

impl From<arrow::error::ArrowError> for StageError {
    fn from(error: arrow::error::ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}
