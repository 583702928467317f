//! Coordinators in this process, a worker whose every message is the test's own, and an HTTP client of a
//! few lines, for a test should see the bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use marquetry_coordinator::{
    Coordinator, CoordinatorConfig, Front, InProcess, Role, TakeUp, Tokens, Upkeep, in_process,
};
use marquetry_engine::EngineConfig;
use marquetry_journal::testing::{Faults, FaultyJournal};
use marquetry_journal::{Journal, SqliteJournal};
use marquetry_proto::v1;
use marquetry_proto::v1::attach_request::Message as ToCoordinator;
use marquetry_proto::v1::attach_response::Message as FromCoordinator;
use marquetry_proto::v1::run_service_client::RunServiceClient;
use marquetry_proto::v1::worker_service_client::WorkerServiceClient;
use marquetry_types::{AttemptResult, FencingToken, RunId, StageDescriptor, Timestamp};
use marquetry_workflow::StageCatalogue;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

const KIND: &str = "test/step";

/// A workflow whose stages need one another.
pub(crate) const STAGES: &str = "
marquetry: v1
name: stages
stages:
  a: { uses: test/step }
  b: { uses: test/step, needs: [a] }
  c: { uses: test/step, needs: [b] }
";

pub(crate) fn submission(workflow: &str) -> v1::SubmitRunRequest {
    let entry = "workflow.yaml".to_owned();
    let files = [(entry.clone(), workflow.to_owned())].into();
    v1::SubmitRunRequest {
        bundle: Some(v1::WorkflowBundle { entry, files }),
        ..v1::SubmitRunRequest::default()
    }
}

/// Fails a test that would hang.
async fn in_time<F: Future>(future: F) -> F::Output {
    let limit = Duration::from_secs(60);
    let Ok(output) = tokio::time::timeout(limit, future).await else {
        panic!("nothing happened for {limit:?}");
    };
    output
}

/// The one stage kind of these tests.
struct Catalogue(StageDescriptor);

impl StageCatalogue for Catalogue {
    fn descriptor(&self, kind: &str) -> Option<&StageDescriptor> {
        (kind == KIND).then_some(&self.0)
    }

    fn kinds(&self) -> Vec<&str> {
        vec![KIND]
    }
}

/// A journal that coordinators share.
pub(crate) struct Cluster {
    journal: Arc<dyn Journal>,
    pub(crate) faults: Faults,
    _folder: TempDir,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(folder.path().join("journal.db")).unwrap();
        let faults = Faults::new();
        Self {
            journal: Arc::new(FaultyJournal::new(journal, faults.clone())),
            faults,
            _folder: folder,
        }
    }

    /// A coordinator with metrics at a free port.
    pub(crate) async fn server(&self, name: &str, lease: Duration, tokens: Tokens) -> Server {
        let config = CoordinatorConfig {
            engine: EngineConfig::default(),
            heartbeat_interval: Duration::from_secs(3),
            lake: "memory:".to_owned(),
            name: name.to_owned(),
            url: String::new(),
            lease,
            take_up: TakeUp::All,
            upkeep: Upkeep::default(),
        };
        let catalogue = Catalogue(StageDescriptor {
            kind: KIND.parse().unwrap(),
            version: 1,
            summary: String::new(),
            description: String::new(),
            options: json!({"type": "object"}),
            outputs: Vec::new(),
            metrics: Vec::new(),
            example: String::new(),
            is_pure: true,
        });
        let shutdown = CancellationToken::new();
        let journal = Arc::clone(&self.journal);
        let started =
            Coordinator::start(config, journal, Arc::new(catalogue), shutdown.clone()).await;
        let coordinator = started.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let front = Front {
            tokens,
            metrics: Some(std::sync::Arc::new(listener)),
            ..Front::default()
        };
        let (pipes, incoming) = in_process();
        Server {
            role: coordinator.role(),
            address,
            pipes,
            shutdown,
            served: tokio::spawn(coordinator.serve(front, incoming)),
        }
    }
}

pub(crate) struct Server {
    role: watch::Receiver<Role>,
    address: SocketAddr,
    pipes: InProcess,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Server {
    pub(crate) fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.pipes.channel())
    }

    /// Returns when everything that was asked before is over and done with: what comes to the reign now
    /// comes after it.
    pub(crate) async fn settled(&self) {
        let request = v1::CancelRunRequest {
            run_id: RunId::new(Timestamp::from_millis(1), 1).to_string(),
            reason: String::new(),
        };
        let refused = in_time(self.runs().cancel_run(request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused}");
    }

    /// Waits until it leads, or follows, as told.
    pub(crate) async fn comes_to(&self, is_there: impl FnMut(&Role) -> bool) {
        let mut role = self.role.clone();
        in_time(role.wait_for(is_there)).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        in_time(self.served).await.unwrap().unwrap();
    }

    pub(crate) async fn metrics(&self) -> Page {
        let page = self.get("/metrics").await;
        assert_eq!(page.status, "200 OK", "{}", page.text);
        page
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        in_time(stream.read_to_string(&mut answer)).await.unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        let (status, headers) = head.split_once("\r\n").unwrap();
        Page {
            status: status.strip_prefix("HTTP/1.1 ").unwrap().to_owned(),
            headers: headers.to_owned(),
            text: text.to_owned(),
        }
    }
}

/// An answer over HTTP.
pub(crate) struct Page {
    pub(crate) status: String,
    pub(crate) headers: String,
    pub(crate) text: String,
}

impl Page {
    /// The value of a sample, named with its labels.
    pub(crate) fn value(&self, sample: &str) -> f64 {
        let mut lines = self.text.lines();
        let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        let Some(value) = value else {
            panic!("there is no {sample} in\n{}", self.text);
        };
        value.parse().unwrap()
    }

    /// Calls of a method that ended so.
    pub(crate) fn calls(&self, method: &str, code: &str) -> f64 {
        let labels = format!(r#"{{method="marquetry.v1.{method}",code="{code}"}}"#);
        self.value(&format!("marquetry_grpc_requests_total{labels}"))
    }
}

/// A worker on one stream.
pub(crate) struct Worker {
    outbound: mpsc::Sender<v1::AttachRequest>,
    inbound: Streaming<v1::AttachResponse>,
}

impl Worker {
    /// Attaches and is welcomed.
    pub(crate) async fn attach(server: &Server, name: &str, slots: u32) -> Self {
        let (outbound, messages) = mpsc::channel(16);
        let kind = v1::SupportedKind {
            kind: KIND.to_owned(),
            version: 1,
        };
        let hello = v1::Hello {
            worker_id: name.to_owned(),
            slots,
            kinds: vec![kind],
            ..v1::Hello::default()
        };
        let mut client = WorkerServiceClient::new(server.pipes.channel());
        let message = Some(ToCoordinator::Hello(hello));
        outbound.send(v1::AttachRequest { message }).await.unwrap();
        let attached = in_time(client.attach(ReceiverStream::new(messages))).await;
        let mut worker = Self {
            outbound,
            inbound: attached.unwrap().into_inner(),
        };
        match worker.next().await {
            FromCoordinator::Welcome(_) => worker,
            other => panic!("a welcome comes first, not {other:?}"),
        }
    }

    async fn next(&mut self) -> FromCoordinator {
        let response = in_time(self.inbound.message()).await.unwrap();
        response.unwrap().message.unwrap()
    }

    /// The attempt that it is assigned next, after acknowledgements of what it reported.
    pub(crate) async fn assigned(&mut self) -> FencingToken {
        loop {
            match self.next().await {
                FromCoordinator::Acknowledged(_) => {}
                FromCoordinator::Assign(assignment) => {
                    return assignment.token.unwrap().try_into().unwrap();
                }
                other => panic!("an assignment was expected, not {other:?}"),
            }
        }
    }

    pub(crate) async fn report(&self, token: &FencingToken, result: &AttemptResult) {
        let finished = v1::AttemptFinished::new(token, result);
        let message = Some(ToCoordinator::Finished(finished));
        let sent = self.outbound.send(v1::AttachRequest { message }).await;
        sent.unwrap();
    }

    /// Waits until the last result that it reported is durable.
    pub(crate) async fn acknowledged(&mut self) {
        match self.next().await {
            FromCoordinator::Acknowledged(_) => {}
            other => panic!("an acknowledgement was expected, not {other:?}"),
        }
    }
}
