//! What can go wrong with stored data, told apart by who must act.

use marquetry_types::{Diagnostic, codes};

/// An error of the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A location that names no store or folder.
    #[error("`{location}` is no place for data: {reason}")]
    BadLocation {
        /// As it was given.
        location: String,
        /// Why not.
        reason: String,
    },
    /// The object store refused or failed. Another attempt may succeed.
    #[error("cannot {doing} {path}: {source}")]
    Store {
        /// What was being done, as in `read`.
        doing: &'static str,
        /// The object.
        path: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// A manifest is missing, or is not what its reference says.
    #[error("dataset {manifest} is damaged: {reason}")]
    Damaged {
        /// The manifest's path.
        manifest: String,
        /// What is wrong.
        reason: String,
    },
    /// A source object is not what it was when the dataset was made of it.
    #[error("{url} has changed since it was ingested")]
    SourceChanged {
        /// The object.
        url: String,
    },
    /// The query engine failed.
    #[error(transparent)]
    Query(#[from] datafusion::error::DataFusionError),
    /// Parquet cannot be written.
    #[error("cannot write {path}: {source}")]
    Parquet {
        /// The object.
        path: String,
        /// What the writer said.
        source: parquet::errors::ParquetError,
    },
}

impl LakeError {
    pub(crate) fn store(
        doing: &'static str,
        path: impl ToString,
        source: object_store::Error,
    ) -> Self {
        Self::Store {
            doing,
            path: path.to_string(),
            source,
        }
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Store { source, .. } => !matches!(
                source,
                object_store::Error::NotFound { .. }
                    | object_store::Error::InvalidPath { .. }
                    | object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }
                    | object_store::Error::UnknownConfigurationKey { .. }
            ),
            Self::Parquet { .. } => true,
            Self::BadLocation { .. }
            | Self::Damaged { .. }
            | Self::SourceChanged { .. }
            | Self::Query(_) => false,
        }
    }
}

impl From<LakeError> for Diagnostic {
    fn from(error: LakeError) -> Self {
        let (code, help) = match &error {
            LakeError::BadLocation { .. } => (
                codes::BAD_LOCATION,
                "name a folder, or a URL such as s3://bucket/prefix, gs://, az:// or memory:///",
            ),
            LakeError::Store { .. } | LakeError::Parquet { .. } => (
                codes::OBJECT_STORE,
                "check that the place exists, may be written and has room",
            ),
            LakeError::Damaged { .. } => {
                (codes::DAMAGED_DATASET, "run the stage that made it again")
            }
            LakeError::SourceChanged { .. } => (
                codes::SOURCE_CHANGED,
                "submit a new run, which reads it as it is now",
            ),
            LakeError::Query(_) => (codes::QUERY, "see the stage's log"),
        };
        Self::new(code, error.to_string()).help(help)
    }
}
