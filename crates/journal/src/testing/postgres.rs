//! A PostgreSQL server for tests: its own data, its own socket, killed with the value.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "test support fails by panicking, and says what is skipped"
)]

use std::net::{Ipv4Addr, TcpListener};
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
/// How often a port is chosen anew that another program was faster to take.
const PORTS: u32 = 20;

/// A server that runs.
#[derive(Debug)]
pub struct PostgresServer {
    folder: TempDir,
    programs: PathBuf,
    process: Option<Child>,
    /// Where it listens beside its socket.
    port: Option<u16>,
    has_tls: bool,
    /// Whether it keeps what it was told when the machine loses its power, too.
    is_durable: bool,
    schemas: AtomicU32,
}

/// A server's certificate and its key, in PEM.
#[derive(Debug, Clone, Copy)]
pub struct ServerCertificate<'p> {
    /// The certificate, and those between it and its authority.
    pub certificate: &'p str,
    /// Its private key.
    pub key: &'p str,
}

impl PostgresServer {
    /// Starts a server in a temporary folder that is reached by a socket in it, if this machine has
    /// PostgreSQL, and says so if it has not. In CI it must.
    ///
    /// # Panics
    /// It has, and the server does not start; or it has not, in CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        let mut server = Self::make()?;
        server.restart();
        Some(server)
    }

    /// The same, for measurements: with the durability that PostgreSQL has unless it is told otherwise.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_durable() -> Option<Self> {
        let mut server = Self::make()?;
        server.is_durable = true;
        server.restart();
        Some(server)
    }

    /// The same as [`start`](Self::start), with a port of 127.0.0.1 as well, where it has TLS if it is given a certificate; none
    /// either if this machine's PostgreSQL was built without TLS.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_on_tcp(tls: Option<ServerCertificate<'_>>) -> Option<Self> {
        let mut server = Self::make()?;
        if let Some(tls) = tls {
            if !server.knows_tls() {
                skip("this PostgreSQL was built without TLS");
                return None;
            }
            server.has_tls = true;
            let put = |name: &str, text: &str| {
                let file = server.folder.path().join(name);
                std::fs::write(&file, text).unwrap();
                give_away(&file);
            };
            put("server.pem", tls.certificate);
            put("server.key", tls.key);
        }
        for _ in 0..PORTS {
            // It is free now; whoever takes it before the server does makes the server end.
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            server.port = Some(free.local_addr().unwrap().port());
            drop(free);
            if server.try_restart() {
                return Some(server);
            }
        }
        panic!("PostgreSQL finds no port");
    }

    fn make() -> Option<Self> {
        let Some(programs) = programs() else {
            skip("PostgreSQL is missing; `cargo xtask test` brings it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        give_away(folder.path());
        let server = Self {
            folder,
            programs,
            process: None,
            port: None,
            has_tls: false,
            is_durable: false,
            schemas: AtomicU32::new(0),
        };
        let made = server
            .command("initdb")
            .args(["--auth=trust", "--username=marquetry", "--no-sync", "-D"])
            .arg(server.data())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb: {made}");
        Some(server)
    }

    fn knows_tls(&self) -> bool {
        let asked = self
            .command("postgres")
            .args(["-C", "ssl_library", "-D"])
            .arg(self.data())
            .output()
            .unwrap();
        !asked.stdout.trim_ascii().is_empty()
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
        // Whoever runs the tests may use PostgreSQL for something else: PGHOST, PGSERVICE, PGSSLMODE…
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.folder.path());
        command
    }

    /// Starts it on the data that it has.
    ///
    /// # Panics
    /// It does not answer.
    pub fn restart(&mut self) {
        assert!(self.try_restart(), "PostgreSQL does not start");
    }

    /// Tells it to end at once, as `pg_ctl restart -m immediate` does, and starts it again on its data, which
    /// it recovers.
    ///
    /// # Panics
    /// There is no server that runs, or it does not answer again.
    pub fn restart_immediately(&mut self) {
        let Some(mut process) = self.process.take() else {
            panic!("no PostgreSQL runs");
        };
        let asked = Command::new("kill")
            .args(["-QUIT", &process.id().to_string()])
            .status();
        assert!(asked.unwrap().success(), "kill -QUIT");
        process.wait().unwrap();
        self.restart();
    }

    /// Starts it and waits until it answers; false if it ends instead.
    fn try_restart(&mut self) -> bool {
        self.kill();
        // A server that was killed leaves a file that says it runs.
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
        let (mut server, mut probe) = (self.server(), self.probe());
        let process = self.process.insert(server.spawn().unwrap());
        let start = Instant::now();
        while !probe.answers() {
            if process.try_wait().unwrap().is_some() {
                self.process = None;
                return false;
            }
            assert!(start.elapsed() < PATIENCE, "PostgreSQL does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// The command that is the server.
    fn server(&self) -> Command {
        let folder = self.folder.path();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        let mut set = |name: &str, value: String| {
            command.arg("-c").arg(format!("{name}={value}"));
        };
        set("max_connections", "200".to_owned());
        // What is killed here is the server and not the machine, which keeps what it was told to write.
        if !self.is_durable {
            set("fsync", "off".to_owned());
        }
        set("unix_socket_directories", folder.display().to_string());
        match self.port {
            Some(port) => {
                set("listen_addresses", Ipv4Addr::LOCALHOST.to_string());
                set("port", port.to_string());
            }
            None => set("listen_addresses", String::new()),
        }
        if self.has_tls {
            let file = |name: &str| folder.join(name).display().to_string();
            set("ssl", "on".to_owned());
            set("ssl_cert_file", file("server.pem"));
            set("ssl_key_file", file("server.key"));
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn probe(&self) -> Probe {
        let mut command = self.command("pg_isready");
        command.args(["-q", "-U", "marquetry", "-d", "postgres", "-h"]);
        command.arg(self.folder.path());
        if let Some(port) = self.port {
            command.arg("-p").arg(port.to_string());
        }
        Probe(command)
    }

    /// Kills it without a word, its children included.
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

    /// The socket that it listens on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let port = self.port.unwrap_or(5432);
        self.folder.path().join(format!(".s.PGSQL.{port}"))
    }

    /// The URL of its database, over the socket, as the one who may do everything.
    #[must_use]
    pub fn url(&self) -> String {
        let host = self.folder.path().display().to_string().replace('/', "%2F");
        match self.port {
            Some(port) => format!("postgres://marquetry@{host}:{port}/postgres"),
            None => format!("postgres://marquetry@{host}/postgres"),
        }
    }

    /// The URL of a journal of its own.
    #[must_use]
    pub fn new_journal(&self) -> String {
        format!("{}?schema={}", self.url(), self.new_schema())
    }

    /// The URL of a journal of its own over TCP, at a name of this machine.
    ///
    /// # Panics
    /// It was not started on TCP.
    #[must_use]
    pub fn new_journal_at(&self, host: &str) -> String {
        let Some(port) = self.port else {
            panic!("this PostgreSQL has no port");
        };
        let schema = self.new_schema();
        format!("postgres://marquetry@{host}:{port}/postgres?schema={schema}")
    }

    fn new_schema(&self) -> String {
        let number = self.schemas.fetch_add(1, Ordering::Relaxed);
        format!("journal{number}")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Says why a test is not made, which must not be in CI.
fn skip(reason: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{reason}, and in CI nothing is skipped"
    );
    eprintln!("skipped: {reason}");
}

/// Asks a server whether it takes connections.
struct Probe(Command);

impl Probe {
    fn answers(&mut self) -> bool {
        self.0.status().is_ok_and(|status| status.success())
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

/// Gives a folder or a file to the user that the server runs as, and to nobody else.
fn give_away(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    if is_root() {
        let given = Command::new("chown")
            .arg("nobody:nogroup")
            .arg(path)
            .status();
        assert!(given.unwrap().success(), "chown {}", path.display());
    }
}
