//! Statements on the tables of deployed workflows.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::{READING, WRITING, from_database, storage, to_database};
use crate::deployment::{Proposal, Standing, StoredDeployment};
use crate::envelope::StoredEnvelope;
use crate::{Deployed, Deployment, Deployments, JournalError, Page};

/// Current versions, each with nothing where its row is lost.
const CURRENT: &str = "SELECT current.name, current.version, format, checksum, payload
    FROM deployments_current AS current
    LEFT JOIN deployments ON deployments.name = current.name AND deployments.version = current.version";

/// Makes a version, unless the current one is the same.
pub(super) fn deploy(
    connection: &Connection,
    proposal: &Proposal,
) -> Result<Deployed, JournalError> {
    let verdict = proposal.decide(standing(connection, proposal.name())?);
    if let Some(envelope) = verdict.envelope {
        let name = proposal.name();
        let version = to_database(verdict.deployed.deployment.version);
        connection
            .execute(
                "INSERT INTO deployments (name, version, format, checksum, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![name, version, envelope.version, envelope.checksum, envelope.payload],
            )
            .map_err(storage(WRITING))?;
        connection
            .execute(
                "INSERT OR REPLACE INTO deployments_current (name, version) VALUES (?1, ?2)",
                params![name, version],
            )
            .map_err(storage(WRITING))?;
    }
    Ok(verdict.deployed)
}

fn standing(connection: &Connection, name: &str) -> Result<Standing, JournalError> {
    let newest: i64 = connection
        .query_row(
            "SELECT ifnull(max(version), 0) FROM deployments WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .map_err(storage(READING))?;
    Ok(Standing {
        newest: from_database(newest),
        current: find(connection, name, None)?,
    })
}

/// Makes no version current, and says which one was.
pub(super) fn retire(connection: &Connection, name: &str) -> Result<Option<u64>, JournalError> {
    let retired: Option<i64> = connection
        .query_row(
            "DELETE FROM deployments_current WHERE name = ?1 RETURNING version",
            [name],
            |row| row.get(0),
        )
        .optional()
        .map_err(storage(WRITING))?;
    Ok(retired.map(from_database))
}

/// A version, or the current one.
pub(super) fn get(
    connection: &Connection,
    name: &str,
    version: Option<u64>,
) -> Result<Option<Deployment>, JournalError> {
    let found = find(connection, name, version)?;
    Ok(found.map(StoredDeployment::open).transpose()?)
}

fn find(
    connection: &Connection,
    name: &str,
    version: Option<u64>,
) -> Result<Option<StoredDeployment>, JournalError> {
    let found = match version {
        None => {
            let sql = format!("{CURRENT} WHERE current.name = ?1");
            read(connection, &sql, params![name])?
        }
        Some(version) => {
            let sql = "SELECT name, version, format, checksum, payload FROM deployments
                       WHERE name = ?1 AND version = ?2";
            read(connection, sql, params![name, to_database(version)])?
        }
    };
    Ok(found.into_iter().next())
}

/// The current versions, by name.
pub(super) fn current(connection: &Connection) -> Result<Deployments, JournalError> {
    let sql = format!("{CURRENT} ORDER BY current.name");
    Ok(read(connection, &sql, [])?.into_iter().collect())
}

/// The versions of one workflow, the newest first.
pub(super) fn list(
    connection: &Connection,
    name: &str,
    page: &Page<u64>,
) -> Result<Deployments, JournalError> {
    let sql = "SELECT name, version, format, checksum, payload FROM deployments
               WHERE name = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3";
    let before = page.after.map_or(i64::MAX, to_database);
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let found = read(connection, sql, params![name, before, limit])?;
    Ok(found.into_iter().collect())
}

/// Rows of `name, version, format, checksum, payload`, of which the last three may be null.
fn read(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<StoredDeployment>, JournalError> {
    let mut statement = connection.prepare(sql).map_err(storage(READING))?;
    let rows = statement
        .query_map(parameters, stored)
        .map_err(storage(READING))?;
    rows.collect::<rusqlite::Result<_>>()
        .map_err(storage(READING))
}

/// A row, believing nothing: the payload need not be text.
fn stored(row: &Row<'_>) -> rusqlite::Result<StoredDeployment> {
    let envelope = match row.get::<_, Option<i64>>(2)? {
        Some(version) => Some(StoredEnvelope {
            version,
            checksum: row.get(3)?,
            payload: row.get_ref(4)?.as_bytes()?.to_vec(),
        }),
        None => None,
    };
    Ok(StoredDeployment {
        name: row.get(0)?,
        version: from_database(row.get(1)?),
        envelope,
    })
}
