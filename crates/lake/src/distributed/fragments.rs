//! The other side: what a data plane runs for the queries of others.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion_distributed::{DistributedExt, Worker, WorkerQueryContext, WorkerSessionBuilder};
use http::header::AUTHORIZATION;
use tonic::service::Routes;

use super::connections::{Authority, Channels, PeerConnections};
use super::stores::Stores;
use super::{Functions, PLAN_VERSION, settle};
use crate::session::runtime;
use crate::{Lake, LakeError};

/// What a data plane may use.
#[derive(Debug, Clone)]
pub struct FragmentOptions {
    /// Bytes of memory for all parts of queries together; sorts, joins and aggregates beyond it spill.
    pub memory_limit: u64,
    /// The folder for what is spilled.
    pub spill_dir: PathBuf,
    /// The authority that signed the certificates of other data planes, as PEM; without one, the system's.
    pub authority: Option<Vec<u8>>,
    /// What queries may call besides the engine's own functions.
    pub functions: Functions,
}

/// The gRPC service that runs parts of queries over a lake. Whoever reaches it may read whatever this
/// process may: it stands behind a check of the secret.
///
/// # Errors
/// The spill folder cannot be used.
pub fn fragment_routes(lake: &Lake, options: &FragmentOptions) -> Result<Routes, LakeError> {
    let stores = Arc::new(Stores::new(lake));
    let runtime = runtime(options.memory_limit, Some(&options.spill_dir), Some(stores))?;
    let sessions = Sessions {
        connections: PeerConnections::default(),
        authority: options.authority.clone(),
        functions: options.functions.clone(),
    };
    let worker = Worker::from_session_builder(sessions)
        .with_runtime_env(runtime)
        .with_version(PLAN_VERSION);
    Ok(Routes::new(worker.into_worker_server()))
}

/// Makes the session of a part.
struct Sessions {
    connections: PeerConnections,
    authority: Authority,
    functions: Functions,
}

#[async_trait]
impl WorkerSessionBuilder for Sessions {
    async fn build_session_state(
        &self,
        context: WorkerQueryContext,
    ) -> Result<SessionState, DataFusionError> {
        let WorkerQueryContext {
            mut builder,
            headers,
        } = context;
        settle(builder.config().get_or_insert_default());
        let shown = headers.get(AUTHORIZATION).cloned();
        let (connections, authority) = (self.connections.clone(), self.authority.clone());
        let channels = Channels::showing(connections, authority, shown);
        let builder = self.functions.known_to(builder);
        Ok(builder.with_distributed_channel_resolver(channels).build())
    }
}
