//! Statements on the table of outcomes that may be used again.

use marquetry_engine::Cached;
use rusqlite::{Connection, params};

use super::rows::envelope;
use super::statements::{read_one, write};
use crate::JournalError;
use crate::cached::{Entry, open};

/// Keeps an outcome in place of what was known before.
pub(super) fn put(connection: &Connection, entry: &Entry) -> Result<(), JournalError> {
    let Entry { key, run, envelope } = entry;
    write(
        connection,
        "INSERT OR REPLACE INTO cached_outcomes (key, run_id, version, checksum, payload)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            key,
            run.as_str(),
            envelope.version,
            envelope.checksum,
            envelope.payload
        ],
    )
    .map(drop)
}

/// What is known under a key.
pub(super) fn find(connection: &Connection, key: &str) -> Result<Option<Cached>, JournalError> {
    let sql = "SELECT version, checksum, payload FROM cached_outcomes WHERE key = ?1";
    let stored = read_one(connection, sql, [key], |row| envelope(row, 0))?;
    Ok(stored.and_then(|stored| open(key, &stored)))
}
