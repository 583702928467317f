//! Statements on the one row that says who leads.

use std::time::Duration;

use marquetry_types::{Epoch, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{READING, WRITING, epoch, from_database, storage, to_database};
use crate::{Campaign, Candidate, JournalError, Leader};

/// Ends whatever lease there is. The one process that may write opens the journal: whoever led is gone.
pub(super) fn end_lease(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE leadership SET lease_ends_at = 0", [])?;
    Ok(())
}

pub(super) fn campaign(
    connection: &Connection,
    candidate: &Candidate,
) -> Result<Campaign, JournalError> {
    let now = Timestamp::now();
    let won: Option<i64> = connection
        .query_row(
            "UPDATE leadership SET epoch = epoch + 1, name = ?1, url = ?2, lease_ends_at = ?3
             WHERE id = 1 AND (lease_ends_at <= ?4 OR name = ?1) RETURNING epoch",
            params![
                candidate.name,
                candidate.url,
                now.saturating_add(candidate.lease).as_millis(),
                now.as_millis()
            ],
            |row| row.get(0),
        )
        .optional()
        .map_err(storage(WRITING))?;
    if let Some(epoch) = won {
        return Ok(Campaign::Won(Epoch(from_database(epoch))));
    }
    let leader = leader(connection)?.ok_or_else(|| JournalError::Storage {
        doing: READING,
        reason: "it does not say who leads".to_owned(),
    })?;
    Ok(Campaign::Lost(leader))
}

pub(super) fn renew(
    connection: &Connection,
    ours: Epoch,
    lease: Duration,
) -> Result<(), JournalError> {
    let ends_at = Timestamp::now().saturating_add(lease).as_millis();
    let changed = connection
        .execute(
            "UPDATE leadership SET lease_ends_at = ?1 WHERE id = 1 AND epoch = ?2",
            params![ends_at, to_database(ours.0)],
        )
        .map_err(storage(WRITING))?;
    if changed == 0 {
        let current = epoch(connection)?;
        return Err(JournalError::Fenced { ours, current });
    }
    Ok(())
}

pub(super) fn leader(connection: &Connection) -> Result<Option<Leader>, JournalError> {
    connection
        .query_row(
            "SELECT epoch, name, url FROM leadership WHERE id = 1 AND epoch > 0",
            [],
            |row| {
                Ok(Leader {
                    epoch: Epoch(from_database(row.get(0)?)),
                    name: row.get(1)?,
                    url: row.get(2)?,
                })
            },
        )
        .optional()
        .map_err(storage(READING))
}
