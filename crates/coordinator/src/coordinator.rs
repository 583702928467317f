//! A coordinator as whoever starts one sees it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::Stream;
use marquetry_client::MESSAGE_BYTES;
use marquetry_journal::{Journal, JournalError};
use marquetry_proto::v1::cluster_service_server::ClusterServiceServer;
use marquetry_proto::v1::run_service_server::RunServiceServer;
use marquetry_proto::v1::worker_service_server::WorkerServiceServer;
use marquetry_proto::v1::workflow_service_server::WorkflowServiceServer;
use marquetry_workflow::StageCatalogue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::cluster_service::Clusters;
use crate::front::Services;
use crate::hub::Hub;
use crate::leadership::{Leadership, Role};
use crate::log_stream::LogStore;
use crate::metrics::Metrics;
use crate::recent_workflows::RecentWorkflows;
use crate::request::Request;
use crate::run_service::Runs;
use crate::worker_service::Workers;
use crate::workflow_service::Workflows;
use crate::{CoordinatorConfig, Front};

/// Requests that wait for the reign before their callers do.
const BACKLOG: usize = 1024;

/// A coordinator that leads or follows, and is ready to serve.
pub struct Coordinator {
    journal: Arc<dyn Journal>,
    catalogue: Arc<dyn StageCatalogue + Send + Sync>,
    hub: Hub,
    metrics: Metrics,
    requests: mpsc::Sender<Request>,
    role: watch::Receiver<Role>,
    logs: Option<Arc<dyn LogStore>>,
    /// Fires when nothing is decided here any more.
    ended: CancellationToken,
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Coordinator")
            .finish_non_exhaustive()
    }
}

impl Coordinator {
    /// Campaigns, and goes on with what the configuration says if it leads. If another coordinator
    /// does, this one follows, and leads when that one is gone. All until `shutdown`.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub async fn start(
        config: CoordinatorConfig,
        journal: Arc<dyn Journal>,
        catalogue: Arc<dyn StageCatalogue + Send + Sync>,
        shutdown: CancellationToken,
    ) -> Result<Self, JournalError> {
        let hub = Hub::default();
        let metrics = Metrics::new();
        let (requests, received) = mpsc::channel(BACKLOG);
        let (role, watched) = watch::channel(Role::Following(None));
        let leadership = Leadership {
            config,
            journal: Arc::clone(&journal),
            hub: hub.clone(),
            metrics: metrics.clone(),
            role,
            requests: received,
        };
        let reign = leadership.try_to_lead().await?;
        let ended = CancellationToken::new();
        // Dropped when the task ends, however it ends: whoever waits for a decision stops waiting.
        let end = ended.clone().drop_guard();
        tokio::spawn(async move {
            leadership.run(reign, shutdown).await;
            drop(end);
        });
        Ok(Self {
            journal,
            catalogue,
            hub,
            metrics,
            requests,
            role: watched,
            logs: None,
            ended,
        })
    }

    /// Serves the logs of stages from where they are kept.
    #[must_use]
    pub fn with_logs(mut self, logs: Arc<dyn LogStore>) -> Self {
        self.logs = Some(logs);
        self
    }

    /// Whether it leads, and whom it follows if not.
    #[must_use]
    pub fn role(&self) -> watch::Receiver<Role> {
        self.role.clone()
    }

    /// Serves clients and workers on the connections that come in, until the shutdown.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn serve<C>(
        self,
        front: Front,
        incoming: impl Stream<Item = std::io::Result<C>>,
    ) -> Result<(), tonic::transport::Error>
    where
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let role = self.role.clone();
        let runs = Runs {
            requests: self.requests.clone(),
            journal: Arc::clone(&self.journal),
            catalogue: self.catalogue,
            hub: self.hub.clone(),
            role: self.role.clone(),
            recent: RecentWorkflows::default(),
            logs: self.logs,
        };
        let clusters = ClusterServiceServer::new(Clusters { runs: runs.clone() });
        let workflows = Workflows { runs: runs.clone() };
        let workflows = WorkflowServiceServer::new(workflows)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let workers = Workers {
            requests: self.requests,
            journal: self.journal,
            hub: self.hub,
            role: self.role,
            sessions: AtomicU64::new(0),
        };
        let workers = WorkerServiceServer::new(workers)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let runs = RunServiceServer::new(runs)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let services = Services {
            runs,
            workers,
            clusters,
            workflows,
        };
        crate::front::serve(front, services, self.metrics, role, incoming, self.ended).await
    }
}
