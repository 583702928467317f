//! An OTLP collector that keeps what it is sent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// It listens for as long as it lives.
pub(crate) struct Collector {
    endpoint: String,
    kept: Kept,
    _runtime: Runtime,
}

/// Spans, each with the service that sent it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for sent in request.into_inner().resource_spans {
            let attributes = sent.resource.map(|it| it.attributes).unwrap_or_default();
            let service = text(&attributes, "service.name").unwrap_or_default();
            let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let spans = spans.map(|span| (service.clone(), span));
            self.0.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let kept = Kept::default();
        let service = TraceServiceServer::new(kept.clone());
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let server = Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await
        });
        Self {
            endpoint,
            kept,
            _runtime: runtime,
        }
    }

    /// The URL at which it listens.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The ids of the traces that it was sent something of.
    pub(crate) fn traces(&self) -> BTreeSet<String> {
        let kept = self.kept.0.lock().unwrap();
        kept.iter().map(|(_, span)| hex(&span.trace_id)).collect()
    }

    /// What it was sent of a trace.
    pub(crate) fn spans(&self, trace: &str) -> Vec<Span> {
        let kept = self.kept.0.lock().unwrap();
        let of_trace = kept.iter().filter(|(_, span)| hex(&span.trace_id) == trace);
        of_trace.map(|(_, span)| span.clone()).collect()
    }

    /// Who sent it something of a trace.
    pub(crate) fn services(&self, trace: &str) -> BTreeSet<String> {
        let kept = self.kept.0.lock().unwrap();
        let of_trace = kept.iter().filter(|(_, span)| hex(&span.trace_id) == trace);
        of_trace.map(|(service, _)| service.clone()).collect()
    }
}

/// An attribute of a span, as text.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    text(&span.attributes, key)
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|it| it.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// An id as people write it.
pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
