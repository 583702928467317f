//! Files that nobody needs: what attempts wrote that never succeeded, what was done again, and, if that is asked
//! for, the data of runs that ended long ago.
//!
//! Only files of runs that the journal or the archive knows are touched: another journal may use the same lake.
//! Of a run that is in the archive only it is no longer known what was committed, so its files stay, unless its
//! data has expired.
//!
//! The files of a run are listed before it is asked how the run stands. So what is committed in between is not
//! taken for garbage; and whatever is young stays anyway.

mod fate;
mod reach;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::TimestampMillisecondType;
use marquetry_journal::{JournalReader, Page, RunFilter, StoredRun};
use marquetry_lake::{Lake, ObjectInfo, SessionOptions};
use marquetry_types::{RunId, Timestamp};

use self::fate::{Fate, Standing};
use self::reach::Reached;
use crate::{Catalogue, HistoryError};

/// The folder of all runs' files.
const RUNS: &str = "runs";
/// Runs that are looked at before it rests.
const AT_ONCE: usize = 50;

/// What is collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The present.
    pub now: Timestamp,
    /// How old a file must be, by the clock of its store.
    pub older_than: Duration,
    /// How long the data of a run is kept after it ended; for ever without.
    pub keep_data_for: Option<Duration>,
    /// It rests so many times as long as it works.
    pub rest: u32,
}

/// What can be collected, and what was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// The files, by path.
    pub files: Vec<ObjectInfo>,
    /// Runs whose files were looked at.
    pub runs: u64,
    /// Folders of runs that neither the journal nor the archive knows; they are left alone.
    pub unknown: Vec<String>,
}

impl Findings {
    /// Bytes of the files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Whoever finds and removes files.
pub struct Collector {
    lake: Lake,
    journal: Arc<dyn JournalReader>,
    session: SessionOptions,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Collector")
            .field("lake", &self.lake)
            .finish_non_exhaustive()
    }
}

impl Collector {
    /// A collector. The session's options are for what it asks of the archive.
    #[must_use]
    pub fn new(lake: Lake, journal: Arc<dyn JournalReader>, session: SessionOptions) -> Self {
        Self {
            lake,
            journal,
            session,
        }
    }

    /// Finds files that nobody needs.
    ///
    /// # Errors
    /// The journal or the lake cannot be read: then nothing is known to be garbage.
    pub async fn find(&self, rules: &Rules) -> Result<Findings, HistoryError> {
        let mut findings = Findings::default();
        let mut questionable: Vec<ObjectInfo> = Vec::new();
        let mut folders = Vec::new();
        for name in self.lake.folders(RUNS).await? {
            match RunId::try_from(name.clone()) {
                Ok(run) => folders.push(run),
                Err(_) => findings.unknown.push(name),
            }
        }
        let mut archived = None;
        for runs in folders.chunks(AT_ONCE) {
            let begun = Instant::now();
            let mut listed: BTreeMap<&RunId, Vec<ObjectInfo>> = BTreeMap::new();
            for run in runs {
                let mut files = self.lake.list(&format!("{RUNS}/{run}")).await?;
                files.retain(|file| rules.now.saturating_since(file.modified) > rules.older_than);
                if !files.is_empty() {
                    listed.insert(run, files);
                }
            }
            let ids: Vec<RunId> = listed.keys().map(|run| (*run).clone()).collect();
            let mut known: BTreeMap<RunId, Standing> = BTreeMap::new();
            for (run, loaded) in self.journal.load_runs(&ids).await? {
                let standing = match loaded {
                    Ok(stored) => Standing::of(&stored.state, rules),
                    // What a damaged run committed is not known.
                    Err(_) => Standing::Kept,
                };
                known.insert(run, standing);
            }
            for (run, files) in listed {
                let standing = match known.remove(run) {
                    Some(standing) => standing,
                    None => {
                        let archived = match &archived {
                            Some(archived) => archived,
                            None => archived.insert(self.archived().await?),
                        };
                        match archived.get(run) {
                            Some(finished) => Standing::archived(*finished, rules),
                            None => {
                                findings.unknown.push(run.to_string());
                                continue;
                            }
                        }
                    }
                };
                findings.runs += 1;
                for file in files {
                    match standing.fate(&file.path) {
                        Fate::Kept => {}
                        Fate::Garbage => findings.files.push(file),
                        Fate::Questionable => questionable.push(file),
                    }
                }
            }
            tokio::time::sleep(begun.elapsed().saturating_mul(rules.rest)).await;
        }
        if !questionable.is_empty() {
            let reached = self.reached(rules).await?;
            questionable.retain(|file| !reached.has(&file.path));
            findings.files.extend(questionable);
        }
        findings.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(findings)
    }

    /// Removes what was found.
    ///
    /// # Errors
    /// The lake refuses; what was removed before that stays removed.
    pub async fn remove(&self, findings: &Findings, rules: &Rules) -> Result<(), HistoryError> {
        // A manifest goes before what it lists: a dataset is there as a whole or not at all.
        let is_manifest = |file: &&ObjectInfo| file.path.ends_with(".json");
        let (manifests, others): (Vec<_>, Vec<_>) = findings.files.iter().partition(is_manifest);
        for file in manifests.into_iter().chain(others) {
            let begun = Instant::now();
            self.lake.delete(&file.path).await?;
            tokio::time::sleep(begun.elapsed().saturating_mul(rules.rest)).await;
        }
        Ok(())
    }

    /// When the runs of the archive finished.
    async fn archived(&self) -> Result<BTreeMap<RunId, Timestamp>, HistoryError> {
        let catalogue = Catalogue::new(self.lake.clone(), None);
        let sql = "SELECT run, finished_at FROM runs";
        let batches = catalogue.query(sql, &self.session).await?.collect().await?;
        let rows = batches.iter().flat_map(runs_of);
        Ok(rows.collect())
    }

    /// Every file that a published version or a run whose data is kept refers to.
    async fn reached(&self, rules: &Rules) -> Result<Reached, HistoryError> {
        let mut reached = Reached::new(self.lake.clone());
        for publication in self.journal.list_published(None).await? {
            let published = publication.published;
            let versions =
                self.journal
                    .published_versions(published.kind, &published.name, usize::MAX);
            for version in versions.await? {
                reached.dataset(&version.published.dataset).await?;
            }
        }
        let filter = RunFilter::default();
        let mut page = Page::first(AT_ONCE);
        loop {
            let begun = Instant::now();
            let runs = self.journal.list_runs(&filter, &page).await?;
            let Some(last) = runs.last() else { break };
            page.after = Some(last.run.clone());
            let ids: Vec<RunId> = runs.into_iter().map(|run| run.run).collect();
            for (_, loaded) in self.journal.load_runs(&ids).await? {
                if let Ok(StoredRun { state, .. }) = loaded
                    && !rules.is_expired(state.finished_at)
                {
                    for stage in state.stages.values() {
                        if let Some(outcome) = &stage.outcome {
                            reached.outcome(outcome).await?;
                        }
                    }
                }
            }
            tokio::time::sleep(begun.elapsed().saturating_mul(rules.rest)).await;
        }
        Ok(reached)
    }
}

impl Rules {
    /// Whether the data of a run that finished then need not be kept.
    fn is_expired(&self, finished_at: Option<Timestamp>) -> bool {
        let ended = finished_at.zip(self.keep_data_for);
        ended.is_some_and(|(at, keep)| self.now.saturating_since(at) > keep)
    }
}

fn runs_of(batch: &RecordBatch) -> BTreeMap<RunId, Timestamp> {
    let runs = batch.column(0).as_string::<i32>();
    let times = batch.column(1).as_primitive::<TimestampMillisecondType>();
    let rows = runs.iter().zip(times.iter());
    rows.filter_map(|(run, at)| {
        let run = RunId::try_from(run?.to_owned()).ok()?;
        Some((run, Timestamp::from_millis(at?)))
    })
    .collect()
}
