//! What can go wrong with stored data, told apart by who must act.

use std::error::Error;

use marquetry_types::{Diagnostic, codes};

use crate::reason::{is_full, reason, store_error};

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
    #[error("cannot {doing} {path}: {}", reason(source))]
    Store {
        /// What was being done, as in `read`.
        doing: &'static str,
        /// The object, with the lake that it is in.
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

    /// An error of the Parquet writer, which is mostly one of the store that it writes to.
    pub(crate) fn writing(path: &str, source: parquet::errors::ParquetError) -> Self {
        let path = path.to_owned();
        let parquet::errors::ParquetError::External(cause) = source else {
            return Self::Parquet { path, source };
        };
        let doing = "write";
        match cause.downcast::<object_store::Error>() {
            Ok(source) => Self::store(doing, path, *source),
            Err(cause) => match cause.downcast::<std::io::Error>() {
                Ok(system) => Self::store(doing, path, of_stream(*system)),
                Err(cause) => Self::Parquet {
                    path,
                    source: parquet::errors::ParquetError::External(cause),
                },
            },
        }
    }

    /// Whether there is no room for what was to be written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Store { source, .. } => is_full(source),
            _ => false,
        }
    }

    /// What is wrong with a store, if an error of any kind is about one: what was said, and whether another
    /// attempt may succeed.
    #[must_use]
    pub fn store_behind(error: &(dyn Error + 'static)) -> Option<(Diagnostic, bool)> {
        let source = store_error(error)?;
        let message = format!("the object store failed: {}", reason(source));
        let diagnostic = Diagnostic::new(codes::OBJECT_STORE, message).help(advice(source));
        Some((diagnostic, is_transient(source)))
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store { source, .. } => is_transient(source) || is_forgotten_upload(source),
            Self::Parquet { .. } => true,
            Self::BadLocation { .. }
            | Self::Damaged { .. }
            | Self::SourceChanged { .. }
            | Self::Query(_) => false,
        }
    }
}

/// What an error of a stream of bytes wraps, which is an error of the store.
fn of_stream(system: std::io::Error) -> object_store::Error {
    let is_stores = system
        .get_ref()
        .is_some_and(|inner| inner.is::<object_store::Error>());
    let unwrapped = if is_stores { system.into_inner() } else { None };
    match unwrapped.map(|inner| inner.downcast::<object_store::Error>()) {
        Some(Ok(source)) => *source,
        Some(Err(source)) => object_store::Error::Generic {
            store: "stream",
            source,
        },
        None => object_store::Error::Generic {
            store: "stream",
            source: "it ended early".into(),
        },
    }
}

const fn is_transient(source: &object_store::Error) -> bool {
    !matches!(
        source,
        object_store::Error::NotFound { .. }
            | object_store::Error::InvalidPath { .. }
            | object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. }
            | object_store::Error::UnknownConfigurationKey { .. }
    )
}

/// An upload in parts whose completion was asked for twice, because the first answer was lost, is not known
/// any more: whoever writes the object again succeeds.
fn is_forgotten_upload(source: &object_store::Error) -> bool {
    matches!(source, object_store::Error::NotFound { .. })
        && source.to_string().contains("NoSuchUpload")
}

/// What to do about a store that failed.
fn advice(source: &object_store::Error) -> &'static str {
    match source {
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => {
            "check the keys in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for S3), and that they \
             may read, write and list there"
        }
        object_store::Error::NotFound { .. } => {
            "check the bucket, the prefix and the region, and that nobody deletes there"
        }
        _ => {
            "check that the store is up, can be reached from here and has room; attempts are tried again as \
             the stage's `retry` says"
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
            LakeError::Store { source, .. } if is_full(source) => (
                codes::NO_ROOM,
                "make room, or give the lake another place; nothing that was committed is lost",
            ),
            LakeError::Store { source, .. } => (codes::OBJECT_STORE, advice(source)),
            LakeError::Parquet { .. } => (
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
