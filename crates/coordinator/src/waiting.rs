//! What a coordinator says to the network before it has a journal: it lives, it does not lead, and whoever
//! asks it for anything else is told to ask again.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::{Either, Ready, ready};
use http::{Request, Response};
use marquetry_proto::status_from_diagnostics;
use marquetry_types::Diagnostic;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::server::Connected;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::Front;
use crate::access::AccessLayer;
use crate::front::{self, AbortOnDrop};
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
        .layer(AccessLayer::new(front.tokens.clone()))
        .layer(WaitingLayer { reason })
        .add_service(health)
        .serve_with_incoming_shutdown(incoming, ended.cancelled_owned())
        .await
}

/// Lets questions about health through, and nothing else.
#[derive(Debug, Clone)]
struct WaitingLayer {
    reason: watch::Receiver<Option<Diagnostic>>,
}

impl<S> Layer<S> for WaitingLayer {
    type Service = Waiting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Waiting {
            reason: self.reason.clone(),
            inner,
        }
    }
}

#[derive(Debug, Clone)]
struct Waiting<S> {
    reason: watch::Receiver<Option<Diagnostic>>,
    inner: S,
}

impl<S, B> Service<Request<B>> for Waiting<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Not `Watch`: whoever watched would go on to see this answer when the coordinator is there.
        if request.uri().path() == "/grpc.health.v1.Health/Check" {
            return Either::Left(self.inner.call(request));
        }
        let refusal = match &*self.reason.borrow() {
            Some(reason) => status_from_diagnostics(Code::Unavailable, &reason.clone().into()),
            None => Status::unavailable("this coordinator opens its journal"),
        };
        Either::Right(ready(Ok(refusal.into_http())))
    }
}
