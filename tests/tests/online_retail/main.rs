//! The segmentation of the whole Online Retail data equals what DuckDB, pandas and scikit-learn compute
//! from the same files (`reference/online_retail.py`), whatever the number of threads. Skipped where the
//! data is not beside the repository.
#![expect(clippy::unwrap_used, reason = "tests")]

mod reference;

use std::collections::BTreeSet;
use std::path::Path;

use marquetry_tests::{Place, Run, is_close};
use serde_json::Value;

use reference::Reference;

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

/// Compares the metrics of a stage with those that the reference has of it.
fn assert_metrics(run: &Run, stage: &str, expected: &Value) {
    for (name, expected) in expected.as_object().unwrap() {
        let (got, expected) = (run.metric(stage, name), expected.as_f64().unwrap());
        // The issue asks this of the inertia: scikit-learn sums it in an order of its own.
        let relative = if name == "inertia" { 1e-6 } else { 1e-9 };
        assert!(
            is_close(got, expected, relative),
            "{stage}, {name}: {got}, not {expected}"
        );
    }
}

/// The option that names the files with the orders.
fn orders(data: &Path) -> String {
    format!("orders={}/*.csv", data.display())
}

/// The reference's workflow on so many threads.
fn reference_run(reference: &Reference, threads: &str) -> Run {
    let place = Place::new();
    std::fs::write(place.path().join("start.parquet"), &reference.start).unwrap();
    let orders = orders(&reference.data);
    let start = "start=start.parquet";
    let more = ["--set", &orders, "--set", start, "--threads", threads];
    Run::within(place, "tests/reference/online_retail.yaml", &more)
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
            assert_metrics(&one, stage, expected);
            assert_metrics(&two, stage, expected);
        }
    }
}

#[test]
fn the_workflow_that_people_run_gives_the_known_figures() {
    let Some(reference) = reference::get() else {
        return;
    };
    let run = Run::of(
        "workflows/online-retail.yaml",
        &["--set", &orders(&reference.data)],
    );

    let headline = |name: &str| reference.figures["headline"][name].as_f64().unwrap();
    let source = run.table("lines", &[]);
    let customers = source.integers("customer_id");
    let unknown = customers.iter().filter(|customer| customer.is_none());
    let known: BTreeSet<i64> = customers.iter().flatten().copied().collect();
    let order_ids = source.texts("order_id");
    let cancelled = order_ids.iter().flatten().filter(|id| id.starts_with('C'));
    assert_eq!(customers.len() as f64, headline("lines"));
    assert_eq!(known.len() as f64, headline("ids"));
    assert_eq!(unknown.count() as f64, headline("lines_without_customer"));
    assert_eq!(cancelled.count() as f64, headline("cancellation_lines"));
    assert_metrics(&run, "lines", &reference.figures["source"]);
    assert_metrics(&run, "orders", &reference.figures["lines"]);
    assert_metrics(&run, "customers", &reference.figures["customers"]);
    assert_metrics(&run, "rfm", &reference.figures["rfm"]);

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

    assert!(
        run.report().contains("Champions"),
        "the report names the segments"
    );
}
