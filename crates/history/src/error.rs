//! What can go wrong with history, told apart by who must act.

use datafusion::error::DataFusionError;
use marquetry_journal::JournalError;
use marquetry_lake::LakeError;
use marquetry_types::{Diagnostic, codes};

/// An error of the archive, of a query over it, or of a collection.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The query names a table that is not there.
    #[error("there is no table `{name}`")]
    UnknownTable {
        /// As the query names it.
        name: String,
        /// What there is, as a person reads it.
        known: String,
    },
    /// The query is not one, or cannot be run.
    #[error("{reason}{}", at.map(|(line, column)| format!(", at line {line}, column {column}")).unwrap_or_default())]
    Query {
        /// What is wrong.
        reason: String,
        /// Line and column, counted from 1, where they are known and not in the reason already.
        at: Option<(u64, u64)>,
    },
    /// Rows cannot be written as Parquet: a bug.
    #[error("cannot write {path}: {reason}")]
    Encoding {
        /// The object.
        path: String,
        /// What the writer said.
        reason: String,
    },
}

impl From<DataFusionError> for HistoryError {
    fn from(error: DataFusionError) -> Self {
        let at = error
            .diagnostic()
            .and_then(|diagnostic| diagnostic.span)
            .filter(|span| span.start.line > 0)
            .map(|span| (span.start.line, span.start.column));
        Self::Query {
            reason: error.strip_backtrace(),
            at,
        }
    }
}

impl From<HistoryError> for Diagnostic {
    fn from(error: HistoryError) -> Self {
        let message = error.to_string();
        match error {
            HistoryError::Journal(error) => error.diagnostic(),
            HistoryError::Lake(error) => error.into(),
            HistoryError::UnknownTable { known, .. } => Self::new(codes::NO_MATCH, message).help(known),
            HistoryError::Query { .. } => Self::new(codes::QUERY, message).help(
                "`marquetry sql` takes one SELECT; `select * from runs limit 1` shows the columns of a table",
            ),
            HistoryError::Encoding { .. } => Self::new(codes::INTERNAL, message),
        }
    }
}
