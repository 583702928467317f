//! Backups of a SQLite journal, which are SQLite journals, and restoring into one.

use std::path::Path;

use marquetry_types::Epoch;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, TransactionBehavior, params_from_iter};

use super::lock::WriterLock;
use super::rows::{WRITING, storage, to_database};
use super::{connect, rows};
use crate::JournalError;
use crate::backup::{Cell, Kind, Source, TABLES, Table, bad, epoch_beyond};

/// Writes the journal at `path` to `file`, which is not there. Whoever writes the journal goes on.
pub(crate) fn write(path: &Path, file: &Path) -> Result<(), JournalError> {
    let connection = connect::open_reader(path)?;
    let name = file.display().to_string();
    connection
        .execute("VACUUM INTO ?1", [name])
        .map(|_| ())
        .map_err(|error| bad(file, error))
}

/// Opens a backup for reading.
pub(crate) fn open(file: &Path) -> Result<Connection, JournalError> {
    connect::open_reader(file)
}

/// Opens a copy of a backup, and brings it up to date.
pub(crate) fn open_copy(path: &Path) -> Result<Connection, JournalError> {
    let connection = connect::open_writer(path)?;
    // One file, without a log beside it.
    let refused = |error: rusqlite::Error| bad(path, error);
    connection
        .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .map_err(refused)?;
    Ok(connection)
}

/// Makes an empty journal that a backup is put into.
pub(crate) fn create(file: &Path) -> Result<Connection, JournalError> {
    open_copy(file)
}

/// Puts a backup in the place of what is in the journal at `path`. Gives the epoch that it begins with.
pub(crate) fn restore(source: &Source, path: &Path, force: bool) -> Result<Epoch, JournalError> {
    connect::create_folder(path)?;
    let _lock = WriterLock::acquire(path)?;
    let mut connection = connect::open_writer(path)?;
    let writing = storage(WRITING);
    let from = source.path.display().to_string();
    connection
        .execute("ATTACH ?1 AS backup", [from])
        .map_err(writing)?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(writing)?;
    let runs: i64 = transaction
        .query_row("SELECT count(*) FROM main.runs", [], |row| row.get(0))
        .map_err(writing)?;
    if runs > 0 && !force {
        return Err(JournalError::NotEmpty {
            journal: path.display().to_string(),
            runs: rows::from_database(runs),
        });
    }
    let epoch = epoch_beyond(rows::epoch(&transaction)?, source.contents.epoch);
    for table in TABLES {
        let (name, mut columns) = (table.name, table.list());
        if name == "publications" {
            columns.push_str(", is_current");
        }
        transaction
            .execute_batch(&format!(
                "DELETE FROM main.{name};
                 INSERT INTO main.{name} ({columns}) SELECT {columns} FROM backup.{name};"
            ))
            .map_err(writing)?;
    }
    transaction
        .execute(
            "UPDATE main.leadership SET epoch = ?1, name = '', url = '', lease_ends_at = 0",
            [to_database(epoch.0)],
        )
        .map_err(writing)?;
    transaction
        .commit()
        .map_err(|error| JournalError::Doubtful {
            reason: error.to_string(),
        })?;
    Ok(epoch)
}

/// Puts rows into a table of a backup that is being made.
pub(crate) fn insert(
    connection: &Connection,
    table: &Table,
    rows: &[Vec<Cell>],
) -> rusqlite::Result<()> {
    let marks = vec!["?"; table.columns.len()].join(", ");
    let (name, columns) = (table.name, table.list());
    let current = match name {
        "publications" => (", is_current", ", 0"),
        _ => ("", ""),
    };
    let mut statement = connection.prepare(&format!(
        "INSERT OR REPLACE INTO {name} ({columns}{}) VALUES ({marks}{})",
        current.0, current.1
    ))?;
    for row in rows {
        statement.execute(params_from_iter(row))?;
    }
    Ok(())
}

/// Ends a backup that is being made: what is current, and who led last.
pub(crate) fn complete(connection: &Connection, epoch: Epoch) -> rusqlite::Result<()> {
    connection.execute_batch(
        "UPDATE publications AS it SET is_current = 1 WHERE version =
             (SELECT max(version) FROM publications AS other
              WHERE other.kind = it.kind AND other.name = it.name)",
    )?;
    connection.execute("UPDATE leadership SET epoch = ?1", [to_database(epoch.0)])?;
    Ok(())
}

/// Reads a table and hands its rows on, so many at once, until the receiver is gone.
pub(crate) fn read(
    path: &Path,
    table: &Table,
    at_once: usize,
    mut hand_on: impl FnMut(Vec<Vec<Cell>>) -> bool,
) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let (name, columns) = (table.name, table.list());
    let mut statement = connection.prepare(&format!("SELECT {columns} FROM {name}"))?;
    let mut found = statement.query([])?;
    let mut rows = Vec::with_capacity(at_once);
    while let Some(row) = found.next()? {
        let mut cells = Vec::with_capacity(table.columns.len());
        for (place, (_, kind)) in table.columns.iter().enumerate() {
            cells.push(cell(row.get_ref(place)?, *kind));
        }
        rows.push(cells);
        if rows.len() == at_once && !hand_on(std::mem::take(&mut rows)) {
            return Ok(());
        }
    }
    hand_on(rows);
    Ok(())
}

/// A cell, believing nothing: damaged text fails its own checksum wherever it is put.
fn cell(value: ValueRef<'_>, kind: Kind) -> Cell {
    match (kind, value) {
        (Kind::Number, ValueRef::Integer(number)) => Cell::Number(number),
        (Kind::Text, ValueRef::Text(text)) => {
            Cell::Text(String::from_utf8_lossy(text).replace('\0', "\u{fffd}"))
        }
        (Kind::Bytes, ValueRef::Blob(bytes)) => Cell::Bytes(bytes.to_vec()),
        _ => Cell::Null,
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Number(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}
