//! Statements on the table of published versions.

use marquetry_types::{Publication, PublishedKind, PublishedName};
use rusqlite::{Connection, params};

use super::rows::{READING, storage, to_database};
use super::statements::{read_one, write};
use crate::JournalError;

/// Adds a version, which becomes the current one.
///
/// # Errors
/// [`JournalError::Inconsistent`] if it is not the one after the current version.
pub(super) fn put(connection: &Connection, publication: &Publication) -> Result<(), JournalError> {
    let published = &publication.published;
    let (kind, name) = (published.kind.as_str(), published.name.as_str());
    let inconsistent = |reason: String| JournalError::Inconsistent {
        run: publication.run.clone(),
        reason,
    };
    let current = current_version(connection, kind, name)?;
    if to_database(published.version) != current.saturating_add(1) {
        return Err(inconsistent(format!(
            "it publishes {published}, and the current version is {current}"
        )));
    }
    let json = serde_json::to_string(publication)
        .map_err(|error| inconsistent(format!("{published} cannot be written as JSON: {error}")))?;
    write(
        connection,
        "UPDATE publications SET is_current = 0 WHERE kind = ?1 AND name = ?2 AND is_current",
        params![kind, name],
    )?;
    write(
        connection,
        "INSERT INTO publications (kind, name, version, is_current, payload) VALUES (?1, ?2, ?3, 1, ?4)",
        params![kind, name, to_database(published.version), json],
    )
    .map(drop)
}

fn current_version(connection: &Connection, kind: &str, name: &str) -> Result<i64, JournalError> {
    let sql = "SELECT version FROM publications WHERE kind = ?1 AND name = ?2 AND is_current";
    let version = read_one(connection, sql, params![kind, name], |row| row.get(0))?;
    Ok(version.unwrap_or(0))
}

/// The current versions, by kind and name.
pub(super) fn list(
    connection: &Connection,
    kind: Option<PublishedKind>,
) -> Result<Vec<Publication>, JournalError> {
    let sql = "SELECT payload FROM publications WHERE is_current AND kind = ifnull(?1, kind)
               ORDER BY kind, name";
    read(connection, sql, params![kind.map(PublishedKind::as_str)])
}

/// The versions of one thing, the newest first.
pub(super) fn versions(
    connection: &Connection,
    kind: PublishedKind,
    name: &PublishedName,
    limit: usize,
) -> Result<Vec<Publication>, JournalError> {
    let sql = "SELECT payload FROM publications WHERE kind = ?1 AND name = ?2
               ORDER BY version DESC LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    read(
        connection,
        sql,
        params![kind.as_str(), name.as_str(), limit],
    )
}

/// One version of one thing, or its current one.
pub(super) fn find(
    connection: &Connection,
    kind: PublishedKind,
    name: &PublishedName,
    version: Option<u64>,
) -> Result<Option<Publication>, JournalError> {
    let found = match version {
        None => {
            let sql =
                "SELECT payload FROM publications WHERE kind = ?1 AND name = ?2 AND is_current";
            read(connection, sql, params![kind.as_str(), name.as_str()])?
        }
        Some(version) => {
            let sql =
                "SELECT payload FROM publications WHERE kind = ?1 AND name = ?2 AND version = ?3";
            let version = to_database(version);
            read(
                connection,
                sql,
                params![kind.as_str(), name.as_str(), version],
            )?
        }
    };
    Ok(found.into_iter().next())
}

/// A damaged row is an error: to pass over it would publish its version a second time.
fn read(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Publication>, JournalError> {
    let mut statement = connection.prepare_cached(sql).map_err(storage(READING))?;
    let mut rows = statement.query(parameters).map_err(storage(READING))?;
    let mut publications = Vec::new();
    while let Some(row) = rows.next().map_err(storage(READING))? {
        let json: String = row.get(0).map_err(storage(READING))?;
        let publication = serde_json::from_str(&json).map_err(|error| JournalError::Storage {
            doing: READING,
            reason: format!("its table of published versions is damaged: {error}"),
        })?;
        publications.push(publication);
    }
    Ok(publications)
}
