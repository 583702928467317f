//! Statements on the line of runs that wait to be archived, and on what is discarded.
//!
//! As in [`deployments`](super::deployments) each change is a statement that compares the epoch, and what is
//! read beside it stands as long as the epoch does. What a call has left undone when it breaks off, the next
//! one does.

use std::collections::HashMap;

use marquetry_types::{Epoch, RunId, Timestamp};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, GenericClient, Row};

use super::leadership;
use super::loading::load_histories;
use super::patience::{in_time, read_in_time};
use super::reader::reading;
use super::statements::{from_database, to_database};
use crate::rows::run_id;
use crate::{ArchiveBatch, Backlog, Discard, Discarded, FinishedThrough, JournalError, LoadedRun};

/// Makes a batch of the runs that wait, unless one is planned.
const PLAN: &str = "
WITH lead AS MATERIALIZED (
    SELECT epoch FROM leadership WHERE id = 1 AND epoch = $1 FOR SHARE
), waiting AS MATERIALIZED (
    SELECT finished_at, run_id FROM archive_queue
    WHERE batch IS NULL AND EXISTS (SELECT FROM lead)
        AND NOT EXISTS (SELECT FROM archive_queue WHERE batch IS NOT NULL AND batch > 0)
    ORDER BY finished_at, run_id LIMIT $2
), batch AS (
    UPDATE archive_state SET batch = batch + 1, epoch = $1
    WHERE EXISTS (SELECT FROM waiting) RETURNING batch
), planned AS (
    UPDATE archive_queue SET batch = batch.batch FROM batch, waiting
    WHERE archive_queue.finished_at = waiting.finished_at AND archive_queue.run_id = waiting.run_id
)
SELECT epoch FROM lead";

/// Takes a batch out of the line. What cannot be read stays, with the mark of no batch.
const ARCHIVED: &str = "
WITH lead AS MATERIALIZED (
    SELECT epoch FROM leadership WHERE id = 1 AND epoch = $1 FOR SHARE
), unreadable AS (
    UPDATE archive_queue SET batch = 0
    WHERE batch IS NOT NULL AND batch = $2 AND run_id = ANY ($3::text[])
        AND EXISTS (SELECT FROM lead)
), gone AS (
    DELETE FROM archive_queue
    WHERE batch IS NOT NULL AND batch = $2 AND batch > 0 AND run_id <> ALL ($3::text[])
        AND EXISTS (SELECT FROM lead)
)
SELECT epoch FROM lead";

/// Takes runs away, all but their records.
const TAKE_RUNS: &str = "
WITH lead AS MATERIALIZED (
    SELECT epoch FROM leadership WHERE id = 1 AND epoch = $1 FOR SHARE
), doomed AS MATERIALIZED (
    SELECT run_id, request_id, summary, bundle FROM runs
    WHERE finished_at IS NOT NULL AND (finished_at, run_id) < ($2, $3::text COLLATE \"C\")
        AND NOT EXISTS (SELECT FROM archive_queue AS waiting
            WHERE waiting.finished_at = runs.finished_at AND waiting.run_id = runs.run_id)
        AND EXISTS (SELECT FROM lead)
    ORDER BY finished_at, run_id LIMIT $4
), requests AS (
    INSERT INTO past_requests (request_id, run_id, summary)
    SELECT request_id, run_id, summary FROM doomed WHERE request_id IS NOT NULL
    ON CONFLICT DO NOTHING
), discarded AS (
    INSERT INTO discarded_runs SELECT run_id FROM doomed ON CONFLICT DO NOTHING
), unused AS (
    UPDATE bundle_uses AS kept SET runs = kept.runs - fewer.uses
    FROM (SELECT bundle, count(*) AS uses FROM doomed GROUP BY bundle) AS fewer
    WHERE digest = fewer.bundle
), snapshots_gone AS (
    DELETE FROM snapshots WHERE run_id IN (SELECT run_id FROM doomed)
), cached_gone AS (
    DELETE FROM cached_outcomes WHERE run_id IN (SELECT run_id FROM doomed)
), gone AS (
    DELETE FROM runs WHERE run_id IN (SELECT run_id FROM doomed)
)
SELECT (SELECT count(*) FROM doomed) FROM lead";

/// Deletes records of runs that are gone.
const TAKE_RECORDS: &str = "
WITH lead AS MATERIALIZED (
    SELECT epoch FROM leadership WHERE id = 1 AND epoch = $1 FOR SHARE
), gone AS (
    DELETE FROM records WHERE EXISTS (SELECT FROM lead) AND ctid = ANY (ARRAY(
        SELECT records.ctid FROM discarded_runs JOIN records USING (run_id) LIMIT $2))
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) FROM lead";

/// Forgets runs that are gone with all their records.
const FORGET: &str = "
WITH lead AS MATERIALIZED (
    SELECT epoch FROM leadership WHERE id = 1 AND epoch = $1 FOR SHARE
), gone AS (
    DELETE FROM discarded_runs WHERE EXISTS (SELECT FROM lead)
        AND NOT EXISTS (SELECT FROM records WHERE records.run_id = discarded_runs.run_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) FROM lead";

/// Deletes bundles that no run and no deployment uses. Whoever puts one meanwhile waits, or is waited for.
const TAKE_BUNDLES: &str = "
WITH lead AS MATERIALIZED (
    SELECT epoch FROM leadership WHERE id = 1 AND epoch = $1 FOR SHARE
), unused AS (
    DELETE FROM bundle_uses WHERE EXISTS (SELECT FROM lead) AND runs <= 0 AND put_at < $2
        AND NOT EXISTS (SELECT FROM deployments WHERE position(digest IN payload) > 0)
    RETURNING digest
), gone AS (
    DELETE FROM bundles WHERE digest IN (SELECT digest FROM unused) RETURNING 1
)
SELECT (SELECT count(*) FROM gone) FROM lead";

/// Runs a statement that gives one row if the epoch reigns, and says what it gave.
async fn fenced(
    client: &Client,
    epoch: Epoch,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Row, JournalError> {
    match in_time(client.query_opt(sql, parameters)).await? {
        Some(row) => Ok(row),
        None => Err(leadership::fenced(client, epoch).await),
    }
}

/// The same, of a statement that gives a count.
async fn count(
    client: &Client,
    epoch: Epoch,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<u64, JournalError> {
    let row = fenced(client, epoch, sql, parameters).await?;
    row.try_get(0).map(from_database).map_err(reading)
}

/// The planned batch, or a new one.
pub(super) async fn plan(
    client: &Client,
    epoch: Epoch,
    limit: u32,
) -> Result<Option<ArchiveBatch>, JournalError> {
    let (ours, limit) = (to_database(epoch.0), i64::from(limit));
    fenced(client, epoch, PLAN, &[&ours, &limit]).await?;
    let sql = "SELECT run_id, archive_state.batch, epoch FROM archive_queue
               JOIN archive_state ON archive_queue.batch = archive_state.batch
               WHERE archive_queue.batch IS NOT NULL ORDER BY finished_at, run_id";
    let planned = async { client.query(sql, &[]).await.map_err(reading) };
    let rows = read_in_time(planned).await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let number = first.try_get(1).map_err(reading)?;
    let planned_by = first.try_get(2).map_err(reading)?;
    Ok(Some(ArchiveBatch {
        number: from_database(number),
        epoch: Epoch(from_database(planned_by)),
        runs: ids(&rows)?,
    }))
}

fn ids(rows: &[Row]) -> Result<Vec<RunId>, JournalError> {
    let ids = rows.iter();
    ids.map(|row| run_id(row.try_get(0).map_err(reading)?))
        .collect()
}

/// Takes a batch out of the line.
pub(super) async fn archived(
    client: &Client,
    epoch: Epoch,
    number: u64,
    unreadable: &[RunId],
) -> Result<(), JournalError> {
    let (ours, number) = (to_database(epoch.0), to_database(number));
    let unreadable: Vec<&str> = unreadable.iter().map(RunId::as_str).collect();
    fenced(client, epoch, ARCHIVED, &[&ours, &number, &unreadable])
        .await
        .map(|_| ())
}

/// Discards a part.
pub(super) async fn discard(
    client: &Client,
    epoch: Epoch,
    discard: &Discard,
) -> Result<Discarded, JournalError> {
    let ours = to_database(epoch.0);
    // What finished before the first that waits is archived, so that nothing that waits is looked at. What
    // comes to wait in the meantime is not taken either.
    let waiting = read_in_time(first_waiting(client)).await?;
    let bound = discard.through.bound();
    let (at, run) = waiting.map_or(bound.clone(), |waiting| waiting.min(bound));
    let (most_runs, most_records) = (i64::from(discard.runs), i64::from(discard.records));
    let parameters: [&(dyn ToSql + Sync); 4] = [&ours, &at, &run, &most_runs];
    let runs = count(client, epoch, TAKE_RUNS, &parameters).await?;
    let records = count(client, epoch, TAKE_RECORDS, &[&ours, &most_records]).await?;
    count(client, epoch, FORGET, &[&ours]).await?;
    let is_done = runs < u64::from(discard.runs) && records < u64::from(discard.records);
    let put_before = discard.bundles_put_before.as_millis();
    let bundles = match is_done {
        true => count(client, epoch, TAKE_BUNDLES, &[&ours, &put_before]).await?,
        false => 0,
    };
    Ok(Discarded {
        runs,
        records,
        bundles,
        is_done,
    })
}

/// The place of the first run that waits to be archived.
async fn first_waiting(client: &Client) -> Result<Option<(i64, String)>, JournalError> {
    let sql = "SELECT finished_at, run_id FROM archive_queue WHERE batch IS NULL OR batch > 0
               ORDER BY finished_at, run_id LIMIT 1";
    let row = client.query_opt(sql, &[]).await.map_err(reading)?;
    let place = row.map(|row| {
        let at = row.try_get(0).map_err(reading)?;
        Ok((at, row.try_get(1).map_err(reading)?))
    });
    place.transpose()
}

/// See [`JournalReader::load_runs`](crate::JournalReader::load_runs).
pub(super) async fn load_runs(
    client: &impl GenericClient,
    runs: &[RunId],
) -> Result<Vec<LoadedRun>, JournalError> {
    let wanted: Vec<&RunId> = runs.iter().collect();
    let mut loaded = HashMap::new();
    for (run, history) in load_histories(client, &wanted).await? {
        let stored = match history {
            Ok(history) => history.into_counted().map(Ok),
            Err(error @ JournalError::Storage { .. }) => return Err(error),
            Err(error) => Some(Err(error)),
        };
        if let Some(stored) = stored {
            loaded.insert(run, stored);
        }
    }
    let in_order = runs.iter();
    let in_order = in_order.filter_map(|run| loaded.remove_entry(run));
    Ok(in_order.collect())
}

/// See [`JournalReader::archive_backlog`](crate::JournalReader::archive_backlog).
pub(super) async fn backlog(
    client: &impl GenericClient,
    limit: u32,
) -> Result<Backlog, JournalError> {
    let sql = "SELECT count(*), min(finished_at) FROM (SELECT finished_at FROM archive_queue
                   WHERE batch IS NULL OR batch > 0 ORDER BY finished_at, run_id LIMIT $1) AS first";
    let limit = i64::from(limit);
    let row = client.query_one(sql, &[&limit]).await.map_err(reading)?;
    let oldest: Option<i64> = row.try_get(1).map_err(reading)?;
    Ok(Backlog {
        runs: from_database(row.try_get(0).map_err(reading)?),
        oldest: oldest.map(Timestamp::from_millis),
    })
}

/// See [`JournalReader::list_unarchived`](crate::JournalReader::list_unarchived).
pub(super) async fn list_unarchived(
    client: &impl GenericClient,
    after: Option<&RunId>,
    limit: usize,
) -> Result<Vec<RunId>, JournalError> {
    let after = after.map_or("", RunId::as_str);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "SELECT run_id FROM runs WHERE finished_at IS NULL AND run_id > $1
               UNION ALL SELECT run_id FROM archive_queue WHERE run_id > $1
               ORDER BY run_id LIMIT $2";
    let rows = client.query(sql, &[&after, &limit]).await;
    ids(&rows.map_err(reading)?)
}

/// See [`JournalReader::finished_beyond`](crate::JournalReader::finished_beyond).
pub(super) async fn finished_beyond(
    client: &impl GenericClient,
    keep: u64,
) -> Result<Option<FinishedThrough>, JournalError> {
    let sql = "SELECT run_id, finished_at FROM runs WHERE finished_at IS NOT NULL
               ORDER BY finished_at DESC, run_id DESC LIMIT 1 OFFSET $1";
    let row = client.query_opt(sql, &[&to_database(keep)]).await;
    let through = row.map_err(reading)?.map(|row| {
        Ok(FinishedThrough {
            at: Timestamp::from_millis(row.try_get(1).map_err(reading)?),
            run: Some(run_id(row.try_get(0).map_err(reading)?)?),
        })
    });
    through.transpose()
}
