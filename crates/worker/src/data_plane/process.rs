//! The data plane as the worker sees it: a child process that has the worker's listening socket as its
//! standard output, on which it prints nothing, and hears the worker on its standard input.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::{Begin, DataPlaneConfig, Said, Told};
use crate::memory;

/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// One child process. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    line: OwnedWriteHalf,
    said: Lines<BufReader<OwnedReadHalf>>,
    begin: Told,
}

impl Process {
    pub(super) fn start(config: &DataPlaneConfig, lake: &str) -> std::io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let listener = config.listener.try_clone()?;
        let child = Command::new(&config.command.program)
            .args(&config.command.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(listener)))
            .kill_on_drop(true)
            .spawn()?;
        ours.set_nonblocking(true)?;
        let pem = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let tls = config.tls.as_ref();
        let begin = Begin {
            lake: lake.to_owned(),
            memory_limit: config.memory_limit,
            threads: config.threads,
            spill_dir: config.spill_dir.clone(),
            tls: tls.map(|(certificate, key)| (pem(certificate), key.expose().to_owned())),
            authority: config.authority.as_deref().map(pem),
        };
        let (said, line) = UnixStream::from_std(ours)?.into_split();
        Ok(Self {
            child,
            line,
            said: BufReader::new(said).lines(),
            begin: Told::Begin(Box::new(begin)),
        })
    }

    /// Tells it what it must know until it is gone, and says how it went.
    pub(super) async fn run(
        &mut self,
        memory_limit: u64,
        secrets: &mut watch::Receiver<Vec<String>>,
        busy: &watch::Sender<bool>,
    ) -> String {
        let known = Told::Secrets(secrets.borrow_and_update().clone());
        for told in [&self.begin, &known] {
            // One that takes nothing is gone, or will be seen to be.
            let _ = tell(&mut self.line, told).await;
        }
        let ceiling = memory::ceiling(memory_limit);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                status = self.child.wait() => return match status {
                    Ok(status) => status.to_string(),
                    Err(error) => error.to_string(),
                },
                Ok(()) = secrets.changed() => {
                    let told = Told::Secrets(secrets.borrow_and_update().clone());
                    let _ = tell(&mut self.line, &told).await;
                }
                Ok(Some(said)) = self.said.next_line() => {
                    if let Ok(Said { is_busy }) = serde_json::from_str(&said) {
                        busy.send_replace(is_busy);
                    }
                }
                _ = look.tick() => {
                    let resident = self.child.id().and_then(memory::resident);
                    if let Some(bytes) = resident.filter(|bytes| *bytes > ceiling) {
                        // It may have ended meanwhile, which is as good.
                        let _ = self.child.kill().await;
                        return format!("killed: it had {} MiB in memory", bytes / (1024 * 1024));
                    }
                }
            }
        }
    }
}

async fn tell(line: &mut OwnedWriteHalf, told: &Told) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(told).map_err(std::io::Error::other)?;
    text.push(b'\n');
    line.write_all(&text).await
}
