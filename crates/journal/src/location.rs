//! Where a journal is, as people write it, and opening it whatever it is.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Journal, JournalError, JournalReader, PostgresJournal, SqliteJournal};

/// Where a journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file, for one process that writes.
    Sqlite(PathBuf),
    /// A PostgreSQL database, by its URL.
    Postgres(String),
}

impl Location {
    /// Reads `postgres://…`, `postgresql://…`, `sqlite://PATH` or a path.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let is_postgres = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        if is_postgres {
            return Self::Postgres(text.to_owned());
        }
        let path = text.strip_prefix("sqlite://").unwrap_or(text);
        Self::Sqlite(PathBuf::from(path))
    }

    /// Whether several processes may have it open for writing, of which one leads.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

/// Opens a journal for writing.
///
/// # Errors
/// As the journal's own `open`.
pub async fn open(location: &Location) -> Result<Arc<dyn Journal>, JournalError> {
    Ok(match location {
        Location::Sqlite(path) => Arc::new(SqliteJournal::open(path)?),
        Location::Postgres(url) => Arc::new(PostgresJournal::open(url).await?),
    })
}

/// Opens a journal for reading, while anybody may write it.
///
/// # Errors
/// As the journal's own `open_read_only`.
pub async fn open_read_only(location: &Location) -> Result<Arc<dyn JournalReader>, JournalError> {
    Ok(match location {
        Location::Sqlite(path) => Arc::new(SqliteJournal::open_read_only(path)?),
        Location::Postgres(url) => Arc::new(PostgresJournal::open_read_only(url).await?),
    })
}
