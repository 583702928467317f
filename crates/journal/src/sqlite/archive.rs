//! Statements on the line of runs that wait to be archived, and on what is discarded.

use marquetry_engine::Record;
use marquetry_types::{Epoch, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{READING, WRITING, from_database, load_history, storage, to_database};
use super::statements::write;
use crate::rows::run_id;
use crate::{ArchiveBatch, Backlog, Discard, Discarded, FinishedThrough, JournalError, LoadedRun};

/// The mark of a run that cannot be read: it is in no batch, and waits for a person.
const UNREADABLE: i64 = 0;
/// Bundles that are deleted in one commit at most.
const BUNDLES: i64 = 100;

fn ids(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<RunId>, JournalError> {
    let mut statement = connection.prepare(sql).map_err(storage(READING))?;
    let rows = statement
        .query_map(parameters, |row| row.get::<_, String>(0))
        .map_err(storage(READING))?;
    rows.map(|row| run_id(row.map_err(storage(READING))?))
        .collect()
}

/// Keeps the line and the uses of bundles in step with a record.
pub(super) fn follow(connection: &Connection, record: &Record) -> Result<(), JournalError> {
    match record {
        Record::RunSubmitted(submitted) => write(
            connection,
            "INSERT INTO bundle_uses (digest, runs, put_at) VALUES (?1, 1, 0)
             ON CONFLICT (digest) DO UPDATE SET runs = runs + 1",
            [submitted.bundle.as_str()],
        )
        .map(|_| ()),
        Record::RunFinished { run, at, .. } => write(
            connection,
            "INSERT OR REPLACE INTO archive_queue (finished_at, run_id) VALUES (?1, ?2)",
            params![at.as_millis(), run.as_str()],
        )
        .map(|_| ()),
        // A search through the whole line, which is short, for what is rare.
        Record::RunResumed { run, .. } => write(
            connection,
            "DELETE FROM archive_queue WHERE run_id = ?1",
            [run.as_str()],
        )
        .map(|_| ()),
        _ => Ok(()),
    }
}

/// Remembers that somebody put a bundle, and is about to use it.
pub(super) fn bundle_put(connection: &Connection, digest: &str) -> Result<(), JournalError> {
    write(
        connection,
        "INSERT INTO bundle_uses (digest, runs, put_at) VALUES (?1, 0, ?2)
         ON CONFLICT (digest) DO UPDATE SET put_at = excluded.put_at",
        params![digest, Timestamp::now().as_millis()],
    )
    .map(|_| ())
}

/// The planned batch, or a new one.
pub(super) fn plan(
    connection: &Connection,
    epoch: Epoch,
    limit: u32,
) -> Result<Option<ArchiveBatch>, JournalError> {
    if let Some(planned) = planned(connection)? {
        return Ok(Some(planned));
    }
    // Row by row: SQLite finds a range of pairs by the first of each alone, and thousands may have the same.
    let keys = pairs(
        connection,
        "SELECT finished_at, run_id FROM archive_queue WHERE batch IS NULL
         ORDER BY finished_at, run_id LIMIT ?1",
        [limit],
    )?;
    if keys.is_empty() {
        return Ok(None);
    }
    write(
        connection,
        "UPDATE archive_state SET batch = batch + 1, epoch = ?1",
        [to_database(epoch.0)],
    )?;
    let mut statement = connection
        .prepare(
            "UPDATE archive_queue SET batch = (SELECT batch FROM archive_state)
             WHERE finished_at = ?1 AND run_id = ?2",
        )
        .map_err(storage(WRITING))?;
    for (at, run) in keys {
        statement
            .execute(params![at, run])
            .map_err(storage(WRITING))?;
    }
    planned(connection)
}

fn planned(connection: &Connection) -> Result<Option<ArchiveBatch>, JournalError> {
    let runs = ids(
        connection,
        "SELECT run_id FROM archive_queue WHERE batch = (SELECT batch FROM archive_state)
             AND batch IS NOT NULL ORDER BY finished_at, run_id",
        [],
    )?;
    if runs.is_empty() {
        return Ok(None);
    }
    connection
        .query_row("SELECT batch, epoch FROM archive_state", [], |row| {
            Ok(Some(ArchiveBatch {
                number: from_database(row.get(0)?),
                epoch: Epoch(from_database(row.get(1)?)),
                runs,
            }))
        })
        .map_err(storage(READING))
}

/// Takes a batch out of the line.
pub(super) fn archived(
    connection: &Connection,
    number: u64,
    unreadable: &[RunId],
) -> Result<(), JournalError> {
    let number = to_database(number);
    for run in unreadable {
        write(
            connection,
            "UPDATE archive_queue SET batch = ?1 WHERE batch = ?2 AND run_id = ?3",
            params![UNREADABLE, number, run.as_str()],
        )?;
    }
    write(
        connection,
        "DELETE FROM archive_queue WHERE batch = ?1 AND batch > 0",
        [number],
    )
    .map(|_| ())
}

/// A run that goes.
struct Doomed {
    run: String,
    bundle: Option<String>,
}

/// Discards a part.
pub(super) fn discard(
    connection: &Connection,
    discard: &Discard,
) -> Result<Discarded, JournalError> {
    // What finished before the first that waits is archived, so that nothing that waits is looked at.
    let waiting = first_waiting(connection)?;
    let bound = discard.through.bound();
    let (at, run) = waiting.map_or(bound.clone(), |waiting| waiting.min(bound));
    let limit = usize::try_from(discard.runs).unwrap_or(usize::MAX);
    let mut doomed = doomed(connection, "finished_at < ?1 AND ?2 = ?2", &at, "", limit)?;
    if doomed.len() < limit {
        let left = limit - doomed.len();
        doomed.extend(self::doomed(
            connection,
            "finished_at = ?1 AND run_id < ?2",
            &at,
            &run,
            left,
        )?);
    }
    for Doomed { run, bundle } in &doomed {
        write(
            connection,
            "INSERT OR IGNORE INTO past_requests (request_id, run_id, summary)
             SELECT request_id, run_id, summary FROM runs WHERE run_id = ?1 AND request_id IS NOT NULL",
            [run],
        )?;
        write(
            connection,
            "INSERT OR IGNORE INTO discarded_runs VALUES (?1)",
            [run],
        )?;
        write(connection, "DELETE FROM runs WHERE run_id = ?1", [run])?;
        write(connection, "DELETE FROM snapshots WHERE run_id = ?1", [run])?;
        write(
            connection,
            "DELETE FROM cached_outcomes WHERE run_id = ?1",
            [run],
        )?;
        write(
            connection,
            "UPDATE bundle_uses SET runs = runs - 1 WHERE digest = ?1",
            [bundle],
        )?;
    }
    let records = delete_records(connection, discard.records)?;
    let runs = count(doomed.len());
    let is_done = runs < u64::from(discard.runs) && records < u64::from(discard.records);
    let bundles = match is_done {
        true => delete_bundles(connection, discard.bundles_put_before)?,
        false => 0,
    };
    Ok(Discarded {
        runs,
        records,
        bundles,
        is_done,
    })
}

/// The first that finished of the archived runs that pass a condition.
fn doomed(
    connection: &Connection,
    condition: &str,
    at: &i64,
    run: &str,
    limit: usize,
) -> Result<Vec<Doomed>, JournalError> {
    let mut statement = connection
        .prepare(&format!(
            "SELECT run_id, bundle FROM runs
             WHERE finished_at IS NOT NULL AND {condition}
                 AND NOT EXISTS (SELECT 1 FROM archive_queue AS waiting
                     WHERE waiting.finished_at = runs.finished_at AND waiting.run_id = runs.run_id)
             ORDER BY finished_at, run_id LIMIT ?3"
        ))
        .map_err(storage(READING))?;
    statement
        .query_map(params![at, run, to_limit(limit)], |row| {
            Ok(Doomed {
                run: row.get(0)?,
                bundle: row.get(1)?,
            })
        })
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(storage(READING))
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn to_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn pairs(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<(i64, String)>, JournalError> {
    let mut statement = connection.prepare(sql).map_err(storage(READING))?;
    statement
        .query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(storage(READING))
}

/// The place of the first run that waits to be archived.
fn first_waiting(connection: &Connection) -> Result<Option<(i64, String)>, JournalError> {
    let sql = "SELECT finished_at, run_id FROM archive_queue WHERE batch IS NULL OR batch > 0
               ORDER BY finished_at, run_id LIMIT 1";
    Ok(pairs(connection, sql, [])?.into_iter().next())
}

/// Deletes records of runs that are gone, at most so many.
fn delete_records(connection: &Connection, limit: u32) -> Result<u64, JournalError> {
    let limit = u64::from(limit);
    let mut deleted = 0;
    while deleted < limit {
        let run: Option<String> = connection
            .query_row("SELECT run_id FROM discarded_runs LIMIT 1", [], |row| {
                row.get(0)
            })
            .optional()
            .map_err(storage(READING))?;
        let Some(run) = run else { break };
        let gone = write(
            connection,
            "DELETE FROM records WHERE rowid IN
                 (SELECT rowid FROM records WHERE run_id = ?1 ORDER BY sequence LIMIT ?2)",
            params![run, to_database(limit - deleted)],
        )?;
        deleted += count(gone);
        write(
            connection,
            "DELETE FROM discarded_runs WHERE run_id = ?1
                 AND NOT EXISTS (SELECT 1 FROM records WHERE run_id = ?1)",
            [run],
        )?;
    }
    Ok(deleted)
}

/// Deletes bundles that no run and no deployment uses.
fn delete_bundles(connection: &Connection, put_before: Timestamp) -> Result<u64, JournalError> {
    let mut statement = connection
        .prepare(
            "SELECT digest FROM bundle_uses WHERE runs <= 0 AND put_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM deployments WHERE instr(payload, digest) > 0) LIMIT ?2",
        )
        .map_err(storage(READING))?;
    let unused = statement
        .query_map(params![put_before.as_millis(), BUNDLES], |row| row.get(0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<String>>>)
        .map_err(storage(READING))?;
    let mut deleted = 0;
    for digest in unused {
        write(
            connection,
            "DELETE FROM bundle_uses WHERE digest = ?1",
            [&digest],
        )?;
        let gone = write(
            connection,
            "DELETE FROM bundles WHERE digest = ?1",
            [&digest],
        )?;
        deleted += count(gone);
    }
    Ok(deleted)
}

/// See [`JournalReader::load_runs`](crate::JournalReader::load_runs).
pub(super) fn load_runs(
    connection: &Connection,
    runs: Vec<RunId>,
) -> Result<Vec<LoadedRun>, JournalError> {
    let mut loaded = Vec::with_capacity(runs.len());
    for run in runs {
        match load_history(connection, &run) {
            Ok(None) => {}
            Ok(Some(history)) => {
                if let Some(stored) = history.into_counted() {
                    loaded.push((run, Ok(stored)));
                }
            }
            Err(error) if error.is_of_storage() => return Err(error),
            Err(error) => loaded.push((run, Err(error))),
        }
    }
    Ok(loaded)
}

/// See [`JournalReader::archive_backlog`](crate::JournalReader::archive_backlog).
pub(super) fn backlog(connection: &Connection, limit: u32) -> Result<Backlog, JournalError> {
    connection
        .query_row(
            "SELECT count(*), min(finished_at) FROM (SELECT finished_at FROM archive_queue
                 WHERE batch IS NULL OR batch > 0 ORDER BY finished_at, run_id LIMIT ?1)",
            [limit],
            |row| {
                Ok(Backlog {
                    runs: from_database(row.get(0)?),
                    oldest: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis),
                })
            },
        )
        .map_err(storage(READING))
}

/// See [`JournalReader::list_unarchived`](crate::JournalReader::list_unarchived).
pub(super) fn list_unarchived(
    connection: &Connection,
    after: Option<&RunId>,
    limit: usize,
) -> Result<Vec<RunId>, JournalError> {
    let after = after.map_or("", RunId::as_str);
    ids(
        connection,
        "SELECT run_id FROM runs WHERE finished_at IS NULL AND run_id > ?1
         UNION ALL SELECT run_id FROM archive_queue WHERE run_id > ?1
         ORDER BY run_id LIMIT ?2",
        params![after, to_limit(limit)],
    )
}

/// See [`JournalReader::finished_beyond`](crate::JournalReader::finished_beyond).
pub(super) fn finished_beyond(
    connection: &Connection,
    keep: u64,
) -> Result<Option<FinishedThrough>, JournalError> {
    let found: Option<(i64, String)> = connection
        .query_row(
            "SELECT finished_at, run_id FROM runs WHERE finished_at IS NOT NULL
             ORDER BY finished_at DESC, run_id DESC LIMIT 1 OFFSET ?1",
            [to_database(keep)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(storage(READING))?;
    let through = found.map(|(at, run)| {
        Ok(FinishedThrough {
            at: Timestamp::from_millis(at),
            run: Some(run_id(run)?),
        })
    });
    through.transpose()
}
