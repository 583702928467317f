//! Every statement on the tables, for the writer's transaction and the readers' connections alike.

use marquetry_engine::{Record, RunSummary};
use marquetry_types::{Epoch, RunId};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Row, params, params_from_iter};

use super::archive;
use super::statements::{read_one, write};
use crate::envelope::{Envelope, RECORD_VERSION, SNAPSHOT_VERSION, StoredEnvelope};
use crate::history::History;
use crate::journal::Unfinished;
use crate::loading::Loading;
use crate::rows::{bundle_checksum, run_id};
use crate::{JournalError, Page, RunFilter};

/// Turns a database error into one that says what was being done.
pub(super) fn storage(doing: &'static str) -> impl Fn(rusqlite::Error) -> JournalError + Copy {
    move |error| {
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => JournalError::Full {
                reason,
                is_doubtful: false,
            },
            Some(ErrorCode::DatabaseCorrupt) => JournalError::Corrupt {
                journal: None,
                reason,
            },
            _ => JournalError::Storage { doing, reason },
        }
    }
}

pub(super) const READING: &str = "read the journal";
pub(super) const WRITING: &str = "write to the journal";

/// SQLite's integers are signed; sequences and epochs count from 1 and never come near the sign.
pub(super) fn to_database(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn from_database(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn epoch(connection: &Connection) -> Result<Epoch, JournalError> {
    let sql = "SELECT epoch FROM leadership WHERE id = 1";
    let found = read_one(connection, sql, [], |row| row.get(0))?;
    found
        .map(|epoch| Epoch(from_database(epoch)))
        .ok_or_else(|| JournalError::Storage {
            doing: READING,
            reason: "it does not say who leads".to_owned(),
        })
}

pub(super) fn insert_record(
    connection: &Connection,
    run: &RunId,
    sequence: u64,
    record: &Record,
) -> Result<(), JournalError> {
    let envelope = Envelope::seal(run, sequence, RECORD_VERSION, record)?;
    write(
        connection,
        "INSERT INTO records (run_id, sequence, version, checksum, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            run.as_str(),
            to_database(sequence),
            envelope.version,
            envelope.checksum,
            envelope.payload
        ],
    )
    .map(drop)
}

/// Brings the run's row in `runs` up to date with its history.
pub(super) fn put_summary(connection: &Connection, history: &History) -> Result<(), JournalError> {
    let Some(state) = history.state() else {
        return Ok(());
    };
    let summary = state.summary();
    let run = &summary.run;
    if let Some(request_id) = state.submitted.request_id.as_deref()
        && let Some(first) = run_of_request(connection, request_id)?
        && first != *run
    {
        return Err(JournalError::DuplicateRequest {
            request_id: request_id.to_owned(),
            run: first,
        });
    }
    let json = serde_json::to_string(&summary).map_err(|error| JournalError::Inconsistent {
        run: run.clone(),
        reason: format!("its summary cannot be written as JSON: {error}"),
    })?;
    write(
        connection,
        "INSERT INTO runs (run_id, name, status, request_id, submitted_at, finished_at, last_sequence, summary,
             bundle)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (run_id) DO UPDATE SET status = excluded.status, finished_at = excluded.finished_at,
             last_sequence = excluded.last_sequence, summary = excluded.summary",
        params![
            run.as_str(),
            summary.workflow,
            summary.status.as_str(),
            state.submitted.request_id.as_deref(),
            summary.submitted_at.as_millis(),
            summary.finished_at.map(|at| at.as_millis()),
            to_database(history.sequence()),
            json,
            state.submitted.bundle
        ],
    )
    .map(drop)
}

pub(super) fn put_snapshot(connection: &Connection, history: &History) -> Result<(), JournalError> {
    let Some(state) = history.state() else {
        return Ok(());
    };
    let (run, sequence) = (history.run(), history.sequence());
    let envelope = Envelope::seal(run, sequence, SNAPSHOT_VERSION, state)?;
    write(
        connection,
        "INSERT OR REPLACE INTO snapshots (run_id, sequence, version, checksum, payload)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            run.as_str(),
            to_database(sequence),
            envelope.version,
            envelope.checksum,
            envelope.payload
        ],
    )
    .map(drop)
}

/// A run's history from its snapshot and the records after it; `None` if there is no such run.
pub(super) fn load_history(
    connection: &Connection,
    run: &RunId,
) -> Result<Option<History>, JournalError> {
    let sql = "SELECT last_sequence FROM runs WHERE run_id = ?1";
    let last: Option<i64> = read_one(connection, sql, [run.as_str()], |row| row.get(0))?;
    let Some(last) = last.map(from_database) else {
        return Ok(None);
    };
    let sql = "SELECT sequence, version, checksum, payload FROM snapshots WHERE run_id = ?1";
    let snapshot = read_one(connection, sql, [run.as_str()], envelope_of)?;
    let mut loading = Loading::begin(run.clone(), last, snapshot);
    let mut statement = connection
        .prepare_cached(
            "SELECT sequence, version, checksum, payload FROM records
             WHERE run_id = ?1 AND sequence > ?2 ORDER BY sequence",
        )
        .map_err(storage(READING))?;
    let mut rows = statement
        .query(params![run.as_str(), to_database(loading.known())])
        .map_err(storage(READING))?;
    while let Some(row) = rows.next().map_err(storage(READING))? {
        let (sequence, stored) = envelope_of(row).map_err(storage(READING))?;
        loading.record(sequence, &stored);
    }
    loading.finish().map(Some)
}

/// `sequence, version, checksum, payload`, believing nothing: the payload need not be text.
fn envelope_of(row: &Row<'_>) -> rusqlite::Result<(u64, StoredEnvelope)> {
    Ok((from_database(row.get(0)?), envelope(row, 1)?))
}

/// `version, checksum, payload`, from the column `first` on.
pub(super) fn envelope(row: &Row<'_>, first: usize) -> rusqlite::Result<StoredEnvelope> {
    Ok(StoredEnvelope {
        version: row.get(first)?,
        checksum: row.get(first + 1)?,
        payload: row.get_ref(first + 2)?.as_bytes()?.to_vec(),
    })
}

/// Every run without an end, the earliest first.
pub(super) fn load_unfinished(connection: &Connection) -> Result<Unfinished, JournalError> {
    let mut statement = connection
        .prepare("SELECT run_id FROM runs WHERE finished_at IS NULL ORDER BY run_id")
        .map_err(storage(READING))?;
    let ids = statement
        .query_map([], |row| row.get::<_, String>(0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<String>>>)
        .map_err(storage(READING))?;
    let mut unfinished = Unfinished::default();
    for id in ids {
        let run = run_id(id)?;
        if let Some(loaded) = load_history(connection, &run).transpose() {
            unfinished.add(run, loaded)?;
        }
    }
    Ok(unfinished)
}

/// The latest first; see [`JournalReader::list_runs`](crate::JournalReader::list_runs).
pub(super) fn list_runs(
    connection: &Connection,
    filter: &RunFilter,
    page: &Page,
) -> Result<Vec<RunSummary>, JournalError> {
    // Only the conditions that are asked for, so that each filter is served by its own index. Ids are
    // lower-case letters and digits, and `~` sorts after every one of them.
    let after = page.after.as_ref().map_or("~", RunId::as_str);
    let mut sql = String::from("SELECT run_id, summary FROM runs WHERE run_id < ?");
    let mut parameters = vec![Value::from(after.to_owned())];
    if let Some(name) = &filter.name {
        sql.push_str(" AND name = ?");
        parameters.push(Value::from(name.clone()));
    }
    if let Some(status) = filter.status {
        sql.push_str(" AND status = ?");
        parameters.push(Value::from(status.as_str().to_owned()));
    }
    sql.push_str(" ORDER BY run_id DESC LIMIT ?");
    parameters.push(Value::from(i64::try_from(page.limit).unwrap_or(i64::MAX)));
    summaries(connection, &sql, params_from_iter(parameters))
}

pub(super) fn find_by_prefix(
    connection: &Connection,
    prefix: &str,
    limit: usize,
) -> Result<Vec<RunSummary>, JournalError> {
    let prefix = prefix.to_ascii_lowercase();
    let end = format!("{prefix}~");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    summaries(
        connection,
        "SELECT run_id, summary FROM runs WHERE run_id >= ?1 AND run_id < ?2
         ORDER BY run_id DESC LIMIT ?3",
        params![prefix, end, limit],
    )
}

pub(super) fn find_by_request(
    connection: &Connection,
    request_id: &str,
) -> Result<Option<RunSummary>, JournalError> {
    let found = summaries(
        connection,
        "SELECT run_id, summary FROM runs WHERE request_id = ?1
         UNION ALL SELECT run_id, summary FROM past_requests WHERE request_id = ?1",
        params![request_id],
    )?;
    Ok(found.into_iter().next())
}

fn run_of_request(
    connection: &Connection,
    request_id: &str,
) -> Result<Option<RunId>, JournalError> {
    let sql = "SELECT run_id FROM runs WHERE request_id = ?1
               UNION ALL SELECT run_id FROM past_requests WHERE request_id = ?1";
    read_one(connection, sql, [request_id], |row| row.get(0))?
        .map(run_id)
        .transpose()
}

fn summaries(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<RunSummary>, JournalError> {
    let mut statement = connection.prepare_cached(sql).map_err(storage(READING))?;
    let mut rows = statement.query(parameters).map_err(storage(READING))?;
    let mut summaries = Vec::new();
    while let Some(row) = rows.next().map_err(storage(READING))? {
        let json = row
            .get_ref(1)
            .and_then(|value| Ok(value.as_bytes()?))
            .map_err(storage(READING))?;
        match serde_json::from_slice(json) {
            Ok(summary) => summaries.push(summary),
            // A list that fails for one row would hide all the others.
            Err(error) => {
                let run: String = row.get(0).unwrap_or_default();
                tracing::error!(run, %error, "the journal's summary of a run is damaged: not listed");
            }
        }
    }
    Ok(summaries)
}

pub(super) fn put_bundle(
    connection: &Connection,
    digest: &str,
    bytes: &[u8],
) -> Result<(), JournalError> {
    write(
        connection,
        "INSERT INTO bundles (digest, checksum, payload) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![digest, bundle_checksum(digest, bytes), bytes],
    )?;
    archive::bundle_put(connection, digest)
}

pub(super) fn get_bundle(
    connection: &Connection,
    digest: &str,
) -> Result<Option<Vec<u8>>, JournalError> {
    let sql = "SELECT checksum, payload FROM bundles WHERE digest = ?1";
    let stored: Option<(i64, Vec<u8>)> = read_one(connection, sql, [digest], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let Some((checksum, payload)) = stored else {
        return Ok(None);
    };
    if checksum != i64::from(bundle_checksum(digest, &payload)) {
        return Err(JournalError::DamagedBundle {
            digest: digest.to_owned(),
            reason: "it fails its checksum".to_owned(),
        });
    }
    Ok(Some(payload))
}
