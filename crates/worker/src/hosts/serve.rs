//! A stage host from within: it serves the worker that started it, on the socket that is its standard
//! input, and ends with it.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use marquetry_client::MESSAGE_BYTES;
use marquetry_lake::Lake;
use marquetry_plugin::{Registry, StageError, StageEvents};
use marquetry_proto::v1;
use marquetry_proto::v1::plugin_service_server::{PluginService, PluginServiceServer};
use marquetry_proto::v1::run_stage_request::Message as FromWorker;
use marquetry_proto::v1::run_stage_response::Message as ToWorker;
use marquetry_types::{AttemptId, AttemptNumber, LogLine, Progress, StageFailure};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use crate::line::read_trace;
use crate::memory;
use crate::peers::Members;
use crate::stage::Work;
use crate::threads::Threads;

/// Runs stages for the worker at the other end of standard input until it lets go. The connection has
/// a runtime of its own, so that a stage that blocks every thread it gets does not keep the process
/// when its worker is gone.
///
/// # Errors
/// Standard input is no socket, or there are no threads to be had.
pub fn serve_stage_host(threads: usize, registry: Arc<Registry>) -> std::io::Result<()> {
    memory::volunteer_for_the_oom_killer();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let host = Service {
        threads: Arc::new(Threads::new(threads, registry)?),
        lakes: Lakes::default(),
    };
    runtime.block_on(async {
        let socket =
            std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        socket.set_nonblocking(true)?;
        let closed = CancellationToken::new();
        let line = Line {
            socket: UnixStream::from_std(socket)?,
            _closed: closed.clone().drop_guard(),
        };
        let service = PluginServiceServer::new(host)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let only = futures::stream::iter([Ok::<_, std::io::Error>(line)]);
        let served = Server::builder()
            .add_service(service)
            .serve_with_incoming(only.chain(futures::stream::pending()));
        tokio::select! {
            () = closed.cancelled() => Ok(()),
            served = served => served.map_err(std::io::Error::other),
        }
    })
}

struct Service {
    threads: Arc<Threads>,
    lakes: Lakes,
}

/// Lakes by location, opened once.
#[derive(Clone, Default)]
struct Lakes(Arc<Mutex<HashMap<String, Lake>>>);

impl Lakes {
    async fn open(&self, location: &str) -> Result<Lake, StageFailure> {
        let mut lakes = self.0.lock().await;
        if let Some(lake) = lakes.get(location) {
            return Ok(lake.clone());
        }
        let lake = Lake::open(location).await.map_err(StageError::from)?;
        lakes.insert(location.to_owned(), lake.clone());
        Ok(lake)
    }
}

#[async_trait]
impl PluginService for Service {
    type RunStageStream = Pin<Box<dyn Stream<Item = Result<v1::RunStageResponse, Status>> + Send>>;

    async fn run_stage(
        &self,
        request: Request<Streaming<v1::RunStageRequest>>,
    ) -> Result<Response<Self::RunStageStream>, Status> {
        let inbound = request.into_inner();
        let (answers, outbound) = mpsc::unbounded_channel();
        let (threads, lakes) = (Arc::clone(&self.threads), self.lakes.clone());
        tokio::spawn(async move {
            if let Err(status) = run_stages(inbound, &answers, &threads, &lakes).await {
                // The worker may be gone, and then nobody is told.
                let _ = answers.send(Err(status));
            }
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(
            outbound,
        ))))
    }
}

/// Runs the stages of a call, one after another, until the worker ends it.
async fn run_stages(
    mut inbound: Streaming<v1::RunStageRequest>,
    answers: &Answers,
    threads: &Threads,
    lakes: &Lakes,
) -> Result<(), Status> {
    while let Some(request) = inbound.message().await? {
        let start = match request.message {
            Some(FromWorker::Start(start)) => start,
            // It asks for the end of a stage that has just ended.
            Some(FromWorker::Cancel(_)) => continue,
            None => return Err(Status::invalid_argument("a message says nothing")),
        };
        let lake = lakes.open(&start.lake).await;
        let work = read(start)?;
        let cancellation = CancellationToken::new();
        let voice = Arc::new(Voice(answers.clone()));
        let stage = async { threads.run(work, lake?, voice, cancellation.clone()).await };
        let asked = async {
            // The worker's next message asks for the end, and so does its silence for good.
            let is_there = matches!(inbound.message().await, Ok(Some(_)));
            cancellation.cancel();
            is_there
        };
        let (mut stage, mut asked) = (std::pin::pin!(stage), std::pin::pin!(asked));
        let (result, is_there) = tokio::select! {
            result = &mut stage => (result, true),
            is_there = &mut asked => (stage.await, is_there),
        };
        say(
            answers,
            match &result {
                Ok(outcome) => ToWorker::Succeeded(outcome.into()),
                Err(failure) => ToWorker::Failed(failure.into()),
            },
        );
        if !is_there {
            break;
        }
    }
    Ok(())
}

fn read(start: v1::StartStage) -> Result<Work, Status> {
    let bad = |error: &dyn std::fmt::Display| Status::invalid_argument(error.to_string());
    let parallelism = start.parallelism().into();
    let authority = start.data_plane_authority;
    let run = start.run_id.parse().map_err(|error| bad(&error))?;
    Ok(Work {
        trace: read_trace(&start.traceparent, &run),
        attempt: AttemptId {
            run,
            stage: start.stage.parse().map_err(|error| bad(&error))?,
            attempt: AttemptNumber(start.attempt),
        },
        kind: start.kind,
        options: serde_json::from_str(&start.options_json).map_err(|error| bad(&error))?,
        files: start.files.into_iter().collect(),
        seed: start.seed,
        base_dir: (!start.base_dir.is_empty()).then_some(start.base_dir),
        memory_limit: start.memory_bytes,
        threads: usize::try_from(start.threads).unwrap_or(usize::MAX),
        spill_dir: PathBuf::from(start.spill_dir),
        parallelism,
        members: Members {
            membership: start.membership.map(Into::into).unwrap_or_default(),
            authority: (!authority.is_empty()).then_some(authority),
        },
    })
}

type Answers = mpsc::UnboundedSender<Result<v1::RunStageResponse, Status>>;

/// The worker may be gone, and then nobody is told.
fn say(answers: &Answers, message: ToWorker) {
    let message = Some(message);
    let _ = answers.send(Ok(v1::RunStageResponse { message }));
}

/// What the stage says goes to the worker.
struct Voice(Answers);

impl StageEvents for Voice {
    fn progress(&self, progress: Progress) {
        say(&self.0, ToWorker::Progress(progress.into()));
    }

    fn log(&self, line: LogLine) {
        say(&self.0, ToWorker::Log(line.into()));
    }
}

/// The socket, and a token that fires when the connection lets go of it.
struct Line {
    socket: UnixStream,
    _closed: DropGuard,
}

impl Connected for Line {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
