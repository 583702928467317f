//! What platform teams do with a cluster: queues, draining, approvals, groups, doing again; and what a run
//! says that waits.

use marquetry_tests::{Cluster, eventually, said, stage};
use serde_json::Value;

fn waiting(cluster: &Cluster, run: &str, name: &str) -> String {
    let shown = cluster.show(run);
    stage(&shown, name)["waiting_for"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

const PLACED: &str = "
marquetry: v1
name: placed
stages:
  here: { uses: probe/nothing, with: {} }
  there: { uses: probe/nothing, with: {}, queue: gpu, labels: { zone: b } }
";

#[test]
fn a_stage_waits_for_a_worker_of_its_queue_and_says_so() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("placed.yaml", PLACED);
    let run = cluster.submit("placed.yaml", &[]);
    assert_eq!(
        waiting(&cluster, &run, "there"),
        "a worker: none is connected"
    );
    cluster.add_worker(&["--name", "plain"]);
    cluster.wait_for_stage(&run, "here", "succeeded");
    assert_eq!(
        waiting(&cluster, &run, "there"),
        "a worker: none serves queue `gpu`"
    );
    let queues = cluster.json(&["queues"]);
    let gpu = queues
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["queue"] == "gpu")
        .unwrap();
    assert_eq!(
        (&gpu["waiting"], &gpu["workers"]),
        (&1.into(), &0.into()),
        "{queues:#}"
    );
    cluster.add_worker(&["--name", "big", "--queue", "gpu", "--label", "zone=b"]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let by = stage(&shown, "there")["attempts"][0]["worker"]
        .as_str()
        .unwrap();
    assert!(by.starts_with("big"), "{by}");
    // One process is the whole cluster.
    let alone = cluster
        .command(&["run", "placed.yaml", "--data-dir", "alone"])
        .output()
        .unwrap();
    assert!(alone.status.success(), "{}", said(&alone));
}

#[test]
fn a_worker_is_drained_from_afar() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file(
        "sleeps.yaml",
        "marquetry: v1\nname: sleeps\nstages:\n  sleep: { uses: probe/sleep, with: { milliseconds: 800 } }\n",
    );
    cluster.add_worker(&["--name", "old"]);
    let run = cluster.submit("sleeps.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    let workers = cluster.json(&["workers"]);
    let worker = &workers[0];
    assert_eq!(
        (&worker["state"], &worker["running"][0]["stage"]),
        (&"active".into(), &"sleep".into())
    );
    let name = worker["worker"].as_str().unwrap();
    cluster.json(&["drain", name, "--reason", "an upgrade"]);
    let second = cluster.submit("sleeps.yaml", &[]);
    let why = waiting(&cluster, &second, "sleep");
    assert_eq!(why, "a worker: those that could run it are draining");
    let process = cluster.worker_process(0);
    eventually("the worker ends", || process.try_wait().unwrap().is_some());
    let shown = cluster.show(&run);
    assert_eq!(
        shown["status"], "succeeded",
        "it finished what it ran: {shown:#}"
    );
    assert_eq!(
        waiting(&cluster, &second, "sleep"),
        "a worker: none is connected"
    );
    let unknown = cluster.command(&["drain", name]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).contains("MQ0709"), "{}", said(&unknown));
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let mut cluster = Cluster::start(&[]);
    let findings = |more: &[&str]| {
        let arguments = [&["doctor", "--output", "json"][..], more].concat();
        let output = cluster.command(&arguments).output().unwrap();
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), findings)
    };
    let state = |findings: &Value, check: &str| {
        let mut all = findings.as_array().unwrap().iter();
        let found = all.rfind(|it| it["check"] == check).unwrap();
        found["state"].as_str().unwrap().to_owned()
    };
    let (code, alone) = findings(&[]);
    assert_eq!(code, Some(0), "{alone:#}");
    for (check, expected) in [
        ("journal", "good"),
        ("lake", "good"),
        ("coordinator", "good"),
        ("clocks", "good"),
        ("workers", "warning"),
    ] {
        assert_eq!(state(&alone, check), expected, "{check}: {alone:#}");
    }
    let (code, broken) = findings(&[
        "--journal",
        "postgres://nobody@127.0.0.1:1/nothing",
        "--lake",
        "/proc/nowhere",
    ]);
    assert_eq!(code, Some(1), "{broken:#}");
    assert_eq!(state(&broken, "journal"), "bad", "{broken:#}");
    assert_eq!(state(&broken, "lake"), "bad", "{broken:#}");
    cluster.add_worker(&["--slots", "3"]);
    eventually("the worker is there", || {
        let listed = cluster.json(&["workers"]);
        listed.as_array().unwrap().len() == 1
    });
    let findings = cluster.json(&["doctor"]);
    let workers = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["check"] == "workers")
        .unwrap();
    assert_eq!(
        workers["seen"],
        "1 connected, 1 of them take stages, 3 slots"
    );
}

const ASKS: &str = "
marquetry: v1
name: asks
stages:
  before: { uses: probe/nothing, with: {} }
  ask: { uses: wait/approval, with: { message: send them? }, needs: [before] }
  after: { uses: probe/nothing, with: {}, needs: [ask] }
";

#[test]
fn a_person_lets_a_run_go_on_and_has_it_done_again() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("asks.yaml", ASKS);
    cluster.add_worker(&[]);
    let run = cluster.submit("asks.yaml", &[]);
    cluster.wait_for_stage(&run, "before", "succeeded");
    assert_eq!(waiting(&cluster, &run, "ask"), "approval: send them?");
    cluster.kill_server(0);
    cluster.restart_server(0);
    eventually("the new server knows", || {
        waiting(&cluster, &run, "ask") == "approval: send them?"
    });
    cluster.json(&["approve", &run, "ask", "--reject", "--comment", "not yet"]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "failed", "{shown:#}");
    assert_eq!(shown["error"]["code"], "MQ0809", "{shown:#}");

    cluster.json(&["retry", &run]);
    eventually("it asks once more", || {
        waiting(&cluster, &run, "ask") == "approval: send them?"
    });
    cluster.json(&["approve", &run, "ask", "--comment", "now"]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(
        stage(&shown, "ask")["approval"]["comment"],
        "now",
        "{shown:#}"
    );
    let twice = cluster.command(&["approve", &run, "ask"]).output().unwrap();
    assert!(said(&twice).contains("MQ0702"), "{}", said(&twice));

    cluster.json(&["retry", &run, "--from", "after"]);
    let shown = cluster.watch(&run);
    let attempts = |name: &str| stage(&shown, name)["attempts"].as_array().unwrap().len();
    assert_eq!((attempts("before"), attempts("after")), (1, 2), "{shown:#}");
    let unknown = cluster
        .command(&["retry", &run, "--from", "nothing"])
        .output()
        .unwrap();
    assert!(
        said(&unknown).contains("has no stage `nothing`"),
        "{}",
        said(&unknown)
    );

    // In one process whoever started it is asked; there is nobody, or a yes for all.
    let alone = |more: &[&str]| {
        let arguments = [&["run", "asks.yaml", "--data-dir", "alone"], more].concat();
        cluster
            .command(&arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    };
    let nobody = alone(&[]);
    assert_eq!(nobody.status.code(), Some(2), "{}", said(&nobody));
    assert!(said(&nobody).contains("--yes"), "{}", said(&nobody));
    assert!(alone(&["--yes"]).status.success());
}

const GROUPED: &str = "
marquetry: v1
name: grouped
params: { shop: { type: string, default: a }, sleep: { type: int, default: 400 } }
concurrency: { group: \"shop-${{ params.shop }}\" }
stages:
  sleep: { uses: probe/sleep, with: { milliseconds: \"${{ params.sleep }}\" } }
";

#[test]
fn runs_of_a_group_follow_one_another() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("grouped.yaml", GROUPED);
    cluster.place.file(
        "refused.yaml",
        &GROUPED.replacen("}}\" }", "}}\", on_conflict: reject }", 1),
    );
    cluster.add_worker(&["--slots", "4"]);
    let first = cluster.submit("grouped.yaml", &["--set", "sleep=3000"]);
    cluster.wait_for_stage(&first, "sleep", "running");
    let second = cluster.submit("grouped.yaml", &[]);
    let other = cluster.submit("grouped.yaml", &["--set", "shop=b"]);
    assert_eq!(
        waiting(&cluster, &second, "sleep"),
        format!("run {first} of group `shop-a` to end")
    );
    let refused = cluster
        .command(&["submit", "refused.yaml"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("MQ0708"), "{}", said(&refused));
    let began = |shown: &Value| {
        stage(shown, "sleep")["attempts"][0]["started_at"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (first, second, other) = (
        cluster.watch(&first),
        cluster.watch(&second),
        cluster.watch(&other),
    );
    let end = first["finished_at"].as_str().unwrap();
    assert!(began(&second).as_str() >= end, "{second:#}");
    assert!(began(&other).as_str() < end, "another group: {other:#}");
}

const EACH: &str = "
marquetry: v1
name: each
params: { regions: { type: list, default: [north, south, east] } }
stages:
  names:
    uses: ingest/files
    for_each: { items: \"${{ params.regions }}\", limit: 2 }
    with: { path: \"${{ item }}.csv\", columns: { customer_id: int64, region: string } }
    publish: customers
  sorted:
    uses: features/sql
    with: { query: \"select region, customer_id from names order by customer_id\", inputs: { names: \"${{ stages.names }}\" } }
";

#[test]
fn a_stage_runs_for_each_item_and_its_rows_come_together() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("each.yaml", EACH);
    for (place, region) in ["north", "south", "east"].into_iter().enumerate() {
        let rows: Vec<String> = (0..4)
            .map(|row| format!("{},{region}", row * 3 + place))
            .collect();
        let text = format!("customer_id,region\n{}\n", rows.join("\n"));
        cluster.place.file(&format!("{region}.csv"), &text);
    }
    cluster.add_worker(&["--slots", "4"]);
    let base = cluster.place.path().display().to_string();
    let run = cluster.submit("each.yaml", &["--base-dir", &base]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let names = stage(&shown, "names");
    assert_eq!(
        (&names["items"]["total"], &names["items"]["succeeded"]),
        (&3.into(), &3.into())
    );
    assert_eq!(
        shown["stages"].as_array().unwrap().len(),
        2,
        "items are no stages"
    );
    let head = |dataset: &str| {
        let dataset = format!("{run}/{dataset}");
        cluster.place.json(&["head", &dataset, "-n", "50"])
    };
    let rows = head("sorted");
    let ids: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["customer_id"].clone())
        .collect();
    assert_eq!(ids, (0..12).map(Value::from).collect::<Vec<_>>());
    assert_eq!(
        head("names.1").as_array().unwrap().len(),
        4,
        "an item's own rows"
    );
    // One item that fails fails the stage; what is right by then is not done again.
    let broken = ["--set", "regions=north,west", "--base-dir", &base];
    let run = cluster.submit("each.yaml", &broken);
    let shown = cluster.watch(&run);
    let message = shown["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("1 of 2 items failed, the first of them `names.1`"),
        "{message}"
    );
    cluster
        .place
        .file("west.csv", "customer_id,region\n100,west\n");
    cluster.json(&["retry", &run]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
}

const NIGHTLY: &str = "
marquetry: v1
name: nightly
params: { day: { type: string, default: none } }
on:
  - every: 1h
    name: hourly
stages:
  sleep: { uses: probe/sleep, with: { milliseconds: '${{ (run.scheduled_at ?? \"\").len() }}' } }
";

#[test]
fn a_deployed_workflow_runs_by_name_by_schedule_and_for_times_that_are_past() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("nightly.yaml", NIGHTLY);
    cluster.add_worker(&[]);
    let deployed = cluster.json(&["deploy", "nightly.yaml", "--comment", "the first"]);
    assert_eq!(
        (&deployed[0]["workflow"]["version"], &deployed[0]["created"]),
        (&1.into(), &true.into())
    );
    let again = cluster.json(&["deploy", "nightly.yaml"]);
    assert_eq!(again[0]["created"], false, "the same files");

    // By name, on the version that is current when it begins.
    let by_name = cluster.submit("nightly", &[]);
    assert_eq!(cluster.watch(&by_name)["status"], "succeeded");
    let unknown = cluster.command(&["submit", "weekly"]).output().unwrap();
    assert!(said(&unknown).contains("MQ0710"), "{}", said(&unknown));

    // Times that are past: once each, however often it is asked.
    let day = [
        "--from",
        "2026-11-01T00:00:00Z",
        "--to",
        "2026-11-01T03:00:00Z",
    ];
    let backfill = [&["backfill", "nightly"][..], &day].concat();
    let first = cluster.json(&backfill);
    let times: Vec<_> = first
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["scheduled_at"].clone())
        .collect();
    assert_eq!(
        times,
        [
            "2026-11-01T01:00:00.000Z",
            "2026-11-01T02:00:00.000Z",
            "2026-11-01T03:00:00.000Z"
        ]
    );
    let second = cluster.json(&backfill);
    for (one, other) in first
        .as_array()
        .unwrap()
        .iter()
        .zip(second.as_array().unwrap())
    {
        assert_eq!(
            (&one["run"], &other["created"]),
            (&other["run"], &false.into())
        );
        assert_eq!(
            cluster.watch(one["run"].as_str().unwrap())["status"],
            "succeeded"
        );
    }

    // A schedule that falls due each second begins runs by itself, over a server's death, each time once.
    cluster
        .place
        .file("nightly.yaml", &NIGHTLY.replace("every: 1h", "every: 1s"));
    let deployed = cluster.json(&["deploy", "nightly.yaml"]);
    assert_eq!(deployed[0]["workflow"]["version"], 2);
    let count = || {
        let runs = cluster.json(&["runs", "--workflow", "nightly", "-n", "1000"]);
        runs.as_array().unwrap().len()
    };
    let before = count();
    eventually("the schedule begins runs", || count() > before + 2);
    let schedules = cluster.json(&["schedules"]);
    assert_eq!(
        (&schedules[0]["rule"], &schedules[0]["enabled"]),
        (&"every 1s".into(), &true.into())
    );
    cluster.kill_server(0);
    cluster.restart_server(0);
    let before = {
        let runs = cluster.json(&["runs", "--workflow", "nightly", "-n", "1000"]);
        runs.as_array().unwrap().len()
    };
    eventually("the next server goes on", || {
        let runs = cluster.json(&["runs", "--workflow", "nightly", "-n", "1000"]);
        runs.as_array().unwrap().len() > before + 1
    });
    cluster.json(&["retire", "nightly"]);
    assert_eq!(cluster.json(&["schedules"]), Value::Array(Vec::new()));
    let versions = cluster.json(&["workflows", "nightly"]);
    assert_eq!(versions.as_array().unwrap().len(), 2, "they stay listed");
    assert_eq!(cluster.json(&["workflows"]), Value::Array(Vec::new()));
}
