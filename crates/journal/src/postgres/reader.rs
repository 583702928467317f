//! Reading, over a few connections of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use marquetry_engine::{Cached, RunState, RunSummary};
use marquetry_types::{Publication, PublishedKind, PublishedName, RunId, Timestamp};
use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, IsolationLevel};

use super::archive;
use super::connect::{Place, cause};
use super::deployments;
use super::leadership;
use super::loading::{self, Limits, envelope};
use super::patience::Patience;
use super::statements::to_database;
use crate::cached;
use crate::history::History;
use crate::rows::bundle_checksum;
use crate::{
    Backlog, Deployment, Deployments, FinishedThrough, JournalError, JournalReader, Leader,
    LoadedRun, Page, RunFilter, Unfinished,
};

const READING: &str = "read the journal";
/// How long a reader waits for a connection.
const WAIT: Duration = Duration::from_secs(15);
/// Connections that are kept for readers.
const CONNECTIONS: usize = 4;

/// A journal in PostgreSQL, opened for reading.
#[derive(Debug, Clone)]
pub struct PostgresReader {
    pool: Pool,
}

pub(super) fn reading(error: tokio_postgres::Error) -> JournalError {
    JournalError::Storage {
        doing: READING,
        reason: cause(&error),
    }
}

impl PostgresReader {
    pub(super) fn new(place: &Place) -> Result<Self, JournalError> {
        let config = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let (session, connector) = place.session(Patience::READING);
        let manager = Manager::from_config(session, connector, config);
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(WAIT),
                create: Some(WAIT),
                recycle: Some(WAIT),
            })
            .build();
        let pool = pool.map_err(|error| JournalError::Open {
            journal: place.shown.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { pool })
    }

    async fn client(&self) -> Result<Object, JournalError> {
        self.pool.get().await.map_err(|error| {
            let reason = match &error {
                deadpool_postgres::PoolError::Backend(error) => cause(error),
                other => other.to_string(),
            };
            JournalError::Storage {
                doing: "reach the journal's database",
                reason,
            }
        })
    }
}

#[async_trait]
impl JournalReader for PostgresReader {
    async fn list_runs(
        &self,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Vec<RunSummary>, JournalError> {
        // Only the conditions that are asked for, so that each filter is served by its own index. Ids
        // are lower-case letters and digits, and `~` sorts after every one of them.
        let after = page.after.as_ref().map_or("~", RunId::as_str);
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let status = filter.status.map(|status| status.as_str());
        let mut sql = "SELECT run_id, summary FROM runs WHERE run_id < $1".to_owned();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&after];
        if let Some(name) = &filter.name {
            parameters.push(name);
            sql.push_str(&format!(" AND name = ${}", parameters.len()));
        }
        if let Some(status) = &status {
            parameters.push(status);
            sql.push_str(&format!(" AND status = ${}", parameters.len()));
        }
        parameters.push(&limit);
        sql.push_str(&format!(
            " ORDER BY run_id DESC LIMIT ${}",
            parameters.len()
        ));
        summaries(&**self.client().await?, &sql, &parameters).await
    }

    async fn load_run(&self, run: &RunId) -> Result<RunState, JournalError> {
        loading::load_history(&**self.client().await?, run)
            .await?
            .and_then(History::into_stored)
            .ok_or_else(|| JournalError::UnknownRun { run: run.clone() })
    }

    async fn load_unfinished(&self) -> Result<Unfinished, JournalError> {
        let mut client = self.client().await?;
        // One state of the database for all of its statements.
        let snapshot = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await
            .map_err(reading)?;
        loading::load_unfinished(&*snapshot, Limits::USUAL).await
    }

    async fn load_runs(&self, runs: &[RunId]) -> Result<Vec<LoadedRun>, JournalError> {
        archive::load_runs(&**self.client().await?, runs).await
    }

    async fn archive_backlog(&self, limit: u32) -> Result<Backlog, JournalError> {
        archive::backlog(&**self.client().await?, limit).await
    }

    async fn list_unarchived(
        &self,
        after: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<RunId>, JournalError> {
        archive::list_unarchived(&**self.client().await?, after, limit).await
    }

    async fn finished_beyond(&self, keep: u64) -> Result<Option<FinishedThrough>, JournalError> {
        archive::finished_beyond(&**self.client().await?, keep).await
    }

    async fn find_by_request_id(
        &self,
        request_id: &str,
    ) -> Result<Option<RunSummary>, JournalError> {
        find_by_request(&**self.client().await?, request_id).await
    }

    async fn find_runs_by_prefix(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, JournalError> {
        let prefix = prefix.to_ascii_lowercase();
        let end = format!("{prefix}~");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT run_id, summary FROM runs WHERE run_id >= $1 AND run_id < $2
                   ORDER BY run_id DESC LIMIT $3";
        summaries(&**self.client().await?, sql, &[&prefix, &end, &limit]).await
    }

    async fn list_published(
        &self,
        kind: Option<PublishedKind>,
    ) -> Result<Vec<Publication>, JournalError> {
        let kind = kind.map(PublishedKind::as_str);
        let sql = "SELECT payload FROM publications_current WHERE kind = coalesce($1, kind)
                   ORDER BY kind, name";
        publications(&**self.client().await?, sql, &[&kind]).await
    }

    async fn published_versions(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        limit: usize,
    ) -> Result<Vec<Publication>, JournalError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT payload FROM publications WHERE kind = $1 AND name = $2
                   ORDER BY version DESC LIMIT $3";
        let parameters: [&(dyn ToSql + Sync); 3] = [&kind.as_str(), &name.as_str(), &limit];
        publications(&**self.client().await?, sql, &parameters).await
    }

    async fn find_published(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        version: Option<u64>,
    ) -> Result<Option<Publication>, JournalError> {
        let client = self.client().await?;
        let (kind, name) = (kind.as_str(), name.as_str());
        let found = match version {
            None => {
                let sql = "SELECT payload FROM publications_current WHERE kind = $1 AND name = $2";
                publications(&**client, sql, &[&kind, &name]).await?
            }
            Some(version) => {
                let sql = "SELECT payload FROM publications
                           WHERE kind = $1 AND name = $2 AND version = $3";
                let version = to_database(version);
                publications(&**client, sql, &[&kind, &name, &version]).await?
            }
        };
        Ok(found.into_iter().next())
    }

    async fn cached(&self, key: &str) -> Result<Option<Cached>, JournalError> {
        let sql = "SELECT version, checksum, payload FROM cached_outcomes WHERE key = $1";
        let row = self.client().await?.query_opt(sql, &[&key]).await;
        let row = row.map_err(reading)?;
        let stored = row.map(|row| envelope(&row, 0)).transpose()?;
        Ok(stored.and_then(|stored| cached::open(key, &stored)))
    }

    async fn get_bundle(&self, digest: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let row = self
            .client()
            .await?
            .query_opt(
                "SELECT checksum, payload FROM bundles WHERE digest = $1",
                &[&digest],
            )
            .await
            .map_err(reading)?;
        let Some(row) = row else { return Ok(None) };
        let checksum: i64 = row.try_get(0).map_err(reading)?;
        let payload: Vec<u8> = row.try_get(1).map_err(reading)?;
        if checksum != i64::from(bundle_checksum(digest, &payload)) {
            return Err(JournalError::DamagedBundle {
                digest: digest.to_owned(),
                reason: "it fails its checksum".to_owned(),
            });
        }
        Ok(Some(payload))
    }

    async fn deployment(
        &self,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<Deployment>, JournalError> {
        deployments::get(&**self.client().await?, name, version).await
    }

    async fn current_deployments(&self) -> Result<Deployments, JournalError> {
        deployments::current(&**self.client().await?).await
    }

    async fn list_deployments(
        &self,
        name: &str,
        page: &Page<u64>,
    ) -> Result<Deployments, JournalError> {
        deployments::list(&**self.client().await?, name, page).await
    }

    async fn schedule_positions(
        &self,
        workflow: &str,
    ) -> Result<BTreeMap<String, Timestamp>, JournalError> {
        let client = self.client().await?;
        let sql = "SELECT schedule, scheduled_at FROM schedule_positions WHERE workflow = $1";
        let rows = client.query(sql, &[&workflow]).await.map_err(reading)?;
        let positions = rows.iter().map(|row| {
            let at = Timestamp::from_millis(row.try_get(1).map_err(reading)?);
            Ok((row.try_get(0).map_err(reading)?, at))
        });
        positions.collect()
    }

    async fn leader(&self) -> Result<Option<Leader>, JournalError> {
        leadership::leader(&**self.client().await?).await
    }
}

pub(super) async fn find_by_request(
    client: &impl GenericClient,
    request_id: &str,
) -> Result<Option<RunSummary>, JournalError> {
    let sql = "SELECT run_id, summary FROM runs WHERE request_id = $1
               UNION ALL SELECT run_id, summary FROM past_requests WHERE request_id = $1";
    let found = summaries(client, sql, &[&request_id]).await?;
    Ok(found.into_iter().next())
}

async fn summaries(
    client: &impl GenericClient,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<RunSummary>, JournalError> {
    let rows = client.query(sql, parameters).await.map_err(reading)?;
    let mut summaries = Vec::with_capacity(rows.len());
    for row in rows {
        let json: String = row.try_get(1).map_err(reading)?;
        match serde_json::from_str(&json) {
            Ok(summary) => summaries.push(summary),
            // A list that fails for one row would hide all the others.
            Err(error) => {
                let run: String = row.try_get(0).map_err(reading)?;
                tracing::error!(run, %error, "the journal's summary of a run is damaged: not listed");
            }
        }
    }
    Ok(summaries)
}

/// A damaged row is an error: to pass over it would publish its version a second time.
async fn publications(
    client: &impl GenericClient,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Publication>, JournalError> {
    let rows = client.query(sql, parameters).await.map_err(reading)?;
    let read = rows.into_iter().map(|row| {
        let json: String = row.try_get(0).map_err(reading)?;
        serde_json::from_str(&json).map_err(|error| JournalError::Storage {
            doing: READING,
            reason: format!("its table of published versions is damaged: {error}"),
        })
    });
    read.collect()
}
