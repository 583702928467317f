//! Stages in processes of their own: warm children of the worker, with the same binary.
//!
//! A host runs one attempt at a time. It can be killed whatever its stage does, so that cancelling and
//! timeouts always end a stage, and a stage that crashes or eats memory takes nothing with it. A host
//! whose stage ended by itself is kept for the next one; one that was cut off, died or grew is not.

mod process;
mod serve;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use marquetry_plugin::StageEvents;
use marquetry_types::{Diagnostic, FailureClass, Outcome, StageFailure, codes};
use tokio_util::sync::CancellationToken;

use self::process::{Ended, Host};
use crate::stage::Work;

pub use self::serve::serve_stage_host;

/// How a stage host is started.
#[derive(Debug, Clone)]
pub struct HostCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// The hosts of a worker.
pub(crate) struct Hosts {
    command: HostCommand,
    lake: String,
    idle: Arc<Mutex<Vec<Host>>>,
}

impl Hosts {
    /// Hosts for a lake, of which `warm` are started at once.
    pub(crate) fn new(command: HostCommand, lake: String, warm: usize) -> std::io::Result<Self> {
        let idle = (0..warm)
            .map(|_| Host::start(&command))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            command,
            lake,
            idle: Arc::new(Mutex::new(idle)),
        })
    }

    /// Runs a stage in a host. Dropping the future kills the host.
    pub(crate) async fn run(
        &self,
        work: Work,
        events: Arc<dyn StageEvents>,
        cancellation: CancellationToken,
    ) -> Result<Outcome, StageFailure> {
        // One that died while it was idle is found out when it is called; a new one was not idle.
        while let Some(mut host) = self.take_idle() {
            match host.run(&work, &self.lake, &events, &cancellation).await {
                Ended::NeverBegan(_) => {}
                ended => return self.put_back(host, ended),
            }
        }
        let mut host = Host::start(&self.command).map_err(|error| cannot_start(&error))?;
        let ended = host.run(&work, &self.lake, &events, &cancellation).await;
        self.put_back(host, ended)
    }

    /// Lets the hosts that run nothing end by themselves, all at the same time.
    pub(crate) async fn let_go(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        futures::future::join_all(idle.into_iter().map(Host::let_go)).await;
    }

    fn take_idle(&self) -> Option<Host> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    fn put_back(&self, host: Host, ended: Ended) -> Result<Outcome, StageFailure> {
        match ended {
            Ended::ByItself(result) => {
                if host.is_fit() {
                    self.idle
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(host);
                }
                result
            }
            Ended::NeverBegan(failure) | Ended::Died(failure) => Err(failure),
        }
    }
}

fn cannot_start(error: &std::io::Error) -> StageFailure {
    let message = format!("a process for the stage cannot be started: {error}");
    let diagnostic = Diagnostic::new(codes::STAGE_CRASHED, message)
        .help("look at the limits of the worker's machine on processes and memory");
    StageFailure {
        class: FailureClass::Transient,
        diagnostic,
    }
}
