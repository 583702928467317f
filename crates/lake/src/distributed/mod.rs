//! Queries over many workers.
//!
//! [`datafusion_distributed`] cuts a query's plan where rows are shuffled or gathered, and sends the parts
//! to the data planes of workers. A session knows them by its [`Spread`], from the beginning of its stage
//! on: a worker that comes later takes part in the next one. What cannot be sent runs where the stage
//! does, and a part that is lost with its worker fails the whole query as [`PeerLost`], for the attempt
//! to be made again on the workers that are left.
//!
//! Every data plane must be shown the secret of the coordinator's epoch; [`fragment_routes`] is the other
//! side, without the check of it, which belongs to whoever serves it.

mod connections;
mod fragments;
mod functions;
mod planner;
mod portable;
mod spread_exec;
mod stores;

use std::fmt;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{DistributedExt, SessionStateBuilderExt, WorkerResolver};
use marquetry_types::{Membership, Parallelism, Secret};
use url::Url;

pub use self::connections::PeerConnections;
pub use self::fragments::{FragmentOptions, fragment_routes};
pub use self::functions::Functions;

use self::connections::Channels;
use self::planner::SpreadPlanner;

/// The version that plans must have on both sides.
pub const PLAN_VERSION: &str = env!("CARGO_PKG_VERSION");
/// What one partition of a query reads at least before it takes more than one worker.
const BYTES_PER_PARTITION: usize = 16 * 1024 * 1024;

/// The data planes that take parts of queries, and how they are spoken with.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    urls: Vec<Url>,
    secret: Secret,
    authority: Option<Vec<u8>>,
}

impl Peers {
    /// Those of a membership that understand plans of this version. `authority`, as PEM, signed their
    /// certificates; without one, one of the system's did.
    #[must_use]
    pub fn new(membership: &Membership, authority: Option<Vec<u8>>) -> Self {
        let peers = membership.peers.iter();
        let urls = peers
            .filter(|peer| peer.version == PLAN_VERSION)
            .filter_map(|peer| Url::parse(&peer.url).ok());
        Self {
            urls: urls.collect(),
            secret: membership.secret.clone(),
            authority,
        }
    }
}

impl WorkerResolver for Peers {
    fn get_urls(&self) -> Result<Vec<Url>, DataFusionError> {
        Ok(self.urls.clone())
    }
}

/// What a session says of its queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryNote {
    /// A query ran on several workers.
    Spread {
        /// On how many.
        workers: usize,
        /// Into how many parts it was cut, counted once for each worker that ran one.
        tasks: usize,
        /// Rows that went from one worker to another, or to the stage.
        rows: usize,
        /// Their bytes on the way.
        bytes: usize,
    },
    /// A query was to be spread, and ran where the stage does.
    KeptLocal {
        /// Why.
        reason: String,
    },
}

/// Hears what a session says of its queries.
pub type QueryListener = Arc<dyn Fn(QueryNote) + Send + Sync>;

/// Over which workers the queries of a session are spread, and when.
#[derive(Clone)]
pub struct Spread {
    /// When.
    pub parallelism: Parallelism,
    /// Over which.
    pub peers: Peers,
    /// The connections to them, which may be there from a session before.
    pub connections: PeerConnections,
    /// What they know besides the engine's own functions.
    pub functions: Functions,
    /// Who hears of it.
    pub listener: QueryListener,
}

impl Default for Spread {
    /// Nowhere.
    fn default() -> Self {
        Self {
            parallelism: Parallelism::Local,
            peers: Peers::default(),
            connections: PeerConnections::default(),
            functions: Functions::default(),
            listener: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Spread")
            .field("parallelism", &self.parallelism)
            .field("peers", &self.peers.urls)
            .finish_non_exhaustive()
    }
}

impl Spread {
    /// Whether any query may be spread: one worker alone gains nothing by others.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.parallelism != Parallelism::Local && self.peers.urls.len() > 1
    }

    /// Whether every query is to be spread, and can be.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.parallelism == Parallelism::Cluster && self.is_possible()
    }

    /// A session's state with it. `builder` has the session's own configuration already.
    pub(crate) fn state(
        &self,
        builder: SessionStateBuilder,
    ) -> Result<SessionState, DataFusionError> {
        let least = match self.parallelism {
            Parallelism::Cluster => 1,
            Parallelism::Local | Parallelism::Auto => BYTES_PER_PARTITION,
        };
        self.connections.keep(&self.peers.urls);
        let authority = self.peers.authority.clone();
        let connections = self.connections.clone();
        let channels = Channels::new(connections, authority, Some(&self.peers.secret))?;
        let state = builder
            .with_distributed_planner()
            .with_distributed_worker_resolver(self.peers.clone())
            .with_distributed_channel_resolver(channels)
            .with_distributed_file_scan_config_bytes_per_partition(least)?
            // In place of the engine's own, which it asks itself.
            .with_query_planner(Arc::new(SpreadPlanner::new(
                Arc::clone(&self.listener),
                self.functions.clone(),
            )));
        Ok(state.build())
    }
}

/// The partitions of a query that is spread. Below two the engine plans no shuffle, without which
/// nothing can be cut.
pub(crate) fn partitions(threads: usize) -> usize {
    threads.max(2)
}

/// What decides what a query means, and so must be the same in every process that runs a part of it.
pub(crate) fn settle(config: &mut SessionConfig) {
    let options = config.options_mut();
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.time_zone = Some("UTC".to_owned());
}

/// A worker that had a part of a query was lost, or could not be reached. Another attempt may succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a worker that had a part of a query was lost: {reason}")]
pub struct PeerLost {
    /// What was seen of it.
    pub reason: String,
}

impl PeerLost {
    /// The loss that an error of a query means, if it means one.
    #[must_use]
    pub fn find(error: &DataFusionError) -> Option<&Self> {
        match error.find_root() {
            DataFusionError::External(cause) => cause.downcast_ref(),
            _ => None,
        }
    }

    /// An error of a query that was spread, with the losses of workers told apart from what is wrong with
    /// the query or its data. The former have no type of their own: they come as errors of a call,
    /// or as the text of one where another worker met it.
    fn told_apart(error: DataFusionError) -> DataFusionError {
        let root = error.find_root();
        let is_loss = match root {
            DataFusionError::External(cause) => !cause.is::<Self>(),
            // It never got its part, because whoever was to send it failed first.
            DataFusionError::Execution(text) => text.contains("while waiting for the plan"),
            _ => false,
        };
        if !is_loss {
            return error;
        }
        let reason = match root {
            DataFusionError::External(cause) => cause.to_string(),
            other => other.strip_backtrace(),
        };
        DataFusionError::External(Box::new(Self { reason }))
    }
}
