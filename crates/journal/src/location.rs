//! Where a journal is, as people write it, and opening it whatever it is.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Journal, JournalError, JournalReader, PostgresJournal, SqliteJournal};

/// Where a journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file, for one process that writes.
    Sqlite(PathBuf),
    /// A PostgreSQL database, by its URL, `postgres://user:password@host:port/database?parameters`.
    /// A `&`, a `%` or a space in a value is percent-encoded. Besides the parameters of
    /// `tokio_postgres::Config` there are:
    ///
    /// - `schema`: where the tables are, `marquetry` unless it says otherwise.
    /// - `sslrootcert`: a file with certificates in PEM, of the authorities that are trusted, or of the
    ///   server itself where it signed its own; no other is. It is read when the journal is opened.
    ///   `system` means the authorities of this machine.
    /// - `sslmode`, which is `verify-full` where there is a `sslrootcert`, and else `prefer`:
    ///
    /// | `sslmode` | TLS | the server's certificate |
    /// |---|---|---|
    /// | `disable` | never | |
    /// | `prefer` | if the server has it | of an authority in `sslrootcert`; without one any will do |
    /// | `require` | always | of an authority in `sslrootcert`; without one any will do |
    /// | `verify-ca` | always | of an authority in `sslrootcert`, or else of this machine's |
    /// | `verify-full` | always | the same, and the host is among its subject alternative names |
    ///
    /// Where any certificate will do, those who only listen are kept out, but not those who pretend to
    /// be the server. Only `verify-full` does that, and `verify-ca` with an authority that signs for
    /// nobody else. Over a Unix socket (a host that begins with `%2F`) there is no TLS, whatever is
    /// asked for. This is what libpq does, except that a certificate that is refused is an error with
    /// `prefer` too, and no reason to go on without TLS; that a `sslrootcert` alone means
    /// `verify-full`; that the names of a certificate are its subject alternative names and not its
    /// common name; and that files in a home folder and `PG…` variables are not looked at.
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
