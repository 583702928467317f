//! What stands between the network and the services: TLS, tokens, health, reflection, metrics, and signs
//! of life on connections.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use marquetry_proto::v1::cluster_service_server::ClusterServiceServer;
use marquetry_proto::v1::run_service_server::RunServiceServer;
use marquetry_proto::v1::worker_service_server::WorkerServiceServer;
use marquetry_proto::v1::workflow_service_server::WorkflowServiceServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::access::{AccessLayer, Tokens};
use crate::cluster_service::Clusters;
use crate::leadership::Role;
use crate::metrics::{self, CallsLayer, Metrics};
use crate::run_service::Runs;
use crate::worker_service::Workers;
use crate::workflow_service::Workflows;

/// How often a connection must show that its other end is there, and how long it may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// How a coordinator shows itself to the network. The default lets everybody in, without TLS: for pipes
/// within a process and for loopback.
#[derive(Debug, Default)]
pub struct Front {
    /// The certificate and its key.
    pub tls: Option<ServerTls>,
    /// Who is let in.
    pub tokens: Tokens,
    /// Where metrics and probes are served over plain HTTP to whoever asks, if they are.
    pub metrics: Option<Arc<TcpListener>>,
}

/// A server's side of TLS, all of it PEM.
#[derive(Clone)]
pub struct ServerTls {
    /// The certificate, with those between it and its authority.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// The authority of clients' certificates; with one, every client needs a certificate.
    pub client_authority: Option<Vec<u8>>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ServerTls")
            .field("is_mutual", &self.client_authority.is_some())
            .finish_non_exhaustive()
    }
}

/// What is served.
pub(crate) struct Services {
    pub(crate) runs: RunServiceServer<Runs>,
    pub(crate) workers: WorkerServiceServer<Workers>,
    pub(crate) clusters: ClusterServiceServer<Clusters>,
    pub(crate) workflows: WorkflowServiceServer<Workflows>,
}

/// What any server of ours begins with: signs of life, and TLS where there is a certificate.
pub(crate) fn server(front: &Front) -> Result<Server, tonic::transport::Error> {
    let server = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1));
    let Some(tls) = &front.tls else {
        return Ok(server);
    };
    let identity = Identity::from_pem(&tls.certificate, &tls.key);
    let mut config = ServerTlsConfig::new().identity(identity);
    if let Some(authority) = &tls.client_authority {
        config = config.client_ca_root(Certificate::from_pem(authority));
    }
    server.tls_config(config)
}

/// Serves until `ended`.
pub(crate) async fn serve<C>(
    front: Front,
    services: Services,
    metrics: Metrics,
    role: watch::Receiver<Role>,
    incoming: impl Stream<Item = std::io::Result<C>>,
    ended: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let _shows = front.metrics.as_ref().map(|listener| {
        let serves = metrics::serve(Arc::clone(listener), metrics.clone(), role.clone());
        AbortOnDrop(tokio::spawn(serves))
    });
    let (reporter, health) = tonic_health::server::health_reporter();
    let _tells = AbortOnDrop(tokio::spawn(tell_health(reporter, role)));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(marquetry_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    let mut router = server(&front)?
        .layer(CallsLayer::new(metrics))
        .layer(AccessLayer::new(front.tokens))
        .add_service(services.runs)
        .add_service(services.workers)
        .add_service(services.clusters)
        .add_service(services.workflows)
        .add_service(health);
    match reflection {
        Ok(reflection) => router = router.add_service(reflection),
        // A server without reflection serves all the same.
        Err(error) => tracing::error!(%error, "the services cannot be described"),
    }
    router
        .serve_with_incoming_shutdown(incoming, ended.cancelled_owned())
        .await
}

pub(crate) struct AbortOnDrop(pub(crate) tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says of the services whether this coordinator leads, for as long as it has a role.
async fn tell_health(reporter: HealthReporter, mut role: watch::Receiver<Role>) {
    loop {
        let now = role.borrow_and_update().clone();
        tell_role(&reporter, &now).await;
        if role.changed().await.is_err() {
            return;
        }
    }
}

/// Says of the services whether this coordinator leads, so that a load balancer finds the leader. The
/// process as a whole, the service without a name, is well in either role.
pub(crate) async fn tell_role(reporter: &HealthReporter, role: &Role) {
    let status = match role {
        Role::Leading(_) => ServingStatus::Serving,
        Role::Following(_) => ServingStatus::NotServing,
    };
    for service in [
        "RunService",
        "WorkerService",
        "ClusterService",
        "WorkflowService",
    ] {
        let service = format!("marquetry.v1.{service}");
        reporter.set_service_status(service, status).await;
    }
}
