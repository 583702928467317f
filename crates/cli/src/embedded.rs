//! A coordinator and a worker inside this process, talking gRPC over pipes: what a cluster does, on a
//! laptop.

use std::sync::Arc;
use std::time::Duration;

use marquetry_client::{Coordinators, MESSAGE_BYTES};
use marquetry_coordinator::{Coordinator, CoordinatorConfig, Front, TakeUp, Upkeep, in_process};
use marquetry_engine::EngineConfig;
use marquetry_journal::Journal;
use marquetry_lake::Lake;
use marquetry_proto::v1::run_service_client::RunServiceClient;
use marquetry_types::{Diagnostics, WorkerId, codes};
use marquetry_worker::{Leave, Worker, WorkerConfig, WorkerError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::arguments::Resources;
use crate::failure::Failure;
use crate::place::Place;
use crate::stages::registry;

/// Both, running.
pub(crate) struct Embedded {
    pub(crate) client: RunServiceClient<Channel>,
    pub(crate) journal: Arc<dyn Journal>,
    shutdown: CancellationToken,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    worker: JoinHandle<Result<(), WorkerError>>,
}

impl Embedded {
    /// Starts both on a data folder.
    pub(crate) async fn start(
        place: &Place,
        take_up: TakeUp,
        resources: &Resources,
    ) -> Result<Self, Failure> {
        let journal = marquetry_journal::open(&place.journal()).await?;
        let lake: Lake = place.lake().await?;
        let registry = registry();
        let config = CoordinatorConfig {
            // Whoever held something died with the process before this one.
            engine: EngineConfig {
                takeover_grace: Duration::ZERO,
                ignores_placement: true,
                ..EngineConfig::default()
            },
            heartbeat_interval: Duration::from_secs(3),
            lake: lake.location().to_owned(),
            name: format!("local-{}", std::process::id()),
            url: String::new(),
            lease: Duration::from_secs(3600),
            take_up,
            // A run of one command leaves history to the server.
            upkeep: Upkeep::default(),
        };
        let shutdown = CancellationToken::new();
        let catalogue = Arc::clone(&registry) as Arc<_>;
        let coordinator =
            Coordinator::start(config, Arc::clone(&journal), catalogue, shutdown.clone()).await?;
        let (pipes, incoming) = in_process();
        let server = tokio::spawn(coordinator.serve(Front::default(), incoming));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let id: WorkerId = format!("local-{}", std::process::id())
            .parse()
            .map_err(Failure::internal)?;
        let config = WorkerConfig {
            slots: resources.slots.max(1),
            threads: resources.threads.unwrap_or(cores).max(1),
            memory_limit: resources.stage_memory.saturating_mul(1024 * 1024),
            secrets_dir: resources.secrets_dir.clone(),
            ..WorkerConfig::new(id, place.spill_path())
        };
        let coordinators = Coordinators::one(pipes.channel());
        let worker =
            Worker::new(config, registry, lake, coordinators).map_err(Failure::internal)?;
        let leave = Leave {
            now: shutdown.clone(),
            ..Leave::default()
        };
        let worker = tokio::spawn(worker.serve(leave));
        let client = RunServiceClient::new(pipes.channel())
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        Ok(Self {
            client,
            journal,
            shutdown,
            server,
            worker,
        })
    }

    /// Stops both. What still runs is given up, and resumed by whoever resumes the run.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        drop(self.client);
        let patience = Duration::from_secs(2);
        drop(tokio::time::timeout(patience, self.worker).await);
        drop(tokio::time::timeout(patience, self.server).await);
    }
}

/// What a refused request says.
pub(crate) fn refused(status: &tonic::Status) -> Failure {
    let diagnostics: Diagnostics =
        marquetry_proto::diagnostics_from_status(status, &codes::UNREACHABLE);
    match status.code() {
        // Exhausted is the room for the journal.
        tonic::Code::Internal
        | tonic::Code::DataLoss
        | tonic::Code::ResourceExhausted
        | tonic::Code::Unavailable => Failure::Internal(diagnostics),
        _ => Failure::Input(diagnostics),
    }
}
