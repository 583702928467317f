//! The worker's stream to its coordinator, over as many connections as it takes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use marquetry_client::{Connection, Coordinators, MESSAGE_BYTES};
use marquetry_engine::{Agent, AgentEffect, AgentInput, Assignment};
use marquetry_lake::Lake;
use marquetry_plugin::Registry;
use marquetry_proto::v1::attach_request::Message as ToCoordinator;
use marquetry_proto::v1::attach_response::Message as FromCoordinator;
use marquetry_proto::v1::attempt_report::Report as WireReport;
use marquetry_proto::v1::worker_service_client::WorkerServiceClient;
use marquetry_proto::{WireError, v1};
use marquetry_types::{Diagnostic, Epoch, FencingToken, RunId, TraceContext, codes};
use marquetry_workflow::StageCatalogue;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use crate::absence::Absence;
use crate::attempt::{Stages, Workplace};
use crate::bundle_cache::BundleCache;
#[cfg(unix)]
use crate::data_plane::DataPlane;
use crate::executor::{Events, Executor, Report};
use crate::threads::Threads;
use crate::{Isolation, WorkerConfig};

/// Messages that wait for the stream. One that has so many waiting takes nothing any more: it is
/// broken, and the worker never waits for it.
const BACKLOG: usize = 4096;
/// The first and the longest pause before another connection. A coordinator that takes over waits its grace
/// for workers to come: the longest pause is well below it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));
/// The heartbeat until the coordinator says how often it wants one.
const FIRST_HEARTBEAT: Duration = Duration::from_secs(5);
/// How long the last messages of a worker that stops may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A worker that is ready to serve.
pub struct Worker {
    hello: v1::Hello,
    lake: String,
    coordinators: Coordinators,
    agent: Agent,
    executor: Executor,
    events: Events,
    #[cfg(unix)]
    data_plane: Option<DataPlane>,
    /// It takes nothing new, and stops when it holds nothing any more.
    is_draining: bool,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Worker")
            .field("id", &self.hello.worker_id)
            .finish_non_exhaustive()
    }
}

/// How a worker is asked to end.
#[derive(Debug, Clone, Default)]
pub struct Leave {
    /// Finish what runs, take nothing new, then end.
    pub drain: CancellationToken,
    /// End at once. What runs is given to other workers.
    pub now: CancellationToken,
}

/// Why a worker can serve no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// The coordinator works on another lake.
    #[error("the coordinator keeps its data in {theirs}, and this worker in {ours}")]
    OtherLake {
        /// The worker's.
        ours: String,
        /// The coordinator's.
        theirs: String,
    },
    /// The coordinator does not let this worker in.
    #[error("the coordinator refuses this worker: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
}

impl From<WorkerError> for Diagnostic {
    fn from(error: WorkerError) -> Self {
        let help = match &error {
            WorkerError::OtherLake { theirs, .. } => {
                format!("start the worker with `--lake {theirs}`")
            }
            WorkerError::Refused { .. } => {
                "give the worker the token that the coordinator expects of workers".to_owned()
            }
        };
        Self::new(codes::BAD_ENDPOINT, error.to_string()).help(help)
    }
}

/// Why a connection ended.
enum Ended {
    /// It broke, or was refused: connect again, perhaps elsewhere.
    Broken(Option<Status>),
    /// The worker is to stop.
    Stopped,
    /// It makes no sense to go on.
    Hopeless(WorkerError),
}

/// The outbound half of a connection.
struct Outbound {
    messages: mpsc::Sender<v1::AttachRequest>,
    is_stalled: bool,
}

impl Outbound {
    /// Sends without waiting: a stream that takes nothing must not keep the worker from its attempts.
    fn send(&mut self, message: ToCoordinator) {
        let message = Some(message);
        let sent = self.messages.try_send(v1::AttachRequest { message });
        self.is_stalled |= sent.is_err();
    }
}

impl Worker {
    /// A worker with the stages of `registry`.
    ///
    /// # Errors
    /// Its threads or processes cannot be started, or its folder for what queries spill cannot be made.
    pub fn new(
        mut config: WorkerConfig,
        registry: Arc<Registry>,
        lake: Lake,
        coordinators: Coordinators,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(&config.spill_dir).map_err(|error| {
            let folder = config.spill_dir.display();
            std::io::Error::new(error.kind(), format!("cannot make {folder}: {error}"))
        })?;
        let kinds = registry.kinds().into_iter().filter_map(|kind| {
            let version = registry.descriptor(kind)?.version;
            Some(v1::SupportedKind {
                kind: kind.to_owned(),
                version,
            })
        });
        #[cfg(unix)]
        let data_plane = config.data_plane.take();
        let hello = v1::Hello {
            #[cfg(unix)]
            data_plane: data_plane
                .as_ref()
                .map(|plane| plane.url.clone())
                .unwrap_or_default(),
            #[cfg(not(unix))]
            data_plane: String::new(),
            worker_id: config.id.to_string(),
            slots: config.slots,
            kinds: kinds.collect(),
            held: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            queues: config.queues.iter().map(ToString::to_string).collect(),
            labels: config.labels.clone().into_iter().collect(),
            draining: false,
        };
        let location = lake.location().to_owned();
        #[cfg(unix)]
        let data_plane = data_plane
            .map(|config| DataPlane::start(config, location.clone()))
            .transpose()?;
        let stages = match &config.isolation {
            Isolation::Threads => Stages::Threads(Threads::new(config.threads, registry)?),
            #[cfg(unix)]
            Isolation::Processes(command) => {
                let warm = usize::try_from(config.slots).unwrap_or(usize::MAX);
                let hosts = crate::hosts::Hosts::new(command.clone(), location.clone(), warm)?;
                Stages::Hosts(hosts)
            }
        };
        let bundles = BundleCache::new(coordinators.clone());
        let (executor, events) = Executor::new(Arc::new(Workplace {
            config,
            lake,
            bundles,
            stages,
            members: Mutex::default(),
        }));
        Ok(Self {
            hello,
            lake: location,
            coordinators,
            agent: Agent::new(),
            executor,
            events,
            #[cfg(unix)]
            data_plane,
            is_draining: false,
        })
    }

    /// Serves until it is asked to leave, or cannot go on.
    ///
    /// # Errors
    /// The coordinator will never take this worker as it is.
    pub async fn serve(mut self, leave: Leave) -> Result<(), WorkerError> {
        let served = self.serve_until(leave).await;
        self.executor.end().await;
        served
    }

    async fn serve_until(&mut self, leave: Leave) -> Result<(), WorkerError> {
        let mut pause = PAUSES.0;
        let mut absence = Absence::default();
        loop {
            let mut was_welcomed = false;
            let status = match self.connection(&leave, &mut was_welcomed).await {
                Ended::Stopped => return Ok(()),
                Ended::Hopeless(error) => return Err(error),
                Ended::Broken(status) => status,
            };
            // A stream that was closed in good order says nothing against the coordinator: it began a
            // new reign, and is asked again first.
            if let Some(status) = &status {
                self.coordinators.move_on(status);
            }
            if was_welcomed {
                pause = PAUSES.0;
                absence = Absence::default();
            } else {
                pause = (pause * 2).min(PAUSES.1);
                absence.goes_on(&self.coordinators.url(), status.as_ref());
            }
            tokio::select! {
                () = leave.now.cancelled() => return Ok(()),
                () = leave.drain.cancelled(), if self.is_idle() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether nothing that somebody waits for runs here, be it a stage or a part of another's query.
    fn is_idle(&self) -> bool {
        #[cfg(unix)]
        if self
            .data_plane
            .as_ref()
            .is_some_and(|plane| !plane.is_idle())
        {
            return false;
        }
        self.agent.is_idle()
    }

    async fn connection(&mut self, leave: &Leave, was_welcomed: &mut bool) -> Ended {
        let (messages, stream) = mpsc::channel(BACKLOG);
        let mut outbound = Outbound {
            messages,
            is_stalled: false,
        };
        self.step(AgentInput::Connected, &mut outbound);
        let mut client = client(self.coordinators.current());
        let attached = tokio::select! {
            () = leave.now.cancelled() => return Ended::Stopped,
            attached = client.attach(ReceiverStream::new(stream)) => attached,
        };
        let ended = match attached {
            Ok(response) => {
                let mut inbound = response.into_inner();
                let ended = self
                    .converse(&mut inbound, &mut outbound, leave, was_welcomed)
                    .await;
                if matches!(ended, Ended::Stopped) {
                    take_leave(inbound, outbound).await;
                }
                ended
            }
            Err(status) => refused(status),
        };
        self.agent.step(AgentInput::Disconnected);
        ended
    }

    /// Speaks with a coordinator until the stream ends.
    async fn converse(
        &mut self,
        inbound: &mut Streaming<v1::AttachResponse>,
        outbound: &mut Outbound,
        leave: &Leave,
        was_welcomed: &mut bool,
    ) -> Ended {
        let mut heartbeat = tokio::time::interval(FIRST_HEARTBEAT);
        loop {
            let input = tokio::select! {
                () = leave.now.cancelled() => return Ended::Stopped,
                () = leave.drain.cancelled(), if !self.is_draining => {
                    tracing::info!("draining: no new stages are taken");
                    self.is_draining = true;
                    AgentInput::HeartbeatDue
                }
                message = inbound.message() => match message {
                    Ok(Some(response)) => {
                        match &response.message {
                            Some(FromCoordinator::Welcome(welcome)) => {
                                *was_welcomed = true;
                                let interval = u64::from(welcome.heartbeat_interval_ms.max(10));
                                heartbeat = tokio::time::interval(Duration::from_millis(interval));
                                if welcome.lake != self.lake {
                                    return Ended::Hopeless(WorkerError::OtherLake {
                                        ours: self.lake.clone(),
                                        theirs: welcome.lake.clone(),
                                    });
                                }
                            }
                            Some(FromCoordinator::Drain(drain)) => {
                                tracing::info!(
                                    reason = drain.reason,
                                    "the coordinator drains this worker: no new stages are taken"
                                );
                                self.is_draining = true;
                            }
                            _ => {}
                        }
                        match understand(response) {
                            Ok(Some(input)) => input,
                            // It was drained: to be seen at once.
                            Ok(None) => AgentInput::HeartbeatDue,
                            Err(error) => {
                                tracing::warn!(%error, "the coordinator sent what cannot be understood");
                                return Ended::Broken(None);
                            }
                        }
                    }
                    Ok(None) => return Ended::Broken(None),
                    Err(status) => return Ended::Broken(Some(status)),
                },
                Some((token, result)) = self.events.finished.recv() => {
                    self.executor.forget(&token);
                    AgentInput::Finished { token, result }
                }
                Some((token, report)) = self.events.reports.recv() => {
                    outbound.send(wire_report(&token, report));
                    continue;
                }
                _ = heartbeat.tick() => AgentInput::HeartbeatDue,
            };
            if self.step(input, outbound) {
                return Ended::Broken(None);
            }
            if outbound.is_stalled {
                tracing::warn!("the coordinator takes no messages: the stream is given up");
                return Ended::Broken(None);
            }
            if self.is_draining && *was_welcomed && self.is_idle() {
                return Ended::Stopped;
            }
        }
    }

    /// Steps the protocol and does what it wants done. True when this coordinator is to be left.
    fn step(&mut self, input: AgentInput, outbound: &mut Outbound) -> bool {
        let wire = |held: Vec<FencingToken>| held.iter().map(Into::into).collect();
        let mut leaves = false;
        for effect in self.agent.step(input) {
            match effect {
                AgentEffect::SendHello { held } => outbound.send(ToCoordinator::Hello(v1::Hello {
                    held: wire(held),
                    draining: self.is_draining,
                    ..self.hello.clone()
                })),
                AgentEffect::SendHeartbeat { held } => {
                    outbound.send(ToCoordinator::Heartbeat(v1::Heartbeat {
                        held: wire(held),
                        draining: self.is_draining,
                    }));
                }
                AgentEffect::SendFinished { token, result } => outbound.send(
                    ToCoordinator::Finished(v1::AttemptFinished::new(&token, &result)),
                ),
                AgentEffect::Start(assignment) => self.executor.start(assignment),
                AgentEffect::Cancel { token, reason } => {
                    let id = &token.attempt;
                    tracing::info!(
                        run = %id.run, stage = %id.stage, attempt = id.attempt.0, reason,
                        "an attempt is to end"
                    );
                    self.executor.cancel(&token);
                }
                AgentEffect::UseMembers(members) => {
                    #[cfg(unix)]
                    if let Some(plane) = &self.data_plane {
                        plane.admit(&members.secret);
                    }
                    self.executor.use_members(members);
                }
                AgentEffect::Disconnect => leaves = true,
            }
        }
        leaves
    }
}

/// Says goodbye, and waits until the coordinator has heard it and closes the stream: what this worker
/// held is then given to others at once.
async fn take_leave(mut inbound: Streaming<v1::AttachResponse>, mut outbound: Outbound) {
    let reason = "it was asked to stop".to_owned();
    outbound.send(ToCoordinator::Goodbye(v1::Goodbye { reason }));
    drop(outbound);
    let closed = async { while let Ok(Some(_)) = inbound.message().await {} };
    // A coordinator that is away learns it from the stream that breaks.
    drop(tokio::time::timeout(FAREWELL, closed).await);
}

pub(crate) fn client(connection: Connection) -> WorkerServiceClient<Connection> {
    WorkerServiceClient::new(connection)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}

/// What a refused attachment means: a coordinator that is away or does not lead is asked again, one
/// that does not let this worker in will not do so later.
fn refused(status: Status) -> Ended {
    let is_hopeless = matches!(
        status.code(),
        Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument
    );
    if is_hopeless {
        let reason = status.message().to_owned();
        return Ended::Hopeless(WorkerError::Refused { reason });
    }
    tracing::debug!(%status, "cannot attach to the coordinator");
    Ended::Broken(Some(status))
}

fn wire_report(token: &FencingToken, report: Report) -> ToCoordinator {
    let report = match report {
        Report::Progress(progress) => {
            WireReport::Progress(v1::AttemptProgress::new(&token.attempt, progress))
        }
        Report::Log(line) => WireReport::Log(v1::AttemptLog::new(&token.attempt, line)),
    };
    ToCoordinator::Report(v1::AttemptReport {
        token: Some(token.into()),
        report: Some(report),
    })
}

/// The protocol's input that a message is.
fn understand(response: v1::AttachResponse) -> Result<Option<AgentInput>, WireError> {
    let token = |token: Option<v1::FencingToken>| match token {
        Some(token) => FencingToken::try_from(token),
        None => Err(WireError::Missing("token")),
    };
    Ok(match response.message {
        None | Some(FromCoordinator::Drain(_)) => None,
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
        Some(FromCoordinator::Membership(membership)) => {
            Some(AgentInput::MembershipChanged(membership.into()))
        }
        Some(FromCoordinator::Acknowledged(acknowledged)) => Some(AgentInput::Acknowledged {
            token: token(acknowledged.token)?,
        }),
    })
}

/// The span that a message names, or else the beginning of the run's own trace.
pub(crate) fn read_trace(traceparent: &str, run: &RunId) -> TraceContext {
    let named = traceparent.parse();
    named.unwrap_or_else(|_| TraceContext::of_run(run))
}

fn read_assignment(wire: v1::Assignment) -> Result<Assignment, WireError> {
    let parallelism = wire.parallelism().into();
    let token = wire
        .token
        .ok_or(WireError::Missing("assign.token"))?
        .try_into()?;
    let options = serde_json::from_str(&wire.options_json);
    let token: FencingToken = token;
    Ok(Assignment {
        // An older coordinator says nothing of it.
        trace: read_trace(&wire.traceparent, &token.attempt.run),
        token,
        kind: wire.kind.parse()?,
        options: options.map_err(|_| WireError::Unknown("assign.options_json"))?,
        bundle: wire.bundle_digest,
        seed: wire.seed,
        timeout: (wire.timeout_ms > 0).then(|| Duration::from_millis(wire.timeout_ms)),
        memory: (wire.memory_bytes > 0).then_some(wire.memory_bytes),
        base_dir: (!wire.base_dir.is_empty()).then_some(wire.base_dir),
        parallelism,
    })
}
