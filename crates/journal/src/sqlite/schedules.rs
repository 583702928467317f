//! Statements on the table of how far schedules have come.

use std::collections::BTreeMap;

use marquetry_types::Timestamp;
use rusqlite::{Connection, params};

use super::rows::{READING, storage};
use super::statements::write;
use crate::JournalError;
use crate::schedules::Step;

/// Moves a schedule on; it never moves back.
pub(super) fn advance(connection: &Connection, step: Step<'_>) -> Result<(), JournalError> {
    write(
        connection,
        "INSERT INTO schedule_positions (workflow, schedule, scheduled_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (workflow, schedule)
             DO UPDATE SET scheduled_at = max(scheduled_at, excluded.scheduled_at)",
        params![step.workflow, step.schedule, step.at.as_millis()],
    )
    .map(drop)
}

/// How far the schedules of a workflow have come.
pub(super) fn positions(
    connection: &Connection,
    workflow: &str,
) -> Result<BTreeMap<String, Timestamp>, JournalError> {
    let mut statement = connection
        .prepare("SELECT schedule, scheduled_at FROM schedule_positions WHERE workflow = ?1")
        .map_err(storage(READING))?;
    let rows = statement
        .query_map([workflow], |row| {
            Ok((row.get(0)?, Timestamp::from_millis(row.get(1)?)))
        })
        .map_err(storage(READING))?;
    rows.collect::<rusqlite::Result<_>>()
        .map_err(storage(READING))
}
