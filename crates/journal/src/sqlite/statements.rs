//! Statements that are prepared once for a connection: SQLite takes longer to read the text of a small
//! statement than to carry it out.

use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use super::rows::{READING, WRITING, storage};
use crate::JournalError;

/// Statements that a connection keeps: all of those that runs need, with room to spare.
pub(super) const KEPT: usize = 64;

/// Writes, and says how many rows were.
pub(super) fn write(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<usize, JournalError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(parameters))
        .map_err(storage(WRITING))
}

/// Reads the first row, if there is one.
pub(super) fn read_one<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, JournalError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(parameters, row).optional())
        .map_err(storage(READING))
}
