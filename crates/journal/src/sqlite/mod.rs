//! The journal in one SQLite file: what a laptop and a single coordinator use.
//!
//! One thread owns the connection that writes ([`writer`]), reads go over connections of their own
//! ([`readers`]), and a lock beside the file keeps a second coordinator out ([`lock`]).

mod archive;
pub(crate) mod backup;
mod cached;
mod connect;
mod deployments;
mod leadership;
mod lock;
mod publications;
mod readers;
mod rows;
mod schedules;
mod schema;
mod statements;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use marquetry_engine::{Cached, RunState, RunSummary};
use marquetry_types::{Publication, PublishedKind, PublishedName, RunId, Timestamp};

use self::lock::WriterLock;
use self::readers::Readers;
use self::writer::Writer;
use crate::history::History;
use crate::journal::ReadThrough;
use crate::requests::{Requests, SNAPSHOT_EVERY, WriteThrough};
use crate::{
    Backlog, Deployment, Deployments, FinishedThrough, JournalError, JournalReader, Leader,
    LoadedRun, Page, RunFilter, Unfinished,
};

/// How a journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// After how many records of an unfinished run a snapshot is written, so that loading it reads
    /// no more than about so many. At least 1.
    pub snapshot_every: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            snapshot_every: SNAPSHOT_EVERY,
        }
    }
}

/// A journal in a SQLite file, opened for writing. There is one at a time for a file, in all processes.
///
/// Dropping it waits for the commit under way.
#[derive(Debug)]
pub struct SqliteJournal {
    writer: Writer,
    reader: SqliteReader,
}

impl SqliteJournal {
    /// Opens the journal at `path`, making the file and its folders where needed and bringing an older
    /// format up to date. The calls of its traits need a tokio runtime.
    ///
    /// # Errors
    /// [`JournalError::InUse`] if another process has it open for writing;
    /// [`JournalError::UnknownFormat`] if a newer version wrote it; [`JournalError::Open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        Self::open_with(path, &Options::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &Options) -> Result<Self, JournalError> {
        let path = path.as_ref();
        connect::create_folder(path)?;
        let lock = WriterLock::acquire(path)?;
        let connection = connect::open_writer(path)?;
        let writer =
            Writer::start(connection, lock, options.snapshot_every.max(1)).map_err(|error| {
                JournalError::Open {
                    journal: path.display().to_string(),
                    reason: format!("no thread for it: {error}"),
                }
            })?;
        Ok(Self {
            writer,
            reader: SqliteReader::open(path)?,
        })
    }

    /// Opens the journal at `path` for reading only, which works while a coordinator writes to it.
    ///
    /// # Errors
    /// [`JournalError::Open`], also when there is no journal; [`JournalError::UnknownFormat`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<SqliteReader, JournalError> {
        SqliteReader::open(path.as_ref())
    }
}

/// A journal in a SQLite file, opened for reading.
#[derive(Debug, Clone)]
pub struct SqliteReader {
    readers: Readers,
}

impl SqliteReader {
    fn open(path: &Path) -> Result<Self, JournalError> {
        Ok(Self {
            readers: Readers::open(path)?,
        })
    }
}

#[async_trait]
impl JournalReader for SqliteReader {
    async fn list_runs(
        &self,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Vec<RunSummary>, JournalError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.readers
            .read(move |connection| rows::list_runs(connection, &filter, &page))
            .await
    }

    async fn load_run(&self, run: &RunId) -> Result<RunState, JournalError> {
        let run = run.clone();
        self.readers
            .read(move |connection| {
                rows::load_history(connection, &run)?
                    .and_then(History::into_stored)
                    .ok_or(JournalError::UnknownRun { run })
            })
            .await
    }

    async fn load_unfinished(&self) -> Result<Unfinished, JournalError> {
        self.readers.read(rows::load_unfinished).await
    }

    async fn load_runs(&self, runs: &[RunId]) -> Result<Vec<LoadedRun>, JournalError> {
        let runs = runs.to_vec();
        self.readers
            .read(move |connection| archive::load_runs(connection, runs))
            .await
    }

    async fn archive_backlog(&self, limit: u32) -> Result<Backlog, JournalError> {
        self.readers
            .read(move |connection| archive::backlog(connection, limit))
            .await
    }

    async fn list_unarchived(
        &self,
        after: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<RunId>, JournalError> {
        let after = after.cloned();
        self.readers
            .read(move |connection| archive::list_unarchived(connection, after.as_ref(), limit))
            .await
    }

    async fn finished_beyond(&self, keep: u64) -> Result<Option<FinishedThrough>, JournalError> {
        self.readers
            .read(move |connection| archive::finished_beyond(connection, keep))
            .await
    }

    async fn find_by_request_id(
        &self,
        request_id: &str,
    ) -> Result<Option<RunSummary>, JournalError> {
        let request_id = request_id.to_owned();
        self.readers
            .read(move |connection| rows::find_by_request(connection, &request_id))
            .await
    }

    async fn find_runs_by_prefix(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, JournalError> {
        let prefix = prefix.to_owned();
        self.readers
            .read(move |connection| rows::find_by_prefix(connection, &prefix, limit))
            .await
    }

    async fn list_published(
        &self,
        kind: Option<PublishedKind>,
    ) -> Result<Vec<Publication>, JournalError> {
        self.readers
            .read(move |connection| publications::list(connection, kind))
            .await
    }

    async fn published_versions(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        limit: usize,
    ) -> Result<Vec<Publication>, JournalError> {
        let name = name.clone();
        self.readers
            .read(move |connection| publications::versions(connection, kind, &name, limit))
            .await
    }

    async fn find_published(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        version: Option<u64>,
    ) -> Result<Option<Publication>, JournalError> {
        let name = name.clone();
        self.readers
            .read(move |connection| publications::find(connection, kind, &name, version))
            .await
    }

    async fn cached(&self, key: &str) -> Result<Option<Cached>, JournalError> {
        let key = key.to_owned();
        self.readers
            .read(move |connection| cached::find(connection, &key))
            .await
    }

    async fn get_bundle(&self, digest: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let digest = digest.to_owned();
        self.readers
            .read(move |connection| rows::get_bundle(connection, &digest))
            .await
    }

    async fn deployment(
        &self,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<Deployment>, JournalError> {
        let name = name.to_owned();
        self.readers
            .read(move |connection| deployments::get(connection, &name, version))
            .await
    }

    async fn current_deployments(&self) -> Result<Deployments, JournalError> {
        self.readers.read(deployments::current).await
    }

    async fn list_deployments(
        &self,
        name: &str,
        page: &Page<u64>,
    ) -> Result<Deployments, JournalError> {
        let (name, page) = (name.to_owned(), page.clone());
        self.readers
            .read(move |connection| deployments::list(connection, &name, &page))
            .await
    }

    async fn schedule_positions(
        &self,
        workflow: &str,
    ) -> Result<BTreeMap<String, Timestamp>, JournalError> {
        let workflow = workflow.to_owned();
        self.readers
            .read(move |connection| schedules::positions(connection, &workflow))
            .await
    }

    async fn leader(&self) -> Result<Option<Leader>, JournalError> {
        self.readers.read(leadership::leader).await
    }
}

impl ReadThrough for SqliteJournal {
    fn reader(&self) -> &dyn JournalReader {
        &self.reader
    }
}

impl WriteThrough for SqliteJournal {
    fn requests(&self) -> &Requests {
        &self.writer.requests
    }
}
