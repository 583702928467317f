//! The segmentation of the whole Online Retail data equals what DuckDB, pandas and scikit-learn compute
//! from the same files (`reference/online_retail.py`), whatever the number of threads. Skipped where the
//! data is not beside the repository.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod reference;
mod table;

use std::collections::BTreeSet;
use std::path::Path;

use marquetry_tests::{Place, said};
use serde_json::Value;

use reference::Reference;
use table::{Table, is_close};

/// Outputs that the reference has too, and the columns that identify a row; none where all do.
const OUTPUTS: [(&str, &str, &[&str]); 9] = [
    ("lines", "lines", &[]),
    ("customers", "customers", &["customer_id"]),
    ("rfm", "rfm", &["customer_id"]),
    ("scaled", "scaled", &["customer_id"]),
    ("ranged", "ranged", &["customer_id"]),
    ("segments", "segments", &["customer_id"]),
    ("segments/centres", "centres", &["segment"]),
    ("quality", "quality", &["segment"]),
    ("rfm_quality", "rfm_quality", &["segment"]),
];

/// A run and the folder that holds its data.
struct Run {
    place: Place,
    view: Value,
}

impl Run {
    /// Runs a workflow of the repository on the data.
    fn of(workflow: &str, data: &Path, more: &[&str]) -> Self {
        let place = Place::new();
        Self::within(place, workflow, data, more)
    }

    fn within(place: Place, workflow: &str, data: &Path, more: &[&str]) -> Self {
        let workflow = reference::repository().join(workflow);
        let orders = format!("orders={}/*.csv", data.display());
        let mut arguments = vec!["run", workflow.to_str().unwrap(), "--set", &orders];
        arguments.extend(more);
        let view = place.json(&arguments);
        assert_eq!(view["status"], "succeeded", "{view:#}");
        Self { place, view }
    }

    /// An output, by `STAGE` or `STAGE/OUTPUT`.
    fn table(&self, output: &str, key: &[&str]) -> Table {
        let dataset = format!("latest/{output}");
        let out = ["export", &dataset, "--format", "parquet", "--out", "table"];
        let exported = self.place.run(&out);
        assert!(exported.status.success(), "{output}: {}", said(&exported));
        Table::read(&self.place.path().join("table"), key)
    }

    fn metric(&self, stage: &str, name: &str) -> f64 {
        let stages = self.view["stages"].as_array().unwrap();
        let found = stages.iter().find(|it| it["name"] == stage);
        let metric = found.and_then(|stage| stage["metrics"][name].as_f64());
        metric.unwrap_or_else(|| panic!("stage `{stage}` has no metric `{name}`: {:#}", self.view))
    }

    /// Compares the metrics of a stage with those that the reference has of it.
    fn assert_metrics(&self, stage: &str, expected: &Value) {
        for (name, expected) in expected.as_object().unwrap() {
            let (got, expected) = (self.metric(stage, name), expected.as_f64().unwrap());
            // The issue asks this of the inertia: scikit-learn sums it in an order of its own.
            let relative = if name == "inertia" { 1e-6 } else { 1e-9 };
            assert!(
                is_close(got, expected, relative),
                "{stage}, {name}: {got}, not {expected}"
            );
        }
    }
}

/// The reference's workflow on so many threads.
fn reference_run(reference: &Reference, threads: &str) -> Run {
    let place = Place::new();
    std::fs::write(place.path().join("start.parquet"), &reference.start).unwrap();
    let more = ["--set", "start=start.parquet", "--threads", threads];
    let workflow = "tests/reference/online_retail.yaml";
    Run::within(place, workflow, &reference.data, &more)
}

#[test]
fn results_are_those_of_duckdb_and_scikit_learn_on_one_thread_and_on_two() {
    let Some(reference) = reference::get() else {
        return;
    };
    let [one, two] = ["1", "2"].map(|threads| reference_run(reference, threads));
    for (output, file, key) in OUTPUTS {
        let (on_one, on_two) = (one.table(output, key), two.table(output, key));
        on_one.assert_same(&reference.table(file, key), output);
        on_two.assert_same(&reference.table(file, key), output);
        on_two.assert_same(&on_one, output);
    }
    for (stage, expected) in reference.figures.as_object().unwrap() {
        if stage != "headline" {
            one.assert_metrics(stage, expected);
            two.assert_metrics(stage, expected);
        }
    }
}

#[test]
fn the_workflow_that_people_run_gives_the_known_figures() {
    let Some(reference) = reference::get() else {
        return;
    };
    let run = Run::of("workflows/online-retail.yaml", &reference.data, &[]);

    let headline = |name: &str| reference.figures["headline"][name].as_f64().unwrap();
    let source = run.table("lines", &[]);
    let customers = source.integers("customer_id");
    let unknown = customers.iter().filter(|customer| customer.is_none());
    let known: BTreeSet<i64> = customers.iter().flatten().copied().collect();
    let orders = source.texts("order_id");
    let cancelled = orders.iter().flatten().filter(|id| id.starts_with('C'));
    assert_eq!(customers.len() as f64, headline("lines"));
    assert_eq!(known.len() as f64, headline("ids"));
    assert_eq!(unknown.count() as f64, headline("lines_without_customer"));
    assert_eq!(cancelled.count() as f64, headline("cancellation_lines"));
    run.assert_metrics("lines", &reference.figures["source"]);
    run.assert_metrics("orders", &reference.figures["lines"]);
    run.assert_metrics("customers", &reference.figures["customers"]);
    run.assert_metrics("rfm", &reference.figures["rfm"]);

    for (output, file, key) in [
        ("orders", "lines", &[][..]),
        ("customers", "customers", &["customer_id"]),
        ("rfm", "rfm", &["customer_id"]),
    ] {
        run.table(output, key)
            .assert_same(&reference.table(file, key), output);
    }
    let segments = run.table("segments", &["customer_id"]).integers("segment");
    assert_eq!(segments.len(), reference.table("rfm", &[]).rows());
    let numbers: BTreeSet<i64> = segments.into_iter().flatten().collect();
    assert_eq!(numbers, (0..5).collect());

    let report = run.place.run(&["report", "latest", "--out", "report.html"]);
    assert!(report.status.success(), "{}", said(&report));
    let html = std::fs::read_to_string(run.place.path().join("report.html")).unwrap();
    assert!(html.contains("Champions"), "the report names the segments");
}
