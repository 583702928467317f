//! The tables, and how an older schema becomes a present one: forward only, one transaction in all, and one
//! coordinator at a time.

use tokio_postgres::{Client, GenericClient};

use super::connect::{Place, cause};
use super::patience::Patience;
use crate::JournalError;

/// The lock that keeps two coordinators from migrating at once: `MQTY`.
const LOCK: i64 = 0x4D51_5459;

/// What makes format `n + 1` out of format `n`. Entries are never changed, only added. They mirror those
/// of SQLite (`sqlite/schema.rs`), which says what each column is for.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE leadership (
        id             integer PRIMARY KEY CHECK (id = 1),
        epoch          bigint NOT NULL,
        name           text NOT NULL,
        url            text NOT NULL,
        lease_ends_at  timestamptz NOT NULL
    );
    INSERT INTO leadership VALUES (1, 0, '', '', '-infinity');

    CREATE TABLE runs (
        run_id         text COLLATE \"C\" PRIMARY KEY,
        name           text NOT NULL,
        status         text NOT NULL,
        request_id     text,
        submitted_at   bigint NOT NULL,
        finished_at    bigint,
        last_sequence  bigint NOT NULL,
        summary        text NOT NULL
    );
    CREATE UNIQUE INDEX runs_by_request ON runs (request_id);
    CREATE INDEX runs_by_name ON runs (name, run_id);
    CREATE INDEX runs_by_status ON runs (status, run_id);
    CREATE INDEX runs_unfinished ON runs (run_id) WHERE finished_at IS NULL;

    CREATE TABLE records (
        run_id         text COLLATE \"C\" NOT NULL,
        sequence       bigint NOT NULL,
        version        bigint NOT NULL,
        checksum       bigint NOT NULL,
        payload        text NOT NULL,
        PRIMARY KEY (run_id, sequence)
    );

    CREATE TABLE snapshots (
        run_id         text COLLATE \"C\" PRIMARY KEY,
        sequence       bigint NOT NULL,
        version        bigint NOT NULL,
        checksum       bigint NOT NULL,
        payload        text NOT NULL
    );

    CREATE TABLE bundles (
        digest         text PRIMARY KEY,
        checksum       bigint NOT NULL,
        payload        bytea NOT NULL
    );

    CREATE TABLE publications (
        kind           text COLLATE \"C\" NOT NULL,
        name           text COLLATE \"C\" NOT NULL,
        version        bigint NOT NULL,
        payload        text NOT NULL,
        PRIMARY KEY (kind, name, version)
    );
    -- The current versions: a restart reads this and no history.
    CREATE TABLE publications_current (
        kind           text COLLATE \"C\" NOT NULL,
        name           text COLLATE \"C\" NOT NULL,
        version        bigint NOT NULL,
        payload        text NOT NULL,
        PRIMARY KEY (kind, name)
    );
"];

const FORMAT: i64 = MIGRATIONS.len() as i64;

/// Brings the schema up to date, making it where it is not there.
pub(super) async fn migrate(place: &Place) -> Result<(), JournalError> {
    let refused = |error: tokio_postgres::Error| JournalError::Open {
        journal: place.shown.clone(),
        reason: cause(&error),
    };
    let mut client = connect(place, Patience::MIGRATING).await?;
    let transaction = client.transaction().await.map_err(refused)?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await
        .map_err(refused)?;
    let schema = &place.schema;
    transaction
        .batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL);"
        ))
        .await
        .map_err(refused)?;
    let found = format_of(&transaction).await.map_err(refused)?.unwrap_or(0);
    if found > FORMAT {
        return Err(unknown(place, found));
    }
    let done = usize::try_from(found).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction
            .batch_execute(migration)
            .await
            .map_err(refused)?;
    }
    transaction
        .batch_execute(&format!(
            "DELETE FROM schema_version; INSERT INTO schema_version VALUES ({FORMAT});"
        ))
        .await
        .map_err(refused)?;
    transaction.commit().await.map_err(refused)
}

/// Checks that there is a journal of the present format.
pub(super) async fn check(place: &Place) -> Result<(), JournalError> {
    let client = connect(place, Patience::READING).await?;
    match format_of(&client).await {
        Ok(Some(FORMAT)) => Ok(()),
        Ok(Some(found)) => Err(unknown(place, found)),
        Ok(None) | Err(_) => Err(JournalError::Open {
            journal: place.shown.clone(),
            reason: format!(
                "schema `{}` holds no journal: no server was started on it yet",
                place.schema
            ),
        }),
    }
}

async fn connect(place: &Place, patience: Patience) -> Result<Client, JournalError> {
    place.connect(patience).await.map_err(|error| match error {
        JournalError::Storage { reason, .. } => JournalError::Open {
            journal: place.shown.clone(),
            reason,
        },
        other => other,
    })
}

async fn format_of(client: &impl GenericClient) -> Result<Option<i64>, tokio_postgres::Error> {
    let row = client
        .query_opt("SELECT version FROM schema_version", &[])
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

fn unknown(place: &Place, found: i64) -> JournalError {
    JournalError::UnknownFormat {
        journal: place.shown.clone(),
        found,
        known: FORMAT,
    }
}
