//! What an operator decides about a worker.

use std::path::PathBuf;

use marquetry_types::WorkerId;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Its name, for as long as its process lives.
    pub id: WorkerId,
    /// How many attempts it runs at a time.
    pub slots: u32,
    /// Threads of a query and of a numerical kernel.
    pub threads: usize,
    /// Bytes of memory for an attempt that does not say how much it needs.
    pub memory_limit: u64,
    /// Where queries that exceed their memory go on.
    pub spill_dir: PathBuf,
}
