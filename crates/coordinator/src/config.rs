//! What an operator decides about a coordinator.

use std::time::Duration;

use marquetry_engine::EngineConfig;
use marquetry_types::RunId;

use crate::Upkeep;

/// How a coordinator works.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// Patience with workers.
    pub engine: EngineConfig,
    /// How often a worker shows that it lives; well below the lease.
    pub heartbeat_interval: Duration,
    /// The lake that workers are told of.
    pub lake: String,
    /// Its name among the coordinators of a journal, unique to its process's life.
    pub name: String,
    /// The URL at which clients and workers reach it; empty where nobody else needs to.
    pub url: String,
    /// How long it may be silent, as the journal sees it, before another coordinator takes over.
    pub lease: Duration,
    /// Which unfinished runs to go on with at the start.
    pub take_up: TakeUp,
    /// What is done with runs that have ended.
    pub upkeep: Upkeep,
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
