//! What a journal promises, whatever database keeps it.

use std::time::Duration;

use async_trait::async_trait;
use marquetry_engine::{Record, RunState, RunStatus, RunSummary};
use marquetry_types::{Epoch, Publication, PublishedKind, PublishedName, RunId};

use crate::history::History;
use crate::{Campaign, Candidate, JournalError, Leader};

/// What can be read while another process writes.
///
/// A damaged record makes its own run unreadable and no other.
#[async_trait]
pub trait JournalReader: Send + Sync {
    /// Runs that pass `filter`, the latest first, at most `page.limit` of them. It reads no records.
    async fn list_runs(
        &self,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Vec<RunSummary>, JournalError>;

    /// A run as its records tell it.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`]; [`JournalError::Damaged`] with the place of the first bad record.
    async fn load_run(&self, run: &RunId) -> Result<RunState, JournalError>;

    /// Every run that has not ended: what a coordinator takes up when it starts.
    async fn load_unfinished(&self) -> Result<Unfinished, JournalError>;

    /// The run that was submitted under a client's request id, so that a repeated request finds it.
    async fn find_by_request_id(
        &self,
        request_id: &str,
    ) -> Result<Option<RunSummary>, JournalError>;

    /// Runs whose ids start with `prefix` in either case, the latest first, at most `limit`.
    async fn find_runs_by_prefix(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, JournalError>;

    /// The current version of every published thing, or of those of one kind, by name.
    async fn list_published(
        &self,
        kind: Option<PublishedKind>,
    ) -> Result<Vec<Publication>, JournalError>;

    /// The versions of a published thing, the newest first, at most `limit`; none if there is no such
    /// thing.
    async fn published_versions(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        limit: usize,
    ) -> Result<Vec<Publication>, JournalError>;

    /// A version of a published thing, or its current one.
    async fn find_published(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        version: Option<u64>,
    ) -> Result<Option<Publication>, JournalError>;

    /// The bytes put under `digest`, or nothing.
    ///
    /// # Errors
    /// [`JournalError::DamagedBundle`] if they are not what was put.
    async fn get_bundle(&self, digest: &str) -> Result<Option<Vec<u8>>, JournalError>;

    /// The coordinator that won the latest campaign, whether it lives or not; none before the first.
    async fn leader(&self) -> Result<Option<Leader>, JournalError>;
}

/// A journal that has its reading done by another.
pub(crate) trait ReadThrough: Send + Sync {
    /// Who reads.
    fn reader(&self) -> &dyn JournalReader;
}

#[async_trait]
impl<T: ReadThrough> JournalReader for T {
    async fn list_runs(
        &self,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Vec<RunSummary>, JournalError> {
        self.reader().list_runs(filter, page).await
    }

    async fn load_run(&self, run: &RunId) -> Result<RunState, JournalError> {
        self.reader().load_run(run).await
    }

    async fn load_unfinished(&self) -> Result<Unfinished, JournalError> {
        self.reader().load_unfinished().await
    }

    async fn find_by_request_id(
        &self,
        request_id: &str,
    ) -> Result<Option<RunSummary>, JournalError> {
        self.reader().find_by_request_id(request_id).await
    }

    async fn find_runs_by_prefix(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, JournalError> {
        self.reader().find_runs_by_prefix(prefix, limit).await
    }

    async fn list_published(
        &self,
        kind: Option<PublishedKind>,
    ) -> Result<Vec<Publication>, JournalError> {
        self.reader().list_published(kind).await
    }

    async fn published_versions(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        limit: usize,
    ) -> Result<Vec<Publication>, JournalError> {
        self.reader().published_versions(kind, name, limit).await
    }

    async fn find_published(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        version: Option<u64>,
    ) -> Result<Option<Publication>, JournalError> {
        self.reader().find_published(kind, name, version).await
    }

    async fn get_bundle(&self, digest: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.reader().get_bundle(digest).await
    }

    async fn leader(&self) -> Result<Option<Leader>, JournalError> {
        self.reader().leader().await
    }
}

/// The durable truth about runs.
///
/// - Commit, then act: when [`append`](Self::append) returns `Ok`, the records survive a power cut.
/// - All or nothing: the records of one call are committed together or not at all.
/// - Fencing: an append of an epoch that is not the latest has no effect.
/// - Cancelling: dropping the future of a write leaves its outcome unknown, as
///   [`JournalError::Doubtful`] does.
#[async_trait]
pub trait Journal: JournalReader {
    /// Tries to lead. It is won when nobody leads, when the leader's lease has ended, and when the
    /// candidate itself leads: a leader whose commit is in doubt campaigns before it reads the journal
    /// again, so that the commit is either in what it reads or refused for good.
    async fn campaign(&self, candidate: &Candidate) -> Result<Campaign, JournalError>;

    /// Keeps the lead for another `lease` from now.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] if another epoch has begun.
    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<(), JournalError>;

    /// Lets the lead go, so that the next campaign is won at once.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] if another epoch has begun, which changes nothing.
    async fn resign(&self, epoch: Epoch) -> Result<(), JournalError>;

    /// Appends records, each to the history of its run, in this order. Calls that arrive while a
    /// commit is under way share the next one.
    ///
    /// # Errors
    /// After [`JournalError::Doubtful`] the records may be there or not; after any other error
    /// nothing of this call is.
    async fn append(&self, epoch: Epoch, records: Vec<Record>) -> Result<(), JournalError>;

    /// Keeps `bytes` under their `digest`, durably; doing it again changes nothing. A bundle is put
    /// before the submission that names it is appended.
    async fn put_bundle(&self, digest: &str, bytes: Vec<u8>) -> Result<(), JournalError>;
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only runs with this status.
    pub status: Option<RunStatus>,
    /// Only runs of the workflow of this name.
    pub name: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Only runs older than this one: the last of the page before.
    pub after: Option<RunId>,
    /// At most so many.
    pub limit: usize,
}

impl Page {
    /// The first `limit` entries.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }
}

/// The runs that have not ended.
#[derive(Debug, Clone, Default)]
pub struct Unfinished {
    /// Those that can go on, the earliest first.
    pub runs: Vec<RunState>,
    /// Those that cannot be read, and why not: a person must look at them.
    pub damaged: Vec<(RunId, JournalError)>,
}

impl Unfinished {
    /// Adds a run as it could be read.
    ///
    /// # Errors
    /// The storage's own, which says nothing about this run.
    pub(crate) fn add(
        &mut self,
        run: RunId,
        loaded: Result<History, JournalError>,
    ) -> Result<(), JournalError> {
        match loaded {
            Ok(history) => self.runs.extend(history.into_stored()),
            Err(error @ JournalError::Storage { .. }) => return Err(error),
            Err(error) => self.damaged.push((run, error)),
        }
        Ok(())
    }
}
