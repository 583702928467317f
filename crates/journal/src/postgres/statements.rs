//! The one statement of a commit, and what goes into it.

use std::collections::{BTreeMap, HashMap};

use marquetry_engine::Record;
use marquetry_types::{Epoch, Publication, RunId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use crate::JournalError;
use crate::cached::Entry;
use crate::envelope::{Envelope, RECORD_VERSION, SNAPSHOT_VERSION};
use crate::history::History;
use crate::schedules::Step;

/// Everything of a commit, in one statement and so in one transaction: the row of the leadership is locked
/// and its epoch compared first, and without it nothing is put.
const COMMIT: &str = "
WITH lead AS MATERIALIZED (
    SELECT epoch FROM leadership WHERE id = 1 AND epoch = $1
        -- The rule of uniqueness that the table of runs has for its own.
        AND NOT EXISTS (SELECT FROM past_requests WHERE request_id = ANY ($10::text[]))
    FOR SHARE
), put_records AS (
    INSERT INTO records (run_id, sequence, version, checksum, payload)
    SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
    WHERE EXISTS (SELECT FROM lead)
), put_runs AS (
    INSERT INTO runs
        (run_id, name, status, request_id, submitted_at, finished_at, last_sequence, summary,
         bundle)
    SELECT * FROM unnest($7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[],
                         $12::bigint[], $13::bigint[], $14::text[], $27::text[])
    WHERE EXISTS (SELECT FROM lead)
    ON CONFLICT (run_id) DO UPDATE SET status = excluded.status,
        finished_at = excluded.finished_at, last_sequence = excluded.last_sequence,
        summary = excluded.summary
), put_snapshots AS (
    INSERT INTO snapshots (run_id, sequence, version, checksum, payload)
    SELECT * FROM unnest($15::text[], $16::bigint[], $17::bigint[], $18::bigint[], $19::text[])
    WHERE EXISTS (SELECT FROM lead)
    ON CONFLICT (run_id) DO UPDATE SET sequence = excluded.sequence, version = excluded.version,
        checksum = excluded.checksum, payload = excluded.payload
), put_publications AS (
    INSERT INTO publications (kind, name, version, payload)
    SELECT * FROM unnest($20::text[], $21::text[], $22::bigint[], $23::text[])
    WHERE EXISTS (SELECT FROM lead)
), put_current AS (
    INSERT INTO publications_current (kind, name, version, payload)
    SELECT DISTINCT ON (kind, name) kind, name, version, payload
    FROM unnest($20::text[], $21::text[], $22::bigint[], $23::text[])
         AS published (kind, name, version, payload)
    WHERE EXISTS (SELECT FROM lead)
    ORDER BY kind, name, version DESC
    ON CONFLICT (kind, name) DO UPDATE SET version = excluded.version, payload = excluded.payload
), put_positions AS (
    INSERT INTO schedule_positions AS kept (workflow, schedule, scheduled_at)
    SELECT workflow, schedule, max(scheduled_at)
    FROM unnest($24::text[], $25::text[], $26::bigint[]) AS steps (workflow, schedule, scheduled_at)
    WHERE EXISTS (SELECT FROM lead)
    GROUP BY workflow, schedule
    ON CONFLICT (workflow, schedule)
        DO UPDATE SET scheduled_at = greatest(kept.scheduled_at, excluded.scheduled_at)
), put_queue AS (
    INSERT INTO archive_queue (finished_at, run_id)
    SELECT * FROM unnest($28::bigint[], $29::text[])
    WHERE EXISTS (SELECT FROM lead)
    ON CONFLICT (finished_at, run_id) DO UPDATE SET batch = NULL
), drop_queue AS (
    DELETE FROM archive_queue
    WHERE EXISTS (SELECT FROM lead) AND cardinality($30::text[]) > 0 AND run_id = ANY ($30::text[])
        AND NOT EXISTS (SELECT FROM unnest($28::bigint[], $29::text[]) AS put (finished_at, run_id)
            WHERE put.finished_at = archive_queue.finished_at
                AND put.run_id = archive_queue.run_id)
), put_uses AS (
    INSERT INTO bundle_uses AS kept (digest, runs, put_at)
    SELECT digest, count(*), 0 FROM unnest($31::text[]) AS used (digest)
    WHERE EXISTS (SELECT FROM lead)
    GROUP BY digest
    ON CONFLICT (digest) DO UPDATE SET runs = kept.runs + excluded.runs
), put_cached AS (
    INSERT INTO cached_outcomes (key, run_id, version, checksum, payload)
    SELECT * FROM unnest($32::text[], $33::text[], $34::bigint[], $35::bigint[], $36::text[])
    WHERE EXISTS (SELECT FROM lead)
    ON CONFLICT (key) DO UPDATE SET run_id = excluded.run_id, version = excluded.version,
        checksum = excluded.checksum, payload = excluded.payload
)
SELECT epoch FROM lead";

/// PostgreSQL's integers are signed; sequences and epochs count from 1 and never come near the sign.
pub(super) fn to_database(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn from_database(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Envelopes, a column each.
#[derive(Debug, Default)]
struct Envelopes {
    runs: Vec<String>,
    sequences: Vec<i64>,
    versions: Vec<i64>,
    checksums: Vec<i64>,
    payloads: Vec<String>,
}

impl Envelopes {
    fn push(&mut self, run: &RunId, sequence: u64, envelope: Envelope) {
        self.runs.push(run.to_string());
        self.sequences.push(to_database(sequence));
        self.versions.push(envelope.version);
        self.checksums.push(i64::from(envelope.checksum));
        self.payloads.push(envelope.payload);
    }
}

/// Rows of the table of runs, a column each.
#[derive(Debug, Default)]
struct Summaries {
    runs: Vec<String>,
    names: Vec<String>,
    statuses: Vec<String>,
    request_ids: Vec<Option<String>>,
    submitted: Vec<i64>,
    finished: Vec<Option<i64>>,
    sequences: Vec<i64>,
    summaries: Vec<String>,
    bundles: Vec<String>,
}

/// Published versions, a column each.
#[derive(Debug, Default)]
struct Published {
    kinds: Vec<String>,
    names: Vec<String>,
    versions: Vec<i64>,
    payloads: Vec<String>,
}

/// Steps of schedules, a column each.
#[derive(Debug, Default)]
struct Steps {
    workflows: Vec<String>,
    schedules: Vec<String>,
    instants: Vec<i64>,
}

/// What changes in the line of runs to be archived, and in the uses of bundles.
#[derive(Debug, Default)]
struct Line {
    /// Runs whose last word in this commit is that they finished.
    finished: BTreeMap<RunId, i64>,
    resumed: Vec<String>,
    bundles: Vec<String>,
}

impl Line {
    fn follow(&mut self, record: &Record) {
        match record {
            Record::RunSubmitted(submitted) => self.bundles.push(submitted.bundle.clone()),
            Record::RunFinished { run, at, .. } => {
                self.finished.insert(run.clone(), at.as_millis());
            }
            Record::RunResumed { run, .. } => {
                self.finished.remove(run);
                self.resumed.push(run.to_string());
            }
            _ => {}
        }
    }
}

/// What a commit puts.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Envelopes,
    summaries: Summaries,
    snapshots: Envelopes,
    published: Published,
    steps: Steps,
    line: Line,
    /// Outcomes that may be used again; of two with a key the later one counts.
    cached: BTreeMap<String, Entry>,
    /// The latest version of each published thing, this batch included.
    current: HashMap<(String, String), u64>,
}

impl Batch {
    /// Adds a record that was applied to its history already, and the step that it is of a schedule.
    pub(super) fn record(
        &mut self,
        history: &History,
        record: &Record,
    ) -> Result<(), JournalError> {
        let (run, sequence) = (history.run(), history.sequence());
        let envelope = Envelope::seal(run, sequence, RECORD_VERSION, record)?;
        self.records.push(run, sequence, envelope);
        if let Some(step) = Step::of(record)? {
            self.steps.workflows.push(step.workflow.to_owned());
            self.steps.schedules.push(step.schedule.to_owned());
            self.steps.instants.push(step.at.as_millis());
        }
        if let Some(entry) = Entry::of(record)? {
            self.cached.insert(entry.key.clone(), entry);
        }
        self.line.follow(record);
        Ok(())
    }

    /// Adds a version, which must follow the current one.
    pub(super) async fn publication(
        &mut self,
        client: &Client,
        publication: &Publication,
    ) -> Result<(), JournalError> {
        let published = &publication.published;
        let inconsistent = |reason: String| JournalError::Inconsistent {
            run: publication.run.clone(),
            reason,
        };
        let key = (
            published.kind.as_str().to_owned(),
            published.name.as_str().to_owned(),
        );
        let current = match self.current.get(&key) {
            Some(current) => *current,
            None => current_version(client, &key).await?,
        };
        if published.version != current.saturating_add(1) {
            return Err(inconsistent(format!(
                "it publishes {published}, and the current version is {current}"
            )));
        }
        let payload = serde_json::to_string(publication).map_err(|error| {
            inconsistent(format!("{published} cannot be written as JSON: {error}"))
        })?;
        self.published.kinds.push(key.0.clone());
        self.published.names.push(key.1.clone());
        self.published.versions.push(to_database(published.version));
        self.published.payloads.push(payload);
        self.current.insert(key, published.version);
        Ok(())
    }

    /// Brings the run's row up to date with its history.
    pub(super) fn summary(&mut self, history: &History) -> Result<(), JournalError> {
        let Some(state) = history.state() else {
            return Ok(());
        };
        let summary = state.summary();
        let inconsistent = |error: serde_json::Error| JournalError::Inconsistent {
            run: summary.run.clone(),
            reason: format!("its summary cannot be written as JSON: {error}"),
        };
        let json = serde_json::to_string(&summary).map_err(inconsistent)?;
        let rows = &mut self.summaries;
        rows.runs.push(summary.run.to_string());
        rows.names.push(summary.workflow);
        rows.statuses.push(summary.status.as_str().to_owned());
        rows.request_ids.push(state.submitted.request_id.clone());
        rows.submitted.push(summary.submitted_at.as_millis());
        rows.finished
            .push(summary.finished_at.map(|at| at.as_millis()));
        rows.sequences.push(to_database(history.sequence()));
        rows.summaries.push(json);
        rows.bundles.push(state.submitted.bundle.clone());
        Ok(())
    }

    pub(super) fn snapshot(&mut self, history: &History) -> Result<(), JournalError> {
        let Some(state) = history.state() else {
            return Ok(());
        };
        let (run, sequence) = (history.run(), history.sequence());
        let envelope = Envelope::seal(run, sequence, SNAPSHOT_VERSION, state)?;
        self.snapshots.push(run, sequence, envelope);
        Ok(())
    }

    /// Puts it all, or nothing when another epoch reigns, or when a request of a run that was discarded is
    /// among it: false.
    pub(super) async fn commit(
        &self,
        client: &Client,
        statement: &Statement,
        epoch: Epoch,
    ) -> Result<bool, tokio_postgres::Error> {
        let epoch = to_database(epoch.0);
        let (records, runs) = (&self.records, &self.summaries);
        let (snapshots, published, steps) = (&self.snapshots, &self.published, &self.steps);
        let line = &self.line;
        let finished: Vec<i64> = line.finished.values().copied().collect();
        let ended: Vec<&str> = line.finished.keys().map(RunId::as_str).collect();
        let entries = self.cached.values();
        let keys: Vec<&str> = entries.clone().map(|it| it.key.as_str()).collect();
        let givers: Vec<&str> = entries.clone().map(|it| it.run.as_str()).collect();
        let versions: Vec<i64> = entries.clone().map(|it| it.envelope.version).collect();
        let checksums = entries.clone().map(|it| i64::from(it.envelope.checksum));
        let checksums: Vec<i64> = checksums.collect();
        let outcomes: Vec<&str> = entries.map(|it| it.envelope.payload.as_str()).collect();
        let parameters: [&(dyn ToSql + Sync); 36] = [
            &epoch,
            &records.runs,
            &records.sequences,
            &records.versions,
            &records.checksums,
            &records.payloads,
            &runs.runs,
            &runs.names,
            &runs.statuses,
            &runs.request_ids,
            &runs.submitted,
            &runs.finished,
            &runs.sequences,
            &runs.summaries,
            &snapshots.runs,
            &snapshots.sequences,
            &snapshots.versions,
            &snapshots.checksums,
            &snapshots.payloads,
            &published.kinds,
            &published.names,
            &published.versions,
            &published.payloads,
            &steps.workflows,
            &steps.schedules,
            &steps.instants,
            &runs.bundles,
            &finished,
            &ended,
            &line.resumed,
            &line.bundles,
            &keys,
            &givers,
            &versions,
            &checksums,
            &outcomes,
        ];
        Ok(client.query_opt(statement, &parameters).await?.is_some())
    }
}

/// Prepares the statement of commits.
pub(super) async fn prepare(client: &Client) -> Result<Statement, tokio_postgres::Error> {
    client.prepare(COMMIT).await
}

async fn current_version(
    client: &Client,
    (kind, name): &(String, String),
) -> Result<u64, JournalError> {
    let row = client
        .query_opt(
            "SELECT version FROM publications_current WHERE kind = $1 AND name = $2",
            &[kind, name],
        )
        .await
        .map_err(super::reader::reading)?;
    let version = row.map(|row| row.try_get::<_, i64>(0)).transpose();
    Ok(from_database(
        version.map_err(super::reader::reading)?.unwrap_or(0),
    ))
}
