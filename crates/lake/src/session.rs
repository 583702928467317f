//! Query sessions, with the memory of one stage.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use url::Url;

use crate::query_spans::with_spans;
use crate::{Lake, LakeError};

/// Under which URL a session knows the lake's own store.
pub(crate) const LAKE_URL: &str = "lake://data/";
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

/// A session that is made when it is first used: that takes longer than many a stage that needs none.
pub struct LazySession {
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
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
    ///
    /// # Errors
    /// The spill folder cannot be used.
    pub fn new(lake: &Lake, options: &SessionOptions) -> Result<Self, LakeError> {
        let (config, runtime) = parts(options)?;
        Ok(Self {
            config,
            runtime,
            lake: lake.clone(),
            made: OnceLock::new(),
        })
    }

    /// The session.
    pub fn get(&self) -> &SessionContext {
        self.made.get_or_init(|| {
            let (config, runtime) = (self.config.clone(), Arc::clone(&self.runtime));
            let session = SessionContext::new_with_config_rt(config, runtime);
            if let Ok(url) = Url::parse(LAKE_URL) {
                session.register_object_store(&url, Arc::clone(self.lake.store()));
            }
            with_spans(session)
        })
    }
}

/// A session on a lake.
///
/// # Errors
/// The spill folder cannot be used.
pub fn session(lake: &Lake, options: &SessionOptions) -> Result<SessionContext, LakeError> {
    Ok(LazySession::new(lake, options)?.get().clone())
}

fn parts(options: &SessionOptions) -> Result<(SessionConfig, Arc<RuntimeEnv>), LakeError> {
    let bad = |error: &dyn std::fmt::Display| LakeError::BadLocation {
        location: options.spill_dir.display().to_string(),
        reason: error.to_string(),
    };
    std::fs::create_dir_all(&options.spill_dir).map_err(|error| bad(&error))?;
    let limit = usize::try_from(options.memory_limit).unwrap_or(usize::MAX);
    let named = std::num::NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN);
    let pool = TrackConsumersPool::new(FairSpillPool::new(limit), named);
    let mode = DiskManagerMode::Directories(vec![options.spill_dir.clone()]);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .build_arc()?;
    let mut config = SessionConfig::new()
        .with_target_partitions(options.threads.max(1))
        .with_parquet_pruning(true)
        .with_collect_statistics(true);
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.pushdown_filters = true;
    parquet.reorder_filters = true;
    config.options_mut().execution.time_zone = Some("UTC".to_owned());
    Ok((config, runtime))
}
