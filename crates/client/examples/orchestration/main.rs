//! Loads for a cluster on this machine: a server, a worker process with stages in processes of their own,
//! and this client, over gRPC on the loopback. One JSON line a load; `cargo xtask bench orchestration`
//! builds and starts it.
//!
//! Everything is as durable as it always is: the journal is SQLite in WAL mode with `synchronous=FULL`, and
//! nothing is acknowledged, nor a stage assigned, before the commit that decides it has been flushed.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::panic,
    reason = "a measurement stops at the first thing that is not as it should be"
)]

mod history;
mod postgres;
mod query;
mod scale;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use marquetry_client::{ClientConfig, Connection, Coordinators, MESSAGE_BYTES};
use marquetry_journal::testing::samples;
use marquetry_journal::{Journal, SqliteJournal};
use marquetry_proto::v1;
use marquetry_proto::v1::run_service_client::RunServiceClient;
use marquetry_proto::v1::watch_run_response::Event;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;

type Runs = RunServiceClient<Connection>;

/// A server and workers, in a folder of their own.
struct Cluster {
    program: PathBuf,
    folder: TempDir,
    url: String,
    server: Child,
    workers: Vec<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.workers.iter_mut().chain([&mut self.server]) {
            end(process);
        }
    }
}

fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

impl Cluster {
    async fn start(program: &Path, workers: usize, slots: u32) -> Self {
        Self::start_with(program, &[], workers, slots).await
    }

    async fn start_with(program: &Path, more: &[&str], workers: usize, slots: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, url) = serve_with(program, folder.path(), "127.0.0.1:0", more);
        let mut cluster = Self {
            program: program.to_owned(),
            folder,
            url,
            server,
            workers: Vec::new(),
        };
        for _ in 0..workers {
            cluster.add_worker(slots);
        }
        // Warm: the first run finds everybody started.
        let count = workers * usize::try_from(slots).unwrap() * 2;
        if count > 0 {
            cluster.run(&fan(count)).await;
        }
        cluster
    }

    fn add_worker(&mut self, slots: u32) {
        let slots = slots.to_string();
        self.add_worker_with(&["--threads", "1", "--slots", &slots]);
    }

    fn add_worker_with(&mut self, arguments: &[&str]) {
        let worker = command(&self.program, self.folder.path())
            .args(["worker", "--coordinator", &self.url])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.workers.push(worker.unwrap());
    }

    fn client(&self) -> Runs {
        let config = ClientConfig {
            urls: vec![self.url.clone()],
            ..ClientConfig::default()
        };
        RunServiceClient::new(Coordinators::new(config).unwrap().current())
            .max_encoding_message_size(MESSAGE_BYTES)
            .max_decoding_message_size(MESSAGE_BYTES)
    }

    /// Submits a workflow, waits for its end, and says how long both took together.
    async fn run(&self, workflow: &str) -> Duration {
        submit_and_wait(self.client(), workflow).await
    }
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("MARQUETRY_PROBES", "1")
        .env_remove("MARQUETRY_DATA_DIR")
        .env_remove("MARQUETRY_LAKE");
    command
}

fn serve(program: &Path, folder: &Path, listen: &str) -> (Child, String) {
    serve_with(program, folder, listen, &[])
}

fn serve_with(program: &Path, folder: &Path, listen: &str, more: &[&str]) -> (Child, String) {
    let mut server = command(program, folder)
        .args(["server", "--output", "json", "--listen", listen])
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(server.stdout.take().unwrap());
    while lines.read_line(&mut said).unwrap() > 0 {
        if let Ok(said) = serde_json::from_str::<Value>(&said) {
            return (server, said["url"].as_str().unwrap().to_owned());
        }
    }
    end(&mut server);
    panic!("the server does not start: {said}");
}

fn request(workflow: &str, wait: Option<i64>) -> v1::SubmitRunRequest {
    let entry = "load.yaml".to_owned();
    let files = [(entry.clone(), workflow.to_owned())].into();
    v1::SubmitRunRequest {
        bundle: Some(v1::WorkflowBundle { entry, files }),
        wait: wait.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        ..v1::SubmitRunRequest::default()
    }
}

async fn submit(mut client: Runs, workflow: &str) -> String {
    let submitted = client.submit_run(request(workflow, None)).await.unwrap();
    submitted.into_inner().run_id
}

/// Watches a run to its end and hands every event over.
async fn watch(mut client: Runs, run_id: String, mut event: impl FnMut(Event)) {
    let request = v1::WatchRunRequest { run_id };
    let mut events = client.watch_run(request).await.unwrap().into_inner();
    let mut status = v1::RunStatus::Unspecified;
    while let Some(response) = events.message().await.unwrap() {
        let Some(told) = response.event else { continue };
        match &told {
            Event::Run(run) => status = run.summary.as_ref().unwrap().status(),
            Event::Summary(summary) => status = summary.status(),
            _ => {}
        }
        event(told);
    }
    assert_eq!(status, v1::RunStatus::Succeeded);
}

/// One call: whoever wants a result asks for it so.
async fn submit_and_wait(mut client: Runs, workflow: &str) -> Duration {
    let start = Instant::now();
    let submitted = client.submit_run(request(workflow, Some(600))).await;
    let run = submitted.unwrap().into_inner().run.unwrap();
    assert_eq!(run.status(), v1::RunStatus::Succeeded);
    start.elapsed()
}

/// Runs of the load that counts runs.
const RUNS: usize = 10_000;

const HEAD: &str = "marquetry: v1\nname: load\nstages:\n";

fn chain(length: usize) -> String {
    let mut text = HEAD.to_owned();
    for index in 0..length {
        let needs = index.checked_sub(1).map(|before| format!("s{before}"));
        let needs = needs.unwrap_or_default();
        writeln!(
            text,
            "  s{index}: {{ uses: probe/nothing, with: {{}}, needs: [{needs}] }}"
        )
        .unwrap();
    }
    text
}

fn fan(width: usize) -> String {
    let mut text = HEAD.to_owned();
    for index in 0..width {
        writeln!(text, "  s{index}: {{ uses: probe/nothing, with: {{}} }}").unwrap();
    }
    let needs: Vec<String> = (0..width).map(|index| format!("s{index}")).collect();
    let needs = needs.join(", ");
    writeln!(
        text,
        "  join: {{ uses: probe/nothing, with: {{}}, needs: [{needs}] }}"
    )
    .unwrap();
    text
}

fn sleep() -> String {
    format!("{HEAD}  sleep: {{ uses: probe/sleep, with: {{ milliseconds: 2000 }} }}\n")
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    milliseconds(sorted[index.min(sorted.len() - 1)])
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn say(load: &str, figures: Value) {
    say_of("sqlite, synchronous=FULL", load, figures);
}

fn say_of(journal: &str, load: &str, mut figures: Value) {
    figures["load"] = load.into();
    figures["journal"] = journal.into();
    println!("{figures}");
}

/// What one durable commit of one record costs on this disk, without anything around it.
async fn commit_time() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path().join("journal.db")).unwrap();
    let epoch = samples::lead(&journal).await;
    let mut times = Vec::new();
    for number in 0..200 {
        let run = samples::run_id(number);
        let records = samples::begun_run(&run, "load", None);
        let start = Instant::now();
        journal.append(epoch, records).await.unwrap();
        times.push(start.elapsed());
    }
    median(times)
}

async fn measure_chain(program: &Path) {
    const STAGES: usize = 40;
    let cluster = Cluster::start(program, 1, 2).await;
    let workflow = chain(STAGES);
    let mut times = Vec::new();
    for _ in 0..15 {
        times.push(cluster.run(&workflow).await);
    }
    let (time, commit) = (median(times), commit_time().await);
    let per_stage = time / u32::try_from(STAGES).unwrap();
    say(
        "chain",
        json!({
            "stages": STAGES,
            "median_s": time.as_secs_f64(),
            "per_stage_ms": milliseconds(per_stage),
            "commit_ms": milliseconds(commit),
            "commits_per_stage": (per_stage.as_secs_f64() / commit.as_secs_f64() * 100.0).round() / 100.0,
        }),
    );
}

async fn measure_fan(program: &Path) {
    const STAGES: usize = 400;
    let cluster = Cluster::start(program, 1, 10).await;
    let workflow = fan(STAGES);
    let mut times = Vec::new();
    for _ in 0..7 {
        times.push(cluster.run(&workflow).await);
    }
    let time = median(times);
    let figures = json!({
        "stages": STAGES,
        "slots": 10,
        "median_s": time.as_secs_f64(),
        "per_second": (STAGES as f64 / time.as_secs_f64()).round(),
    });
    say("fan", figures);
}

/// So many runs of one stage, fifty in flight.
async fn runs(cluster: &Cluster, count: usize) -> Value {
    let workflow: Arc<str> = chain(1).into();
    let client = cluster.client();
    let gate = Arc::new(Semaphore::new(50));
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let permit = Arc::clone(&gate).acquire_owned().await.unwrap();
        let (client, workflow) = (client.clone(), Arc::clone(&workflow));
        tasks.spawn(async move {
            let took = submit_and_wait(client, &workflow).await;
            drop(permit);
            took
        });
    }
    let mut times = tasks.join_all().await;
    let total = start.elapsed();
    times.sort_unstable();
    json!({
        "runs": count,
        "in_flight": 50,
        "median_s": total.as_secs_f64(),
        "per_second": (count as f64 / total.as_secs_f64()).round(),
        "p50_ms": percentile(&times, 0.5),
        "p99_ms": percentile(&times, 0.99),
    })
}

async fn measure_runs(program: &Path) {
    let cluster = Cluster::start(program, 1, 10).await;
    say("runs", runs(&cluster, RUNS).await);
}

/// From the death of a worker to the moment that its stage runs on another one.
async fn measure_worker_death(program: &Path) {
    let mut cluster = Cluster::start(program, 2, 1).await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let client = cluster.client();
        let run = submit(client.clone(), &sleep()).await;
        let (told, mut attempts) = tokio::sync::mpsc::unbounded_channel();
        let watched = tokio::spawn(watch(client, run, move |event| {
            let stages = match event {
                Event::Run(run) => run.stages,
                Event::Stage(stage) => vec![stage],
                _ => Vec::new(),
            };
            for attempt in stages.into_iter().flat_map(|stage| stage.attempts) {
                let _ = told.send((attempt.number, attempt.worker));
            }
        }));
        let (_, worker) = attempts.recv().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let victim = cluster
            .workers
            .iter()
            .position(|process| is_worker(process.id(), &worker));
        let start = Instant::now();
        end(&mut cluster.workers[victim.unwrap()]);
        while attempts.recv().await.unwrap().0 < 2 {}
        times.push(start.elapsed());
        drop(cluster.workers.remove(victim.unwrap()));
        watched.await.unwrap();
        cluster.add_worker(1);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let time = median(times);
    say("death of a worker", json!({"median_s": time.as_secs_f64()}));
}

/// The end of a worker's name is the id of its process, as a ULID writes it.
fn is_worker(process: u32, name: &str) -> bool {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut number = process;
    name.bytes().rev().take(7).all(|letter| {
        let wanted = ALPHABET[(number % 32) as usize];
        number /= 32;
        letter == wanted
    })
}

/// The server is killed in the middle of a stage and comes back when that has ended: until the run is done.
async fn measure_server_death(program: &Path) {
    let mut cluster = Cluster::start(program, 1, 1).await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let run = submit(cluster.client(), &sleep()).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        end(&mut cluster.server);
        tokio::time::sleep(Duration::from_millis(2000)).await;
        let listen = cluster.url.trim_start_matches("http://").to_owned();
        let start = Instant::now();
        cluster.server = serve(program, cluster.folder.path(), &listen).0;
        watch(cluster.client(), run.clone(), |_| {}).await;
        times.push(start.elapsed());
        let request = v1::GetRunRequest { run_id: run };
        let shown = cluster
            .client()
            .get_run(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            shown.run.unwrap().stages[0].attempts.len(),
            1,
            "no stage runs twice"
        );
    }
    let time = median(times);
    say(
        "death of the server",
        json!({"median_s": time.as_secs_f64(), "stages_run_twice": 0}),
    );
}

/// What a server costs that has nothing to do.
async fn measure_idle(program: &Path) {
    let cluster = Cluster::start(program, 1, 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = processor_ticks(cluster.server.id());
    let start = Instant::now();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let ticks = processor_ticks(cluster.server.id()) - before;
    let share = ticks / 100.0 / start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.server.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 = resident
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    let figures = json!({
        "resident_mb": (kilobytes / 1024.0).round(),
        "core_percent": (share * 1e4).round() / 100.0,
    });
    say("idle", figures);
}

/// User and system time of a process, in hundredths of a second.
fn processor_ticks(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let program = PathBuf::from(arguments.next().unwrap());
    let asked: Vec<String> = arguments.collect();
    let wants = |load: &str| asked.is_empty() || asked.iter().any(|it| it == load);
    if wants("chain") {
        measure_chain(&program).await;
    }
    if wants("fan") {
        measure_fan(&program).await;
    }
    if wants("runs") {
        measure_runs(&program).await;
    }
    if wants("death") {
        measure_worker_death(&program).await;
        measure_server_death(&program).await;
    }
    if wants("idle") {
        measure_idle(&program).await;
    }
    if wants("scale") {
        scale::measure(&program).await;
    }
    if wants("history") {
        history::measure(&program).await;
    }
    if wants("postgres") {
        postgres::measure(&program).await;
    }
    if wants("query") {
        query::measure(&program).await;
    }
}
