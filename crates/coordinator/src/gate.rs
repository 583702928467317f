//! What calls pass before they come to a service.

use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Lets calls through, or says why not.
pub(crate) trait Gate: Clone {
    /// Looks at a call before it is made, and may add to its request.
    ///
    /// # Errors
    /// What the caller is told instead.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Status>;
}

/// A gate in front of services.
#[derive(Debug, Clone)]
pub(crate) struct GateLayer<G>(pub(crate) G);

impl<S, G: Gate> Layer<S> for GateLayer<G> {
    type Service = Gated<S, G>;

    fn layer(&self, inner: S) -> Self::Service {
        let gate = self.0.clone();
        Gated { gate, inner }
    }
}

/// A service behind a gate.
#[derive(Debug, Clone)]
pub(crate) struct Gated<S, G> {
    gate: G,
    inner: S,
}

impl<S, G, B> Service<Request<B>> for Gated<S, G>
where
    S: Service<Request<B>, Response = Response<Body>>,
    G: Gate,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.gate.admit(&mut request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}
