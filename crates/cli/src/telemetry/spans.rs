//! `tracing` spans as OpenTelemetry's.
//!
//! A span is exported if it says where in a trace it stands, by fields, or if it is within one that does:
//! `trace_id`, `span_id` and `parent_id` in hexadecimal. Those that are told after their end say when that
//! was: `start_ns` and `end_ns`, since 1970. `error` is why it failed; all else are attributes.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use marquetry_types::SPAN_TARGET;
use marquetry_worker::WORK_TARGET;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
    SpanProcessor,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Whether a span of this place in the source can be one that is exported.
fn is_exported(metadata: &Metadata<'_>) -> bool {
    matches!(metadata.target(), SPAN_TARGET | WORK_TARGET)
}

/// Puts spans that end into the queue of an exporter.
pub(super) struct ExportLayer {
    queue: Arc<BatchSpanProcessor>,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
}

impl ExportLayer {
    pub(super) fn new(queue: Arc<BatchSpanProcessor>) -> Self {
        Self {
            queue,
            ids: RandomIdGenerator::default(),
            scope: InstrumentationScope::builder("marquetry")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

/// A span that is exported when it ends.
struct Open {
    trace: TraceId,
    span: SpanId,
    parent: SpanId,
    is_parent_remote: bool,
    began: SystemTime,
    fields: Fields,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ExportLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context
            .span(id)
            .filter(|_| is_exported(attributes.metadata()))
        else {
            return;
        };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let above = span.parent().and_then(|above| {
            let extensions = above.extensions();
            extensions.get::<Open>().map(|open| (open.trace, open.span))
        });
        let open = match (fields.trace, fields.span, above) {
            (Some(trace), Some(span), _) => Open {
                trace,
                span,
                parent: fields.parent.unwrap_or(SpanId::INVALID),
                is_parent_remote: fields.parent.is_some(),
                began: SystemTime::now(),
                fields,
            },
            (None, None, Some((trace, parent))) => Open {
                trace,
                span: self.ids.new_span_id(),
                parent,
                is_parent_remote: false,
                began: SystemTime::now(),
                fields,
            },
            _ => return,
        };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        let fields = open.fields;
        let identity = SpanContext::new(
            open.trace,
            open.span,
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        );
        self.queue.on_end(SpanData {
            span_context: identity,
            parent_span_id: open.parent,
            parent_span_is_remote: open.is_parent_remote,
            span_kind: SpanKind::Internal,
            name: span.name().into(),
            start_time: fields.start.unwrap_or(open.began),
            end_time: fields.end.unwrap_or_else(SystemTime::now),
            attributes: fields.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: fields.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// What the fields of a span say.
#[derive(Default)]
struct Fields {
    trace: Option<TraceId>,
    span: Option<SpanId>,
    parent: Option<SpanId>,
    start: Option<SystemTime>,
    end: Option<SystemTime>,
    error: Option<String>,
    attributes: Vec<KeyValue>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "trace_id" => self.trace = TraceId::from_hex(value).ok(),
            "span_id" => self.span = SpanId::from_hex(value).ok(),
            "parent_id" => self.parent = SpanId::from_hex(value).ok(),
            "error" => self.error = Some(value.to_owned()),
            name => self.attributes.push(KeyValue::new(name, value.to_owned())),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let at = |nanoseconds| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        match field.name() {
            "start_ns" => self.start = Some(at(value)),
            "end_ns" => self.end = Some(at(value)),
            name => {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                self.attributes.push(KeyValue::new(name, value));
            }
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
