//! The tables, and how an older file becomes a present one: forward only, one transaction in all.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

/// Marks a SQLite file as a Marquetry journal: `MQTY`.
pub(super) const APPLICATION_ID: i64 = 0x4D51_5459;

/// What makes format `n + 1` out of format `n`. Entries are never changed, only added.
const MIGRATIONS: &[&str] = &[
    "
    -- The reign of the present coordinator: every append compares its own with this.
    CREATE TABLE leadership (
        id          INTEGER PRIMARY KEY CHECK (id = 1),
        epoch       INTEGER NOT NULL
    ) STRICT;
    INSERT INTO leadership VALUES (1, 0);

    -- One row a run, kept by every append in its own transaction, so that lists read no records.
    CREATE TABLE runs (
        run_id           TEXT PRIMARY KEY,
        name             TEXT NOT NULL,
        status           TEXT NOT NULL,
        request_id       TEXT UNIQUE,
        submitted_at     INTEGER NOT NULL,   -- milliseconds since 1970, UTC
        finished_at      INTEGER,            -- null while the run is unfinished
        last_sequence    INTEGER NOT NULL,   -- how many records the run has
        summary          TEXT NOT NULL       -- what lists show, as JSON, stage counts included
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX runs_by_name ON runs (name, run_id);
    CREATE INDEX runs_by_status ON runs (status, run_id);
    CREATE INDEX runs_unfinished ON runs (run_id) WHERE finished_at IS NULL;

    -- The truth. Sequences count from 1 without gaps within a run.
    CREATE TABLE records (
        run_id      TEXT NOT NULL,
        sequence    INTEGER NOT NULL,
        version     INTEGER NOT NULL,
        checksum    INTEGER NOT NULL,        -- CRC-32C over run, sequence, version and payload
        payload     TEXT NOT NULL,           -- JSON
        PRIMARY KEY (run_id, sequence)
    ) STRICT;

    -- What the records up to a sequence amount to: a shortcut for loading, never the truth.
    CREATE TABLE snapshots (
        run_id      TEXT PRIMARY KEY,
        sequence    INTEGER NOT NULL,
        version     INTEGER NOT NULL,
        checksum    INTEGER NOT NULL,
        payload     TEXT NOT NULL
    ) STRICT;

    -- Workflow files as they were submitted, by digest.
    CREATE TABLE bundles (
        digest      TEXT PRIMARY KEY,
        checksum    INTEGER NOT NULL,        -- CRC-32C over digest and payload
        payload     BLOB NOT NULL
    ) STRICT;
",
    "
    -- Versions of published tables and policies: what the records of successes say, found by name.
    CREATE TABLE publications (
        kind        TEXT NOT NULL,
        name        TEXT NOT NULL,
        version     INTEGER NOT NULL,        -- counted from 1 without gaps
        is_current  INTEGER NOT NULL,
        payload     TEXT NOT NULL,           -- JSON
        PRIMARY KEY (kind, name, version)
    ) STRICT, WITHOUT ROWID;
    -- A restart reads this and no history.
    CREATE UNIQUE INDEX publications_current ON publications (kind, name) WHERE is_current;
",
    "
    -- Who reigns, where it is reached, and until when it need not be heard of.
    ALTER TABLE leadership ADD COLUMN name TEXT NOT NULL DEFAULT '';
    ALTER TABLE leadership ADD COLUMN url TEXT NOT NULL DEFAULT '';
    ALTER TABLE leadership ADD COLUMN lease_ends_at INTEGER NOT NULL DEFAULT 0; -- milliseconds since 1970, UTC
",
    "
    -- Versions of deployed workflows, counted from 1 without gaps by name.
    CREATE TABLE deployments (
        name        TEXT NOT NULL,
        version     INTEGER NOT NULL,
        format      INTEGER NOT NULL,        -- of the payload
        checksum    INTEGER NOT NULL,        -- CRC-32C over name, version, format and payload
        payload     TEXT NOT NULL,           -- JSON
        PRIMARY KEY (name, version)
    ) STRICT;

    -- Which of them is current: no row where the workflow was retired.
    CREATE TABLE deployments_current (
        name        TEXT PRIMARY KEY,
        version     INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- The latest instant that a run of a schedule was due at, backfills apart.
    CREATE TABLE schedule_positions (
        workflow      TEXT NOT NULL,
        schedule      TEXT NOT NULL,
        scheduled_at  INTEGER NOT NULL,      -- milliseconds since 1970, UTC
        PRIMARY KEY (workflow, schedule)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- Finished runs that are not archived as they stand, in the order in which they are to be.
    CREATE TABLE archive_queue (
        finished_at INTEGER NOT NULL,        -- as in runs
        run_id      TEXT NOT NULL,
        batch       INTEGER,                 -- the planned one; 0 if the run cannot be read
        PRIMARY KEY (finished_at, run_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX archive_queue_planned ON archive_queue (batch) WHERE batch IS NOT NULL;
    INSERT INTO archive_queue SELECT finished_at, run_id, NULL FROM runs WHERE finished_at IS NOT NULL;

    -- The last batch that was planned, and by which epoch.
    CREATE TABLE archive_state (
        id          INTEGER PRIMARY KEY CHECK (id = 1),
        batch       INTEGER NOT NULL,
        epoch       INTEGER NOT NULL
    ) STRICT;
    INSERT INTO archive_state VALUES (1, 0, 0);

    CREATE INDEX runs_finished ON runs (finished_at, run_id) WHERE finished_at IS NOT NULL;

    -- How many runs use a bundle, so that the last one takes it along. Bundles from before are kept for ever.
    ALTER TABLE runs ADD COLUMN bundle TEXT;
    CREATE TABLE bundle_uses (
        digest      TEXT PRIMARY KEY,
        runs        INTEGER NOT NULL,
        put_at      INTEGER NOT NULL         -- milliseconds since 1970, UTC
    ) STRICT, WITHOUT ROWID;
    INSERT INTO bundle_uses SELECT digest, 1, 0 FROM bundles;

    -- Request ids of discarded runs, so that a request begins nothing twice.
    CREATE TABLE past_requests (
        request_id  TEXT PRIMARY KEY,
        run_id      TEXT NOT NULL,
        summary     TEXT NOT NULL            -- as in runs
    ) STRICT, WITHOUT ROWID;

    -- Runs that are gone and whose records are being deleted.
    CREATE TABLE discarded_runs (
        run_id      TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
",
    "
    -- What stages gave, by their content, so that it is used again; it goes with its run.
    CREATE TABLE cached_outcomes (
        key         TEXT PRIMARY KEY,
        run_id      TEXT NOT NULL,
        version     INTEGER NOT NULL,
        checksum    INTEGER NOT NULL,        -- CRC-32C over key, version and payload
        payload     TEXT NOT NULL            -- JSON
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX cached_outcomes_by_run ON cached_outcomes (run_id);
",
];

/// The format that this version reads and writes.
pub(super) const FORMAT: i64 = MIGRATIONS.len() as i64;

/// The format of an open file; 0 if it holds no table yet.
pub(super) fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
    let has_table: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version')",
        [],
        |row| row.get(0),
    )?;
    if !has_table {
        return Ok(0);
    }
    let format = connection
        .query_row("SELECT version FROM schema_version", [], |row| row.get(0))
        .optional()?;
    Ok(format.unwrap_or(0))
}

/// Brings a file of format `from`, 0 to [`FORMAT`], up to date.
pub(super) fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(from).unwrap_or(0);
    if done >= MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT;
         DELETE FROM schema_version;",
    )?;
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    transaction.execute("INSERT INTO schema_version VALUES (?1)", [FORMAT])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}
