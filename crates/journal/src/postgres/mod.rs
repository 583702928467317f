//! The journal in PostgreSQL: what several coordinators share, one of which leads.
//!
//! One task writes ([`writer`]): what arrives while a commit is under way is one statement of the next
//! commit, so that a commit costs one round trip and one flush however many requests share it. The
//! statement locks the row of the leadership for as long as it runs and compares the epoch: an append
//! and a take-over can never both succeed. There is no transaction that outlives a statement, so a
//! coordinator that is paused holds no lock; where it is paused while it sends one, whoever campaigns
//! ends its session ([`leadership`]).

mod archive;
pub(crate) mod backup;
mod connect;
mod deployments;
mod leadership;
mod loading;
mod patience;
mod reader;
mod schema;
mod statements;
#[cfg(test)]
mod tests;
mod tls;
mod url;
mod writer;

use self::connect::Place;
use crate::journal::ReadThrough;
use crate::requests::{Requests, WriteThrough};
use crate::{JournalError, JournalReader};

pub use self::reader::PostgresReader;

/// A journal in a PostgreSQL database, opened for writing. Any number of processes may have it open; the
/// epoch says whose records are taken.
#[derive(Debug)]
pub struct PostgresJournal {
    requests: Requests,
    reader: PostgresReader,
}

impl PostgresJournal {
    /// Opens the journal at a URL, `postgres://user:password@host:port/database`, making its tables
    /// where needed and bringing an older format up to date. What the URL may say stands at
    /// [`Location`](crate::Location::Postgres).
    ///
    /// # Errors
    /// [`JournalError::Open`]; [`JournalError::UnknownFormat`] if a newer version wrote it.
    pub async fn open(url: &str) -> Result<Self, JournalError> {
        Self::open_at(Place::parse(url)?).await
    }

    async fn open_at(place: Place) -> Result<Self, JournalError> {
        schema::migrate(&place).await?;
        Ok(Self {
            reader: PostgresReader::new(&place)?,
            requests: writer::start(place),
        })
    }

    /// Opens the journal at a URL for reading only.
    ///
    /// # Errors
    /// [`JournalError::Open`], also when there is no journal; [`JournalError::UnknownFormat`].
    pub async fn open_read_only(url: &str) -> Result<PostgresReader, JournalError> {
        let place = Place::parse(url)?;
        schema::check(&place).await?;
        PostgresReader::new(&place)
    }
}

impl ReadThrough for PostgresJournal {
    fn reader(&self) -> &dyn JournalReader {
        &self.reader
    }
}

impl WriteThrough for PostgresJournal {
    fn requests(&self) -> &Requests {
        &self.requests
    }
}
