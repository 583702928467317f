//! How many calls a data plane has: a worker that drains waits until there are none.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use marquetry_proto::WatchedBody;
use tokio::sync::watch;
use tonic::body::Body;
use tower::{Layer, Service};

/// Counts calls from their beginning until their answer is sent, or nobody wants it any more.
#[derive(Debug, Clone)]
pub(super) struct BusyLayer {
    calls: Arc<watch::Sender<usize>>,
}

impl BusyLayer {
    /// The layer, and where its count is seen.
    pub(super) fn new() -> (Self, watch::Receiver<usize>) {
        let (calls, seen) = watch::channel(0);
        let calls = Arc::new(calls);
        (Self { calls }, seen)
    }
}

impl<S> Layer<S> for BusyLayer {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted {
            calls: Arc::clone(&self.calls),
            inner,
        }
    }
}

/// A service whose calls are counted.
#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    calls: Arc<watch::Sender<usize>>,
    inner: S,
}

/// One call.
struct Call(Arc<watch::Sender<usize>>);

impl Call {
    fn begin(calls: &Arc<watch::Sender<usize>>) -> Self {
        calls.send_modify(|count| *count += 1);
        Self(Arc::clone(calls))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl<S, B> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = Call::begin(&self.calls);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            // The call ends with the body.
            Ok(answer.map(|body| {
                WatchedBody::watch(body, move |_| {
                    let _lasts = &call;
                })
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use bytes::Bytes;
    use http_body::{Body as HttpBody, Frame};
    use tonic::Status;
    use tower::ServiceExt;

    use super::*;

    /// An answer that goes on.
    struct Endless;

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_call_lasts_until_its_answer_is_gone() {
        let (layer, calls) = BusyLayer::new();
        let inner = tower::service_fn(|_: Request<()>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Body::new(Endless)))
        });
        let service = layer.layer(inner);
        let first = service.clone().oneshot(Request::new(())).await.unwrap();
        let unanswered = service.oneshot(Request::new(()));
        assert_eq!(*calls.borrow(), 1, "the second is not polled yet");
        drop(unanswered);
        drop(first);
        assert_eq!(*calls.borrow(), 0);
    }
}
