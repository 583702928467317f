//! What the program says of itself: lines on standard error, and spans to a collector where one is named.

mod export;
mod spans;

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use marquetry_types::{SPAN_TARGET, TRACEPARENT, TraceContext};
use marquetry_worker::WORK_TARGET;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::export::Exporter;
use crate::arguments::{Command, Common};
use crate::failure::Failure;

/// What is logged, how, and where spans go.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Observing")]
pub(crate) struct Telemetry {
    /// How the lines of `--log` are written.
    #[arg(long, global = true, value_enum, env = "MARQUETRY_LOG_FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// The OTLP collector to which spans of runs, stages, attempts and queries are sent over gRPC, as in
    /// http://127.0.0.1:4317 [default: nowhere].
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "URL"
    )]
    pub(crate) otlp_endpoint: Option<String>,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line, for programs.
    Json,
}

impl Telemetry {
    /// The options that give another process of this program the same.
    pub(crate) fn options(&self) -> Vec<String> {
        let format = match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let mut options = vec!["--log-format".to_owned(), format.to_owned()];
        if let Some(endpoint) = self.endpoint() {
            options.extend(["--otlp-endpoint".to_owned(), endpoint.to_owned()]);
        }
        options
    }

    fn endpoint(&self) -> Option<&str> {
        let endpoint = self.otlp_endpoint.as_deref().map(str::trim);
        endpoint.filter(|endpoint| !endpoint.is_empty())
    }
}

/// What is to be flushed at the end of the program.
pub(crate) struct Observing(Option<Exporter>);

impl Observing {
    /// Exports what has not been exported, within a moment.
    pub(crate) fn end(self) {
        if let Some(exporter) = self.0 {
            exporter.shut_down();
        }
    }
}

/// Begins to log, and to export where a collector is named.
pub(crate) fn begin(common: &Common, command: &Command) -> Result<Observing, Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        let message = format!("`--log {}` cannot be understood: {error}", common.log);
        let help = "write `info`, `debug` or a filter such as `marquetry_worker=debug`";
        Failure::no_match(message, help)
    };
    let exporter = match common.telemetry.endpoint() {
        Some(endpoint) => Some(Exporter::new(endpoint, service(command))?),
        None => None,
    };
    // One filter for all layers: one for each makes `log` records swallow the line that comes next. Spans
    // have targets of their own, so that they are there whatever is logged.
    let mut filter = EnvFilter::try_new(&common.log).map_err(|error| bad(&error))?;
    let traces = if exporter.is_some() { "info" } else { "off" };
    for directive in [
        format!("{WORK_TARGET}=error"),
        format!("{SPAN_TARGET}={traces}"),
    ] {
        filter = filter.add_directive(directive.parse().map_err(|error| bad(&error))?);
    }
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured());
    let lines = match common.telemetry.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    };
    let spans = exporter
        .as_ref()
        .map(|exporter| spans::ExportLayer::new(exporter.queue()));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(spans)
        .init();
    Ok(Observing(exporter))
}

/// Colours are for people who have not said that they want none.
fn is_coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::io::stderr().is_terminal()
}

/// The name of this process among the services of a trace, where `OTEL_SERVICE_NAME` gives none.
const fn service(command: &Command) -> &'static str {
    match command {
        Command::Server(_) => "marquetry-server",
        Command::Worker(_) => "marquetry-worker",
        Command::StageHost(_) => "marquetry-stage-host",
        _ => "marquetry",
    }
}

/// The span of whoever started this program: the variable `TRACEPARENT`, as the W3C has it. One that
/// cannot be read is as good as none.
pub(crate) fn caller() -> Option<TraceContext> {
    let variable = std::env::var(TRACEPARENT.to_ascii_uppercase()).ok()?;
    variable.parse().ok()
}

/// A message to a coordinator that makes what it begins part of the caller's trace.
pub(crate) fn traced<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Some(value) = caller().and_then(|caller| caller.to_string().parse().ok()) {
        request.metadata_mut().insert(TRACEPARENT, value);
    }
    request
}
