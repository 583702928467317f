//! `workers`, `queues` and `drain`: the cluster itself.

use marquetry_proto::{timestamp_from_wire, v1};
use marquetry_types::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::arguments::{Common, Drain, Format};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Serialize)]
struct WorkerView {
    worker: String,
    state: &'static str,
    slots: u32,
    running: Vec<Running>,
    queues: Vec<String>,
    labels: std::collections::BTreeMap<String, String>,
    version: String,
    last_seen: Option<String>,
    /// Where others reach it with parts of queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_plane: Option<String>,
}

#[derive(Debug, Serialize)]
struct Running {
    run: String,
    stage: String,
    attempt: u32,
}

/// `marquetry workers`
pub(crate) async fn workers(common: &Common) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let listed = cluster
        .ask_cluster(
            |mut cluster| async move { cluster.list_workers(v1::ListWorkersRequest {}).await },
        )
        .await?;
    let workers: Vec<WorkerView> = listed.workers.into_iter().map(worker).collect();
    if common.output == Format::Json {
        return output::json(&workers);
    }
    if workers.is_empty() {
        output::note("no worker is connected; `marquetry worker` starts one");
        return Ok(());
    }
    let rows = workers.into_iter().map(|worker| {
        let labels = worker
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        vec![
            worker.worker,
            worker.state.to_owned(),
            format!("{}/{}", worker.running.len(), worker.slots),
            worker.queues.join(" "),
            labels.collect::<Vec<_>>().join(" "),
            worker.version,
        ]
    });
    let header = ["worker", "state", "busy", "queues", "labels", "version"];
    output::line(output::table(&header, rows.collect()))
}

fn worker(wire: v1::Worker) -> WorkerView {
    let state = match wire.state() {
        v1::WorkerState::Unspecified => "unknown",
        v1::WorkerState::Active => "active",
        v1::WorkerState::Draining => "draining",
        v1::WorkerState::Away => "away",
    };
    let running = wire.running.into_iter().map(|token| Running {
        run: token.run_id,
        stage: token.stage,
        attempt: token.attempt,
    });
    WorkerView {
        worker: wire.worker_id,
        state,
        slots: wire.slots,
        running: running.collect(),
        queues: wire.queues,
        labels: wire.labels.into_iter().collect(),
        version: wire.version,
        last_seen: wire
            .last_seen
            .as_ref()
            .map(|at| timestamp_from_wire(at).to_string()),
        data_plane: (!wire.data_plane.is_empty()).then_some(wire.data_plane),
    }
}

#[derive(Debug, Serialize)]
struct QueueView {
    queue: String,
    waiting: u64,
    oldest: Option<String>,
    running: u64,
    workers: u32,
    slots: u64,
    free_slots: u64,
}

/// `marquetry queues`
pub(crate) async fn queues(common: &Common) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let listed = cluster
        .ask_cluster(
            |mut cluster| async move { cluster.list_queues(v1::ListQueuesRequest {}).await },
        )
        .await?;
    if common.output == Format::Json {
        let queues = listed.queues.into_iter().map(|queue| QueueView {
            queue: queue.name,
            waiting: queue.waiting,
            oldest: queue
                .oldest
                .as_ref()
                .map(|at| timestamp_from_wire(at).to_string()),
            running: queue.running,
            workers: queue.workers,
            slots: queue.slots,
            free_slots: queue.free_slots,
        });
        return output::json(&queues.collect::<Vec<_>>());
    }
    if listed.queues.is_empty() {
        output::note(
            "no worker is connected and nothing waits; `marquetry worker` starts a worker",
        );
        return Ok(());
    }
    let now = Timestamp::now();
    let rows = listed.queues.into_iter().map(|queue| {
        let longest = queue.oldest.as_ref().map(timestamp_from_wire);
        vec![
            queue.name,
            queue.waiting.to_string(),
            longest
                .map(|since| output::between(since, now))
                .unwrap_or_default(),
            queue.running.to_string(),
            queue.workers.to_string(),
            format!("{}/{}", queue.free_slots, queue.slots),
        ]
    });
    let header = [
        "queue",
        "waiting",
        "longest",
        "running",
        "workers",
        "free slots",
    ];
    output::line(output::table(&header, rows.collect()))
}

/// `marquetry drain`
pub(crate) async fn drain(common: &Common, arguments: &Drain) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let request = v1::DrainWorkerRequest {
        worker_id: arguments.worker.clone(),
        reason: arguments.reason.clone().unwrap_or_default(),
    };
    cluster
        .ask_cluster(|mut cluster| {
            let request = request.clone();
            async move { cluster.drain_worker(request).await }
        })
        .await?;
    if common.output == Format::Json {
        return output::json(&json!({"worker": arguments.worker}));
    }
    output::line(format!(
        "worker {} finishes what it runs and ends",
        arguments.worker
    ))
}
