//! The line to the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::Stream;
use marquetry_engine::{Input, WorkerHello};
use marquetry_journal::Journal;
use marquetry_proto::v1;
use marquetry_proto::v1::attach_request::Message;
use marquetry_proto::v1::attempt_report::Report;
use marquetry_proto::v1::watch_run_response::Event;
use marquetry_proto::v1::worker_service_server::WorkerService;
use marquetry_types::{FencingToken, QueueName, StageKind, WorkerId};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request as GrpcRequest, Response, Status, Streaming};

use crate::bundles;
use crate::hub::Hub;
use crate::leadership::Role;
use crate::request::Request;
use crate::run_service::must_lead;

/// Messages that wait for a worker before its stream counts as broken.
const OUTBOUND_BACKLOG: usize = 1024;

pub(crate) struct Workers {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) hub: Hub,
    pub(crate) role: watch::Receiver<Role>,
    /// Counts connections, so that what an older one says can be told apart.
    pub(crate) sessions: AtomicU64,
}

#[async_trait]
impl WorkerService for Workers {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<v1::AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: GrpcRequest<Streaming<v1::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        must_lead(&self.role)?;
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|request| request.message);
        let Some(Message::Hello(hello)) = first else {
            return Err(Status::invalid_argument(
                "the first message of a worker is its hello",
            ));
        };
        let session = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let hello = read_hello(hello, session)?;
        let worker = hello.worker.clone();
        let (outbound, messages) = mpsc::channel(OUTBOUND_BACKLOG);
        let gone = |_| Status::unavailable("the coordinator is stopping");
        self.requests
            .send(Request::Attach { hello, outbound })
            .await
            .map_err(gone)?;
        let line = Line {
            requests: self.requests.clone(),
            hub: self.hub.clone(),
            worker,
            session,
        };
        tokio::spawn(line.listen(inbound));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }

    async fn fetch_bundle(
        &self,
        request: GrpcRequest<v1::FetchBundleRequest>,
    ) -> Result<Response<v1::FetchBundleResponse>, Status> {
        let digest = request.into_inner().digest;
        let bundle = bundles::load(self.journal.as_ref(), &digest).await?;
        if bundle.is_none() {
            return Err(Status::not_found(format!("there is no bundle {digest}")));
        }
        Ok(Response::new(v1::FetchBundleResponse { bundle }))
    }
}

/// The inbound half of one worker's stream.
struct Line {
    requests: mpsc::Sender<Request>,
    hub: Hub,
    worker: WorkerId,
    session: u64,
}

impl Line {
    /// Passes on what the worker says until the stream ends, then says that it did.
    async fn listen(self, mut inbound: Streaming<v1::AttachRequest>) {
        let mut goodbye = None;
        while let Ok(Some(request)) = inbound.message().await {
            if let Some(Message::Goodbye(said)) = request.message {
                goodbye = Some(said.reason);
                break;
            }
            match self.understand(request) {
                Ok(Some(input)) => {
                    if self.requests.send(Request::Worker(input)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(worker = %self.worker, %error, "a worker sent what cannot be understood");
                    break;
                }
            }
        }
        let (worker, session) = (self.worker, self.session);
        let gone = match goodbye {
            Some(reason) => Input::WorkerLeft {
                worker,
                session,
                reason,
            },
            None => Input::WorkerDisconnected { worker, session },
        };
        // A closed channel means that the coordinator is gone itself.
        let _ = self.requests.send(Request::Worker(gone)).await;
    }

    /// The engine's input that a message is, if it is one; reports go to the watchers at once.
    fn understand(&self, request: v1::AttachRequest) -> Result<Option<Input>, Status> {
        let (worker, session) = (self.worker.clone(), self.session);
        let bad = |error: marquetry_proto::WireError| Status::invalid_argument(error.to_string());
        match request.message {
            None | Some(Message::Goodbye(_)) => Ok(None),
            Some(Message::Hello(_)) => Err(Status::invalid_argument("hello came twice")),
            Some(Message::Heartbeat(beat)) => {
                let held = read_tokens(beat.held)?;
                Ok(Some(Input::Heartbeat {
                    worker,
                    session,
                    held,
                    is_draining: beat.draining,
                }))
            }
            Some(Message::Finished(finished)) => {
                let (token, result) = finished.into_parts().map_err(bad)?;
                Ok(Some(Input::AttemptFinished {
                    worker,
                    session,
                    token,
                    result,
                }))
            }
            Some(Message::Report(report)) => {
                let (Some(token), Some(report)) = (report.token, report.report) else {
                    return Ok(None);
                };
                let token = FencingToken::try_from(token).map_err(bad)?;
                self.hub.tell(&token.attempt.run, || match report {
                    Report::Progress(progress) => Event::Progress(progress),
                    Report::Log(line) => Event::Log(line),
                });
                Ok(None)
            }
        }
    }
}

fn read_hello(hello: v1::Hello, session: u64) -> Result<WorkerHello, Status> {
    let bad = |error: marquetry_types::InvalidName| Status::invalid_argument(error.to_string());
    let kinds: Result<BTreeMap<StageKind, u32>, _> = hello
        .kinds
        .into_iter()
        .map(|kind| Ok((kind.kind.parse()?, kind.version)))
        .collect();
    let queues = hello.queues.into_iter().map(QueueName::try_from);
    let queues = queues.collect::<Result<BTreeSet<_>, _>>();
    Ok(WorkerHello {
        worker: hello.worker_id.parse().map_err(bad)?,
        session,
        slots: hello.slots,
        queues: queues.map_err(bad)?,
        labels: hello.labels.into_iter().collect(),
        version: hello.version,
        data_plane: (!hello.data_plane.is_empty()).then_some(hello.data_plane),
        is_draining: hello.draining,
        kinds: kinds.map_err(bad)?,
        held: read_tokens(hello.held)?,
    })
}

fn read_tokens(tokens: Vec<v1::FencingToken>) -> Result<Vec<FencingToken>, Status> {
    let read = tokens
        .into_iter()
        .map(FencingToken::try_from)
        .collect::<Result<_, _>>();
    read.map_err(|error| Status::invalid_argument(error.to_string()))
}
