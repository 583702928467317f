//! An S3 server in this process: `s3s-fs` behind HTTP on a free port, with faults in front of it.
//!
//! Where `s3s-fs` is kinder than S3, what stands in front of it answers as S3 does: a bucket that is not there
//! is not made by writing into it, and an upload that was completed is not known any more.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::Sleep;

use super::faults::{Fault, Faults, Health};

pub(crate) const KEY: &str = "AKIAMARQUETRYTESTS";
/// It must not be seen anywhere.
pub(crate) const SECRET: &str = "swordfish-that-nobody-may-see";
pub(crate) const BUCKET: &str = "bucket";

/// How long a slow answer takes.
const SLOWNESS: Duration = Duration::from_millis(300);
/// How long what was sent before a reset may take to arrive.
const ARRIVAL: Duration = Duration::from_millis(5);

/// A server with one bucket, gone with the value.
#[derive(Debug)]
pub(crate) struct S3Server {
    address: SocketAddr,
    pub(crate) faults: Arc<Faults>,
    folder: TempDir,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A test may have a runtime of its own, which must not wait for another one's end.
            runtime.shutdown_background();
        }
    }
}

impl S3Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Faults::none());
        let front = Arc::new(Front {
            store: builder.build(),
            folder: folder.path().to_owned(),
            faults: Arc::clone(&faults),
        });
        runtime.spawn(serve(listener, front));
        Self {
            address,
            faults,
            folder,
            runtime: Some(runtime),
        }
    }

    /// The endpoint, which is the address of a lake's requests.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the environment of a program says that uses it, with other keys or patience than usual.
    pub(crate) fn environment(&self, secret: &str, patience: u32) -> Vec<(String, String)> {
        [
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_ENDPOINT", &self.endpoint()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "eu-test-1"),
            ("MARQUETRY_LAKE_PATIENCE", &patience.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// The folder that holds the bucket's objects, by their names.
    pub(crate) fn objects(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }
}

struct Front {
    store: S3Service,
    folder: PathBuf,
    faults: Arc<Faults>,
}

async fn serve(listener: std::net::TcpListener, front: Arc<Front>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let is_down = front.faults.health() == Health::Down;
        let resets = Arc::new(AtomicBool::new(is_down));
        let connection = Connection {
            stream,
            resets: Arc::clone(&resets),
        };
        if is_down {
            front.faults.refuse();
            continue;
        }
        let front = Arc::clone(&front);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (front, resets) = (Arc::clone(&front), Arc::clone(&resets));
                async move { front.answer(request, &resets).await }
            });
            let http = hyper::server::conn::http1::Builder::new();
            // A connection that breaks is what this is for.
            let _ = http
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}

/// The connection ends without an answer.
type NoAnswer = io::Error;

impl Front {
    async fn answer(
        &self,
        request: Request<Incoming>,
        resets: &Arc<AtomicBool>,
    ) -> Result<Response<Answer>, NoAnswer> {
        let fault = self.faults.next();
        let reset = || {
            resets.store(true, Ordering::SeqCst);
            Err(io::ErrorKind::ConnectionReset.into())
        };
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        match self.faults.health() {
            Health::Down => {
                self.faults.refuse();
                return reset();
            }
            Health::ReadOnly if changes => {
                self.faults.refuse();
                return Ok(error(
                    StatusCode::FORBIDDEN,
                    "AccessDenied",
                    "Access Denied.",
                ));
            }
            Health::Full if changes => {
                self.faults.refuse();
                let status = StatusCode::INSUFFICIENT_STORAGE;
                return Ok(error(status, "XMinioStorageFull", "There is no room."));
            }
            Health::Well | Health::ReadOnly | Health::Full => {}
        }
        match fault {
            Some(Fault::InternalError) => return Ok(internal_error()),
            Some(Fault::SlowDown) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                let message = "Please reduce your request rate.";
                return Ok(error(status, "SlowDown", message));
            }
            Some(Fault::Reset) => return reset(),
            _ => {}
        }
        let is_head = request.method() == Method::HEAD;
        let response = match self.unknown(&request) {
            Some(response) => response,
            None => self.done(request).await?,
        };
        match fault {
            Some(Fault::AnswerLost) => Ok(internal_error()),
            Some(Fault::Slow) => {
                tokio::time::sleep(SLOWNESS).await;
                Ok(response)
            }
            Some(cut @ (Fault::ResetInAnswer | Fault::Truncated)) => {
                if cut == Fault::ResetInAnswer {
                    resets.store(true, Ordering::SeqCst);
                }
                match length(&response) {
                    // There is nothing to halve.
                    Some(0) => Err(io::ErrorKind::ConnectionAborted.into()),
                    _ if is_head => Err(io::ErrorKind::ConnectionAborted.into()),
                    length => {
                        let half = length.unwrap_or(0) / 2;
                        Ok(response.map(|answer| answer.cut_after(half)))
                    }
                }
            }
            _ => Ok(response),
        }
    }

    async fn done(&self, request: Request<Incoming>) -> Result<Response<Answer>, NoAnswer> {
        let response = self.store.call(request.map(s3s::Body::from)).await;
        let response = response.map_err(|error| io::Error::other(format!("{error:?}")))?;
        Ok(response.map(Answer::whole))
    }

    /// The answer about a bucket or an upload that is not there.
    fn unknown(&self, request: &Request<Incoming>) -> Option<Response<Answer>> {
        let bucket = request.uri().path().split('/').nth(1)?;
        if !self.folder.join(bucket).is_dir() {
            let message = "The specified bucket does not exist";
            return Some(error(StatusCode::NOT_FOUND, "NoSuchBucket", message));
        }
        let upload = request
            .uri()
            .query()?
            .split('&')
            .find_map(|pair| pair.strip_prefix("uploadId="))?;
        let known = self.folder.join(format!(".upload-{upload}.json"));
        if known.exists() {
            return None;
        }
        let message = "The specified multipart upload does not exist.";
        Some(error(StatusCode::NOT_FOUND, "NoSuchUpload", message))
    }
}

/// Bytes of an answer's body, where that says so.
fn length(response: &Response<Answer>) -> Option<u64> {
    let said = response.headers().get(http::header::CONTENT_LENGTH);
    let said = said.and_then(|length| length.to_str().ok()?.parse().ok());
    said.or_else(|| response.body().body.size_hint().exact())
}

fn internal_error() -> Response<Answer> {
    let message = "We encountered an internal error. Please try again.";
    error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<Answer> {
    let page = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut response = Response::new(Answer::whole(s3s::Body::from(page)));
    *response.status_mut() = status;
    response
}

/// The body of an answer, of which some may be missing.
struct Answer {
    body: s3s::Body,
    /// Bytes that are sent before the connection ends; all of them where there is none.
    left: Option<u64>,
    /// Until the end of a connection that is about to end.
    end: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    const fn whole(body: s3s::Body) -> Self {
        Self {
            body,
            left: None,
            end: None,
        }
    }

    fn cut_after(self, bytes: u64) -> Self {
        Self {
            left: Some(bytes),
            ..self
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == Some(0) {
            let end = self
                .end
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(ARRIVAL)));
            ready!(end.as_mut().poll(context));
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(|error| io::Error::other(error.to_string()))?;
        let Some(left) = self.left else {
            return Poll::Ready(Some(Ok(frame)));
        };
        let Ok(mut data) = frame.into_data() else {
            return Poll::Ready(None);
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        data.truncate(most);
        self.left = Some(left - data.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// A connection that is reset when it ends, if it is to be.
struct Connection {
    stream: TcpStream,
    resets: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.resets.load(Ordering::SeqCst) {
            // One that the other end has closed already needs no reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
