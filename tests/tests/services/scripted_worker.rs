//! A worker whose every message is the test's own, to see what the coordinator says and when.

use futures::FutureExt;
use marquetry_proto::v1;
use marquetry_proto::v1::attach_request::Message as ToCoordinator;
use marquetry_proto::v1::attach_response::Message as FromCoordinator;
use marquetry_proto::v1::worker_service_client::WorkerServiceClient;
use marquetry_types::{AttemptResult, FencingToken, Outcome};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::exchange::Exchange;
use crate::floor::KIND;
use crate::house::in_time;

/// A worker with one slot, on one stream.
pub(crate) struct ScriptedWorker {
    outbound: mpsc::Sender<v1::AttachRequest>,
    inbound: Streaming<v1::AttachResponse>,
    /// The epoch that it was welcomed in.
    pub(crate) epoch: u64,
}

impl ScriptedWorker {
    /// Attaches with what it holds, and is welcomed.
    pub(crate) async fn attach(name: &str, exchange: &Exchange, held: &[FencingToken]) -> Self {
        let (outbound, messages) = mpsc::channel(16);
        let kind = v1::SupportedKind {
            kind: KIND.to_owned(),
            version: 1,
        };
        let hello = v1::Hello {
            worker_id: name.to_owned(),
            slots: 1,
            kinds: vec![kind],
            held: held.iter().map(Into::into).collect(),
            version: "test".to_owned(),
            ..v1::Hello::default()
        };
        let mut client = WorkerServiceClient::new(exchange.channel());
        let attached = client.attach(ReceiverStream::new(messages));
        let hello = v1::AttachRequest {
            message: Some(ToCoordinator::Hello(hello)),
        };
        outbound.send(hello).await.unwrap();
        let inbound = in_time(attached).await.unwrap().into_inner();
        let mut worker = Self {
            outbound,
            inbound,
            epoch: 0,
        };
        match worker.next().await {
            Some(FromCoordinator::Welcome(welcome)) => worker.epoch = welcome.epoch,
            other => panic!("a welcome comes first, not {other:?}"),
        }
        worker
    }

    /// What the coordinator says next; none when it closes the stream.
    pub(crate) async fn next(&mut self) -> Option<FromCoordinator> {
        let response = in_time(self.inbound.message()).await.ok().flatten()?;
        response.message
    }

    /// Whether the coordinator has said anything that was not taken yet.
    pub(crate) fn has_mail(&mut self) -> bool {
        self.inbound.message().now_or_never().is_some()
    }

    /// The attempt that it is assigned next.
    pub(crate) async fn assigned(&mut self) -> FencingToken {
        match self.next().await {
            Some(FromCoordinator::Assign(assignment)) => {
                assignment.token.unwrap().try_into().unwrap()
            }
            other => panic!("an assignment was expected, not {other:?}"),
        }
    }

    /// Reports that an attempt succeeded, with nothing to show for it.
    pub(crate) async fn report_success(&self, token: &FencingToken) {
        let result = AttemptResult::Succeeded(Outcome::default());
        let finished = v1::AttemptFinished::new(token, &result);
        let message = Some(ToCoordinator::Finished(finished));
        let sent = self.outbound.send(v1::AttachRequest { message }).await;
        sent.unwrap();
    }

    /// Whether the result that is acknowledged next, that of `token`, was accepted.
    pub(crate) async fn acknowledged(&mut self, token: &FencingToken) -> bool {
        match self.next().await {
            Some(FromCoordinator::Acknowledged(it)) => {
                assert_eq!(it.token, Some(token.into()));
                it.accepted
            }
            other => panic!("an acknowledgement was expected, not {other:?}"),
        }
    }
}
