//! A stage host as the worker sees it: a child process with a gRPC connection over its standard input,
//! which is a socket. There is no port and no file, nobody else can connect, and when either side
//! dies the other sees the socket close.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use hyper_util::rt::TokioIo;
use marquetry_client::MESSAGE_BYTES;
use marquetry_plugin::StageEvents;
use marquetry_proto::v1;
use marquetry_proto::v1::plugin_service_client::PluginServiceClient;
use marquetry_proto::v1::run_stage_request::Message as ToHost;
use marquetry_proto::v1::run_stage_response::Message as FromHost;
use marquetry_types::{Diagnostic, FailureClass, LogLine, Outcome, StageFailure, codes};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint, Uri};

use super::HostCommand;
use crate::memory;
use crate::secrets::VARIABLE;
use crate::stage::Work;

/// How often the memory of a running stage is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Messages to a host that may wait: a stage's start and its cancellation, and those of the one before.
const CALL_BACKLOG: usize = 4;
/// How long a host whose connection closed may take to be gone.
const DEATH: Duration = Duration::from_secs(2);
/// How long a host may take to end by itself.
const FAREWELL: Duration = Duration::from_secs(3);
/// A host that keeps more than this after a stage is not kept itself.
const KEPT_BYTES: u64 = 512 * 1024 * 1024;

/// One child process.
#[derive(Debug)]
pub(super) struct Host {
    child: Child,
    client: PluginServiceClient<Channel>,
    /// The call over which the last stage ran: opening another costs more than a short stage.
    call: Option<Call>,
}

/// A call that takes one stage after another.
#[derive(Debug)]
struct Call {
    requests: mpsc::Sender<v1::RunStageRequest>,
    answers: Streaming<v1::RunStageResponse>,
}

impl Call {
    /// Sends without waiting: there is room for the few messages that a stage is sent.
    fn send(&self, message: ToHost) -> bool {
        let message = Some(message);
        let request = v1::RunStageRequest { message };
        self.requests.try_send(request).is_ok()
    }

    /// Whether another stage can be sent: the host did not end the call. Between two stages it says nothing.
    fn is_open(&mut self) -> bool {
        self.answers.message().now_or_never().is_none()
    }
}

/// How a call of a host ended.
pub(super) enum Ended {
    /// The stage ended; the host is as good as before.
    ByItself(Result<Outcome, StageFailure>),
    /// The host took no call: it was dead already.
    NeverBegan(StageFailure),
    /// The host died, or was killed, within the stage.
    Died(StageFailure),
}

impl Host {
    pub(super) fn start(command: &HostCommand) -> std::io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let mut host = Command::new(&command.program);
        // A stage gets the secrets that it names, and no others.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(VARIABLE.as_bytes()) {
                host.env_remove(name);
            }
        }
        let child = host
            .args(&command.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        ours.set_nonblocking(true)?;
        let mut ours = Some(tokio::net::UnixStream::from_std(ours)?);
        // There is one connection: once it is closed the host is gone.
        let connector = tower::service_fn(move |_: Uri| {
            let taken = ours.take().map(TokioIo::new);
            async { taken.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::BrokenPipe)) }
        });
        let channel =
            Endpoint::from_static("http://stage-host").connect_with_connector_lazy(connector);
        let client = PluginServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        Ok(Self {
            child,
            client,
            call: None,
        })
    }

    /// Lets it end by itself, so that it says and exports what it still has to.
    pub(super) async fn let_go(self) {
        let Self {
            mut child,
            client,
            call,
        } = self;
        // It ends when its connection does.
        drop((client, call));
        drop(tokio::time::timeout(FAREWELL, child.wait()).await);
    }

    /// Whether it may run another stage.
    pub(super) fn is_fit(&self) -> bool {
        let resident = self.child.id().and_then(memory::resident);
        resident.is_none_or(|bytes| bytes <= KEPT_BYTES)
    }

    /// Runs a stage. Dropping the future, and with it the host, kills it.
    pub(super) async fn run(
        &mut self,
        work: &Work,
        lake: &str,
        events: &Arc<dyn StageEvents>,
        cancellation: &CancellationToken,
    ) -> Ended {
        let Some(mut call) = self.begin(start(work, lake)).await else {
            return Ended::NeverBegan(self.died().await);
        };
        let ceiling = memory::ceiling(work.memory_limit);
        // Not at once: most stages are over before it says anything.
        let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
        let mut is_asked = false;
        loop {
            tokio::select! {
                answer = next(&mut call.answers) => match answer {
                    Some(FromHost::Progress(progress)) => events.progress(progress.into()),
                    Some(FromHost::Log(line)) => {
                        if let Ok(line) = LogLine::try_from(line) {
                            events.log(line);
                        }
                    }
                    Some(FromHost::Succeeded(outcome)) => {
                        self.call = Some(call);
                        return Ended::ByItself(Ok(outcome.into()));
                    }
                    Some(FromHost::Failed(failure)) => return match StageFailure::try_from(failure) {
                        Ok(failure) => {
                            self.call = Some(call);
                            Ended::ByItself(Err(failure))
                        }
                        Err(_) => Ended::Died(self.died().await),
                    },
                    None => return Ended::Died(self.died().await),
                },
                () = cancellation.cancelled(), if !is_asked => {
                    is_asked = true;
                    call.send(ToHost::Cancel(v1::CancelStage {}));
                }
                _ = look.tick() => {
                    let resident = self.child.id().and_then(memory::resident);
                    if let Some(bytes) = resident.filter(|bytes| *bytes > ceiling) {
                        return Ended::Died(self.too_big(bytes, work.memory_limit).await);
                    }
                }
            }
        }
    }

    /// Sends a stage over the call of the one before, or over a new one. `None` if the host takes none.
    async fn begin(&mut self, start: v1::StartStage) -> Option<Call> {
        if let Some(mut call) = self.call.take()
            && call.is_open()
            && call.send(ToHost::Start(start.clone()))
        {
            return Some(call);
        }
        let (requests, outbound) = mpsc::channel(CALL_BACKLOG);
        let message = Some(ToHost::Start(start));
        // The channel is new and has room.
        let _ = requests.try_send(v1::RunStageRequest { message });
        match self.client.run_stage(ReceiverStream::new(outbound)).await {
            Ok(response) => Some(Call {
                requests,
                answers: response.into_inner(),
            }),
            Err(status) => {
                tracing::debug!(%status, "a stage host takes no call");
                None
            }
        }
    }

    async fn too_big(&mut self, bytes: u64, limit: u64) -> StageFailure {
        // It may have ended meanwhile, which is as good.
        let _ = self.child.kill().await;
        let mib = |bytes: u64| bytes / (1024 * 1024);
        let message = format!(
            "the stage's process had {} MiB in memory, and the stage may use {} MiB: it was killed",
            mib(bytes),
            mib(limit)
        );
        let diagnostic = Diagnostic::new(codes::OUT_OF_MEMORY, message)
            .help("raise the stage's `memory`, or give it less to do");
        StageFailure {
            class: FailureClass::ResourceExhausted,
            diagnostic,
        }
    }

    /// Why it is gone, once it is.
    async fn died(&mut self) -> StageFailure {
        let status = match tokio::time::timeout(DEATH, self.child.wait()).await {
            Ok(Ok(status)) => Some(status),
            Ok(Err(_)) => None,
            Err(_) => {
                // It closed its connection and lives: it is of no use.
                let _ = self.child.kill().await;
                None
            }
        };
        obituary(status)
    }
}

/// What to tell of a host that ended with `status`.
fn obituary(status: Option<ExitStatus>) -> StageFailure {
    const SIGKILL: i32 = 9;
    let signal = status.and_then(|status| status.signal());
    let how = match (signal, status) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(status)) => format!("ended with {status}"),
        (None, None) => "closed its connection".to_owned(),
    };
    let message = format!("the stage's process {how}");
    let (class, diagnostic) = if signal == Some(SIGKILL) {
        let help = "if nobody killed it, the machine ran out of memory: raise the stage's `memory` \
                    so that it goes to a larger machine, or run fewer stages at a time";
        let diagnostic = Diagnostic::new(codes::STAGE_CRASHED, message).help(help);
        (FailureClass::ResourceExhausted, diagnostic)
    } else {
        let help = "look at the worker's standard error for what it said last";
        let diagnostic = Diagnostic::new(codes::STAGE_CRASHED, message).help(help);
        (FailureClass::Transient, diagnostic)
    };
    StageFailure { class, diagnostic }
}

async fn next(answers: &mut Streaming<v1::RunStageResponse>) -> Option<FromHost> {
    loop {
        match answers.message().await {
            Ok(Some(response)) => {
                if let Some(message) = response.message {
                    return Some(message);
                }
            }
            Ok(None) | Err(_) => return None,
        }
    }
}

fn start(work: &Work, lake: &str) -> v1::StartStage {
    v1::StartStage {
        run_id: work.attempt.run.to_string(),
        stage: work.attempt.stage.to_string(),
        attempt: work.attempt.attempt.0,
        kind: work.kind.clone(),
        options_json: work.options.to_string(),
        files: work.files.clone().into_iter().collect(),
        seed: work.seed,
        base_dir: work.base_dir.clone().unwrap_or_default(),
        lake: lake.to_owned(),
        memory_bytes: work.memory_limit,
        threads: u32::try_from(work.threads).unwrap_or(u32::MAX),
        spill_dir: work.spill_dir.to_string_lossy().into_owned(),
        parallelism: v1::Parallelism::from(work.parallelism).into(),
        membership: Some((&work.members.membership).into()),
        data_plane_authority: work.members.authority.clone().unwrap_or_default(),
        traceparent: work.trace.to_string(),
    }
}
