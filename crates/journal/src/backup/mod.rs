//! A journal in a file of its own, whatever database it is kept in, and back.
//!
//! A backup is a SQLite journal of the present format. That of a SQLite journal is made by SQLite itself while
//! others write; that of a PostgreSQL journal is read in one snapshot. Either can be restored into either kind.
//! Beside it lies its BLAKE3 digest, as `b3sum` writes and checks it.
//!
//! Restoring is one transaction. It begins an epoch far beyond all that were seen: between the backup and now
//! others may have begun, and whoever worked in one of them must not pass for somebody of the restored journal.

mod tables;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use marquetry_types::Epoch;
use rusqlite::Connection;
use tempfile::TempDir;

pub(crate) use self::tables::{Cell, Kind, TABLES, Table};
use crate::{JournalError, Location, postgres, sqlite};

/// How far beyond all epochs that were seen the next one is. None restarts as often between two backups.
const LEAP: u64 = 1_000_000;

/// What is in a backup, or was restored from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Runs.
    pub runs: u64,
    /// Their records.
    pub records: u64,
    /// The last epoch that had begun.
    pub epoch: Epoch,
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// What was in the backup.
    pub contents: Contents,
    /// The epoch after which the next one follows.
    pub epoch: Epoch,
    /// Whether there was a digest beside the backup, which it has.
    pub is_checked: bool,
}

/// Writes a journal to `file` and its digest to `file` with `.blake3` behind it, durably, while others write
/// the journal.
///
/// # Errors
/// As the journal's own `open_read_only`; [`JournalError::Backup`] if the file is there already, cannot be
/// written, or does not come out as it should.
pub async fn backup(location: &Location, file: &Path) -> Result<Contents, JournalError> {
    if file.exists() {
        return Err(bad(file, "it is there already"));
    }
    let partial = beside(file, ".part");
    remove(&partial)?;
    match location {
        Location::Sqlite(path) => {
            let (path, partial) = (path.clone(), partial.clone());
            blocking(move || sqlite::backup::write(&path, &partial)).await?;
        }
        Location::Postgres(url) => postgres::backup::write(url, &partial).await?,
    }
    let file = file.to_owned();
    blocking(move || finish(&partial, &file)).await
}

/// Puts what is in `file` in the place of a journal, in one transaction.
///
/// # Errors
/// [`JournalError::Backup`] if the file is no backup, or not what it was; [`JournalError::NotEmpty`] if the
/// journal has runs and `force` is not given; [`JournalError::InUse`] while somebody leads.
pub async fn restore(
    file: &Path,
    location: &Location,
    force: bool,
) -> Result<Restored, JournalError> {
    let file = file.to_owned();
    let source = blocking(move || Source::open(&file)).await?;
    let (contents, is_checked) = (source.contents, source.is_checked);
    let epoch = match location {
        Location::Sqlite(path) => {
            let path = path.clone();
            blocking(move || sqlite::backup::restore(&source, &path, force)).await?
        }
        Location::Postgres(url) => postgres::backup::restore(&source, url, force).await?,
    };
    Ok(Restored {
        contents,
        epoch,
        is_checked,
    })
}

/// The epoch of a restored journal, when these had begun.
pub(crate) fn epoch_beyond(ours: Epoch, backup: Epoch) -> Epoch {
    Epoch(ours.0.max(backup.0).saturating_add(LEAP))
}

/// A backup that is about to be restored: a copy of it, brought up to date.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) contents: Contents,
    is_checked: bool,
    _folder: TempDir,
}

impl Source {
    fn open(file: &Path) -> Result<Self, JournalError> {
        let failed = |error: std::io::Error| bad(file, error);
        let is_checked = check(file)?;
        let folder = tempfile::tempdir().map_err(failed)?;
        let path = folder.path().join("backup.db");
        fs::copy(file, &path).map_err(failed)?;
        let refused = |error: JournalError| match error {
            JournalError::Open { reason, .. }
            | JournalError::Corrupt { reason, .. }
            | JournalError::Storage { reason, .. } => bad(file, reason),
            JournalError::UnknownFormat { found, known, .. } => JournalError::UnknownFormat {
                journal: file.display().to_string(),
                found,
                known,
            },
            other => other,
        };
        let connection = sqlite::backup::open_copy(&path).map_err(refused)?;
        let contents = examine(&connection, file)?;
        Ok(Self {
            path,
            contents,
            is_checked,
            _folder: folder,
        })
    }
}

/// Examines a backup that was just written, and gives it its name.
fn finish(partial: &Path, file: &Path) -> Result<Contents, JournalError> {
    let failed = |error: std::io::Error| bad(file, error);
    let connection = sqlite::backup::open(partial)?;
    let contents = examine(&connection, file)?;
    drop(connection);
    File::open(partial)
        .and_then(|it| it.sync_all())
        .map_err(failed)?;
    let digest = digest(partial).map_err(failed)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let digests = beside(file, DIGEST);
    fs::write(&digests, format!("{digest}  {name}\n")).map_err(failed)?;
    File::open(&digests)
        .and_then(|it| it.sync_all())
        .map_err(failed)?;
    fs::rename(partial, file).map_err(failed)?;
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    if cfg!(unix) {
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|it| it.sync_all())
            .map_err(failed)?;
    }
    Ok(contents)
}

/// The end of the name of the file with a backup's digest.
const DIGEST: &str = ".blake3";

/// Whether there is a digest, which the file has.
fn check(file: &Path) -> Result<bool, JournalError> {
    let failed = |error: std::io::Error| bad(file, error);
    let found = digest(file).map_err(failed)?;
    let Ok(digests) = fs::read_to_string(beside(file, DIGEST)) else {
        return Ok(false);
    };
    match digests.split_whitespace().next() == Some(found.as_str()) {
        true => Ok(true),
        false => Err(bad(
            file,
            "it does not have the digest that is written beside it",
        )),
    }
}

fn digest(file: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(file)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Whether the pages of a backup are sound, and what is in it.
fn examine(connection: &Connection, file: &Path) -> Result<Contents, JournalError> {
    let failed = |error: rusqlite::Error| bad(file, error);
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if verdict != "ok" {
        return Err(bad(file, verdict));
    }
    let number = |sql: &str| {
        let number: i64 = connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(failed)?;
        Ok::<_, JournalError>(u64::try_from(number).unwrap_or(0))
    };
    Ok(Contents {
        runs: number("SELECT count(*) FROM runs")?,
        records: number("SELECT count(*) FROM records")?,
        epoch: Epoch(number("SELECT epoch FROM leadership")?),
    })
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(end);
    file.with_file_name(name)
}

fn remove(file: &Path) -> Result<(), JournalError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(bad(file, error)),
        _ => Ok(()),
    }
}

pub(crate) fn bad(file: &Path, reason: impl ToString) -> JournalError {
    JournalError::Backup {
        file: file.display().to_string(),
        reason: reason.to_string(),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(JournalError::Storage {
            doing: "read the journal",
            reason: error.to_string(),
        })
    })
}
