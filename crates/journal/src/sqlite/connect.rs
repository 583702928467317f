//! Opening the database file: folders, settings that durability rests on, and what is refused.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::leadership;
use super::schema::{self, APPLICATION_ID, FORMAT};
use super::statements::KEPT;
use crate::JournalError;

/// How long a statement waits for another process's lock. Readers never block the writer in WAL mode;
/// this covers a reader that meets a checkpoint or recovery.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the folder that a database file lies in. A journal whose folder may vanish with a power cut
/// is not durable, so the folders that are new are made so, too.
pub(super) fn create_folder(database: &Path) -> Result<(), JournalError> {
    let Some(folder) = database
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let refused = |error: std::io::Error| JournalError::Open {
        journal: database.display().to_string(),
        reason: format!("its folder cannot be made: {error}"),
    };
    let existing = folder
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .map(Path::to_owned);
    if existing.as_deref() == Some(folder) {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(refused)?;
    for ancestor in folder.ancestors() {
        if cfg!(unix) && !ancestor.as_os_str().is_empty() {
            File::open(ancestor)
                .and_then(|folder| folder.sync_all())
                .map_err(refused)?;
        }
        if Some(ancestor) == existing.as_deref() {
            break;
        }
    }
    Ok(())
}

/// The one connection that writes, with the tables brought up to date.
pub(super) fn open_writer(path: &Path) -> Result<Connection, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let refused = |error: rusqlite::Error| open_error(path, &error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(refused)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(refused)?;
    connection.set_prepared_statement_cache_capacity(KEPT);
    let format = checked_format(&connection, path)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(refused)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(JournalError::Open {
            journal: path.display().to_string(),
            reason: format!(
                "the file system does not support a write-ahead log (SQLite chose `{mode}`)"
            ),
        });
    }
    // FULL: a commit returns when the log is on the disk, not only with the operating system.
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(refused)?;
    schema::migrate(&mut connection, format).map_err(refused)?;
    leadership::end_lease(&connection).map_err(refused)?;
    Ok(connection)
}

/// A connection that only reads, while a writer may be at work.
pub(super) fn open_reader(path: &Path) -> Result<Connection, JournalError> {
    if !path.exists() {
        let reason = "there is no such file: no run was submitted here yet".to_owned();
        return Err(JournalError::Open {
            journal: path.display().to_string(),
            reason,
        });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let refused = |error: rusqlite::Error| open_error(path, &error);
    let connection = Connection::open_with_flags(path, flags).map_err(refused)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(refused)?;
    connection.set_prepared_statement_cache_capacity(KEPT);
    let format = checked_format(&connection, path)?;
    if format < FORMAT {
        return Err(JournalError::UnknownFormat {
            journal: path.display().to_string(),
            found: format,
            known: FORMAT,
        });
    }
    Ok(connection)
}

/// The file's format, if it is a journal, or nothing yet, and not from the future.
fn checked_format(connection: &Connection, path: &Path) -> Result<i64, JournalError> {
    let refused = |error: rusqlite::Error| open_error(path, &error);
    let application: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(refused)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(refused)?;
    let is_empty = tables == 0 && application == 0;
    if application != APPLICATION_ID && !is_empty {
        return Err(JournalError::Open {
            journal: path.display().to_string(),
            reason: "it is a SQLite database of another program".to_owned(),
        });
    }
    let found = schema::format_of(connection).map_err(refused)?;
    if found > FORMAT {
        return Err(JournalError::UnknownFormat {
            journal: path.display().to_string(),
            found,
            known: FORMAT,
        });
    }
    Ok(found)
}

fn open_error(path: &Path, error: &rusqlite::Error) -> JournalError {
    let (journal, reason) = (path.display().to_string(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => JournalError::Corrupt {
            journal: Some(journal),
            reason,
        },
        _ => JournalError::Open { journal, reason },
    }
}
