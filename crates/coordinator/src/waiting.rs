//! What a coordinator says to the network before it has a journal: it lives, it does not lead, and whoever
//! asks it for anything else is told to ask again.

use std::sync::Arc;

use futures::Stream;
use http::Request;
use marquetry_proto::status_from_diagnostics;
use marquetry_types::Diagnostic;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tonic::{Code, Status};

use crate::Front;
use crate::access::Access;
use crate::front::{self, AbortOnDrop};
use crate::gate::{Gate, GateLayer};
use crate::leadership::Role;
use crate::metrics::{self, CallsLayer, Metrics};

/// Answers whoever comes until `ended`: the health service says that nothing is served, and everything else is
/// refused as unavailable with the latest `reason`. Connections are closed at the end, so that who had one
/// finds the coordinator behind the next.
///
/// # Errors
/// The transport fails.
pub async fn serve_waiting<C>(
    front: &Front,
    reason: watch::Receiver<Option<Diagnostic>>,
    incoming: impl Stream<Item = std::io::Result<C>>,
    ended: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let metrics = Metrics::new();
    // Kept here: who is ready depends on it until the end.
    let (_role, watched) = watch::channel(Role::Following(None));
    let _shows = front.metrics.as_ref().map(|listener| {
        let serves = metrics::serve(Arc::clone(listener), metrics.clone(), watched.clone());
        AbortOnDrop(tokio::spawn(serves))
    });
    let (reporter, health) = tonic_health::server::health_reporter();
    front::tell_role(&reporter, &watched.borrow().clone()).await;
    front::server(front)?
        .layer(CallsLayer::new(metrics))
        .layer(GateLayer(Access::by(front.tokens.clone())))
        .layer(GateLayer(Waiting { reason }))
        .add_service(health)
        .serve_with_incoming_shutdown(incoming, ended.cancelled_owned())
        .await
}

/// Lets questions about health through, and nothing else.
#[derive(Debug, Clone)]
struct Waiting {
    reason: watch::Receiver<Option<Diagnostic>>,
}

impl Gate for Waiting {
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Status> {
        // Not `Watch`: whoever watched would go on to see this answer when the coordinator is there.
        if request.uri().path() == "/grpc.health.v1.Health/Check" {
            return Ok(());
        }
        Err(match &*self.reason.borrow() {
            Some(reason) => status_from_diagnostics(Code::Unavailable, &reason.clone().into()),
            None => Status::unavailable("this coordinator opens its journal"),
        })
    }
}
