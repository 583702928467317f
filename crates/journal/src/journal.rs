//! What a journal promises, whatever database keeps it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use marquetry_engine::{Cached, Record, RunState, RunStatus, RunSummary};
use marquetry_types::{Epoch, Publication, PublishedKind, PublishedName, RunId, Timestamp};

use crate::history::History;
use crate::{
    ArchiveBatch, Backlog, Campaign, Candidate, Deployed, Deployment, Deployments, Discard,
    Discarded, FinishedThrough, JournalError, Leader, StoredRun,
};

/// A run as it was loaded, or why it cannot be.
pub type LoadedRun = (RunId, Result<StoredRun, JournalError>);

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

    /// The same for several runs, in their order. Those that there are not are left out.
    async fn load_runs(&self, runs: &[RunId]) -> Result<Vec<LoadedRun>, JournalError>;

    /// How much waits to be archived, counted up to `limit` runs.
    async fn archive_backlog(&self, limit: u32) -> Result<Backlog, JournalError>;

    /// Runs that are not archived as they stand, unfinished ones among them, by id: at most `limit` after
    /// `after`.
    async fn list_unarchived(
        &self,
        after: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<RunId>, JournalError>;

    /// The last in the order of finishing that the newest `keep` finished runs are after; none where there are
    /// no more than that.
    async fn finished_beyond(&self, keep: u64) -> Result<Option<FinishedThrough>, JournalError>;

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

    /// What a stage of this content gave last, if a run that gave it is still kept.
    async fn cached(&self, key: &str) -> Result<Option<Cached>, JournalError>;

    /// The bytes put under `digest`, or nothing.
    ///
    /// # Errors
    /// [`JournalError::DamagedBundle`] if they are not what was put.
    async fn get_bundle(&self, digest: &str) -> Result<Option<Vec<u8>>, JournalError>;

    /// A version of a deployed workflow, or its current one. There is no current one before the first and
    /// after the workflow was retired.
    ///
    /// # Errors
    /// [`JournalError::DamagedDeployment`] if it cannot be read.
    async fn deployment(
        &self,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<Deployment>, JournalError>;

    /// The current version of every deployed workflow, by name: what a coordinator takes up when it
    /// starts.
    async fn current_deployments(&self) -> Result<Deployments, JournalError>;

    /// The versions of a workflow, retired or not, the newest first, at most `page.limit` of them,
    /// damaged ones included; none if there is no such workflow.
    async fn list_deployments(
        &self,
        name: &str,
        page: &Page<u64>,
    ) -> Result<Deployments, JournalError>;

    /// For each schedule of a workflow that submitted a run which is no backfill, the latest instant that
    /// such a run was due at. Positions stay when a workflow is deployed anew, and when it is retired.
    async fn schedule_positions(
        &self,
        workflow: &str,
    ) -> Result<BTreeMap<String, Timestamp>, JournalError>;

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

    async fn load_runs(&self, runs: &[RunId]) -> Result<Vec<LoadedRun>, JournalError> {
        self.reader().load_runs(runs).await
    }

    async fn archive_backlog(&self, limit: u32) -> Result<Backlog, JournalError> {
        self.reader().archive_backlog(limit).await
    }

    async fn list_unarchived(
        &self,
        after: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<RunId>, JournalError> {
        self.reader().list_unarchived(after, limit).await
    }

    async fn finished_beyond(&self, keep: u64) -> Result<Option<FinishedThrough>, JournalError> {
        self.reader().finished_beyond(keep).await
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

    async fn cached(&self, key: &str) -> Result<Option<Cached>, JournalError> {
        self.reader().cached(key).await
    }

    async fn get_bundle(&self, digest: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.reader().get_bundle(digest).await
    }

    async fn deployment(
        &self,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<Deployment>, JournalError> {
        self.reader().deployment(name, version).await
    }

    async fn current_deployments(&self) -> Result<Deployments, JournalError> {
        self.reader().current_deployments().await
    }

    async fn list_deployments(
        &self,
        name: &str,
        page: &Page<u64>,
    ) -> Result<Deployments, JournalError> {
        self.reader().list_deployments(name, page).await
    }

    async fn schedule_positions(
        &self,
        workflow: &str,
    ) -> Result<BTreeMap<String, Timestamp>, JournalError> {
        self.reader().schedule_positions(workflow).await
    }

    async fn leader(&self) -> Result<Option<Leader>, JournalError> {
        self.reader().leader().await
    }
}

/// The durable truth about runs.
///
/// - Commit, then act: when [`append`](Self::append) returns `Ok`, the records survive a power cut.
/// - All or nothing: the records of one call are committed together or not at all.
/// - Fencing: what comes with an epoch that is not the latest has no effect.
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
    /// commit is under way share the next one. The submission of a run by a schedule moves the schedule's
    /// position with it, unless it is a backfill; a position never moves back.
    ///
    /// # Errors
    /// After [`JournalError::Doubtful`] the records may be there or not; after any other error
    /// nothing of this call is.
    async fn append(&self, epoch: Epoch, records: Vec<Record>) -> Result<(), JournalError>;

    /// Keeps `bytes` under their `digest`, durably; doing it again changes nothing. A bundle is put
    /// before the submission that names it is appended.
    async fn put_bundle(&self, digest: &str, bytes: Vec<u8>) -> Result<(), JournalError>;

    /// Makes a version of a workflow, which becomes its current one; a bundle that the current version
    /// has already makes none. Versions of a name are counted from 1, without gaps, also where it was
    /// retired meanwhile. The bundle is put before.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] if another epoch has begun. After [`JournalError::Doubtful`] the version
    /// may be there or not; after any other error it is not.
    async fn deploy(&self, epoch: Epoch, deployment: Deployment) -> Result<Deployed, JournalError>;

    /// Makes none of a workflow's versions current, so that its schedules stop; the versions stay. Says
    /// which one was, if one was.
    ///
    /// # Errors
    /// As [`deploy`](Self::deploy).
    async fn retire(&self, epoch: Epoch, name: &str) -> Result<Option<u64>, JournalError>;

    /// Gives the finished runs that are to be archived next, at most `limit` of a new batch, or nothing where
    /// none waits. Until [`archived`](Self::archived) it gives the same batch, whoever asks.
    ///
    /// # Errors
    /// As [`deploy`](Self::deploy).
    async fn plan_archive(
        &self,
        epoch: Epoch,
        limit: u32,
    ) -> Result<Option<ArchiveBatch>, JournalError>;

    /// Says that the planned batch of this number is archived, durably, except for the runs that could not be
    /// read: they stay in the journal. Another number changes nothing.
    ///
    /// # Errors
    /// As [`deploy`](Self::deploy).
    async fn archived(
        &self,
        epoch: Epoch,
        number: u64,
        unreadable: Vec<RunId>,
    ) -> Result<(), JournalError>;

    /// Forgets finished runs that are archived, the first that finished first, a part in each call. Their
    /// request ids stay taken.
    ///
    /// # Errors
    /// As [`deploy`](Self::deploy).
    async fn discard(&self, epoch: Epoch, discard: Discard) -> Result<Discarded, JournalError>;
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only runs with this status.
    pub status: Option<RunStatus>,
    /// Only runs of the workflow of this name.
    pub name: Option<String>,
}

/// Which part of a list of runs, or of something else that is listed by a key of another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<K = RunId> {
    /// Only what is older than this: the last of the page before.
    pub after: Option<K>,
    /// At most so many.
    pub limit: usize,
}

impl<K> Page<K> {
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
