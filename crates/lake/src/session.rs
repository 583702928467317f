//! Query sessions, with the memory of one stage.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use url::Url;

use crate::distributed::{QueryNote, Spread, partitions, settle};
use crate::query_spans::with_spans;
use crate::{Lake, LakeError};

/// Under which URL a session knows the lake's own store.
pub const LAKE_URL: &str = "lake://data/";
/// Consumers that an error about memory names.
const NAMED_CONSUMERS: usize = 5;

/// What a session may use.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Bytes of memory; sorts, joins and aggregates beyond it spill.
    pub memory_limit: u64,
    /// The folder for what is spilled; it is made when something is.
    pub spill_dir: PathBuf,
    /// Partitions that a query runs in at a time.
    pub threads: usize,
}

/// A session that is made when it is first used: that takes longer than many a stage that needs none, and
/// makes a folder on the disk.
pub struct LazySession {
    options: SessionOptions,
    spread: Spread,
    lake: Lake,
    made: OnceLock<SessionContext>,
}

impl std::fmt::Debug for LazySession {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LazySession")
            .field("is_made", &self.made.get().is_some())
            .finish_non_exhaustive()
    }
}

impl LazySession {
    /// A session on a lake.
    #[must_use]
    pub fn new(lake: &Lake, options: SessionOptions) -> Self {
        Self {
            options,
            spread: Spread::default(),
            lake: lake.clone(),
            made: OnceLock::new(),
        }
    }

    /// The same session, whose queries are spread over other workers where that is possible.
    #[must_use]
    pub fn spread_over(mut self, spread: &Spread) -> Self {
        self.spread = spread.clone();
        self
    }

    /// The session. Where the spill folder cannot be used, queries that would spill fail for want of memory,
    /// and the others are not hindered.
    pub fn get(&self) -> &SessionContext {
        self.made.get_or_init(|| {
            let (limit, folder) = (self.options.memory_limit, self.options.spill_dir.as_path());
            let runtime = runtime(limit, Some(folder), None)
                .or_else(|_| runtime(limit, None, None))
                .unwrap_or_default();
            let session = match self.spread_state(&runtime) {
                Some(state) => SessionContext::new_with_state(state),
                None => SessionContext::new_with_config_rt(config(&self.options), runtime),
            };
            know_lake(&session, &self.lake);
            with_spans(session)
        })
    }

    /// The state of a session that is spread, if this one is.
    fn spread_state(&self, runtime: &Arc<RuntimeEnv>) -> Option<SessionState> {
        if !self.spread.is_possible() {
            return None;
        }
        let config = config(&self.options);
        let partitions = partitions(config.target_partitions());
        let builder = SessionStateBuilder::new()
            .with_config(config.with_target_partitions(partitions))
            .with_runtime_env(Arc::clone(runtime))
            .with_default_features();
        let state = self.spread.state(builder);
        state
            .inspect_err(|error| {
                let reason = error.strip_backtrace();
                (self.spread.listener)(QueryNote::KeptLocal { reason });
            })
            .ok()
    }
}

/// A session on a lake.
///
/// # Errors
/// The spill folder cannot be used.
pub fn session(lake: &Lake, options: &SessionOptions) -> Result<SessionContext, LakeError> {
    let runtime = runtime(options.memory_limit, Some(&options.spill_dir), None)?;
    let session = SessionContext::new_with_config_rt(config(options), runtime);
    know_lake(&session, lake);
    Ok(session)
}

fn know_lake(session: &SessionContext, lake: &Lake) {
    if let Ok(url) = Url::parse(LAKE_URL) {
        session.register_object_store(&url, Arc::clone(lake.store()));
    }
}

fn config(options: &SessionOptions) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.threads.max(1))
        .with_parquet_pruning(true)
        .with_collect_statistics(true);
    let execution = &mut config.options_mut().execution;
    execution.sort_spill_reservation_bytes = execution
        .sort_spill_reservation_bytes
        .min(merge_reservation(options));
    settle(&mut config);
    config
}

/// What each partition of a sort sets aside for merging what it spilled: of little memory no more than an
/// eighth for all of them together, or the sorts of a query keep one another from beginning.
fn merge_reservation(options: &SessionOptions) -> usize {
    let partitions = u64::try_from(options.threads.max(1)).unwrap_or(u64::MAX);
    let share = options.memory_limit / partitions.saturating_mul(8);
    usize::try_from(share).unwrap_or(usize::MAX)
}

/// Memory of so many bytes, beyond which queries go on in a folder, which is made; without one they fail.
/// `stores`, if given, says where objects are; otherwise they are registered one by one.
pub(crate) fn runtime(
    memory_limit: u64,
    spill_dir: Option<&Path>,
    stores: Option<Arc<dyn ObjectStoreRegistry>>,
) -> Result<Arc<RuntimeEnv>, LakeError> {
    let mode = match spill_dir {
        None => DiskManagerMode::Disabled,
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| LakeError::BadLocation {
                location: folder.display().to_string(),
                reason: error.to_string(),
            })?;
            DiskManagerMode::Directories(vec![folder.to_owned()])
        }
    };
    let limit = usize::try_from(memory_limit).unwrap_or(usize::MAX);
    let named = std::num::NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN);
    let pool = TrackConsumersPool::new(FairSpillPool::new(limit), named);
    let mut runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode));
    if let Some(stores) = stores {
        runtime = runtime.with_object_store_registry(stores);
    }
    Ok(runtime.build_arc()?)
}
