//! Many workers: their streams are real, what they run is nothing. How much a stage costs the server must
//! not grow with them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use marquetry_proto::v1;
use marquetry_proto::v1::attach_request::Message as ToCoordinator;
use marquetry_proto::v1::attach_response::Message as FromCoordinator;
use marquetry_proto::v1::worker_service_client::WorkerServiceClient;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use crate::{Cluster, processor_ticks, say, submit, watch};

/// Slots of all workers together, however many there are.
const SLOTS: u32 = 1000;
/// Items of a run's one stage.
const ITEMS: usize = 10_000;
/// Runs, one after the other.
const RUNS: usize = 10;
const WORKERS: [u32; 3] = [10, 100, 1000];

pub(crate) async fn measure(program: &Path) {
    let mut per_stage = Vec::new();
    for workers in WORKERS {
        let cluster = Cluster::start(program, 0, 0).await;
        let attached = attach(&cluster, workers).await;
        let workflow = items(ITEMS);
        let before = processor_ticks(cluster.server.id());
        let start = Instant::now();
        for _ in 0..RUNS {
            let client = cluster.client();
            let run = submit(client.clone(), &workflow).await;
            watch(client, run, |_| {}).await;
        }
        let took = start.elapsed().as_secs_f64();
        let ticks = processor_ticks(cluster.server.id()) - before;
        drop(attached);
        let stages = (ITEMS * RUNS) as f64;
        let cpu_ms = ticks * 10.0 / stages;
        per_stage.push(cpu_ms);
        let figures = json!({
            "workers": workers,
            "slots": SLOTS,
            "stages": ITEMS * RUNS,
            "median_s": took,
            "per_second": (stages / took).round(),
            "server_cpu_ms_per_stage": (cpu_ms * 1e4).round() / 1e4,
            "against_10_workers": (cpu_ms / per_stage[0] * 100.0).round() / 100.0,
        });
        say("scale", figures);
    }
}

fn items(count: usize) -> String {
    let list: Vec<String> = (0..count).map(|item| item.to_string()).collect();
    format!(
        "marquetry: v1\nname: load\nstages:\n  each: {{ uses: probe/nothing, with: {{}}, for_each: [{}] }}\n",
        list.join(", ")
    )
}

/// Attaches workers that succeed at whatever they are given, at once.
async fn attach(cluster: &Cluster, workers: u32) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (welcomed, mut welcomes) = mpsc::channel(64);
    for number in 0..workers {
        // Not all at once: what is measured is the work, not a thousand connections in a millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
        // A connection each, as processes of their own have.
        let channel = tonic::transport::Endpoint::from_shared(cluster.url.clone()).unwrap();
        let client = WorkerServiceClient::new(channel.tcp_nodelay(true).connect_lazy());
        tasks.spawn(work(client, number, SLOTS / workers, welcomed.clone()));
    }
    for _ in 0..workers {
        welcomes.recv().await.unwrap();
    }
    tasks
}

async fn work(
    mut client: WorkerServiceClient<tonic::transport::Channel>,
    number: u32,
    slots: u32,
    welcomed: mpsc::Sender<()>,
) {
    let (outbound, messages) = mpsc::channel(4096);
    let send = async |message| {
        let message = Some(message);
        outbound.send(v1::AttachRequest { message }).await.unwrap();
    };
    let kinds = ["probe/nothing", "dataset/gather"].map(|kind| v1::SupportedKind {
        kind: kind.to_owned(),
        version: 1,
    });
    let hello = v1::Hello {
        worker_id: format!("simulated-{number:04}"),
        slots,
        kinds: kinds.into(),
        ..v1::Hello::default()
    };
    send(ToCoordinator::Hello(hello)).await;
    let response = client.attach(ReceiverStream::new(messages)).await.unwrap();
    let mut inbound = response.into_inner();
    let mut heartbeat = tokio::time::interval(Duration::from_secs(3));
    // What was reported and is not acknowledged: a heartbeat names it.
    let mut held = BTreeMap::new();
    loop {
        let message = tokio::select! {
            message = inbound.message() => message.unwrap(),
            _ = heartbeat.tick() => {
                let held = held.values().cloned().collect();
                send(ToCoordinator::Heartbeat(v1::Heartbeat { held, draining: false })).await;
                continue;
            }
        };
        match message.and_then(|response| response.message) {
            Some(FromCoordinator::Welcome(_)) => welcomed.send(()).await.unwrap(),
            Some(FromCoordinator::Assign(assignment)) => {
                let token = assignment.token.unwrap();
                held.insert(key(&token), token.clone());
                let result = v1::attempt_finished::Result::Succeeded(v1::Outcome::default());
                let finished = v1::AttemptFinished {
                    token: Some(token),
                    result: Some(result),
                };
                send(ToCoordinator::Finished(finished)).await;
            }
            Some(FromCoordinator::Acknowledged(acknowledged)) => {
                held.remove(&key(&acknowledged.token.unwrap()));
            }
            Some(_) => {}
            None => return,
        }
    }
}

fn key(token: &v1::FencingToken) -> (String, String, u32) {
    (token.run_id.clone(), token.stage.clone(), token.attempt)
}
