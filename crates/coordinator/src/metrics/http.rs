//! Metrics and probes over plain HTTP/1.1, on an address of their own: what scrapes and probes speaks no
//! gRPC, and has no token.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::Metrics;
use crate::leadership::Role;

/// What Prometheus and others know the format by.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
/// Connections at a time; more wait until one ends.
const CONNECTIONS: usize = 64;
/// How long a connection may take to ask, the first time and between two questions.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after a connection that could not be accepted, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
pub(crate) async fn serve(
    listener: Arc<TcpListener>,
    metrics: Metrics,
    role: watch::Receiver<Role>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    // Never closed.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(answer_all(stream, metrics.clone(), role.clone(), permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics is not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer_all(
    stream: TcpStream,
    metrics: Metrics,
    role: watch::Receiver<Role>,
    _permit: OwnedSemaphorePermit,
) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = answer(request.method(), request.uri().path(), &metrics, &role);
        ready(Ok::<_, Infallible>(response))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection for metrics broke");
    }
}

fn answer(
    method: &Method,
    path: &str,
    metrics: &Metrics,
    role: &watch::Receiver<Role>,
) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refusal = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET is answered here\n",
        );
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match path {
        "/metrics" => match metrics.text() {
            Ok(text) => response(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                let text = "the metrics cannot be written\n";
                plain(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        },
        "/healthz" => plain(StatusCode::OK, "alive\n"),
        "/readyz" => match &*role.borrow() {
            Role::Leading(epoch) => plain(StatusCode::OK, format!("leads in epoch {epoch}\n")),
            Role::Following(Some(leader)) => {
                plain(StatusCode::OK, format!("follows {}\n", leader.name))
            }
            Role::Following(None) => plain(StatusCode::SERVICE_UNAVAILABLE, "no leader is known\n"),
        },
        _ => plain(
            StatusCode::NOT_FOUND,
            "there are /metrics, /healthz and /readyz\n",
        ),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, PLAIN, text)
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use marquetry_journal::Leader;
    use marquetry_types::Epoch;

    use super::*;

    fn status(method: &Method, path: &str, role: Role) -> StatusCode {
        let (_told, role) = watch::channel(role);
        answer(method, path, &Metrics::new(), &role).status()
    }

    #[test]
    fn ready_is_who_leads_or_knows_the_leader() {
        let leader = Leader {
            name: "other".to_owned(),
            url: String::new(),
            epoch: Epoch(3),
        };
        let ready = |role| status(&Method::GET, "/readyz", role);
        assert_eq!(ready(Role::Leading(Epoch(1))), StatusCode::OK);
        assert_eq!(ready(Role::Following(Some(leader))), StatusCode::OK);
        assert_eq!(
            ready(Role::Following(None)),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }

    #[test]
    fn alive_is_who_answers() {
        let role = || Role::Following(None);
        assert_eq!(status(&Method::GET, "/healthz", role()), StatusCode::OK);
        assert_eq!(status(&Method::HEAD, "/metrics", role()), StatusCode::OK);
    }

    #[test]
    fn other_questions_have_no_answer() {
        let role = || Role::Following(None);
        assert_eq!(status(&Method::GET, "/", role()), StatusCode::NOT_FOUND);
        assert_eq!(
            status(&Method::POST, "/metrics", role()),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}
