//! A journal, a lake, coordinators and workers, put together as `marquetry run` does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use marquetry_client::Coordinators;
use marquetry_coordinator::{Coordinator, CoordinatorConfig, Front, TakeUp, Upkeep};
use marquetry_engine::{EngineConfig, RunState};
use marquetry_journal::testing::{Faults, FaultyJournal};
use marquetry_journal::{Journal, JournalError, SqliteJournal};
use marquetry_lake::Lake;
use marquetry_plugin::Registry;
use marquetry_proto::v1;
use marquetry_proto::v1::run_service_client::RunServiceClient;
use marquetry_types::{Diagnostic, RunId, codes};
use marquetry_worker::{Leave, Worker, WorkerConfig, WorkerError};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::exchange::Exchange;
use crate::floor::{Floor, Step};

/// What the lake of every test is called.
const LAKE: &str = "memory:///house";

/// Fails the test when something that must happen does not, instead of hanging.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let guard = Duration::from_secs(30);
    tokio::time::timeout(guard, future)
        .await
        .expect("it happens within 30 s")
}

/// What outlives coordinators and workers.
pub(crate) struct House {
    pub(crate) floor: Arc<Floor>,
    pub(crate) faults: Faults,
    pub(crate) journal: Arc<dyn Journal>,
    /// What the lake is kept in, without any faults.
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) lake: Lake,
    registry: Arc<Registry>,
    coordinators: AtomicU32,
    folder: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let sqlite = SqliteJournal::open(folder.path().join("journal.db")).unwrap();
        let journal: Arc<dyn Journal> = Arc::new(FaultyJournal::new(sqlite, faults.clone()));
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let floor = Arc::new(Floor::new());
        floor.check_against(Arc::clone(&journal));
        let registry = Registry::new(vec![Arc::new(Step::new(Arc::clone(&floor)))]);
        Self {
            floor,
            faults,
            journal,
            lake: Lake::with_store(LAKE, Arc::clone(&objects)),
            objects,
            registry: Arc::new(registry),
            coordinators: AtomicU32::new(0),
            folder,
        }
    }

    /// A coordinator as `marquetry run` starts it: without a grace for workers of an earlier process.
    pub(crate) async fn coordinator(&self) -> Result<Server, JournalError> {
        self.coordinator_with(EngineConfig {
            takeover_grace: Duration::ZERO,
            ..EngineConfig::default()
        })
        .await
    }

    /// A coordinator that others leave the lead to.
    pub(crate) async fn lasting_coordinator(
        &self,
        engine: EngineConfig,
    ) -> Result<Server, JournalError> {
        self.coordinator_leading_for(engine, Duration::from_secs(3600))
            .await
    }

    pub(crate) async fn coordinator_with(
        &self,
        engine: EngineConfig,
    ) -> Result<Server, JournalError> {
        // Whoever comes next leads at once.
        self.coordinator_leading_for(engine, Duration::ZERO).await
    }

    async fn coordinator_leading_for(
        &self,
        engine: EngineConfig,
        lease: Duration,
    ) -> Result<Server, JournalError> {
        let number = self.coordinators.fetch_add(1, Ordering::Relaxed) + 1;
        let config = CoordinatorConfig {
            engine,
            heartbeat_interval: Duration::from_secs(3),
            lake: LAKE.to_owned(),
            name: format!("c{number}"),
            url: format!("http://c{number}:7070"),
            lease,
            take_up: TakeUp::All,
            upkeep: Upkeep::default(),
        };
        let (journal, catalogue) = (Arc::clone(&self.journal), Arc::clone(&self.registry));
        Server::start(config, journal, catalogue).await
    }

    /// A worker with two slots on the lake as it is.
    pub(crate) fn worker(&self, name: &str, exchange: &Exchange) -> Hand {
        self.worker_on(name, exchange, Arc::clone(&self.objects), 2)
    }

    /// A worker whose lake is kept in `objects`.
    pub(crate) fn worker_on(
        &self,
        name: &str,
        exchange: &Exchange,
        objects: Arc<dyn ObjectStore>,
        threads: usize,
    ) -> Hand {
        let spill_dir = self.folder.path().join("spill");
        let config = WorkerConfig {
            slots: 2,
            threads,
            memory_limit: 64 * 1024 * 1024,
            ..WorkerConfig::new(name.parse().unwrap(), spill_dir)
        };
        let lake = Lake::with_store(LAKE, objects);
        let registry = Arc::clone(&self.registry);
        let coordinators = Coordinators::one(exchange.channel());
        let worker = Worker::new(config, registry, lake, coordinators).unwrap();
        let leave = Leave::default();
        let shutdown = leave.now.clone();
        let task = tokio::spawn(worker.serve(leave));
        Hand { shutdown, task }
    }

    /// A coordinator and a worker, and a number at which the coordinator answers.
    pub(crate) async fn open(&self) -> (Server, Hand, Exchange) {
        let server = self.coordinator().await.unwrap();
        let exchange = Exchange::new();
        exchange.plug_into(&server);
        let worker = self.worker("w1", &exchange);
        (server, worker, exchange)
    }

    /// The run as the journal has it.
    pub(crate) async fn state(&self, run: &RunId) -> RunState {
        self.journal.load_run(run).await.unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.floor.release();
        if !std::thread::panicking() {
            assert_eq!(self.floor.wrongs(), Vec::<String>::new());
        }
    }
}

/// A coordinator on threads of its own, so that it can be killed.
pub(crate) struct Server {
    runtime: Option<Runtime>,
    pipes: mpsc::UnboundedSender<DuplexStream>,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Server {
    async fn start(
        config: CoordinatorConfig,
        journal: Arc<dyn Journal>,
        registry: Arc<Registry>,
    ) -> Result<Self, JournalError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("coordinator")
            .enable_all()
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        let start = Coordinator::start(config, journal, registry, shutdown.clone());
        let started = runtime.spawn(start).await.unwrap();
        let coordinator = match started {
            Ok(coordinator) => coordinator,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let (pipes, accepted) = mpsc::unbounded_channel();
        let incoming = UnboundedReceiverStream::new(accepted).map(Ok);
        let served = runtime.spawn(coordinator.serve(Front::default(), incoming));
        Ok(Self {
            runtime: Some(runtime),
            pipes,
            shutdown,
            served,
        })
    }

    pub(crate) fn pipes(&self) -> mpsc::UnboundedSender<DuplexStream> {
        self.pipes.clone()
    }

    /// Ends it at once, wherever it is, as the death of its process would.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Asks it to stop.
    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Waits until it serves no more.
    pub(crate) async fn ended(mut self) {
        in_time(&mut self.served).await.unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A worker.
pub(crate) struct Hand {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Hand {
    /// Stops it and waits until it is gone.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        in_time(self.task).await.unwrap().unwrap();
    }
}

/// A submission of a workflow of one file.
pub(crate) fn submission(yaml: &str) -> v1::SubmitRunRequest {
    let entry = "test.yaml".to_owned();
    let files = [(entry.clone(), yaml.to_owned())].into();
    v1::SubmitRunRequest {
        bundle: Some(v1::WorkflowBundle { entry, files }),
        ..v1::SubmitRunRequest::default()
    }
}

pub(crate) async fn submit(client: &mut RunServiceClient<Channel>, yaml: &str) -> RunId {
    let response = in_time(client.submit_run(submission(yaml))).await.unwrap();
    response.into_inner().run_id.parse().unwrap()
}

/// Submits as a careful client does: under one id, until it is answered.
pub(crate) async fn submit_persistently(
    client: &mut RunServiceClient<Channel>,
    yaml: &str,
    request_id: &str,
) -> RunId {
    let request = v1::SubmitRunRequest {
        request_id: request_id.to_owned(),
        ..submission(yaml)
    };
    loop {
        match in_time(client.submit_run(request.clone())).await {
            Ok(response) => return response.into_inner().run_id.parse().unwrap(),
            // The last two are what a connection that breaks looks like.
            Err(status) => assert!(
                matches!(
                    status.code(),
                    Code::Unavailable | Code::Unknown | Code::Cancelled
                ),
                "{status}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn watch(
    client: &mut RunServiceClient<Channel>,
    run: &RunId,
) -> tonic::Streaming<v1::WatchRunResponse> {
    let run_id = run.to_string();
    let response = in_time(client.watch_run(v1::WatchRunRequest { run_id })).await;
    response.unwrap().into_inner()
}

/// Watches over one stream until that ends by itself, then shows the run as a user sees it.
pub(crate) async fn watch_to_end(client: &mut RunServiceClient<Channel>, run: &RunId) -> v1::Run {
    let mut events = watch(client, run).await;
    while in_time(events.message()).await.unwrap().is_some() {}
    let shown = get(client, run).await;
    let status = shown.summary.as_ref().unwrap().status();
    assert_ne!(
        status,
        v1::RunStatus::Running,
        "the watch ends with the run"
    );
    shown
}

pub(crate) async fn get(client: &mut RunServiceClient<Channel>, run: &RunId) -> v1::Run {
    let run_id = run.to_string();
    let response = in_time(client.get_run(v1::GetRunRequest { run_id })).await;
    response.unwrap().into_inner().run.unwrap()
}

pub(crate) async fn cancel(
    client: &mut RunServiceClient<Channel>,
    run: &RunId,
) -> Result<(), Status> {
    let request = v1::CancelRunRequest {
        run_id: run.to_string(),
        reason: "the test says so".to_owned(),
    };
    in_time(client.cancel_run(request)).await.map(drop)
}

pub(crate) async fn resume(
    client: &mut RunServiceClient<Channel>,
    run: &RunId,
) -> Result<(), Status> {
    let run_id = run.to_string();
    in_time(client.retry_run(v1::RetryRunRequest {
        run_id,
        from_stages: Vec::new(),
    }))
    .await
    .map(drop)
}

/// The one diagnostic of a refusal.
pub(crate) fn diagnostic(status: &Status) -> Diagnostic {
    let carried = marquetry_proto::diagnostics_from_status(status, &codes::INTERNAL);
    assert_eq!(carried.0.len(), 1, "{carried}");
    carried.0.into_iter().next().unwrap()
}
