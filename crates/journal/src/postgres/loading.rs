//! Reading histories: for however many runs, one query for what is known of them, and one for their records.
//!
//! The second reads records up to the place that the first one said and no further. Records are only added,
//! so what comes out is a state that each run had, whatever is committed between the two.

use std::collections::BTreeMap;

use marquetry_types::RunId;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{GenericClient, Row};

use super::reader::reading;
use super::statements::{from_database, to_database};
use crate::envelope::StoredEnvelope;
use crate::history::History;
use crate::loading::Loading;
use crate::rows::run_id;
use crate::{JournalError, Unfinished};

/// How much is read at once, which bounds what is in memory and how long a statement takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Runs that are begun by one query at most.
    pub(super) runs: i64,
    /// Records that one query reads at most, unless they are all of one run.
    pub(super) records: u64,
}

impl Limits {
    pub(super) const USUAL: Self = Self {
        runs: 500,
        records: 20_000,
    };
}

/// A run as it was loaded.
type Loaded = (RunId, Result<History, JournalError>);

/// A run's history from its snapshot and the records after it; `None` if there is no such run.
pub(super) async fn load_history(
    client: &impl GenericClient,
    run: &RunId,
) -> Result<Option<History>, JournalError> {
    let loaded = load_histories(client, &[run]).await?;
    loaded.into_iter().next().map(|(_, it)| it).transpose()
}

/// The histories of those of `runs` that there are. Runs that are damaged are said one by one.
pub(super) async fn load_histories(
    client: &impl GenericClient,
    runs: &[&RunId],
) -> Result<Vec<Loaded>, JournalError> {
    let ids: Vec<&str> = runs.iter().map(|run| run.as_str()).collect();
    let begun = begin(client, "WHERE run_id = ANY ($1)", &[&ids]).await?;
    go_on(client, begun, Limits::USUAL).await
}

/// Every run without an end, the earliest first.
pub(super) async fn load_unfinished(
    client: &impl GenericClient,
    limits: Limits,
) -> Result<Unfinished, JournalError> {
    let mut unfinished = Unfinished::default();
    let mut after = String::new();
    loop {
        let which = "WHERE finished_at IS NULL AND run_id > $1 ORDER BY run_id LIMIT $2";
        let begun = begin(client, which, &[&after, &limits.runs]).await?;
        let Some((last, _)) = begun.last() else {
            return Ok(unfinished);
        };
        last.as_str().clone_into(&mut after);
        for (run, loaded) in go_on(client, begun, limits).await? {
            unfinished.add(run, loaded)?;
        }
    }
}

/// Begins with what the tables of runs and snapshots say of some runs.
async fn begin(
    client: &impl GenericClient,
    which: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<(RunId, Loading)>, JournalError> {
    let sql = format!(
        "SELECT run_id, last_sequence, snapshots.sequence, version, checksum, payload
         FROM runs LEFT JOIN snapshots USING (run_id) {which}"
    );
    let rows = client.query(&sql, parameters).await.map_err(reading)?;
    let begun = rows.iter().map(|row| {
        let run = run_id(column(row, 0)?)?;
        let last = from_database(column(row, 1)?);
        let has_snapshot = column::<Option<i64>>(row, 2)?.is_some();
        let snapshot = has_snapshot.then(|| envelope_of(row, 2)).transpose()?;
        Ok((run.clone(), Loading::begin(run, last, snapshot)))
    });
    begun.collect()
}

/// Adds their records, of as many at once as the limits allow.
async fn go_on(
    client: &impl GenericClient,
    begun: Vec<(RunId, Loading)>,
    limits: Limits,
) -> Result<Vec<Loaded>, JournalError> {
    let mut loaded = Vec::with_capacity(begun.len());
    let (mut group, mut records) = (Vec::new(), 0_u64);
    for (run, loading) in begun {
        records = records.saturating_add(loading.wanted());
        if records > limits.records && !group.is_empty() {
            records = loading.wanted();
            loaded.extend(finish(client, std::mem::take(&mut group)).await?);
        }
        group.push((run, loading));
    }
    loaded.extend(finish(client, group).await?);
    Ok(loaded)
}

/// Adds the records of a group, in one query.
async fn finish(
    client: &impl GenericClient,
    group: Vec<(RunId, Loading)>,
) -> Result<Vec<Loaded>, JournalError> {
    let mut group: BTreeMap<String, (RunId, Loading)> = group
        .into_iter()
        .map(|(run, loading)| (run.to_string(), (run, loading)))
        .collect();
    let runs: Vec<&str> = group.keys().map(String::as_str).collect();
    let places = group.values().map(|(_, loading)| loading);
    let known: Vec<i64> = places.clone().map(|it| to_database(it.known())).collect();
    let last: Vec<i64> = places.map(|it| to_database(it.last())).collect();
    // OFFSET keeps the planner from turning this around and reading the whole table of records.
    let sql = "SELECT records.run_id, sequence, version, checksum, payload
               FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS wanted (run_id, known, last),
                    LATERAL (SELECT * FROM records WHERE run_id = wanted.run_id
                             AND sequence > wanted.known AND sequence <= wanted.last OFFSET 0) AS records
               ORDER BY records.run_id, sequence";
    let rows = client.query(sql, &[&runs, &known, &last]).await;
    for row in rows.map_err(reading)? {
        let (sequence, stored) = envelope_of(&row, 1)?;
        if let Some((_, loading)) = group.get_mut(column::<&str>(&row, 0)?) {
            loading.record(sequence, &stored);
        }
    }
    let loaded = group.into_values();
    Ok(loaded.map(|(run, it)| (run, it.finish())).collect())
}

/// `sequence, version, checksum, payload`, from the column `first` on.
fn envelope_of(row: &Row, first: usize) -> Result<(u64, StoredEnvelope), JournalError> {
    let sequence = from_database(column(row, first)?);
    Ok((sequence, envelope(row, first + 1)?))
}

/// `version, checksum, payload`, from the column `first` on.
pub(super) fn envelope(row: &Row, first: usize) -> Result<StoredEnvelope, JournalError> {
    let payload: String = column(row, first + 2)?;
    Ok(StoredEnvelope {
        version: column(row, first)?,
        checksum: column(row, first + 1)?,
        payload: payload.into_bytes(),
    })
}

fn column<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T, JournalError> {
    row.try_get(index).map_err(reading)
}
