//! Queries over several workers: the rows of one, with whoever should not out, and with a worker that dies
//! in the middle.

use std::path::Path;

use marquetry_tests::{Cluster, Place, Table, eventually, said};
use serde_json::Value;

use crate::certificates::certify;

/// Features of customers both ways, and a query.
const FEATURES: &str = r#"
marquetry: v1
name: features
defaults: { parallelism: cluster }
stages:
  orders:
    uses: ingest/files
    with: { path: "data/orders/*.parquet" }
  spread:
    uses: features/customer
    with: &customer
      orders: "${{ stages.orders }}"
      cancelled: cancelled
      as_of: "2025-01-01T00:00:00Z"
      top: [country, channel]
  local:
    uses: features/customer
    parallelism: local
    with: *customer
"#;

/// A query that takes its time: every line of an order beside every other of its day and channel.
const SLOW: &str = r#"
marquetry: v1
name: slow
stages:
  orders:
    uses: ingest/files
    with: { path: "data/orders/*.parquet" }
  pairs:
    uses: features/sql
    parallelism: PARALLELISM
    with:
      inputs: { orders: "${{ stages.orders }}" }
      query: >
        SELECT l.channel, count(*) AS pairs, sum(sqrt(l.unit_price * r.unit_price)) AS likeness,
               sum(ln(1.0 + l.unit_price + r.unit_price)) AS size
        FROM orders l JOIN orders r ON l.channel = r.channel AND l.country = r.country
        GROUP BY l.channel ORDER BY l.channel
"#;

pub(crate) fn cluster(workers: usize, rows: u32) -> Cluster {
    cluster_with(workers, rows, &[])
}

/// The same, with more arguments of every worker.
fn cluster_with(workers: usize, rows: u32, more: &[&str]) -> Cluster {
    let mut cluster = Cluster::start(&[]);
    let rows = rows.to_string();
    let sampled = cluster.place.run(&["sample", "orders", "--rows", &rows]);
    assert!(sampled.status.success(), "{}", said(&sampled));
    for number in 0..workers {
        let name = format!("w{number}");
        let plane = ["--data-plane", "127.0.0.1:0"];
        let own = ["--name", &name, "--slots", "1", "--threads", "1"];
        cluster.add_worker(&[&own[..], &plane[..], more].concat());
    }
    wait_for_planes(&cluster, workers);
    cluster
}

/// Waits until so many workers are there with their data planes.
pub(crate) fn wait_for_planes(cluster: &Cluster, workers: usize) {
    eventually("every worker is there with its data plane", || {
        planes(cluster).len() == workers
    });
}

/// The data planes of the workers that are there.
fn planes(cluster: &Cluster) -> Vec<String> {
    let listed = cluster.command(&["workers", "--output", "json"]).output();
    let listed: Value = serde_json::from_slice(&listed.unwrap().stdout).unwrap();
    let workers = listed.as_array().unwrap().iter();
    let planes = workers.filter_map(|worker| worker["data_plane"].as_str());
    planes.map(str::to_owned).collect()
}

/// The rows of a dataset, by their key.
pub(crate) fn rows(cluster: &Cluster, dataset: &str, key: &str) -> Table {
    let file = cluster.place.path().join("exported");
    let out = file.to_str().unwrap();
    let exported = cluster
        .place
        .run(&["export", dataset, "--format", "parquet", "--out", out]);
    assert!(exported.status.success(), "{}", said(&exported));
    Table::read(&file, &[key])
}

/// What the log of a stage says of queries that were spread: over how many workers each.
pub(crate) fn spread(cluster: &Cluster, run: &str, stage: &str) -> Vec<u64> {
    let logs = cluster.place.run(&["logs", run, stage, "--output", "json"]);
    assert!(logs.status.success(), "{}", said(&logs));
    let entries: Vec<Value> = serde_json::from_slice(&logs.stdout).unwrap();
    let said = entries
        .iter()
        .map(|entry| &entry["line"])
        .filter(|line| line["message"] == "a query was spread over workers");
    said.map(|line| {
        let fields = &line["fields"];
        assert!(fields["bytes_exchanged"].as_u64() > Some(0), "{line}");
        fields["workers"].as_u64().unwrap()
    })
    .collect()
}

#[test]
fn features_over_two_workers_are_those_of_one() {
    let cluster = cluster(2, 20_000);
    cluster.place.file("features.yaml", FEATURES);
    let run = cluster.submit("features.yaml", &[]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(spread(&cluster, &run, "local"), Vec::<u64>::new());
    let over = spread(&cluster, &run, "spread");
    assert!(
        !over.is_empty() && over.iter().all(|workers| *workers == 2),
        "{over:?}"
    );
    let local = rows(&cluster, &format!("{run}/local"), "customer_id");
    let spread = rows(&cluster, &format!("{run}/spread"), "customer_id");
    spread.assert_same(&local, "features");
}

/// A slow stage over three workers that has begun, and one of them that has a part of it and not the stage.
pub(crate) struct Begun {
    cluster: Cluster,
    run: String,
    victim: usize,
    stage: &'static str,
    key: &'static str,
    /// What the stage gives.
    expected: Table,
}

impl Begun {
    fn new() -> Self {
        Self::of(SLOW, 12_000, "pairs", "channel")
    }

    /// A workflow with a `PARALLELISM`, over so many lines of orders; the slow stage, and the key of what it
    /// gives.
    pub(crate) fn of(workflow: &str, lines: u32, stage: &'static str, key: &'static str) -> Self {
        let cluster = cluster(3, lines);
        for parallelism in ["local", "cluster"] {
            let text = workflow.replace("PARALLELISM", parallelism);
            cluster.place.file(&format!("{parallelism}.yaml"), &text);
        }
        let local = cluster.submit("local.yaml", &[]);
        assert_eq!(cluster.watch(&local)["status"], "succeeded");
        let expected = rows(&cluster, &format!("{local}/{stage}"), key);

        let run = cluster.submit("cluster.yaml", &[]);
        cluster.wait_for_stage(&run, stage, "running");
        let (attempt, worker) = latest(&cluster.show(&run), stage);
        assert_eq!(attempt, 1);
        let runs_on = usize::from(worker.as_bytes()[1] - b'0');
        let victim = (runs_on + 1) % 3;
        let plane = plane_of(&cluster, victim);
        let idle = processor_ticks(plane);
        eventually("it works on its part", || {
            processor_ticks(plane) > idle + 10
        });
        Self {
            cluster,
            run,
            victim,
            stage,
            key,
            expected,
        }
    }

    /// Kills the victim: that fails the attempt, and the next one gives the same without it.
    pub(crate) fn goes_on_without_the_victim(mut self) {
        self.cluster.kill_worker(self.victim);
        let attempts = self.end();
        assert_eq!(attempts.len(), 2, "{attempts:#?}");
        let why = attempts[0]["why"].as_str().unwrap();
        let lost = "a worker that had a part of a query was lost";
        assert!(why.contains(lost), "{why}");
        let over = spread(&self.cluster, &self.run, self.stage);
        assert_eq!(over.last(), Some(&2), "the two that are left");
    }

    /// The attempts at the stage once it has succeeded, with the rows that it should have.
    fn end(&self) -> Vec<Value> {
        let shown = self.cluster.watch(&self.run);
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
        let dataset = format!("{}/{}", self.run, self.stage);
        let found = rows(&self.cluster, &dataset, self.key);
        found.assert_same(&self.expected, self.stage);
        let stages = shown["stages"].as_array().unwrap();
        let slow = stages.iter().find(|stage| stage["name"] == self.stage);
        slow.unwrap()["attempts"].as_array().unwrap().clone()
    }
}

#[test]
fn a_worker_that_dies_within_a_query_fails_the_attempt_and_the_next_one_succeeds_without_it() {
    Begun::new().goes_on_without_the_victim();
}

#[test]
fn a_worker_that_drains_finishes_its_part_of_a_query_before_it_ends() {
    let mut begun = Begun::new();
    let victim = begun.victim;
    let process = begun.cluster.worker_process(victim).id();
    marquetry_tests::send(process, "TERM");
    let attempts = begun.end();
    assert_eq!(attempts.len(), 1, "{attempts:#?}");
    let over = spread(&begun.cluster, &begun.run, "pairs");
    assert_eq!(over.last(), Some(&3));
    eventually("it ends", || {
        let process = begun.cluster.worker_process(victim);
        process.try_wait().unwrap().is_some()
    });
}

#[test]
fn a_data_plane_that_dies_is_back_behind_the_same_address() {
    let cluster = cluster(2, 5_000);
    let before = planes(&cluster);
    let plane = plane_of(&cluster, 0);
    marquetry_tests::send(plane, "KILL");
    eventually("another takes its place", || {
        children(&cluster, 0)
            .into_iter()
            .any(|child| child != plane)
    });
    cluster.place.file("features.yaml", FEATURES);
    let run = cluster.submit("features.yaml", &[]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(spread(&cluster, &run, "spread").first(), Some(&2));
    assert_eq!(planes(&cluster), before);
}

#[test]
fn data_planes_speak_tls_and_let_in_nobody_without_the_secret_of_the_reign() {
    let files = Place::new();
    certify(&files, &[("plane", "127.0.0.1")]);
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (authority, certificate, key) =
        (path("authority.pem"), path("plane.pem"), path("plane.key"));
    let tls = [
        "--authority",
        &authority,
        "--data-plane-certificate",
        &certificate,
        "--data-plane-key",
        &key,
    ];
    let mut cluster = cluster_with(2, 5_000, &tls);
    cluster.place.file("features.yaml", FEATURES);
    let planes = planes(&cluster);
    assert!(
        planes.iter().all(|plane| plane.starts_with("https://")),
        "{planes:?}"
    );
    for token in ["", "mq_guessed"] {
        let stranger = cluster
            .place
            .command(&[
                "runs",
                "--coordinator",
                &planes[0],
                "--authority",
                &authority,
            ])
            .env("MARQUETRY_TOKEN", token)
            .output()
            .unwrap();
        let said = said(&stranger);
        assert!(
            !stranger.status.success() && said.contains("does not know the secret"),
            "{said}"
        );
    }
    // The next reign has another secret, and everybody hears of it.
    for _ in 0..2 {
        // They hear of it a moment after they are back.
        eventually("queries are spread", || {
            let run = cluster.submit("features.yaml", &[]);
            let shown = cluster.watch(&run);
            assert_eq!(shown["status"], "succeeded", "{shown:#}");
            spread(&cluster, &run, "spread").first() == Some(&2)
        });
        cluster.kill_server(0);
        cluster.restart_server(0);
        eventually("the workers are back", || {
            crate::distributed::planes(&cluster).len() == 2
        });
    }
}

#[test]
fn a_data_plane_beyond_this_machine_wants_tls_or_the_word() {
    let cluster = Cluster::start(&[]);
    let refused = cluster
        .command(&["worker", "--data-plane", "0.0.0.0:0"])
        .output()
        .unwrap();
    let said = said(&refused);
    assert!(!refused.status.success(), "{said}");
    assert!(
        said.contains("there is no TLS") && said.contains("--insecure"),
        "{said}"
    );
    let unreachable = ["worker", "--data-plane", "0.0.0.0:0", "--insecure"];
    let unreachable = cluster.command(&unreachable).output().unwrap();
    let said = marquetry_tests::said(&unreachable);
    assert!(said.contains("--data-plane-url"), "{said}");
}

/// The number of a stage's latest attempt, and its worker.
fn latest(shown: &Value, stage: &str) -> (u64, String) {
    let stages = shown["stages"].as_array().unwrap();
    let stage = stages.iter().find(|it| it["name"] == stage).unwrap();
    let attempt = stage["attempts"].as_array().unwrap().last().unwrap();
    let worker = attempt["worker"].as_str().unwrap().to_owned();
    (attempt["attempt"].as_u64().unwrap(), worker)
}

/// The processes of a worker's data plane.
fn children(cluster: &Cluster, worker: usize) -> Vec<u32> {
    let hosts = cluster.hosts_of(worker).into_iter();
    let is_plane = |process: &u32| {
        let file = format!("/proc/{process}/cmdline");
        std::fs::read_to_string(Path::new(&file)).is_ok_and(|line| line.contains("data-plane"))
    };
    hosts.filter(is_plane).collect()
}

fn plane_of(cluster: &Cluster, worker: usize) -> u32 {
    let planes = children(cluster, worker);
    assert_eq!(planes.len(), 1, "{planes:?}");
    planes[0]
}

/// User and system time of a process, in hundredths of a second.
fn processor_ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
