//! A PostgreSQL server for tests: its own data, its own socket, killed with the value.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test support fails by panicking, and says what is skipped"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The variable with the folder of PostgreSQL's programs; without it they are looked for where Debian has
/// them.
pub const BIN: &str = "MARQUETRY_POSTGRES_BIN";
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs.
#[derive(Debug)]
pub struct PostgresServer {
    folder: TempDir,
    programs: PathBuf,
    process: Option<Child>,
    schemas: AtomicU32,
}

impl PostgresServer {
    /// Starts a server in a temporary folder, if this machine has PostgreSQL, and says so if it has
    /// not. In CI it must.
    ///
    /// # Panics
    /// It has, and the server does not start; or it has not, in CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "PostgreSQL is missing, and in CI nothing is skipped"
            );
            eprintln!("skipped: PostgreSQL is missing; `cargo xtask test` brings it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        give_away(folder.path());
        let mut server = Self {
            folder,
            programs,
            process: None,
            schemas: AtomicU32::new(0),
        };
        let data = server.data();
        let made = server
            .command("initdb")
            .args(["--auth=trust", "--username=marquetry", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb: {made}");
        server.restart();
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A command of PostgreSQL's, which refuses to run as root.
    fn command(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        // Whoever runs the tests may use PostgreSQL for something else.
        for name in [
            "PGDATA",
            "PGHOST",
            "PGPORT",
            "PGUSER",
            "PGPASSWORD",
            "PGDATABASE",
        ] {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path());
        command
    }

    /// Starts it on the data that it has.
    ///
    /// # Panics
    /// It does not answer.
    pub fn restart(&mut self) {
        self.kill();
        let folder = self.folder.path().to_owned();
        // A server that was killed leaves a file that says it runs.
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
        let process = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-c", "listen_addresses=", "-c", "max_connections=200", "-c"])
            .arg(format!("unix_socket_directories={}", folder.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.unwrap());
        let start = Instant::now();
        while !self.answers() {
            assert!(start.elapsed() < PATIENCE, "PostgreSQL does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let asked = self
            .command("pg_isready")
            .args(["-q", "-U", "marquetry", "-d", "postgres", "-h"])
            .arg(self.folder.path())
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// Kills it as a power cut of its machine would, its children included.
    pub fn kill(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let _ = process.kill();
        let _ = process.wait();
        // Its children see that it is gone and end; until then nobody may start it again.
        let start = Instant::now();
        while self.is_attached() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether a process still works on its data.
    fn is_attached(&self) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return false;
        };
        processes.flatten().any(|process| {
            let folder = std::fs::read_link(process.path().join("cwd"));
            folder.is_ok_and(|folder| folder == self.data())
        })
    }

    /// The URL of a journal of its own.
    #[must_use]
    pub fn new_journal(&self) -> String {
        let number = self.schemas.fetch_add(1, Ordering::Relaxed);
        let host = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://marquetry@{host}/postgres?schema=journal{number}")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn programs() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(BIN) {
        return Some(PathBuf::from(folder));
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|folder| folder.join("postgres").exists())
        .collect();
    folders.sort();
    folders.pop()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let owner = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    owner.is_some_and(|owner| owner.split_whitespace().nth(1) == Some("0"))
}

/// Gives a folder to the user that the server runs as.
fn give_away(folder: &Path) {
    if is_root() {
        let given = Command::new("chown")
            .arg("nobody:nogroup")
            .arg(folder)
            .status();
        assert!(given.unwrap().success(), "chown {}", folder.display());
    }
}
