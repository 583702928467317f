//! A whole workflow with its lake in S3 gives the rows that it gives with a folder.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use marquetry_tests::{Cluster, Dice, Place, Table, repository, said};
use serde_json::Value;

use super::faults::Fault;
use super::server::{BUCKET, S3Server, SECRET};

const SEED: u64 = 20_261_128;
const ROWS: &str = "6000";
/// What follows from the orders alone, not from when the run was submitted.
const OUTPUTS: [&str; 6] = [
    "customers",
    "rfm",
    "scaled",
    "segments",
    "lifecycle",
    "profile",
];
/// Requests of a hundred that meet a fault.
const PERCENT: u64 = 10;

/// Orders, and what the same workflow makes of them with its lake in a folder.
struct Undisturbed {
    place: Place,
    tables: Vec<Table>,
}

impl Undisturbed {
    fn new() -> Self {
        let place = Place::new();
        let sample = [
            "sample", "orders", "--rows", ROWS, "--seed", "1", "--out", "orders",
        ];
        let sample = place.run(&sample);
        assert!(sample.status.success(), "{}", said(&sample));
        let settings = settings(&place);
        let mut arguments = vec!["run".to_owned(), workflow()];
        arguments.extend(settings);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let view = place.json(&arguments);
        assert_eq!(view["status"], "succeeded", "{view:#}");
        let tables = tables(|arguments| place.command(arguments), place.path(), "latest");
        Self { place, tables }
    }

    fn assert_same(&self, tables: &[Table]) {
        for ((output, expected), found) in OUTPUTS.iter().zip(&self.tables).zip(tables) {
            found.assert_same(expected, output);
        }
    }
}

fn workflow() -> String {
    let path = repository().join("workflows/retail.yaml");
    path.to_str().unwrap().to_owned()
}

/// The options that say which orders.
fn settings(orders: &Place) -> [String; 4] {
    let orders = orders.path().join("orders/*.parquet");
    [
        "--set".to_owned(),
        format!("orders={}", orders.display()),
        "--set".to_owned(),
        format!("sample_rows={ROWS}"),
    ]
}

/// The compared outputs of a run, by the commands of whoever has its lake.
fn tables(command: impl Fn(&[&str]) -> Command, folder: &Path, run: &str) -> Vec<Table> {
    let exported = |output: &&str| {
        let dataset = format!("{run}/{output}");
        let export = ["export", &dataset, "--format", "parquet", "--out", "table"];
        let exported = command(&export).output().unwrap();
        assert!(exported.status.success(), "{output}: {}", said(&exported));
        Table::read(&folder.join("table"), &[])
    };
    OUTPUTS.iter().map(exported).collect()
}

/// A server and two workers on a lake in S3.
fn cluster(server: &S3Server, prefix: &str) -> Cluster {
    let mut environment = server.environment(SECRET, 20);
    let lake = format!("s3://{BUCKET}/{prefix}");
    environment.push(("MARQUETRY_LAKE".to_owned(), lake));
    // Every word that can be said, to be searched for secrets.
    environment.push(("MARQUETRY_LOG".to_owned(), "debug".to_owned()));
    let mut cluster = Cluster::start_with(&environment, &[]);
    for _ in 0..2 {
        cluster.add_worker(&WORKER);
    }
    cluster
}

const WORKER: [&str; 4] = ["--slots", "2", "--threads", "1"];

fn assert_nobody_told(cluster: &Cluster) {
    let logs = cluster.logs();
    assert!(!logs.is_empty());
    assert!(!logs.contains(SECRET), "a log holds the store's secret");
}

fn submit(cluster: &Cluster, undisturbed: &Undisturbed) -> String {
    let settings = settings(&undisturbed.place);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    cluster.submit(&workflow(), &settings)
}

fn assert_same_run(cluster: &Cluster, run: &str, undisturbed: &Undisturbed) -> Value {
    let shown = cluster.show(run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let command = |arguments: &[&str]| cluster.command(arguments);
    undisturbed.assert_same(&tables(command, cluster.place.path(), run));
    shown
}

#[test]
fn a_workflow_gives_the_rows_of_a_local_one_in_one_process_and_in_many() {
    let undisturbed = Undisturbed::new();
    let server = S3Server::start();

    let place = Place::with_environment(&server.environment(SECRET, 20));
    let lake = format!("s3://{BUCKET}/alone");
    let (workflow, settings) = (workflow(), settings(&undisturbed.place));
    let mut arguments = vec!["run", &workflow, "--lake", &lake];
    arguments.extend(settings.iter().map(String::as_str));
    let view = place.json(&arguments);
    assert_eq!(view["status"], "succeeded", "{view:#}");
    let command = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.args(["--lake", &lake]);
        command
    };
    undisturbed.assert_same(&tables(command, place.path(), "latest"));

    let cluster = cluster(&server, "many");
    let mut arguments = vec!["submit", &workflow, "--wait", "--output", "json"];
    arguments.extend(settings.iter().map(String::as_str));
    let submitted = cluster.command(&arguments).output().unwrap();
    assert!(submitted.status.success(), "{}", said(&submitted));
    let shown: Value = serde_json::from_slice(&submitted.stdout).unwrap();
    assert_same_run(&cluster, shown["id"].as_str().unwrap(), &undisturbed);
    assert_nobody_told(&cluster);
    // In that lake, and nowhere else.
    assert!(!cluster.place.path().join("marquetry-data/lake").exists());
}

#[test]
fn a_workflow_gives_the_same_rows_where_the_store_fails_and_workers_are_killed() {
    let undisturbed = Undisturbed::new();
    let server = S3Server::start();
    server.faults.begin(SEED, PERCENT, &Fault::ALL);
    let mut cluster = cluster(&server, "disturbed");
    let run = submit(&cluster, &undisturbed);
    let mut dice = Dice::new(SEED);
    // Fewer than make a stage fail that is lost again and again.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(300 + dice.below(500)));
        let victim = usize::try_from(dice.below(2)).unwrap();
        cluster.replace_worker(victim, &WORKER);
    }
    let shown = cluster.watch(&run);
    let met = server.faults.all_met();
    assert!(met > 10, "{met} of {} requests", server.faults.requests());
    server.faults.end();
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_same_run(&cluster, &run, &undisturbed);
    assert_nobody_told(&cluster);
}
