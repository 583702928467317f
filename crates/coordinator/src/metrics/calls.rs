//! Counts gRPC calls in front of everything, refused ones included.
//!
//! How a call ended stands in its response's headers or in its trailers. A call whose response is
//! dropped before either is seen counts as cancelled: the caller went away.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Body as HttpBody;
use marquetry_proto::{PolledFrame, WatchedBody};
use prometheus_client::metrics::counter::Counter;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::Metrics;
use super::methods::Method;

/// Counts the calls of the services behind it.
#[derive(Debug, Clone)]
pub(crate) struct CallsLayer {
    metrics: Metrics,
}

impl CallsLayer {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for CallsLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Calls {
            metrics: self.metrics.clone(),
            inner,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Calls<S> {
    metrics: Metrics,
    inner: S,
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = self.metrics.method(request.uri().path()).clone();
        let received = method.received.clone();
        let call = Call {
            method,
            has_ended: false,
        };
        let request = request
            .map(|body| WatchedBody::watch(body, move |polled| count_data(polled, &received)));
        let answered = self.inner.call(request);
        answered
            .map(move |answer| answer.map(|response| call.follow(response)))
            .boxed()
    }
}

/// A call that is counted once, when it ends.
#[derive(Debug)]
struct Call {
    method: Method,
    has_ended: bool,
}

impl Call {
    /// Counts now if the response's headers say how the call ended, and watches its body if not.
    fn follow(mut self, response: Response<Body>) -> Response<Body> {
        match Status::from_header_map(response.headers()) {
            Some(status) => self.end(status.code()),
            None if response.body().is_end_stream() => self.end(Code::Unknown),
            None => {
                return response
                    .map(|body| WatchedBody::watch(body, move |polled| self.watch(polled)));
            }
        }
        response
    }

    /// Counts what is sent, and the end when it comes.
    fn watch(&mut self, polled: &PolledFrame) {
        count_data(polled, &self.method.sent);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.end(code_of(trailers));
                }
            }
            Poll::Ready(Some(Err(status))) => self.end(status.code()),
            Poll::Ready(None) => self.end(Code::Unknown),
            Poll::Pending => {}
        }
    }

    fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.method.ended(code);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

fn count_data(polled: &PolledFrame, counter: &Counter) {
    if let Poll::Ready(Some(Ok(frame))) = polled
        && let Some(data) = frame.data_ref()
    {
        counter.inc_by(u64::try_from(data.len()).unwrap_or(u64::MAX));
    }
}

fn code_of(trailers: &HeaderMap) -> Code {
    Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::convert::Infallible;
    use std::future::ready;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use tower::{ServiceExt, service_fn};

    use super::*;

    const PATH: &str = "/marquetry.v1.RunService/GetRun";

    /// Calls a service that takes the whole request and answers so.
    async fn call(metrics: &Metrics, path: &str, answer: Response<Body>) -> Response<Body> {
        let mut answer = Some(answer);
        let inner = service_fn(|request: Request<Body>| {
            let answer = answer.take().unwrap();
            async move {
                request.into_body().collect().await.unwrap();
                Ok::<_, Infallible>(answer)
            }
            .boxed()
        });
        let question = Body::new(Full::new(Bytes::from_static(b"question")));
        let request = Request::builder().uri(path).body(question).unwrap();
        let calls = CallsLayer::new(metrics.clone()).layer(inner);
        calls.oneshot(request).await.unwrap()
    }

    /// An answer with a message, and with trailers that say so.
    fn message(code: &'static str) -> Response<Body> {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static(code));
        let message = Full::new(Bytes::from_static(b"an answer"));
        let body = message.with_trailers(ready(Some(Ok(trailers))));
        Response::new(Body::new(body))
    }

    fn count(metrics: &Metrics, sample: &str) -> u64 {
        let text = metrics.text().unwrap();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    fn ended(metrics: &Metrics, method: &str, code: &str) -> u64 {
        let labels = format!(r#"method="{method}",code="{code}""#);
        count(
            metrics,
            &format!("marquetry_grpc_requests_total{{{labels}}}"),
        )
    }

    #[tokio::test]
    async fn a_call_ends_with_its_trailers() {
        let metrics = Metrics::new();
        let response = call(&metrics, PATH, message("0")).await;
        let method = &PATH[1..];
        assert_eq!(ended(&metrics, method, "OK"), 0, "it has not ended");
        response.into_body().collect().await.unwrap();
        assert_eq!(ended(&metrics, method, "OK"), 1);
        let bytes = |name| count(&metrics, &format!("{name}{{method=\"{method}\"}}"));
        assert_eq!(bytes("marquetry_grpc_received_bytes_total"), 8);
        assert_eq!(bytes("marquetry_grpc_sent_bytes_total"), 9);
        let response = call(&metrics, PATH, message("15")).await;
        response.into_body().collect().await.unwrap();
        assert_eq!(ended(&metrics, method, "DATA_LOSS"), 1);
        assert_eq!(ended(&metrics, method, "CANCELLED"), 0);
    }

    #[tokio::test]
    async fn a_call_that_is_refused_ends_with_its_headers() {
        let metrics = Metrics::new();
        let refusal = Status::not_found("no such run").into_http();
        drop(call(&metrics, PATH, refusal).await);
        assert_eq!(ended(&metrics, &PATH[1..], "NOT_FOUND"), 1);
        assert_eq!(ended(&metrics, &PATH[1..], "CANCELLED"), 0);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_cancels_the_call() {
        let metrics = Metrics::new();
        drop(call(&metrics, PATH, message("0")).await);
        assert_eq!(ended(&metrics, &PATH[1..], "CANCELLED"), 1);
        assert_eq!(ended(&metrics, &PATH[1..], "OK"), 0);
    }

    #[tokio::test]
    async fn an_answer_that_is_not_grpc_is_unknown_and_an_unknown_method_is_other() {
        let metrics = Metrics::new();
        drop(call(&metrics, "/made/up", Response::new(Body::empty())).await);
        assert_eq!(ended(&metrics, "other", "UNKNOWN"), 1);
    }
}
