//! What an operator decides about a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use marquetry_types::{QueueName, WorkerId};

#[cfg(unix)]
use crate::data_plane::DataPlaneConfig;
#[cfg(unix)]
use crate::hosts::HostCommand;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Its name, for as long as its process lives.
    pub id: WorkerId,
    /// How many attempts it runs at a time.
    pub slots: u32,
    /// The queues that it serves; none means `default`.
    pub queues: BTreeSet<QueueName>,
    /// What stages may ask for, as in `zone: a`.
    pub labels: BTreeMap<String, String>,
    /// Threads of a query and of a numerical kernel.
    pub threads: usize,
    /// Bytes of memory for an attempt that does not say how much it needs.
    pub memory_limit: u64,
    /// Where queries that exceed their memory go on.
    pub spill_dir: PathBuf,
    /// A folder with a file for each secret; the environment has others.
    pub secrets_dir: Option<PathBuf>,
    /// Where stages run.
    pub isolation: Isolation,
    /// How long a cancelled stage may take to notice before it is cut off.
    pub cancel_patience: Duration,
    /// The authority of data planes' certificates, as PEM; without one, the system's.
    pub authority: Option<Vec<u8>>,
    /// Where it takes parts of other workers' queries; without one, it takes none.
    #[cfg(unix)]
    pub data_plane: Option<DataPlaneConfig>,
}

impl WorkerConfig {
    /// A worker of that name with one slot and one thread, for stages in this process.
    #[must_use]
    pub fn new(id: WorkerId, spill_dir: PathBuf) -> Self {
        Self {
            id,
            slots: 1,
            queues: BTreeSet::new(),
            labels: BTreeMap::new(),
            threads: 1,
            memory_limit: 2 * 1024 * 1024 * 1024,
            spill_dir,
            secrets_dir: None,
            isolation: Isolation::Threads,
            cancel_patience: Duration::from_secs(5),
            authority: None,
            #[cfg(unix)]
            data_plane: None,
        }
    }
}

/// Where the stages of a worker run.
#[derive(Debug, Clone)]
pub enum Isolation {
    /// On threads of the worker's process: the least overhead. A stage that blocks its thread for ever
    /// is given up but stays, and one that crashes takes the worker with it.
    Threads,
    /// In child processes, which can be limited and killed.
    #[cfg(unix)]
    Processes(HostCommand),
}
