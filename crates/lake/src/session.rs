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

use crate::distributed::{Spread, partitions, settle};
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
    spread: Option<SessionState>,
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
            spread: None,
            lake: lake.clone(),
            made: OnceLock::new(),
        })
    }

    /// The same session, whose queries are spread over other workers where that is possible.
    ///
    /// # Errors
    /// It cannot be configured so.
    pub fn spread_over(mut self, spread: &Spread) -> Result<Self, LakeError> {
        if spread.is_possible() {
            let partitions = partitions(self.config.target_partitions());
            let config = self.config.clone().with_target_partitions(partitions);
            let builder = SessionStateBuilder::new()
                .with_config(config)
                .with_runtime_env(Arc::clone(&self.runtime))
                .with_default_features();
            self.spread = Some(spread.state(builder)?);
        }
        Ok(self)
    }

    /// The session.
    pub fn get(&self) -> &SessionContext {
        self.made.get_or_init(|| {
            let session = match &self.spread {
                Some(spread) => SessionContext::new_with_state(spread.clone()),
                None => {
                    let (config, runtime) = (self.config.clone(), Arc::clone(&self.runtime));
                    SessionContext::new_with_config_rt(config, runtime)
                }
            };
            if let Ok(url) = Url::parse(LAKE_URL) {
                session.register_object_store(&url, Arc::clone(self.lake.store()));
            }
            session
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
    let runtime = runtime(options.memory_limit, &options.spill_dir, None)?;
    let mut config = SessionConfig::new()
        .with_target_partitions(options.threads.max(1))
        .with_parquet_pruning(true)
        .with_collect_statistics(true);
    settle(&mut config);
    Ok((config, runtime))
}

/// Memory of so many bytes, beyond which queries go on in a folder, which is made. `stores`, if given,
/// says where objects are; otherwise they are registered one by one.
pub(crate) fn runtime(
    memory_limit: u64,
    spill_dir: &Path,
    stores: Option<Arc<dyn ObjectStoreRegistry>>,
) -> Result<Arc<RuntimeEnv>, LakeError> {
    std::fs::create_dir_all(spill_dir).map_err(|error| LakeError::BadLocation {
        location: spill_dir.display().to_string(),
        reason: error.to_string(),
    })?;
    let limit = usize::try_from(memory_limit).unwrap_or(usize::MAX);
    let named = std::num::NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN);
    let pool = TrackConsumersPool::new(FairSpillPool::new(limit), named);
    let mode = DiskManagerMode::Directories(vec![spill_dir.to_owned()]);
    let mut runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode));
    if let Some(stores) = stores {
        runtime = runtime.with_object_store_registry(stores);
    }
    Ok(runtime.build_arc()?)
}
