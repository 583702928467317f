//! A coordinator as whoever starts one sees it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::Stream;
use marquetry_journal::{Journal, JournalError};
use marquetry_proto::v1::run_service_server::RunServiceServer;
use marquetry_proto::v1::worker_service_server::WorkerServiceServer;
use marquetry_workflow::StageCatalogue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::CoordinatorConfig;
use crate::hub::Hub;
use crate::reign::Reign;
use crate::request::Request;
use crate::run_service::Runs;
use crate::worker_service::Workers;

/// Requests that wait for the reign before their callers do.
const BACKLOG: usize = 1024;
/// The largest message: a workflow with its files, or an assignment with its options.
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// A coordinator that reigns, and is ready to serve.
pub struct Coordinator {
    journal: Arc<dyn Journal>,
    catalogue: Arc<dyn StageCatalogue + Send + Sync>,
    hub: Hub,
    requests: mpsc::Sender<Request>,
    /// Fires when the reign has ended: by the shutdown, or because another coordinator took over.
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
    /// Takes the journal over and goes on with what the configuration says, until `shutdown`.
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
        let reign = Reign::begin(config, Arc::clone(&journal), hub.clone()).await?;
        let (requests, received) = mpsc::channel(BACKLOG);
        let (ended, watched) = (CancellationToken::new(), hub.clone());
        // Dropped when the task ends, however it ends: whoever waits for the reign stops waiting.
        let end = ended.clone().drop_guard();
        tokio::spawn(async move {
            reign.run(received, shutdown).await;
            watched.close();
            drop(end);
        });
        Ok(Self {
            journal,
            catalogue,
            hub,
            requests,
            ended,
        })
    }

    /// Serves clients and workers on the connections that come in, until the shutdown or until
    /// another coordinator has taken over.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn serve<C>(
        self,
        incoming: impl Stream<Item = std::io::Result<C>>,
    ) -> Result<(), tonic::transport::Error>
    where
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let runs = Runs {
            requests: self.requests.clone(),
            journal: Arc::clone(&self.journal),
            catalogue: self.catalogue,
            hub: self.hub.clone(),
        };
        let workers = Workers {
            requests: self.requests,
            journal: self.journal,
            hub: self.hub,
            sessions: AtomicU64::new(0),
        };
        let workers = WorkerServiceServer::new(workers)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let runs = RunServiceServer::new(runs)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        Server::builder()
            .add_service(runs)
            .add_service(workers)
            .serve_with_incoming_shutdown(incoming, self.ended.cancelled_owned())
            .await
    }
}
