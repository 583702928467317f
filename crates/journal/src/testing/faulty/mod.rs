//! A journal that fails, or holds, the nth commit, before or after it took effect, or the nth reading.
//!
//! A commit is any call that writes. What a coordinator must survive is not only the refusal but the
//! doubt: an error after the records became durable, and one before, look the same. A reading is any call
//! that does not write; it fails or it does not.

mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use marquetry_engine::{Cached, Record, RunState, RunSummary};
use marquetry_types::{Epoch, Publication, PublishedKind, PublishedName, RunId, Timestamp};

pub use self::plan::{Fault, Faults, Gate, ReadFault};
use crate::{
    ArchiveBatch, Backlog, Campaign, Candidate, Deployed, Deployment, Deployments, Discard,
    Discarded, FinishedThrough, Journal, JournalError, JournalReader, Leader, LoadedRun, Page,
    RunFilter, Unfinished,
};

/// A journal with faults in front of a real one.
#[derive(Debug)]
pub struct FaultyJournal<J> {
    inner: J,
    faults: Faults,
}

impl<J: Journal> FaultyJournal<J> {
    /// Puts `faults` in front of `inner`.
    pub fn new(inner: J, faults: Faults) -> Self {
        Self { inner, faults }
    }

    async fn commit<T>(
        &self,
        commit: impl Future<Output = Result<T, JournalError>> + Send,
    ) -> Result<T, JournalError> {
        let doubtful = || JournalError::Doubtful {
            reason: "a planned fault".to_owned(),
        };
        let fault = self.faults.next_commit();
        match fault {
            None => commit.await,
            Some(Fault::Refused) => Err(JournalError::Storage {
                doing: "write to the journal",
                reason: "a planned fault".to_owned(),
            }),
            Some(Fault::DoubtfulBefore) => Err(doubtful()),
            Some(Fault::DoubtfulAfter) => {
                commit.await?;
                Err(doubtful())
            }
            Some(Fault::HeldBefore(gate)) => {
                gate.pass().await;
                commit.await
            }
            Some(Fault::HeldAfter(gate)) => {
                let result = commit.await;
                gate.pass().await;
                result
            }
        }
    }

    async fn read<T>(
        &self,
        reading: impl Future<Output = Result<T, JournalError>> + Send,
    ) -> Result<T, JournalError> {
        let fault = self.faults.next_read();
        match fault {
            None => reading.await,
            Some(ReadFault::Refused) => Err(JournalError::Storage {
                doing: "read the journal",
                reason: "a planned fault".to_owned(),
            }),
            Some(ReadFault::Held(gate)) => {
                gate.pass().await;
                reading.await
            }
        }
    }
}

#[async_trait]
impl<J: Journal> Journal for FaultyJournal<J> {
    async fn campaign(&self, candidate: &Candidate) -> Result<Campaign, JournalError> {
        self.commit(self.inner.campaign(candidate)).await
    }

    /// Never fails by plan: it comes when the clock says, so counting it would move every fault.
    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<(), JournalError> {
        self.inner.renew(epoch, lease).await
    }

    async fn resign(&self, epoch: Epoch) -> Result<(), JournalError> {
        self.inner.resign(epoch).await
    }

    async fn append(&self, epoch: Epoch, records: Vec<Record>) -> Result<(), JournalError> {
        self.faults.show(&records);
        self.commit(self.inner.append(epoch, records)).await
    }

    async fn put_bundle(&self, digest: &str, bytes: Vec<u8>) -> Result<(), JournalError> {
        self.commit(self.inner.put_bundle(digest, bytes)).await
    }

    async fn deploy(&self, epoch: Epoch, deployment: Deployment) -> Result<Deployed, JournalError> {
        self.commit(self.inner.deploy(epoch, deployment)).await
    }

    async fn retire(&self, epoch: Epoch, name: &str) -> Result<Option<u64>, JournalError> {
        self.commit(self.inner.retire(epoch, name)).await
    }

    async fn plan_archive(
        &self,
        epoch: Epoch,
        limit: u32,
    ) -> Result<Option<ArchiveBatch>, JournalError> {
        self.commit(self.inner.plan_archive(epoch, limit)).await
    }

    async fn archived(
        &self,
        epoch: Epoch,
        number: u64,
        unreadable: Vec<RunId>,
    ) -> Result<(), JournalError> {
        self.commit(self.inner.archived(epoch, number, unreadable))
            .await
    }

    async fn discard(&self, epoch: Epoch, discard: Discard) -> Result<Discarded, JournalError> {
        self.commit(self.inner.discard(epoch, discard)).await
    }
}

#[async_trait]
impl<J: Journal> JournalReader for FaultyJournal<J> {
    async fn list_runs(
        &self,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Vec<RunSummary>, JournalError> {
        self.read(self.inner.list_runs(filter, page)).await
    }

    async fn load_run(&self, run: &RunId) -> Result<RunState, JournalError> {
        self.read(self.inner.load_run(run)).await
    }

    async fn load_unfinished(&self) -> Result<Unfinished, JournalError> {
        self.read(self.inner.load_unfinished()).await
    }

    async fn load_runs(&self, runs: &[RunId]) -> Result<Vec<LoadedRun>, JournalError> {
        self.read(self.inner.load_runs(runs)).await
    }

    async fn archive_backlog(&self, limit: u32) -> Result<Backlog, JournalError> {
        self.read(self.inner.archive_backlog(limit)).await
    }

    async fn list_unarchived(
        &self,
        after: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<RunId>, JournalError> {
        self.read(self.inner.list_unarchived(after, limit)).await
    }

    async fn finished_beyond(&self, keep: u64) -> Result<Option<FinishedThrough>, JournalError> {
        self.read(self.inner.finished_beyond(keep)).await
    }

    async fn find_by_request_id(
        &self,
        request_id: &str,
    ) -> Result<Option<RunSummary>, JournalError> {
        self.read(self.inner.find_by_request_id(request_id)).await
    }

    async fn find_runs_by_prefix(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<RunSummary>, JournalError> {
        self.read(self.inner.find_runs_by_prefix(prefix, limit))
            .await
    }

    async fn list_published(
        &self,
        kind: Option<PublishedKind>,
    ) -> Result<Vec<Publication>, JournalError> {
        self.read(self.inner.list_published(kind)).await
    }

    async fn published_versions(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        limit: usize,
    ) -> Result<Vec<Publication>, JournalError> {
        self.read(self.inner.published_versions(kind, name, limit))
            .await
    }

    async fn find_published(
        &self,
        kind: PublishedKind,
        name: &PublishedName,
        version: Option<u64>,
    ) -> Result<Option<Publication>, JournalError> {
        self.read(self.inner.find_published(kind, name, version))
            .await
    }

    async fn cached(&self, key: &str) -> Result<Option<Cached>, JournalError> {
        self.read(self.inner.cached(key)).await
    }

    async fn get_bundle(&self, digest: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.read(self.inner.get_bundle(digest)).await
    }

    async fn deployment(
        &self,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<Deployment>, JournalError> {
        self.read(self.inner.deployment(name, version)).await
    }

    async fn current_deployments(&self) -> Result<Deployments, JournalError> {
        self.read(self.inner.current_deployments()).await
    }

    async fn list_deployments(
        &self,
        name: &str,
        page: &Page<u64>,
    ) -> Result<Deployments, JournalError> {
        self.read(self.inner.list_deployments(name, page)).await
    }

    async fn schedule_positions(
        &self,
        workflow: &str,
    ) -> Result<BTreeMap<String, Timestamp>, JournalError> {
        self.read(self.inner.schedule_positions(workflow)).await
    }

    async fn leader(&self) -> Result<Option<Leader>, JournalError> {
        self.read(self.inner.leader()).await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;
    use crate::SqliteJournal;
    use crate::testing::samples;

    #[tokio::test]
    async fn readings_are_counted_refused_and_held() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteJournal::open(folder.path().join("journal.db")).unwrap();
        let faults = Faults::new();
        let journal = Arc::new(FaultyJournal::new(sqlite, faults.clone()));
        let epoch = samples::lead(journal.as_ref()).await;
        let run = samples::run_id(1);

        faults.plan_read(2, ReadFault::Refused);
        let unknown = JournalError::UnknownRun { run: run.clone() };
        assert_eq!(journal.load_run(&run).await, Err(unknown.clone()));
        let refused = journal.load_run(&run).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot read the journal: a planned fault"
        );
        assert_eq!(journal.load_run(&run).await, Err(unknown));
        assert_eq!((faults.reads(), faults.commits()), (3, 1));

        let gate = Gate::new();
        faults.plan_next_read(ReadFault::Held(gate.clone()));
        let held = tokio::spawn({
            let (journal, run) = (Arc::clone(&journal), run.clone());
            async move { journal.load_run(&run).await }
        });
        gate.reached().await;
        let records = samples::begun_run(&run, "retail", None);
        journal.append(epoch, records.clone()).await.unwrap();
        gate.open();
        assert_eq!(held.await.unwrap(), Ok(samples::replayed(&records)));
    }
}
