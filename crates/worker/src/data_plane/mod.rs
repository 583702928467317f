//! The worker's data plane: where other workers send it parts of their queries.
//!
//! It is a child process of the same binary, so that a part that crashes or eats memory takes neither the
//! worker nor its stages with it. The worker owns the port and hands it down: a data plane that died is
//! started again behind the same address, and who connects meanwhile waits. What it is told, such as
//! the secret of a new epoch, comes over a socket that is its standard input, and it ends with that.

mod busy;
mod process;
mod secrets;
mod serve;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use marquetry_types::Secret;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::process::Process;
use crate::HostCommand;

pub use self::serve::serve_data_plane;

/// The pauses before a data plane that died is started again, the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// One that lived so long died of something else than its start.
const SETTLED: Duration = Duration::from_secs(10);

/// How a worker takes parts of queries.
#[derive(Debug, Clone)]
pub struct DataPlaneConfig {
    /// How its process is started.
    pub command: HostCommand,
    /// Where it listens.
    pub listener: Arc<TcpListener>,
    /// Where others reach it.
    pub url: String,
    /// Bytes of memory for all parts together.
    pub memory_limit: u64,
    /// Threads on which they run.
    pub threads: usize,
    /// Where those go on that exceed their memory.
    pub spill_dir: PathBuf,
    /// Its certificate and the key of it, as PEM.
    pub tls: Option<(Vec<u8>, Secret)>,
    /// The authority of other data planes' certificates, as PEM; without one, the system's.
    pub authority: Option<Vec<u8>>,
}

/// What the process is told, a line of JSON each, the beginning first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Begin(Box<Begin>),
    /// The secrets that open it from now on.
    Secrets(Vec<String>),
}

/// What the process says, a line of JSON each: whether it has calls, whenever that changes.
#[derive(Serialize, Deserialize)]
struct Said {
    is_busy: bool,
}

/// What the process works with.
#[derive(Serialize, Deserialize)]
struct Begin {
    lake: String,
    memory_limit: u64,
    threads: usize,
    spill_dir: PathBuf,
    /// Certificate and key, as PEM.
    tls: Option<(String, String)>,
    authority: Option<String>,
}

/// A data plane, for as long as the value lives.
pub(crate) struct DataPlane {
    secrets: watch::Sender<Vec<String>>,
    is_busy: watch::Receiver<bool>,
    keeping: JoinHandle<()>,
}

impl DataPlane {
    /// Starts it. Nobody is let in until there is a secret.
    pub(crate) fn start(config: DataPlaneConfig, lake: String) -> std::io::Result<Self> {
        let (secrets, told) = watch::channel(Vec::new());
        let first = Process::start(&config, &lake)?;
        let (busy, is_busy) = watch::channel(false);
        let keeping = tokio::spawn(keep(config, lake, first, told, busy));
        Ok(Self {
            secrets,
            is_busy,
            keeping,
        })
    }

    /// Whether no part of a query runs on it.
    pub(crate) fn is_idle(&self) -> bool {
        !*self.is_busy.borrow()
    }

    /// Lets those in who know this secret, and still those who know the one before it: queries that have
    /// begun go on.
    pub(crate) fn admit(&self, secret: &Secret) {
        let secret = secret.expose();
        self.secrets.send_if_modified(|known| {
            let is_new = !secret.is_empty() && known.first().is_none_or(|first| first != secret);
            if is_new {
                known.insert(0, secret.to_owned());
                known.truncate(2);
            }
            is_new
        });
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        // The process is killed with the task that owns it.
        self.keeping.abort();
    }
}

/// Keeps a process running.
async fn keep(
    config: DataPlaneConfig,
    lake: String,
    mut process: Process,
    mut secrets: watch::Receiver<Vec<String>>,
    busy: watch::Sender<bool>,
) {
    let mut pause = PAUSES.0;
    loop {
        let started = Instant::now();
        let limit = config.memory_limit;
        let end = process.run(limit, &mut secrets, &busy).await;
        busy.send_replace(false);
        tracing::warn!(end, "the data plane is gone: it is started again");
        if started.elapsed() > SETTLED {
            pause = PAUSES.0;
        }
        process = loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            match Process::start(&config, &lake) {
                Ok(process) => break process,
                Err(error) => tracing::error!(%error, "the data plane cannot be started"),
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_secret_of_the_last_epoch_opens_until_the_next_but_one() {
        let (secrets, told) = watch::channel(Vec::new());
        let plane = DataPlane {
            secrets,
            is_busy: watch::channel(false).1,
            keeping: tokio::spawn(std::future::pending()),
        };
        let known = || told.borrow().clone();
        plane.admit(&Secret::default());
        assert_eq!(known(), Vec::<String>::new(), "no secret opens nothing");
        for secret in ["a", "b", "b", "c"] {
            plane.admit(&Secret::new(secret));
        }
        assert_eq!(known(), ["c", "b"]);
    }
}
