//! The cluster itself: its workers and queues.

use async_trait::async_trait;
use marquetry_engine::{QueueView, WorkerView};
use marquetry_proto::v1::cluster_service_server::ClusterService;
use marquetry_proto::{timestamp_to_wire, v1};
use marquetry_types::{Timestamp, WorkerId};
use tonic::{Request as GrpcRequest, Response, Status};

use crate::request::Request;
use crate::run_service::{Runs, bad_request, must_lead, reason_or_somebody};

pub(crate) struct Clusters {
    pub(crate) runs: Runs,
}

#[async_trait]
impl ClusterService for Clusters {
    async fn list_workers(
        &self,
        _: GrpcRequest<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        must_lead(&self.runs.role)?;
        let workers = self.runs.ask(Request::Workers).await?;
        Ok(Response::new(v1::ListWorkersResponse {
            workers: workers.into_iter().map(worker).collect(),
            now: Some(timestamp_to_wire(Timestamp::now())),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn list_queues(
        &self,
        _: GrpcRequest<v1::ListQueuesRequest>,
    ) -> Result<Response<v1::ListQueuesResponse>, Status> {
        must_lead(&self.runs.role)?;
        let queues = self.runs.ask(Request::Queues).await?;
        Ok(Response::new(v1::ListQueuesResponse {
            queues: queues.into_iter().map(queue).collect(),
        }))
    }

    async fn drain_worker(
        &self,
        request: GrpcRequest<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::DrainWorkerResponse>, Status> {
        must_lead(&self.runs.role)?;
        let v1::DrainWorkerRequest { worker_id, reason } = request.into_inner();
        let worker: WorkerId = worker_id
            .parse()
            .map_err(|error: marquetry_types::InvalidName| bad_request(&error.to_string()))?;
        let reason = reason_or_somebody(reason);
        self.runs
            .ask(|reply| Request::Drain {
                worker,
                reason,
                reply,
            })
            .await?;
        Ok(Response::new(v1::DrainWorkerResponse {}))
    }
}

fn worker(view: WorkerView) -> v1::Worker {
    let state = match (view.is_connected, view.is_draining) {
        (false, _) => v1::WorkerState::Away,
        (true, true) => v1::WorkerState::Draining,
        (true, false) => v1::WorkerState::Active,
    };
    let kinds = view.kinds.into_iter();
    v1::Worker {
        worker_id: view.worker.into(),
        state: state.into(),
        slots: u32::try_from(view.slots).unwrap_or(u32::MAX),
        running: view.granted.iter().map(Into::into).collect(),
        queues: view.queues.into_iter().map(Into::into).collect(),
        labels: view.labels.into_iter().collect(),
        kinds: kinds
            .map(|(kind, version)| v1::SupportedKind {
                kind: kind.into(),
                version,
            })
            .collect(),
        version: view.version,
        last_seen: Some(timestamp_to_wire(view.last_seen)),
        data_plane: view.data_plane.unwrap_or_default(),
    }
}

fn queue(view: QueueView) -> v1::Queue {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    v1::Queue {
        name: view.queue.into(),
        waiting: count(view.waiting),
        oldest: view.oldest.map(timestamp_to_wire),
        running: count(view.running),
        workers: u32::try_from(view.workers).unwrap_or(u32::MAX),
        slots: count(view.slots),
        free_slots: count(view.free_slots),
    }
}
