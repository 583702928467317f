//! What an operator decides about a coordinator.

use std::time::Duration;

use marquetry_engine::EngineConfig;
use marquetry_types::RunId;

/// How a coordinator works.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// Patience with workers.
    pub engine: EngineConfig,
    /// How often a worker shows that it lives; well below the lease.
    pub heartbeat_interval: Duration,
    /// The lake that workers are told of.
    pub lake: String,
    /// Which unfinished runs to go on with at the start.
    pub take_up: TakeUp,
}

/// Which unfinished runs a coordinator goes on with when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeUp {
    /// All: a coordinator that serves a cluster.
    All,
    /// This one: `marquetry resume`, which is asked for one run and should do no other.
    Only(RunId),
    /// None: `marquetry run` begins its own.
    Nothing,
}

impl TakeUp {
    pub(crate) fn includes(&self, run: &RunId) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only == run,
            Self::Nothing => false,
        }
    }
}
