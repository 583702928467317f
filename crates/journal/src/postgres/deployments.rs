//! Statements on the tables of deployed workflows.
//!
//! A deployment is two statements, and no transaction around them. The first reads what there is and who
//! leads; the second puts what follows from it if the same epoch reigns still. Nobody else writes in an
//! epoch, so what was read stands until then.

use marquetry_types::Epoch;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, GenericClient, Row};

use super::leadership;
use super::patience::{in_time, read_in_time};
use super::reader::reading;
use super::statements::{from_database, to_database};
use crate::deployment::{Proposal, Standing, StoredDeployment};
use crate::envelope::StoredEnvelope;
use crate::{Deployed, Deployment, Deployments, JournalError, Page};

/// Current versions, each with nothing where its row is lost.
const CURRENT: &str = "SELECT current.name, current.version, format, checksum, payload
    FROM deployments_current AS current
    LEFT JOIN deployments ON deployments.name = current.name AND deployments.version = current.version";

/// Puts a version, or nothing when another epoch reigns.
const PUT: &str = "
WITH lead AS MATERIALIZED (
    SELECT epoch FROM leadership WHERE id = 1 AND epoch = $1 FOR SHARE
), put_deployment AS (
    INSERT INTO deployments (name, version, format, checksum, payload)
    SELECT $2, $3, $4, $5, $6 WHERE EXISTS (SELECT FROM lead)
), put_current AS (
    INSERT INTO deployments_current (name, version)
    SELECT $2, $3 WHERE EXISTS (SELECT FROM lead)
    ON CONFLICT (name) DO UPDATE SET version = excluded.version
)
SELECT epoch FROM lead";

/// Makes no version current, or changes nothing when another epoch reigns.
const RETIRE: &str = "
WITH lead AS MATERIALIZED (
    SELECT epoch FROM leadership WHERE id = 1 AND epoch = $1 FOR SHARE
), retired AS (
    DELETE FROM deployments_current WHERE name = $2 AND EXISTS (SELECT FROM lead) RETURNING version
)
SELECT (SELECT version FROM retired) FROM lead";

/// Makes a version, unless the current one is the same.
pub(super) async fn deploy(
    client: &Client,
    epoch: Epoch,
    proposal: &Proposal,
) -> Result<Deployed, JournalError> {
    let (current_epoch, standing) = read_in_time(standing(client, proposal.name())).await?;
    if current_epoch != epoch {
        return Err(JournalError::Fenced {
            ours: epoch,
            current: current_epoch,
        });
    }
    let verdict = proposal.decide(standing);
    if let Some(envelope) = verdict.envelope {
        let name = proposal.name();
        let version = to_database(verdict.deployed.deployment.version);
        let checksum = i64::from(envelope.checksum);
        let ours = to_database(epoch.0);
        let parameters: [&(dyn ToSql + Sync); 6] = [
            &ours,
            &name,
            &version,
            &envelope.version,
            &checksum,
            &envelope.payload,
        ];
        let put = in_time(client.query_opt(PUT, &parameters)).await?;
        if put.is_none() {
            return Err(leadership::fenced(client, epoch).await);
        }
    }
    Ok(verdict.deployed)
}

/// What there is under a name, and whose epoch it is, as of one moment.
async fn standing(client: &Client, name: &str) -> Result<(Epoch, Standing), JournalError> {
    let sql = format!(
        "SELECT found.*, epoch, (SELECT max(version) FROM deployments WHERE name = $1)
         FROM leadership LEFT JOIN ({CURRENT} WHERE current.name = $1) AS found ON true
         WHERE id = 1"
    );
    let row = client.query_one(&sql, &[&name]).await.map_err(reading)?;
    let epoch: i64 = row.try_get(5).map_err(reading)?;
    let newest: Option<i64> = row.try_get(6).map_err(reading)?;
    let has_current = row.try_get::<_, Option<i64>>(1).map_err(reading)?.is_some();
    let standing = Standing {
        newest: from_database(newest.unwrap_or(0)),
        current: has_current.then(|| stored(&row)).transpose()?,
    };
    Ok((Epoch(from_database(epoch)), standing))
}

/// Makes no version current, and says which one was.
pub(super) async fn retire(
    client: &Client,
    epoch: Epoch,
    name: &str,
) -> Result<Option<u64>, JournalError> {
    let ours = to_database(epoch.0);
    match in_time(client.query_opt(RETIRE, &[&ours, &name])).await? {
        Some(row) => {
            let retired: Option<i64> = row.try_get(0).map_err(reading)?;
            Ok(retired.map(from_database))
        }
        None => Err(leadership::fenced(client, epoch).await),
    }
}

/// A version, or the current one.
pub(super) async fn get(
    client: &impl GenericClient,
    name: &str,
    version: Option<u64>,
) -> Result<Option<Deployment>, JournalError> {
    let found = match version {
        None => {
            let sql = format!("{CURRENT} WHERE current.name = $1");
            read(client, &sql, &[&name]).await?
        }
        Some(version) => {
            let sql = "SELECT name, version, format, checksum, payload FROM deployments
                       WHERE name = $1 AND version = $2";
            read(client, sql, &[&name, &to_database(version)]).await?
        }
    };
    let found = found.into_iter().next();
    Ok(found.map(StoredDeployment::open).transpose()?)
}

/// The current versions, by name.
pub(super) async fn current(client: &impl GenericClient) -> Result<Deployments, JournalError> {
    let sql = format!("{CURRENT} ORDER BY current.name");
    Ok(read(client, &sql, &[]).await?.into_iter().collect())
}

/// The versions of one workflow, the newest first.
pub(super) async fn list(
    client: &impl GenericClient,
    name: &str,
    page: &Page<u64>,
) -> Result<Deployments, JournalError> {
    let sql = "SELECT name, version, format, checksum, payload FROM deployments
               WHERE name = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    let before = page.after.map_or(i64::MAX, to_database);
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let found = read(client, sql, &[&name, &before, &limit]).await?;
    Ok(found.into_iter().collect())
}

async fn read(
    client: &impl GenericClient,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<StoredDeployment>, JournalError> {
    let rows = client.query(sql, parameters).await.map_err(reading)?;
    rows.iter().map(stored).collect()
}

/// A row that begins with `name, version, format, checksum, payload`, of which the last three may be null.
fn stored(row: &Row) -> Result<StoredDeployment, JournalError> {
    let envelope = match row.try_get::<_, Option<i64>>(2).map_err(reading)? {
        Some(version) => {
            let payload: String = row.try_get(4).map_err(reading)?;
            Some(StoredEnvelope {
                version,
                checksum: row.try_get(3).map_err(reading)?,
                payload: payload.into_bytes(),
            })
        }
        None => None,
    };
    Ok(StoredDeployment {
        name: row.try_get(0).map_err(reading)?,
        version: from_database(row.try_get(1).map_err(reading)?),
        envelope,
    })
}
