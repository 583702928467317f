//! The text as Prometheus gets it, and the table of `docs/metrics.md`, which says the same.
#![expect(clippy::unwrap_used, reason = "tests")]

use marquetry_journal::Leader as Other;

use super::*;

fn text(metrics: &Metrics) -> String {
    metrics.text().unwrap()
}

/// The value of a sample, named with its labels.
fn value(metrics: &Metrics, sample: &str) -> String {
    let text = text(metrics);
    let lines = text.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    values.next().unwrap().to_owned()
}

/// A line of the table for each family of a text.
fn table(text: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let mut help = "";
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let words = |key: &str| line.strip_prefix(key)?.split_once(' ');
        if let Some((_, it)) = words("# HELP ") {
            help = it.trim_end_matches('.');
        }
        if let Some((name, kind)) = words("# TYPE ") {
            lines.next_if(|line| line.starts_with("# UNIT "));
            let sample = lines.peek().unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let labels = labels(sample).join(", ");
            rows.push(format!("| `{name}{suffix}` | {kind} | {labels} | {help} |"));
        }
    }
    rows
}

/// The names of a sample's labels, other than the bounds of buckets.
fn labels(sample: &str) -> Vec<String> {
    let inner = sample
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let pairs = inner.map_or("", |(pairs, _)| pairs).split(',');
    let names = pairs.filter_map(|pair| Some(pair.split_once('=')?.0));
    names
        .filter(|name| *name != "le")
        .map(|name| format!("`{name}`"))
        .collect()
}

#[test]
fn the_table_of_the_docs_has_every_metric() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `marquetry_"));
    let written: Vec<_> = rows.collect();
    let expected = table(&text(&Metrics::new())).join("\n");
    assert!(
        written.join("\n") == expected,
        "the table should be\n{expected}"
    );
}

#[test]
fn the_text_is_open_metrics() {
    let text = text(&Metrics::new());
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines().filter(|line| *line != "# EOF") {
        let name = line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "))
            .or_else(|| line.strip_prefix("# UNIT "))
            .unwrap_or(line);
        assert!(name.starts_with("marquetry_"), "{line}");
    }
    for row in table(&text) {
        let is_duration = row.contains("duration");
        assert_eq!(is_duration, row.contains("_seconds`"), "{row}");
        let is_bytes = row.contains("| Bytes");
        assert_eq!(is_bytes, row.contains("_bytes_total`"), "{row}");
    }
}

#[test]
fn what_can_be_counted_stands_at_nought_before_it_happens() {
    let metrics = Metrics::new();
    for sample in [
        r#"marquetry_runs_ended_total{status="cancelled"}"#,
        r#"marquetry_stages_ended_total{status="skipped"}"#,
        r#"marquetry_attempts_failed_total{class="resource_exhausted"}"#,
        r#"marquetry_journal_errors_total{operation="append"}"#,
        r#"marquetry_grpc_requests_total{method="marquetry.v1.RunService/SubmitRun",code="OK"}"#,
        r#"marquetry_grpc_sent_bytes_total{method="other"}"#,
        "marquetry_commit_duration_seconds_count",
        "marquetry_leading",
    ] {
        assert_eq!(value(&metrics, sample), "0", "{sample}");
    }
}

#[test]
fn a_leader_that_is_seen_again_is_no_change() {
    let metrics = Metrics::new();
    let other = |name: &str, epoch| {
        Role::Following(Some(Other {
            name: name.to_owned(),
            url: String::new(),
            epoch: Epoch(epoch),
        }))
    };
    let seen = |role: Role| {
        metrics.role(&role);
        let changes = value(&metrics, "marquetry_leader_changes_total");
        let epoch = value(&metrics, "marquetry_epoch");
        let leading = value(&metrics, "marquetry_leading");
        format!("{changes} {epoch} {leading}")
    };
    assert_eq!(seen(Role::Following(None)), "0 0 0");
    assert_eq!(seen(other("a", 3)), "1 3 0");
    assert_eq!(seen(other("a", 4)), "1 4 0", "in a new epoch");
    assert_eq!(seen(Role::Following(None)), "1 4 0");
    assert_eq!(seen(other("a", 4)), "1 4 0");
    assert_eq!(seen(Role::Leading(Epoch(5))), "2 5 1");
    assert_eq!(seen(other("a", 6)), "3 6 0");
}

#[test]
fn who_no_longer_leads_has_no_workers() {
    let metrics = Metrics::new();
    metrics.role(&Role::Leading(Epoch(1)));
    let queue = marquetry_types::QueueName::default();
    metrics.figures().stages_ready.show([(&queue, 2)]);
    metrics.set(Gauges {
        runs: 1,
        workers: 3,
        slots: 4,
        slots_in_use: 5,
    });
    let all = || {
        [
            "marquetry_runs_active",
            r#"marquetry_stages_ready{queue="default"}"#,
            "marquetry_workers_connected",
            "marquetry_worker_slots",
            "marquetry_worker_slots_in_use",
        ]
        .map(|gauge| value(&metrics, gauge))
    };
    assert_eq!(all(), ["1", "2", "3", "4", "5"]);
    metrics.role(&Role::Following(None));
    assert_eq!(all(), ["0", "0", "0", "0", "0"]);
}

#[test]
fn to_be_deposed_is_no_failure_of_the_journal() {
    let metrics = Metrics::new();
    let fenced = JournalError::Fenced {
        ours: Epoch(1),
        current: Epoch(2),
    };
    metrics.journal_failed(Operation::Renew, &fenced);
    let failures = r#"marquetry_journal_errors_total{operation="renew"}"#;
    assert_eq!(value(&metrics, failures), "0");
}
