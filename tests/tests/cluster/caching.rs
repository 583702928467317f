//! Stages whose outputs are used again: by other runs, over a server that is killed, and not when they are gone.

use std::path::{Path, PathBuf};

use marquetry_tests::{Cluster, attempts, said, stage};
use serde_json::Value;

const ORDERS: &str = "customer,amount\nann,3.5\nbob,4.0\nann,1.5\n";

const SHOP: &str = "
marquetry: v1
name: shop
params: { least: { type: float, default: 0.0 } }
stages:
  orders: { uses: ingest/files, with: { path: orders.csv } }
  totals:
    uses: features/sql
    cache: true
    with:
      inputs: { orders: \"${{ stages.orders }}\" }
      file: totals.sql
  best:
    uses: features/sql
    cache: { max_age: 7d }
    with:
      inputs: { totals: \"${{ stages.totals }}\" }
      query: \"select customer from totals where total > ${{ params.least }} order by total\"
";

const TOTALS: &str = "select customer, sum(amount) as total from orders group by customer";

fn cluster() -> Cluster {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("orders.csv", ORDERS);
    cluster.place.file("totals.sql", TOTALS);
    cluster.place.file("shop.yaml", SHOP);
    cluster.add_worker(&["--slots", "2"]);
    cluster
}

/// The run at the beginning of which a stage was computed, by what it says of itself.
fn computed_in(shown: &Value, name: &str) -> Option<String> {
    let last = attempts(shown, name).last().unwrap();
    last["reused"]["run"].as_str().map(str::to_owned)
}

fn run(cluster: &Cluster, more: &[&str]) -> Value {
    let shown = cluster.watch(&cluster.submit("shop.yaml", more));
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    shown
}

fn id(shown: &Value) -> Option<String> {
    shown["id"].as_str().map(str::to_owned)
}

/// The Parquet objects of a stage of a run.
fn objects(cluster: &Cluster, run: &Value, name: &str) -> Vec<PathBuf> {
    let manifest = &stage(run, name)["outputs"]["rows"]["manifest"];
    let lake = cluster.place.path().join("marquetry-data/lake");
    let folder = lake.join(Path::new(manifest.as_str().unwrap()).parent().unwrap());
    let objects = std::fs::read_dir(folder).unwrap();
    let objects = objects.map(|object| object.unwrap().path());
    objects
        .filter(|path| path.extension().is_some_and(|it| it == "parquet"))
        .collect()
}

#[test]
fn what_was_computed_is_used_again_and_what_changed_is_computed() {
    let mut cluster = cluster();
    let first = run(&cluster, &[]);
    assert_eq!(computed_in(&first, "totals"), None);
    // Another coordinator knows it as well.
    cluster.kill_server(0);
    cluster.restart_server(0);
    let second = run(&cluster, &[]);
    assert_eq!(computed_in(&second, "orders"), None, "it reads the world");
    assert_eq!(computed_in(&second, "totals"), id(&first), "{second:#}");
    assert_eq!(computed_in(&second, "best"), id(&first), "{second:#}");
    let manifest = |shown: &Value| stage(shown, "best")["outputs"]["rows"]["manifest"].clone();
    assert_eq!(manifest(&second), manifest(&first));
    let words = said(&cluster.command(&["show", "latest"]).output().unwrap());
    assert!(
        words.contains(&format!("as in run {}", id(&first).unwrap())),
        "{words}"
    );

    // Another option changes one stage.
    let third = run(&cluster, &["--set", "least=4.5"]);
    assert!(computed_in(&third, "totals").is_some());
    assert_eq!(computed_in(&third, "best"), None);
    assert_eq!(stage(&third, "best")["outputs"]["rows"]["rows"], 1);
    // Other data changes all that follows from it.
    cluster
        .place
        .file("orders.csv", &format!("{ORDERS}cid,9.0\n"));
    let fourth = run(&cluster, &[]);
    assert_eq!(computed_in(&fourth, "totals"), None);
    assert_eq!(stage(&fourth, "best")["outputs"]["rows"]["rows"], 3);
    // Another file that a stage names changes that stage; its rows are the same, so nothing follows.
    cluster
        .place
        .file("totals.sql", &format!("-- sums\n{TOTALS}"));
    let fifth = run(&cluster, &[]);
    assert_eq!(computed_in(&fifth, "totals"), None);
    let anew = run(&cluster, &["--no-cache"]);
    assert_eq!(computed_in(&anew, "totals"), None);
}

#[test]
fn what_is_gone_is_computed_again() {
    let cluster = cluster();
    let first = run(&cluster, &[]);
    let second = run(&cluster, &[]);
    assert_eq!(computed_in(&second, "totals"), id(&first));
    for object in objects(&cluster, &first, "totals") {
        std::fs::remove_file(object).unwrap();
    }
    let third = run(&cluster, &[]);
    let ends: Vec<&Value> = attempts(&third, "totals")
        .iter()
        .map(|it| &it["end"])
        .collect();
    assert_eq!(ends, ["failed", "succeeded"], "{third:#}");
    assert_eq!(attempts(&third, "totals")[0]["code"], "MQ0503");
    assert_eq!(computed_in(&third, "totals"), None);
    let fourth = run(&cluster, &[]);
    assert_eq!(
        computed_in(&fourth, "totals"),
        id(&third),
        "it is there again"
    );
    // Whoever asks for a stage to be done again gets that.
    let again = cluster.json(&["retry", &id(&fourth).unwrap(), "--from", "totals", "--wait"]);
    assert_eq!(computed_in(&again, "totals"), None, "{again:#}");
}

#[test]
fn a_workflow_in_a_process_of_its_own_uses_what_another_one_computed() {
    let cluster = cluster();
    let alone = || {
        let mut command = cluster.command(&["run", "shop.yaml", "--output", "json"]);
        command.env_remove("MARQUETRY_COORDINATOR");
        command.env("MARQUETRY_DATA_DIR", cluster.place.path().join("alone"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let first = alone();
    assert_eq!(first["status"], "succeeded", "{first:#}");
    let second = alone();
    assert_eq!(computed_in(&second, "best"), id(&first), "{second:#}");
}
