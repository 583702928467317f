//! The program as people use it: results, errors and exit codes.
#![expect(clippy::unwrap_used, reason = "tests")]

use marquetry_tests::{Place, said};

const ORDERS: &str = "\
customer_id,recency_days,frequency,monetary
1,3,10,500.5
2,40,2,60
3,400,1,9.99
4,12,7,310
5,90,3,75.25
oops,1,1,1
";

const WORKFLOW: &str = r#"
marquetry: v1
name: small
params:
  file: { type: string, default: customers.csv }
stages:
  customers:
    uses: ingest/files
    with:
      path: "${{ params.file }}"
      columns: { customer_id: int64, recency_days: float64, frequency: float64, monetary: float64 }
      max_rejected_share: 0.5
  rfm:
    uses: segmentation/rfm
    with: { rows: "${{ stages.customers }}" }
"#;

fn place() -> Place {
    let place = Place::new();
    place.file("customers.csv", ORDERS);
    place.file("small.yaml", WORKFLOW);
    place
}

#[test]
fn as_many_threads_or_slots_as_no_machine_has_are_refused_and_start_nothing() {
    let place = place();
    for (option, value, range) in [
        ("--threads", "3000000", "1..=1024"),
        ("--threads", "0", "1..=1024"),
        ("--slots", "4294967295", "1..=4096"),
    ] {
        for command in ["run small.yaml", "worker"] {
            let arguments: Vec<&str> = command.split(' ').chain([option, value]).collect();
            let output = place.run(&arguments);
            assert_eq!(output.status.code(), Some(2), "{}", said(&output));
            assert!(said(&output).contains(range), "{}", said(&output));
        }
    }
}

#[test]
fn a_workflow_runs_and_its_results_can_be_looked_at() {
    let place = place();
    let run = place.json(&["run", "small.yaml"]);
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["stages"][0]["metrics"]["rows_rejected"], 1.0);
    let id = run["id"].as_str().unwrap();

    let runs = place.json(&["runs"]);
    assert_eq!(runs[0]["id"], id);
    assert_eq!(place.json(&["show", "latest"]), run);

    let rows = place.json(&["head", "latest/rfm"]);
    assert_eq!(rows.as_array().unwrap().len(), 5);
    let all = usize::MAX.to_string();
    assert_eq!(place.json(&["head", "latest/rfm", "-n", &all]), rows);
    let listed = place.json(&["runs", "--all", "--limit", &all]);
    assert_eq!(listed, runs);
    assert_eq!(rows[0]["customer_id"], 1);
    let rejected = place.json(&["head", &format!("{id}/customers/rejected")]);
    assert!(
        rejected[0]["raw"].as_str().unwrap().starts_with("oops"),
        "{rejected}"
    );

    let export = place.run(&[
        "export",
        "latest/rfm",
        "--format",
        "csv",
        "--out",
        "rfm.csv",
    ]);
    assert!(export.status.success(), "{}", said(&export));
    let csv = std::fs::read_to_string(place.path().join("rfm.csv")).unwrap();
    assert_eq!(csv.lines().count(), 6);
    assert!(csv.starts_with("customer_id,"), "{csv}");

    let logs = place.json(&["logs", "latest", "customers"]);
    let messages: Vec<&str> = logs
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["line"]["message"].as_str().unwrap())
        .collect();
    assert!(messages.contains(&"read rows"), "{messages:?}");

    let report = place.run(&["report", "latest"]);
    assert!(report.status.success(), "{}", said(&report));
    let file = String::from_utf8(report.stdout).unwrap();
    let html = std::fs::read_to_string(file.trim()).unwrap();
    assert!(
        html.contains("<svg") && html.contains("rfm"),
        "a report with pictures"
    );
    assert!(!html.contains("src=\"http"), "the report needs no network");
}

#[test]
fn bad_input_is_told_with_its_place_and_starts_nothing() {
    let place = place();
    place.file(
        "broken.yaml",
        &WORKFLOW.replace("segmentation/rfm", "segmentation/rmf"),
    );
    let output = place.run(&["run", "broken.yaml"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("broken.yaml:14:11"), "{text}");
    assert!(text.contains("segmentation/rfm"), "a suggestion: {text}");
    for arguments in [
        &["run", "no-such.yaml"][..],
        &["run", "small.yaml", "--set", "fil=x"],
        &["run", "small.yaml", "--set", "file"],
        &["show", "latest"],
        &["stages", "show", "segmentation/kmean"],
    ] {
        let output = place.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            said(&output)
        );
        assert!(!output.stderr.is_empty(), "{arguments:?} says why");
    }
    assert!(
        !place.path().join("marquetry-data").exists(),
        "nothing was begun"
    );
}

#[test]
fn a_failed_run_says_why_and_can_be_resumed() {
    let place = place();
    let failed = place.run(&["run", "small.yaml", "--set", "file=absent.csv"]);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    assert!(said(&failed).contains("absent.csv"), "{}", said(&failed));

    place.file("absent.csv", ORDERS);
    let run = place.json(&["resume", "latest"]);
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["stages"][0]["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_published_table_has_versions_that_people_and_later_runs_read_by_name() {
    let place = place();
    place.file("publish.yaml", &format!("{WORKFLOW}    publish: scores\n"));
    let reader = r#"
marquetry: v1
name: reader
stages:
  count:
    uses: features/sql
    with:
      inputs: { scores: "${{ tables.scores }}" }
      query: select count(*) as customers from scores
"#;
    place.file("reader.yaml", reader);

    // Nothing is published yet: the one who asks is told what there is to do.
    drop(place.json(&["run", "small.yaml"]));
    let unknown = place.run(&["head", "scores"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
    assert!(
        said(&unknown).contains("`publish: NAME`"),
        "{}",
        said(&unknown)
    );
    let early = place.run(&["run", "reader.yaml"]);
    assert_eq!(early.status.code(), Some(1), "{}", said(&early));
    assert!(
        said(&early).contains("no run has published"),
        "{}",
        said(&early)
    );
    assert_eq!(place.json(&["tables"]).as_array().unwrap().len(), 0);

    let first = place.json(&["run", "publish.yaml"]);
    let version = &first["stages"][1]["published"][0];
    assert_eq!(
        (&version["name"], &version["version"]),
        (&"scores".into(), &1.into())
    );
    place.file("customers.csv", &ORDERS.replace("5,90,3,75.25\n", ""));
    drop(place.json(&["run", "publish.yaml"]));
    let versions = place.json(&["tables", "show", "scores"]);
    let rows: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["rows"])
        .collect();
    assert_eq!(rows, [4, 5], "the newest version comes first");
    let rows_of = |name: &str| place.json(&["head", name]).as_array().unwrap().len();
    assert_eq!(
        (rows_of("scores"), rows_of("scores@1"), rows_of("scores@2")),
        (4, 5, 4)
    );
    let absent = place.run(&["head", "scores@3"]);
    assert!(said(&absent).contains("from 1 to 2"), "{}", said(&absent));

    drop(place.json(&["run", "reader.yaml"]));
    assert_eq!(place.json(&["head", "latest/count"])[0]["customers"], 4);

    // A run that fails before its success publishes nothing.
    let failed = place.run(&["run", "publish.yaml", "--set", "file=absent.csv"]);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    assert_eq!(place.json(&["tables"])[0]["version"], 2);
}

#[test]
fn what_a_gate_stops_is_not_published_and_the_run_says_why() {
    let place = place();
    let gated = WORKFLOW.replace("params:\n", "params:\n  least: { type: int, default: 5 }\n")
        + r#"
  good_enough:
    uses: evaluation/gate
    with:
      rows: "${{ stages.rfm }}"
      checks:
        - name: customers
          value: "${{ stages.rfm.metrics.customers }}"
          min: "${{ params.least }}"
    publish: segments
  count:
    uses: features/sql
    with:
      inputs: { segments: "${{ stages.good_enough }}" }
      query: select count(*) as customers from segments
"#;
    place.file("gated.yaml", &gated);
    let first = place.json(&["run", "gated.yaml"]);
    assert_eq!(first["status"], "succeeded", "{first:#}");
    assert_eq!(place.json(&["tables"])[0]["version"], 1);

    let stopped = place.run(&["run", "gated.yaml", "--set", "least=6"]);
    assert_eq!(stopped.status.code(), Some(1), "{}", said(&stopped));
    let reason = "customers is 5, below the least of 6";
    assert!(said(&stopped).contains(reason), "{}", said(&stopped));
    let run = place.json(&["show", "latest"]);
    let gate = &run["stages"][2];
    assert_eq!(gate["status"], "failed", "{run:#}");
    assert!(gate.to_string().contains("MQ0410"), "{gate:#}");
    assert!(gate.to_string().contains(reason), "{gate:#}");
    assert_eq!(gate["attempts"].as_array().unwrap().len(), 1, "no retry");
    assert_eq!(run["stages"][3]["status"], "skipped", "{run:#}");
    let versions = place.json(&["tables", "show", "segments"]);
    assert_eq!(versions.as_array().unwrap().len(), 1, "{versions:#}");
    assert_eq!(
        place.json(&["head", "segments"]).as_array().unwrap().len(),
        5
    );
}

#[test]
fn the_program_describes_itself() {
    let place = Place::new();
    let kinds = place.json(&["stages"]);
    assert!(
        kinds
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["kind"] == "segmentation/kmeans")
    );
    let schema = place.json(&["schema"]);
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"));
    for shell in ["bash", "zsh", "fish"] {
        let output = place.run(&["completions", shell]);
        assert!(
            output.status.success() && output.stdout.len() > 1000,
            "{}",
            said(&output)
        );
    }
}
