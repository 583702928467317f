//! The worker's stream to its coordinator, over as many connections as it takes.

use std::sync::Arc;
use std::time::Duration;

use marquetry_engine::{Agent, AgentEffect, AgentInput, Assignment};
use marquetry_lake::Lake;
use marquetry_plugin::Registry;
use marquetry_proto::v1::attach_request::Message as ToCoordinator;
use marquetry_proto::v1::attach_response::Message as FromCoordinator;
use marquetry_proto::v1::attempt_report::Report;
use marquetry_proto::v1::worker_service_client::WorkerServiceClient;
use marquetry_proto::{WireError, v1};
use marquetry_types::{Epoch, FencingToken};
use marquetry_workflow::StageCatalogue;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::WorkerConfig;
use crate::attempt::Workplace;
use crate::bundle_cache::BundleCache;
use crate::executor::{Event, Executor};

/// Messages that wait for the stream before the worker does.
const BACKLOG: usize = 256;
/// The first and the longest pause before another connection.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// The heartbeat until the coordinator says how often it wants one.
const FIRST_HEARTBEAT: Duration = Duration::from_secs(5);
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// A worker that is ready to serve.
pub struct Worker {
    hello: v1::Hello,
    lake: String,
    client: WorkerServiceClient<Channel>,
    agent: Agent,
    executor: Executor,
    events: mpsc::UnboundedReceiver<Event>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Worker")
            .field("id", &self.hello.worker_id)
            .finish_non_exhaustive()
    }
}

/// Why a connection ended.
enum Ended {
    /// It broke: connect again.
    Broken,
    /// The worker is to stop.
    Stopped,
}

impl Worker {
    /// A worker with the stages of `registry`, for the coordinator behind `channel`.
    ///
    /// # Errors
    /// Its threads cannot be started.
    pub fn new(
        config: WorkerConfig,
        registry: Arc<Registry>,
        lake: Lake,
        channel: Channel,
    ) -> std::io::Result<Self> {
        let client = WorkerServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let kinds = registry.kinds().into_iter().filter_map(|kind| {
            let version = registry.descriptor(kind)?.version;
            Some(v1::SupportedKind {
                kind: kind.to_owned(),
                version,
            })
        });
        let hello = v1::Hello {
            worker_id: config.id.to_string(),
            slots: config.slots,
            kinds: kinds.collect(),
            held: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let (sender, events) = mpsc::unbounded_channel();
        let location = lake.location().to_owned();
        let threads = config.threads;
        let bundles = BundleCache::new(client.clone());
        let workplace = Arc::new(Workplace {
            config,
            registry,
            lake,
            bundles,
        });
        let executor = Executor::new(threads, workplace, sender)?;
        Ok(Self {
            hello,
            lake: location,
            client,
            agent: Agent::new(),
            executor,
            events,
        })
    }

    /// Serves until `shutdown`. What runs then is given up; the coordinator gives it to another worker.
    pub async fn serve(mut self, shutdown: CancellationToken) {
        let mut pause = PAUSES.0;
        loop {
            let mut was_welcomed = false;
            match self.connection(&shutdown, &mut was_welcomed).await {
                Ended::Stopped => return,
                Ended::Broken if was_welcomed => pause = PAUSES.0,
                Ended::Broken => pause = (pause * 2).min(PAUSES.1),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn connection(&mut self, shutdown: &CancellationToken, was_welcomed: &mut bool) -> Ended {
        let (outbound, messages) = mpsc::channel(BACKLOG);
        for effect in self.agent.step(AgentInput::Connected) {
            self.perform(effect, &outbound).await;
        }
        let mut client = self.client.clone();
        let attached = tokio::select! {
            () = shutdown.cancelled() => return Ended::Stopped,
            attached = client.attach(ReceiverStream::new(messages)) => attached,
        };
        let mut inbound = match attached {
            Ok(response) => response.into_inner(),
            Err(status) => {
                tracing::debug!(%status, "cannot attach to the coordinator");
                self.agent.step(AgentInput::Disconnected);
                return Ended::Broken;
            }
        };
        let mut heartbeat = tokio::time::interval(FIRST_HEARTBEAT);
        let ended = loop {
            let input = tokio::select! {
                () = shutdown.cancelled() => break Ended::Stopped,
                message = inbound.message() => match message {
                    Ok(Some(response)) => {
                        if let Some(FromCoordinator::Welcome(welcome)) = &response.message {
                            *was_welcomed = true;
                            let interval = u64::from(welcome.heartbeat_interval_ms.max(10));
                            heartbeat = tokio::time::interval(Duration::from_millis(interval));
                            if welcome.lake != self.lake {
                                tracing::error!(ours = self.lake, theirs = welcome.lake, "the coordinator uses another lake");
                                break Ended::Stopped;
                            }
                        }
                        match understand(response) {
                            Ok(Some(input)) => input,
                            Ok(None) => continue,
                            Err(error) => {
                                tracing::warn!(%error, "the coordinator sent what cannot be understood");
                                break Ended::Broken;
                            }
                        }
                    }
                    Ok(None) | Err(_) => break Ended::Broken,
                },
                Some(event) = self.events.recv() => match event {
                    Event::Finished(token, result) => {
                        self.executor.forget(&token);
                        AgentInput::Finished { token, result }
                    }
                    Event::Progress(token, progress) => {
                        let progress = v1::AttemptProgress::new(&token.attempt, progress);
                        report(&outbound, &token, Report::Progress(progress)).await;
                        continue;
                    }
                    Event::Log(token, line) => {
                        let line = v1::AttemptLog::new(&token.attempt, line);
                        report(&outbound, &token, Report::Log(line)).await;
                        continue;
                    }
                },
                _ = heartbeat.tick() => AgentInput::HeartbeatDue,
            };
            let mut leaves = false;
            for effect in self.agent.step(input) {
                leaves |= effect == AgentEffect::Disconnect;
                self.perform(effect, &outbound).await;
            }
            if leaves {
                break Ended::Broken;
            }
        };
        self.agent.step(AgentInput::Disconnected);
        ended
    }

    /// Does what the protocol wants done. A message that cannot be sent is no error: the stream is
    /// broken, which its other half will say.
    async fn perform(&mut self, effect: AgentEffect, outbound: &mpsc::Sender<v1::AttachRequest>) {
        let wire = |held: Vec<FencingToken>| held.iter().map(Into::into).collect();
        let message = match effect {
            AgentEffect::SendHello { held } => ToCoordinator::Hello(v1::Hello {
                held: wire(held),
                ..self.hello.clone()
            }),
            AgentEffect::SendHeartbeat { held } => {
                ToCoordinator::Heartbeat(v1::Heartbeat { held: wire(held) })
            }
            AgentEffect::SendFinished { token, result } => {
                ToCoordinator::Finished(v1::AttemptFinished::new(&token, &result))
            }
            AgentEffect::Start(assignment) => return self.executor.start(assignment),
            AgentEffect::Cancel { token, reason } => {
                tracing::info!(attempt = %token.attempt, reason, "an attempt is to end");
                return self.executor.cancel(&token);
            }
            AgentEffect::Disconnect => return,
        };
        drop(
            outbound
                .send(v1::AttachRequest {
                    message: Some(message),
                })
                .await,
        );
    }
}

async fn report(outbound: &mpsc::Sender<v1::AttachRequest>, token: &FencingToken, report: Report) {
    let report = v1::AttemptReport {
        token: Some(token.into()),
        report: Some(report),
    };
    let message = Some(ToCoordinator::Report(report));
    drop(outbound.send(v1::AttachRequest { message }).await);
}

/// The protocol's input that a message is.
fn understand(response: v1::AttachResponse) -> Result<Option<AgentInput>, WireError> {
    let token = |token: Option<v1::FencingToken>| match token {
        Some(token) => FencingToken::try_from(token),
        None => Err(WireError::Missing("token")),
    };
    Ok(match response.message {
        None => None,
        Some(FromCoordinator::Welcome(welcome)) => Some(AgentInput::Welcomed {
            epoch: Epoch(welcome.epoch),
        }),
        Some(FromCoordinator::Assign(assignment)) => {
            Some(AgentInput::Assigned(read_assignment(assignment)?))
        }
        Some(FromCoordinator::Cancel(cancel)) => Some(AgentInput::CancelRequested {
            token: token(cancel.token)?,
            reason: cancel.reason,
        }),
        Some(FromCoordinator::Acknowledged(acknowledged)) => Some(AgentInput::Acknowledged {
            token: token(acknowledged.token)?,
        }),
    })
}

fn read_assignment(wire: v1::Assignment) -> Result<Assignment, WireError> {
    let token = wire
        .token
        .ok_or(WireError::Missing("assign.token"))?
        .try_into()?;
    let options = serde_json::from_str(&wire.options_json);
    Ok(Assignment {
        token,
        kind: wire.kind.parse()?,
        options: options.map_err(|_| WireError::Unknown("assign.options_json"))?,
        bundle: wire.bundle_digest,
        seed: wire.seed,
        timeout: (wire.timeout_ms > 0).then(|| Duration::from_millis(wire.timeout_ms)),
        memory: (wire.memory_bytes > 0).then_some(wire.memory_bytes),
        base_dir: (!wire.base_dir.is_empty()).then_some(wire.base_dir),
    })
}
