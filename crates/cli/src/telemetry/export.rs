//! Spans on their way to a collector, in batches, on threads of their own.
//!
//! A collector that does not answer costs spans and nothing else: whoever ends a span only puts it into a
//! queue, and drops it where that is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use marquetry_types::{Diagnostic, codes};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{RetryPolicy, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor,
};
use tokio::runtime::Runtime;
use tonic::transport::ClientTlsConfig;

use crate::failure::Failure;

/// How long a span waits for others, unless `OTEL_BSP_SCHEDULE_DELAY` says otherwise.
const DELAY: Duration = Duration::from_secs(1);
/// Spans that wait, unless `OTEL_BSP_MAX_QUEUE_SIZE` says otherwise: those of a large run end at once.
const QUEUE: usize = 65_536;
/// How long the end of the program waits for the last spans.
const FAREWELL: Duration = Duration::from_secs(2);

/// What exports spans until it is shut down.
pub(crate) struct Exporter {
    processor: Arc<BatchSpanProcessor>,
    runtime: Runtime,
}

impl Exporter {
    /// Exports to a collector. Nothing is connected yet.
    ///
    /// # Errors
    /// The endpoint is no URL, or there are no threads to be had.
    pub(crate) fn new(endpoint: &str, service: &'static str) -> Result<Self, Failure> {
        // The connection lives here, whatever runtime the command has, or none.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(Failure::internal)?;
        let within = runtime.enter();
        let mut builder = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            // The next batch is another try.
            .with_retry_policy(RetryPolicy::disabled());
        if endpoint.starts_with("https:") {
            builder = builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
        }
        let otlp = builder.build().map_err(|error| {
            let message = format!("spans cannot be sent to `{endpoint}`: {error}");
            Diagnostic::new(codes::BAD_ENDPOINT, message)
                .help("`--otlp-endpoint` takes a URL such as http://127.0.0.1:4317")
        })?;
        let exporter = Told {
            otlp,
            endpoint: endpoint.to_owned(),
            is_silent: AtomicBool::new(false),
        };
        let is_set = |name| std::env::var_os(name).is_some();
        let mut batches = BatchConfigBuilder::default();
        if !is_set("OTEL_BSP_SCHEDULE_DELAY") {
            batches = batches.with_scheduled_delay(DELAY);
        }
        if !is_set("OTEL_BSP_MAX_QUEUE_SIZE") {
            batches = batches.with_max_queue_size(QUEUE);
        }
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches.build())
            .build();
        processor.set_resource(&resource(service));
        drop(within);
        Ok(Self {
            processor: Arc::new(processor),
            runtime,
        })
    }

    /// Where spans are put that have ended.
    pub(crate) fn queue(&self) -> Arc<BatchSpanProcessor> {
        Arc::clone(&self.processor)
    }

    /// Exports what waits, within a moment.
    pub(crate) fn shut_down(self) {
        // What could not be exported has been told of.
        let _ = self.processor.shutdown_with_timeout(FAREWELL);
        self.runtime.shutdown_background();
    }
}

/// Who this is: what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, or else what it does.
fn resource(service: &'static str) -> Resource {
    let builder = Resource::builder();
    let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES")
            .is_ok_and(|attributes| attributes.contains("service.name="));
    let builder = if is_named {
        builder
    } else {
        builder.with_service_name(service)
    };
    let process = i64::from(std::process::id());
    let attributes = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("process.pid", process),
    ];
    builder.with_attributes(attributes).build()
}

/// An exporter whose failure is told of once, and once more when it is over.
#[derive(Debug)]
struct Told {
    otlp: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    is_silent: AtomicBool,
}

impl SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.otlp.export(batch).await;
        let endpoint = self.endpoint.as_str();
        match &result {
            Err(error) => {
                if !self.is_silent.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        endpoint, %error,
                        "spans cannot be exported: they are dropped until the collector answers"
                    );
                }
            }
            Ok(()) => {
                if self.is_silent.swap(false, Ordering::Relaxed) {
                    tracing::warn!(endpoint, "spans are exported again");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.otlp.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
