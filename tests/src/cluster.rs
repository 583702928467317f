//! A cluster of real processes on this machine: a server, workers, and what befalls them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Place, json_of, said};

/// What is waited for happens within this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Servers and workers, killed with the value.
#[derive(Debug)]
pub struct Cluster {
    /// Where the servers keep their data, and where commands are started.
    pub place: Place,
    servers: Vec<Server>,
    server_arguments: Vec<String>,
    workers: Vec<Worker>,
}

/// A server process.
#[derive(Debug)]
struct Server {
    /// It stays the same when the server is started again.
    url: String,
    /// While there is one.
    process: Option<Child>,
}

/// A worker process.
#[derive(Debug)]
pub struct Worker {
    process: Child,
}

impl Drop for Worker {
    fn drop(&mut self) {
        kill(&mut self.process);
    }
}

/// Ends a process at once and waits until it is gone.
fn kill(process: &mut Child) {
    // It may have ended by itself.
    let _ = process.kill();
    let _ = process.wait();
}

impl Cluster {
    /// A server on a free port, without workers, with more arguments.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(more: &[&str]) -> Self {
        Self::start_with(&[], more)
    }

    /// The same, with an environment that all its processes and commands have.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start_with(environment: &[(String, String)], more: &[&str]) -> Self {
        let mut cluster = Self {
            place: Place::with_environment(environment),
            servers: Vec::new(),
            server_arguments: more.iter().map(|&text| text.to_owned()).collect(),
            workers: Vec::new(),
        };
        cluster.add_server();
        cluster
    }

    /// The URL of a server.
    #[must_use]
    pub fn url(&self, server: usize) -> &str {
        &self.servers[server].url
    }

    /// A command in the cluster's folder that knows all servers, with the stages for trying a cluster.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command
            .env("MARQUETRY_PROBES", "1")
            .env_remove("MARQUETRY_TOKEN");
        let urls: Vec<&str> = self.servers.iter().map(|it| it.url.as_str()).collect();
        if !urls.is_empty() {
            command.env("MARQUETRY_COORDINATOR", urls.join(","));
        }
        command
    }

    /// What a command prints with `--output json`.
    ///
    /// # Panics
    /// It fails.
    pub fn json(&self, arguments: &[&str]) -> Value {
        json_of(self.command(arguments))
    }

    /// Adds a server with the same arguments as the first, and returns its place among them.
    ///
    /// # Panics
    /// It does not start.
    pub fn add_server(&mut self) -> usize {
        let (url, process) = self.started(self.servers.len(), "127.0.0.1:0");
        self.servers.push(Server {
            url,
            process: Some(process),
        });
        self.servers.len() - 1
    }

    fn started(&self, server: usize, listen: &str) -> (String, Child) {
        let mut arguments = vec!["server", "--listen", listen, "--output", "json"];
        arguments.extend(self.server_arguments.iter().map(String::as_str));
        let mut process = self
            .command(&arguments)
            .stdout(Stdio::piped())
            .stderr(self.log_file(&format!("server-{server}")))
            .spawn()
            .unwrap();
        let mut announced = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        while lines.read_line(&mut announced).unwrap() > 0 {
            if let Ok(announced) = serde_json::from_str::<Value>(&announced) {
                return (announced["url"].as_str().unwrap().to_owned(), process);
            }
        }
        kill(&mut process);
        let log = self.log(&format!("server-{server}"));
        panic!("the server does not start: {announced}{log}");
    }

    /// What a process has said on standard error: `server-0` for the first server, `worker-1` for the
    /// second worker with its hosts.
    ///
    /// # Panics
    /// There was no such process.
    #[must_use]
    pub fn log(&self, process: &str) -> String {
        std::fs::read_to_string(self.log_path(process)).unwrap()
    }

    /// What all servers and workers have said on standard error.
    ///
    /// # Panics
    /// It cannot be read.
    #[must_use]
    pub fn logs(&self) -> String {
        let servers = (0..self.servers.len()).map(|server| self.log(&format!("server-{server}")));
        let workers = (0..self.workers.len()).map(|worker| self.log(&format!("worker-{worker}")));
        servers.chain(workers).collect()
    }

    fn log_path(&self, process: &str) -> std::path::PathBuf {
        self.place.path().join(format!("{process}.log"))
    }

    /// Where a process goes on to write what it says.
    fn log_file(&self, process: &str) -> std::fs::File {
        let mut options = std::fs::OpenOptions::new();
        let options = options.create(true).append(true);
        options.open(self.log_path(process)).unwrap()
    }

    /// Kills a server with SIGKILL.
    pub fn kill_server(&mut self, server: usize) {
        if let Some(mut process) = self.servers[server].process.take() {
            kill(&mut process);
        }
    }

    /// Asks a server to stop, and waits until it has.
    ///
    /// # Panics
    /// It does not.
    pub fn stop_server(&mut self, server: usize) {
        self.signal_server(server, "TERM");
        if let Some(mut process) = self.servers[server].process.take() {
            eventually("the server stops", || process.try_wait().unwrap().is_some());
        }
    }

    /// The id of a server's process.
    ///
    /// # Panics
    /// There is no such server.
    #[must_use]
    pub fn server_id(&self, server: usize) -> u32 {
        self.servers[server].process.as_ref().unwrap().id()
    }

    /// Starts a server again, at the same URL and on the same data.
    ///
    /// # Panics
    /// It does not start.
    pub fn restart_server(&mut self, server: usize) {
        let url = &self.servers[server].url;
        let listen = url.split_once("://").unwrap().1.to_owned();
        let (_, process) = self.started(server, &listen);
        self.servers[server].process = Some(process);
    }

    /// Sends a signal to a server, by its name as `kill` takes it.
    ///
    /// # Panics
    /// There is no such server.
    pub fn signal_server(&self, server: usize, signal: &str) {
        let process = self.servers[server].process.as_ref().unwrap();
        send(process.id(), signal);
    }

    /// Adds a worker and returns its place among them.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn add_worker(&mut self, more: &[&str]) -> usize {
        let mut arguments = vec!["worker"];
        arguments.extend(more);
        let process = self
            .command(&arguments)
            .stderr(self.log_file(&format!("worker-{}", self.workers.len())))
            .spawn()
            .unwrap();
        self.workers.push(Worker { process });
        self.workers.len() - 1
    }

    /// Adds a worker that writes what it says into a file.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn add_logging_worker(&mut self, more: &[&str], log: &std::path::Path) {
        let log = std::fs::File::create(log).unwrap();
        let process = self.command(&["worker"]).args(more).stderr(log).spawn();
        self.workers.push(Worker {
            process: process.unwrap(),
        });
    }

    /// Kills a worker with SIGKILL, and lets another take its place.
    pub fn replace_worker(&mut self, index: usize, more: &[&str]) {
        let fresh = self.add_worker(more);
        // The old one is dropped, which kills it.
        drop(self.workers.swap_remove(index));
        debug_assert!(fresh >= index);
    }

    /// Kills all workers with SIGKILL.
    pub fn drop_workers(&mut self) {
        self.workers.clear();
    }

    /// Kills a worker with SIGKILL.
    pub fn kill_worker(&mut self, index: usize) {
        kill(&mut self.workers[index].process);
    }

    /// The process of a worker.
    #[must_use]
    pub fn worker_process(&mut self, index: usize) -> &mut Child {
        &mut self.workers[index].process
    }

    /// The children of a worker's process: its stage hosts.
    ///
    /// # Panics
    /// The system does not tell.
    #[must_use]
    pub fn hosts_of(&self, index: usize) -> Vec<u32> {
        let id = self.workers[index].process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let mut found: Vec<u32> = children
            .unwrap_or_default()
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect();
        // Other threads than the first may have started them.
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        for task in tasks.flatten() {
            let children = std::fs::read_to_string(task.path().join("children"));
            found.extend(
                children
                    .unwrap_or_default()
                    .split_whitespace()
                    .map(|id| id.parse::<u32>().unwrap()),
            );
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Submits a workflow file of the place, without waiting, and returns the run.
    ///
    /// # Panics
    /// It is refused.
    #[must_use]
    pub fn submit(&self, file: &str, more: &[&str]) -> String {
        let mut arguments = vec!["submit", file];
        arguments.extend(more);
        let output = self.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The run as `show` shows it.
    ///
    /// # Panics
    /// It cannot be shown.
    #[must_use]
    pub fn show(&self, run: &str) -> Value {
        self.json(&["show", run])
    }

    /// Watches a run to its end and returns it as `show` shows it.
    ///
    /// # Panics
    /// It does not end in time.
    #[must_use]
    pub fn watch(&self, run: &str) -> Value {
        let mut watching = self
            .command(&["watch", run, "--output", "json"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the run ends", || watching.try_wait().unwrap().is_some());
        self.show(run)
    }

    /// Waits until a stage of a run stands where it should.
    ///
    /// # Panics
    /// It does not in time.
    pub fn wait_for_stage(&self, run: &str, stage: &str, status: &str) {
        eventually(&format!("{stage} is {status}"), || {
            let shown = self.show(run);
            let stages = shown["stages"].as_array().unwrap();
            stages
                .iter()
                .any(|it| it["name"] == stage && it["status"] == status)
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.workers.clear();
        for server in 0..self.servers.len() {
            self.kill_server(server);
        }
    }
}

/// A stage of a run as `show` shows it.
///
/// # Panics
/// It has no such stage.
#[must_use]
pub fn stage<'a>(shown: &'a Value, name: &str) -> &'a Value {
    let stages = shown["stages"].as_array().unwrap();
    stages.iter().find(|it| it["name"] == name).unwrap()
}

/// The attempts at a stage of a run as `show` shows it.
///
/// # Panics
/// It has no such stage.
#[must_use]
pub fn attempts<'a>(shown: &'a Value, name: &str) -> &'a [Value] {
    stage(shown, name)["attempts"].as_array().unwrap()
}

/// Sends a signal to a process, by its name as `kill` takes it.
///
/// # Panics
/// There is no such process.
pub fn send(process: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{signal}"), &process.to_string()])
        .status();
    assert!(sent.unwrap().success(), "kill -{signal} {process}");
}

/// Waits until something holds.
///
/// # Panics
/// It does not in time.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there and not a zombie.
#[must_use]
pub fn lives(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}
