//! Backups of a PostgreSQL journal, and restoring into one.

use std::path::Path;
use std::sync::Arc;

use marquetry_types::Epoch;
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, IsolationLevel, Row, Transaction};

use super::connect::{Place, cause};
use super::patience::Patience;
use super::reader::reading;
use super::schema;
use super::statements::{from_database, to_database};
use crate::JournalError;
use crate::backup::{Cell, Kind, Source, TABLES, Table, bad, epoch_beyond};
use crate::sqlite;

/// Rows that go at once.
const AT_ONCE: usize = 1000;

/// Writes the journal at `url` to `file`, as of one moment.
pub(crate) async fn write(url: &str, file: &Path) -> Result<(), JournalError> {
    let place = Place::parse(url)?;
    schema::check(&place).await?;
    let mut client = place.connect(Patience::READING).await?;
    let snapshot = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(reading)?;
    let failed = |error: rusqlite::Error| bad(file, error);
    let mut backup = sqlite::backup::create(file)?;
    let transaction = backup.transaction().map_err(failed)?;
    for table in TABLES {
        let (name, columns) = (table.name, table.list());
        let cursor = format!("DECLARE part NO SCROLL CURSOR FOR SELECT {columns} FROM {name}");
        snapshot.batch_execute(&cursor).await.map_err(reading)?;
        loop {
            let fetch = format!("FETCH {AT_ONCE} FROM part");
            let rows = snapshot.query(&fetch, &[]).await.map_err(reading)?;
            if rows.is_empty() {
                break;
            }
            let cells: Vec<Vec<Cell>> = rows
                .iter()
                .map(|row| cells(row, table))
                .collect::<Result<_, _>>()?;
            sqlite::backup::insert(&transaction, table, &cells).map_err(failed)?;
        }
        snapshot
            .batch_execute("CLOSE part")
            .await
            .map_err(reading)?;
    }
    let epoch = epoch(&snapshot, "").await?;
    sqlite::backup::complete(&transaction, epoch).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn cells(row: &Row, table: &Table) -> Result<Vec<Cell>, JournalError> {
    let columns = table.columns.iter().enumerate();
    columns
        .map(|(place, (name, kind))| {
            let cell = match kind {
                // The one column that is no bigint.
                Kind::Number if *name == "id" => {
                    let id: i32 = row.try_get(place).map_err(reading)?;
                    Some(Cell::Number(i64::from(id)))
                }
                Kind::Number => row
                    .try_get::<_, Option<i64>>(place)
                    .map_err(reading)?
                    .map(Cell::Number),
                Kind::Text => row
                    .try_get::<_, Option<String>>(place)
                    .map_err(reading)?
                    .map(Cell::Text),
                Kind::Bytes => row
                    .try_get::<_, Option<Vec<u8>>>(place)
                    .map_err(reading)?
                    .map(Cell::Bytes),
            };
            Ok(cell.unwrap_or(Cell::Null))
        })
        .collect()
}

async fn epoch(client: &impl GenericClient, lock: &str) -> Result<Epoch, JournalError> {
    let sql = format!("SELECT epoch FROM leadership WHERE id = 1 {lock}");
    let row = client.query_one(&sql, &[]).await.map_err(reading)?;
    let epoch: i64 = row.try_get(0).map_err(reading)?;
    Ok(Epoch(from_database(epoch)))
}

/// Puts a backup in the place of what is in the journal at `url`. Gives the epoch that it begins with.
pub(crate) async fn restore(
    source: &Source,
    url: &str,
    force: bool,
) -> Result<Epoch, JournalError> {
    let place = Place::parse(url)?;
    schema::migrate(&place).await?;
    let mut client = place.connect(Patience::MIGRATING).await?;
    let transaction = client.transaction().await.map_err(writing)?;
    // Whoever commits or campaigns waits until this is over, and is then of an old epoch.
    let ours = epoch(&transaction, "FOR UPDATE").await?;
    let sql = "SELECT lease_ends_at > clock_timestamp(), (SELECT count(*) FROM runs)
               FROM leadership WHERE id = 1";
    let row = transaction.query_one(sql, &[]).await.map_err(reading)?;
    if row.try_get(0).map_err(reading)? {
        return Err(JournalError::InUse {
            journal: place.shown.clone(),
            holder: None,
        });
    }
    let runs = from_database(row.try_get(1).map_err(reading)?);
    if runs > 0 && !force {
        return Err(JournalError::NotEmpty {
            journal: place.shown.clone(),
            runs,
        });
    }
    let epoch = epoch_beyond(ours, source.contents.epoch);
    for table in TABLES {
        let clear = format!("DELETE FROM {}", table.name);
        transaction.batch_execute(&clear).await.map_err(writing)?;
        fill(&transaction, source, table).await?;
    }
    transaction
        .batch_execute(
            "DELETE FROM publications_current;
             INSERT INTO publications_current (kind, name, version, payload)
             SELECT DISTINCT ON (kind, name) kind, name, version, payload FROM publications
             ORDER BY kind, name, version DESC",
        )
        .await
        .map_err(writing)?;
    let sql = "UPDATE leadership SET epoch = $1, name = '', url = '', lease_ends_at = '-infinity'";
    let number = to_database(epoch.0);
    transaction
        .execute(sql, &[&number])
        .await
        .map_err(writing)?;
    transaction
        .commit()
        .await
        .map_err(|error| JournalError::Doubtful {
            reason: cause(&error),
        })?;
    Ok(epoch)
}

/// Puts all rows of a table of the backup.
async fn fill(
    transaction: &Transaction<'_>,
    source: &Source,
    table: &'static Table,
) -> Result<(), JournalError> {
    let (pieces, mut received) = mpsc::channel::<Vec<Vec<Cell>>>(2);
    let path = Arc::new(source.path.clone());
    let from = Arc::clone(&path);
    let read = tokio::task::spawn_blocking(move || {
        let hand_on = |rows| pieces.blocking_send(rows).is_ok();
        sqlite::backup::read(&from, table, AT_ONCE, hand_on)
    });
    let columns = table.columns.iter().enumerate();
    let arrays = columns.map(|(place, (_, kind))| {
        let kind = match kind {
            Kind::Text => "text",
            Kind::Number => "bigint",
            Kind::Bytes => "bytea",
        };
        format!("${}::{kind}[]", place + 1)
    });
    let sql = format!(
        "INSERT INTO {} ({}) SELECT * FROM unnest({})",
        table.name,
        table.list(),
        arrays.collect::<Vec<_>>().join(", ")
    );
    let statement = transaction.prepare(&sql).await.map_err(writing)?;
    while let Some(rows) = received.recv().await {
        let columns: Vec<Box<dyn ToSql + Sync + Send>> = table
            .columns
            .iter()
            .enumerate()
            .map(|(place, (_, kind))| column(&rows, place, *kind))
            .collect();
        let parameters: Vec<&(dyn ToSql + Sync)> = columns
            .iter()
            .map(|it| it.as_ref() as &(dyn ToSql + Sync))
            .collect();
        transaction
            .execute(&statement, &parameters)
            .await
            .map_err(writing)?;
    }
    let read = read.await.map_err(|error| bad(&path, error))?;
    read.map_err(|error| bad(&path, error))
}

/// A column of some rows.
fn column(rows: &[Vec<Cell>], place: usize, kind: Kind) -> Box<dyn ToSql + Sync + Send> {
    let cells = rows.iter().map(|row| row.get(place));
    match kind {
        Kind::Text => Box::new(
            cells
                .map(|cell| match cell {
                    Some(Cell::Text(text)) => Some(text.clone()),
                    _ => None,
                })
                .collect::<Vec<_>>(),
        ),
        Kind::Number => Box::new(
            cells
                .map(|cell| match cell {
                    Some(Cell::Number(number)) => Some(*number),
                    _ => None,
                })
                .collect::<Vec<_>>(),
        ),
        Kind::Bytes => Box::new(
            cells
                .map(|cell| match cell {
                    Some(Cell::Bytes(bytes)) => Some(bytes.clone()),
                    _ => None,
                })
                .collect::<Vec<_>>(),
        ),
    }
}

fn writing(error: tokio_postgres::Error) -> JournalError {
    JournalError::Storage {
        doing: "write to the journal",
        reason: cause(&error),
    }
}
