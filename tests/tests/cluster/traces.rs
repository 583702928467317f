//! What a collector gets of runs: one trace from the caller to the queries, whatever happens to servers.

use std::collections::{BTreeMap, BTreeSet};

use marquetry_tests::{Cluster, Place, eventually, said, send};
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::collector::{Collector, attribute, hex};

/// Two stages with queries, and between them one that takes long enough to be interrupted.
const TRACED: &str = r#"
marquetry: v1
name: traced
stages:
  names:
    uses: ingest/files
    with: { path: names.csv, columns: { customer_id: int64, region: string } }
  pause: { uses: probe/sleep, with: { milliseconds: 1500 }, needs: [names] }
  sorted:
    uses: features/sql
    needs: [pause]
    with:
      query: select region, customer_id from names order by customer_id
      inputs: { names: "${{ stages.names }}" }
"#;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const STAGES: [&str; 3] = ["names", "pause", "sorted"];

fn traced_cluster(endpoint: &str) -> Cluster {
    let mut cluster = Cluster::start(&["--otlp-endpoint", endpoint]);
    files(&cluster.place);
    cluster.add_worker(&["--slots", "1", "--otlp-endpoint", endpoint]);
    cluster
}

fn files(place: &Place) {
    place.file("traced.yaml", TRACED);
    place.file("names.csv", "customer_id,region\n2,south\n1,north\n");
}

/// Submits it as part of a trace, and returns the run.
fn submit(cluster: &Cluster) -> String {
    let submitted = cluster
        .command(&["submit", "traced.yaml", "--base-dir", "."])
        .env("TRACEPARENT", format!("00-{TRACE}-{CALLER}-01"))
        .output()
        .unwrap();
    assert!(submitted.status.success(), "{}", said(&submitted));
    String::from_utf8(submitted.stdout)
        .unwrap()
        .trim()
        .to_owned()
}

/// The spans of a trace by their ids: one that came twice came the same.
fn distinct(spans: Vec<Span>) -> BTreeMap<String, Span> {
    let mut distinct = BTreeMap::new();
    for span in spans {
        let before = distinct.insert(hex(&span.span_id), span.clone());
        assert!(before.is_none_or(|before| before == span), "{span:?}");
    }
    distinct
}

fn of_name<'a>(spans: &'a BTreeMap<String, Span>, name: &str) -> Vec<&'a Span> {
    spans.values().filter(|span| span.name == name).collect()
}

/// Whether all that is to be told of a run with three stages, each done once, has come.
fn is_complete(spans: &BTreeMap<String, Span>) -> bool {
    let count = |name| of_name(spans, name).len();
    let whole = ["stage", "attempt", "work", "execute"];
    count("run") == 1 && whole.iter().all(|name| count(name) == 3) && count("query") > 0
}

/// That the spans are one tree below the caller's span, and say what they are about.
fn check(spans: &BTreeMap<String, Span>, run: &str) {
    let above = [
        ("run", ""),
        ("stage", "run"),
        ("attempt", "stage"),
        ("work", "attempt"),
        ("execute", "work"),
        ("query", "execute"),
    ];
    for (name, parent_name) in above {
        for span in of_name(spans, name) {
            assert_eq!(hex(&span.trace_id), TRACE, "{span:#?}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
            let parent = hex(&span.parent_span_id);
            if name == "run" {
                assert_eq!(parent, CALLER, "{span:#?}");
                continue;
            }
            let parent = &spans[&parent];
            assert_eq!(parent.name, parent_name, "{span:#?}");
            assert!(
                parent.start_time_unix_nano <= span.start_time_unix_nano
                    && span.end_time_unix_nano <= parent.end_time_unix_nano,
                "{span:#?} is not within {parent:#?}"
            );
            for key in ["stage", "attempt", "kind"] {
                let (own, above) = (attribute(span, key), attribute(parent, key));
                assert!(
                    above.is_none() || own.is_none() || own == above,
                    "{key}: {span:#?}"
                );
            }
        }
    }
    for span in ["run", "stage", "attempt", "work", "execute"].map(|name| of_name(spans, name)) {
        for span in span {
            assert_eq!(attribute(span, "run").as_deref(), Some(run), "{span:#?}");
            assert_eq!(
                attribute(span, "state").as_deref(),
                Some("succeeded"),
                "{span:#?}"
            );
        }
    }
    for name in ["stage", "attempt", "work", "execute"] {
        let spans = of_name(spans, name);
        let stages: BTreeSet<_> = spans
            .iter()
            .filter_map(|it| attribute(it, "stage"))
            .collect();
        assert_eq!(stages, STAGES.map(str::to_owned).into(), "{name}");
        assert!(
            spans.iter().all(|it| attribute(it, "kind").is_some()),
            "{name}"
        );
    }
    for span in of_name(spans, "attempt") {
        assert_eq!(attribute(span, "workflow").as_deref(), Some("traced"));
        assert_eq!(attribute(span, "attempt").as_deref(), Some("1"));
        assert!(attribute(span, "worker").is_some_and(|worker| worker.starts_with("worker-")));
    }
    let rows = of_name(spans, "query").into_iter().filter(|query| {
        let stage = &spans[&hex(&query.parent_span_id)];
        attribute(stage, "stage").as_deref() == Some("sorted")
    });
    let rows: Vec<_> = rows.filter_map(|query| attribute(query, "rows")).collect();
    assert!(rows.contains(&"2".to_owned()), "{rows:?}");
}

#[test]
fn a_run_is_part_of_its_callers_trace_down_to_its_queries() {
    let collector = Collector::start();
    let mut cluster = traced_cluster(collector.endpoint());
    let run = submit(&cluster);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    // What hosts and worker have not sent yet they send when they end.
    let worker = cluster.worker_process(0);
    send(worker.id(), "TERM");
    eventually("the worker ends", || worker.try_wait().unwrap().is_some());
    eventually("the spans come", || {
        is_complete(&distinct(collector.spans(TRACE)))
    });
    check(&distinct(collector.spans(TRACE)), &run);
    let services = collector.services(TRACE);
    let expected = [
        "marquetry-server",
        "marquetry-stage-host",
        "marquetry-worker",
    ];
    assert_eq!(services, expected.map(str::to_owned).into());
}

#[test]
fn a_trace_survives_the_server() {
    let collector = Collector::start();
    let mut cluster = traced_cluster(collector.endpoint());
    let run = submit(&cluster);
    cluster.wait_for_stage(&run, "pause", "running");
    cluster.kill_server(0);
    cluster.restart_server(0);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    eventually("the spans come", || {
        is_complete(&distinct(collector.spans(TRACE)))
    });
    check(&distinct(collector.spans(TRACE)), &run);
}

#[test]
fn a_run_that_nobody_traced_has_a_trace_of_its_own() {
    let collector = Collector::start();
    let place = Place::new();
    files(&place);
    let mut command = place.command(&["run", "traced.yaml", "--output", "json"]);
    let output = command
        .env("MARQUETRY_PROBES", "1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .env("OTEL_SERVICE_NAME", "laptop")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let traces = collector.traces();
    assert_eq!(traces.len(), 1, "{traces:?}");
    let trace = traces.first().unwrap();
    // All of it was sent before the program ended.
    let spans = distinct(collector.spans(trace));
    assert!(is_complete(&spans), "{spans:#?}");
    assert!(of_name(&spans, "run")[0].parent_span_id.is_empty());
    assert_eq!(collector.services(trace), ["laptop".to_owned()].into());
}

#[test]
fn what_the_caller_does_not_sample_is_not_exported() {
    let collector = Collector::start();
    let place = Place::new();
    files(&place);
    let mut command = place.command(&["run", "traced.yaml"]);
    let output = command
        .env("MARQUETRY_PROBES", "1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .env("TRACEPARENT", format!("00-{TRACE}-{CALLER}-00"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(collector.traces().is_empty(), "{:?}", collector.traces());
}

#[test]
fn a_collector_that_is_away_costs_spans_and_one_line() {
    // A port that was free, and where nobody listens.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", unused.local_addr().unwrap());
    drop(unused);
    let place = Place::new();
    files(&place);
    let mut command = place.command(&["run", "traced.yaml"]);
    let output = command
        .env("MARQUETRY_PROBES", "1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        // Many batches.
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let told = stderr.matches("spans cannot be exported").count();
    assert_eq!(told, 1, "{stderr}");
}
