//! Query sessions, with the memory of one stage.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use url::Url;

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
            lake: lake.clone(),
            made: OnceLock::new(),
        }
    }

    /// The session. Where the spill folder cannot be used, queries that would spill fail for want of memory,
    /// and the others are not hindered.
    pub fn get(&self) -> &SessionContext {
        self.made.get_or_init(|| {
            let runtime = runtime(&self.options, spilling(&self.options))
                .or_else(|_| runtime(&self.options, DiskManagerMode::Disabled))
                .unwrap_or_default();
            context(&self.lake, &self.options, runtime)
        })
    }
}

/// A session on a lake.
///
/// # Errors
/// The spill folder cannot be used.
pub fn session(lake: &Lake, options: &SessionOptions) -> Result<SessionContext, LakeError> {
    let runtime = runtime(options, spilling(options))?;
    Ok(context(lake, options, runtime))
}

fn spilling(options: &SessionOptions) -> DiskManagerMode {
    DiskManagerMode::Directories(vec![options.spill_dir.clone()])
}

fn runtime(options: &SessionOptions, disk: DiskManagerMode) -> Result<Arc<RuntimeEnv>, LakeError> {
    if matches!(disk, DiskManagerMode::Directories(_)) {
        std::fs::create_dir_all(&options.spill_dir).map_err(|error| LakeError::BadLocation {
            location: options.spill_dir.display().to_string(),
            reason: error.to_string(),
        })?;
    }
    let limit = usize::try_from(options.memory_limit).unwrap_or(usize::MAX);
    let named = std::num::NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN);
    let pool = TrackConsumersPool::new(FairSpillPool::new(limit), named);
    Ok(RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
        .build_arc()?)
}

fn context(lake: &Lake, options: &SessionOptions, runtime: Arc<RuntimeEnv>) -> SessionContext {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.threads.max(1))
        .with_parquet_pruning(true)
        .with_collect_statistics(true);
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.pushdown_filters = true;
    parquet.reorder_filters = true;
    config.options_mut().execution.time_zone = Some("UTC".to_owned());
    let session = SessionContext::new_with_config_rt(config, runtime);
    if let Ok(url) = Url::parse(LAKE_URL) {
        session.register_object_store(&url, Arc::clone(lake.store()));
    }
    session
}
