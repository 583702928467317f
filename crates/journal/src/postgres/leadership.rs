//! Statements on the one row that says who leads.

use std::time::Duration;

use marquetry_types::Epoch;
use tokio_postgres::{Client, GenericClient};

use super::connect::APPLICATION;
use super::patience::{Failure, in_time, read_in_time};
use super::reader::reading;
use super::statements::{from_database, to_database};
use crate::requests::{Answer, Done};
use crate::{Campaign, Candidate, JournalError, Leader};

/// Ends sessions of coordinators that hold the row's lock and wait for their coordinator all the same, for
/// longer than this session waits for a lock. A commit is one statement, but it is sent in pieces, of which
/// the last one commits: a coordinator that is paused between two of them would keep everybody from leading
/// until it goes on. Its commit is undone, and it finds out that its connection is gone.
const END_PAUSED: &str = "
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE relation = 'leadership'::regclass AND granted AND mode IN ('RowShareLock', 'RowExclusiveLock')
  AND application_name = $1 AND usename = current_user AND datname = current_database()
  AND pid <> pg_backend_pid()
  AND wait_event_type = 'Client'
  AND xact_start < clock_timestamp() - current_setting('lock_timeout')::interval";

/// Tries to lead. Where the row is locked for too long, somebody else's commit is under way: that is an
/// answer for those who follow it, and an error for itself.
pub(super) async fn campaign(client: &Client, candidate: &Candidate) -> Answer {
    let lease = milliseconds(candidate.lease);
    let won = in_time(client.query_opt(
        "UPDATE leadership SET epoch = epoch + 1, name = $1, url = $2,
             lease_ends_at = clock_timestamp() + $3 * interval '1 millisecond'
         WHERE id = 1 AND (lease_ends_at <= clock_timestamp() OR name = $1) RETURNING epoch",
        &[&candidate.name, &candidate.url, &lease],
    ))
    .await;
    let locked_out = match won {
        Ok(Some(row)) => {
            let epoch: i64 = row.try_get(0).map_err(Failure::Database)?;
            return Ok(Done::Campaign(Campaign::Won(Epoch(from_database(epoch)))));
        }
        Ok(None) => None,
        Err(failure) if failure.is_locked_out() => Some(failure),
        Err(failure) => return Err(failure.into()),
    };
    if locked_out.is_some() {
        let ended = in_time(client.query(END_PAUSED, &[&APPLICATION])).await;
        match ended {
            Ok(ended) if ended.is_empty() => {}
            Ok(ended) => tracing::warn!(
                sessions = ended.len(),
                "a paused coordinator held the journal: its session is ended"
            ),
            Err(failure) => {
                let error = JournalError::from(failure);
                tracing::warn!(%error, "whoever holds the journal cannot be ended");
            }
        }
    }
    let leader = read_in_time(leader(client)).await?;
    match (leader, locked_out) {
        (Some(leader), Some(failure)) if leader.name == candidate.name => Err(failure.into()),
        (Some(leader), _) => Ok(Done::Campaign(Campaign::Lost(leader))),
        (None, Some(failure)) => Err(failure.into()),
        (None, None) => Err(JournalError::Storage {
            doing: "read the journal",
            reason: "it does not say who leads".to_owned(),
        }),
    }
}

pub(super) async fn renew(client: &Client, epoch: Epoch, lease: Duration) -> Answer {
    let (lease, ours) = (milliseconds(lease), to_database(epoch.0));
    let changed = in_time(client.execute(
        "UPDATE leadership SET lease_ends_at = clock_timestamp() + $1 * interval '1 millisecond'
         WHERE id = 1 AND epoch = $2",
        &[&lease, &ours],
    ))
    .await?;
    match changed {
        0 => Err(fenced(client, epoch).await),
        _ => Ok(Done::Written),
    }
}

/// The error of an epoch that is not the journal's.
pub(super) async fn fenced(client: &Client, ours: Epoch) -> JournalError {
    match read_in_time(leader(client)).await {
        Ok(leader) => JournalError::Fenced {
            ours,
            current: leader.map_or(Epoch(0), |leader| leader.epoch),
        },
        Err(error) => error,
    }
}

pub(super) async fn leader(client: &impl GenericClient) -> Result<Option<Leader>, JournalError> {
    let sql = "SELECT epoch, name, url FROM leadership WHERE id = 1 AND epoch > 0";
    let row = client.query_opt(sql, &[]).await.map_err(reading)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Leader {
        epoch: Epoch(from_database(row.try_get(0).map_err(reading)?)),
        name: row.try_get(1).map_err(reading)?,
        url: row.try_get(2).map_err(reading)?,
    }))
}

fn milliseconds(lease: Duration) -> f64 {
    lease.as_secs_f64() * 1000.0
}
