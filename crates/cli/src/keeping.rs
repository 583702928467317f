//! What a server does with history: the lake's archive and collector behind the coordinator's trait.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use marquetry_coordinator::{Collected, History, Upkeep};
use marquetry_history::collect::{Collector, Rules};
use marquetry_history::{Archive, Compaction};
use marquetry_journal::{ArchiveBatch, Journal, JournalReader, StoredRun};
use marquetry_lake::{Lake, SessionOptions};
use marquetry_types::{Diagnostic, Timestamp};
use tokio::runtime::Handle;

use crate::arguments::Keep;
use crate::place::Place;

/// A collection within a server rests for nine tenths of its time.
const REST: u32 = 9;
/// So many small files of a day are put together.
const SMALL_FILES: usize = 16;
/// How long files stay that were put together: a query that had found them is done by then.
const READERS: Duration = Duration::from_secs(15 * 60);
/// Memory of a query over history.
const QUERY_MEMORY: u64 = 1024 * 1024 * 1024;

/// The history of a lake.
#[derive(Debug)]
pub(crate) struct Keeping {
    archive: Archive,
    collector: Collector,
    older_than: Duration,
    keep_data_for: Option<Duration>,
}

/// What a query over history may use.
pub(crate) fn session_options(place: &Place) -> SessionOptions {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    SessionOptions {
        memory_limit: QUERY_MEMORY,
        spill_dir: place.spill_path(),
        threads: cores,
    }
}

impl Keeping {
    pub(crate) fn new(
        lake: Lake,
        journal: Arc<dyn Journal>,
        place: &Place,
        keep: &Keep,
    ) -> Arc<Self> {
        let archive = Archive::new(lake.clone());
        let reader: Arc<dyn JournalReader> = journal;
        let options = SessionOptions {
            threads: 1,
            ..session_options(place)
        };
        Arc::new(Self {
            archive,
            collector: Collector::new(lake, reader, options),
            older_than: keep.collect_older_than,
            keep_data_for: unless_zero(keep.keep_data_for),
        })
    }

    /// What a coordinator is told to do.
    pub(crate) fn upkeep(self: &Arc<Self>, keep: &Keep) -> Upkeep {
        Upkeep {
            history: Some(Arc::clone(self) as Arc<dyn History>),
            archive_after: keep.archive_after,
            keep_for: unless_zero(keep.keep_runs_for),
            keep_runs: (keep.keep_runs > 0).then_some(keep.keep_runs),
            compact_every: unless_zero(keep.compact_every),
            collect_every: unless_zero(keep.collect_every),
        }
    }
}

fn unless_zero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// Does what takes some milliseconds, which the threads of the coordinator do not have.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Diagnostic> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Diagnostic::new(marquetry_types::codes::INTERNAL, error.to_string()))
}

#[async_trait]
impl History for Keeping {
    async fn archive(&self, batch: &ArchiveBatch, runs: Vec<StoredRun>) -> Result<(), Diagnostic> {
        let (archive, batch, handle) = (self.archive.clone(), batch.clone(), Handle::current());
        let written = aside(move || handle.block_on(archive.write(&batch, &runs))).await?;
        written?;
        Ok(())
    }

    async fn compact(&self) -> Result<u64, Diagnostic> {
        let (archive, handle) = (self.archive.clone(), Handle::current());
        let rules = Compaction {
            now: Timestamp::now(),
            least: SMALL_FILES,
            patience: READERS,
            rest: REST,
        };
        let done = aside(move || handle.block_on(archive.compact(&rules))).await?;
        Ok(done?.merged)
    }

    async fn collect(&self) -> Result<Collected, Diagnostic> {
        let rules = Rules {
            now: Timestamp::now(),
            older_than: self.older_than,
            keep_data_for: self.keep_data_for,
            rest: REST,
        };
        let findings = self.collector.find(&rules).await?;
        self.collector.remove(&findings, &rules).await?;
        Ok(Collected {
            objects: u64::try_from(findings.files.len()).unwrap_or(u64::MAX),
            bytes: findings.bytes(),
        })
    }
}
