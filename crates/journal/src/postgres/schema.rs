//! The tables, and how an older schema becomes a present one: forward only, one transaction in all, and one
//! coordinator at a time.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, GenericClient};

use super::connect::{Place, cause, is_away};
use super::patience::Patience;
use crate::JournalError;

/// The lock that keeps two coordinators from migrating at once: `MQTY`.
pub(super) const LOCK: i64 = 0x4D51_5459;

/// What makes format `n + 1` out of format `n`. Entries are never changed, only added. They mirror those
/// of SQLite (`sqlite/schema.rs`), which says what each column is for.
const MIGRATIONS: &[&str] = &[
    "
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
",
    "
    CREATE TABLE deployments (
        name           text COLLATE \"C\" NOT NULL,
        version        bigint NOT NULL,
        format         bigint NOT NULL,
        checksum       bigint NOT NULL,
        payload        text NOT NULL,
        PRIMARY KEY (name, version)
    );

    CREATE TABLE deployments_current (
        name           text COLLATE \"C\" PRIMARY KEY,
        version        bigint NOT NULL
    );

    CREATE TABLE schedule_positions (
        workflow       text COLLATE \"C\" NOT NULL,
        schedule       text COLLATE \"C\" NOT NULL,
        scheduled_at   bigint NOT NULL,
        PRIMARY KEY (workflow, schedule)
    );
",
    "
    CREATE TABLE archive_queue (
        finished_at    bigint NOT NULL,
        run_id         text COLLATE \"C\" NOT NULL,
        batch          bigint,
        PRIMARY KEY (finished_at, run_id)
    );
    CREATE INDEX archive_queue_planned ON archive_queue (batch) WHERE batch IS NOT NULL;
    INSERT INTO archive_queue SELECT finished_at, run_id, NULL FROM runs WHERE finished_at IS NOT NULL;

    CREATE TABLE archive_state (
        id             integer PRIMARY KEY CHECK (id = 1),
        batch          bigint NOT NULL,
        epoch          bigint NOT NULL
    );
    INSERT INTO archive_state VALUES (1, 0, 0);

    CREATE INDEX runs_finished ON runs (finished_at, run_id) WHERE finished_at IS NOT NULL;

    ALTER TABLE runs ADD COLUMN bundle text;
    CREATE TABLE bundle_uses (
        digest         text PRIMARY KEY,
        runs           bigint NOT NULL,
        put_at         bigint NOT NULL
    );
    INSERT INTO bundle_uses SELECT digest, 1, 0 FROM bundles;

    CREATE TABLE past_requests (
        request_id     text PRIMARY KEY,
        run_id         text COLLATE \"C\" NOT NULL,
        summary        text NOT NULL
    );

    CREATE TABLE discarded_runs (
        run_id         text COLLATE \"C\" PRIMARY KEY
    );
",
    "
    CREATE TABLE cached_outcomes (
        key            text PRIMARY KEY,
        run_id         text COLLATE \"C\" NOT NULL,
        version        bigint NOT NULL,
        checksum       bigint NOT NULL,
        payload        text NOT NULL
    );
    CREATE INDEX cached_outcomes_by_run ON cached_outcomes (run_id);
",
];

pub(super) const FORMAT: i64 = MIGRATIONS.len() as i64;

/// Brings the schema up to date, making it where it is not there.
pub(super) async fn migrate(place: &Place) -> Result<(), JournalError> {
    let refused = |error: tokio_postgres::Error| refused(place, &error);
    let mut client = connect(place, Patience::MIGRATING).await?;
    // Where there is nothing to do, it takes no lock, and no right to make anything.
    if is_present(place, &client).await? {
        return Ok(());
    }
    let transaction = client.transaction().await.map_err(refused)?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await
        .map_err(refused)?;
    // Whoever had the lock before may have done it all.
    let schema = &place.schema;
    transaction
        .batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL);"
        ))
        .await
        .map_err(refused)?;
    if is_present(place, &transaction).await? {
        return Ok(());
    }
    let found = format_of(place, &transaction).await?.unwrap_or(0);
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

/// Whether there is a journal of the present format.
///
/// # Errors
/// There is one of a later format.
async fn is_present(place: &Place, client: &impl GenericClient) -> Result<bool, JournalError> {
    match format_of(place, client).await? {
        Some(found) if found > FORMAT => Err(unknown(place, found)),
        found => Ok(found == Some(FORMAT)),
    }
}

/// Checks that there is a journal of the present format.
pub(super) async fn check(place: &Place) -> Result<(), JournalError> {
    let client = connect(place, Patience::READING).await?;
    match format_of(place, &client).await? {
        Some(FORMAT) => Ok(()),
        Some(found) => Err(unknown(place, found)),
        None => Err(JournalError::Open {
            journal: place.shown.clone(),
            reason: format!(
                "schema `{}` holds no journal: no server was started on it yet",
                place.schema
            ),
        }),
    }
}

async fn connect(place: &Place, patience: Patience) -> Result<Client, JournalError> {
    let connected = place.try_connect(patience).await;
    connected.map_err(|error| refused(place, &error))
}

/// The format of the journal that is there, if there is one.
async fn format_of(
    place: &Place,
    client: &impl GenericClient,
) -> Result<Option<i64>, JournalError> {
    // By its full name: a schema that this user may not look into would be passed over otherwise, and be
    // said to be missing.
    let sql = format!("SELECT version FROM {}.schema_version", place.schema);
    let row = match client.query_opt(&sql, &[]).await {
        Ok(row) => row,
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => None,
        Err(error) => return Err(refused(place, &error)),
    };
    let version = row.map(|row| row.try_get(0)).transpose();
    version.map_err(|error| refused(place, &error))
}

fn refused(place: &Place, error: &tokio_postgres::Error) -> JournalError {
    let (journal, reason) = (place.shown.clone(), cause(error));
    match is_away(error) {
        true => JournalError::Away { journal, reason },
        false => JournalError::Open { journal, reason },
    }
}

fn unknown(place: &Place, found: i64) -> JournalError {
    JournalError::UnknownFormat {
        journal: place.shown.clone(),
        found,
        known: FORMAT,
    }
}
