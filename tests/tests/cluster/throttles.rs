//! Stages that share a group or a rate, over runs, workers and a server that is killed.

use marquetry_tests::{Cluster, eventually};
use serde_json::Value;

const SHARED: &str = "
marquetry: v1
name: shared
params:
  milliseconds: { type: int, default: 300 }
stages:
  load:
    uses: probe/sleep
    with: { milliseconds: \"${{ params.milliseconds }}\" }
    concurrency: { group: warehouse, limit: 2 }
";

const PACED: &str = "
marquetry: v1
name: paced
stages:
  one: { uses: probe/nothing, rate: { group: api, limit: 1, per: 1h } }
  two: { uses: probe/nothing, rate: { group: api, limit: 1, per: 1h } }
";

/// When the attempts at the stages of a run began and ended.
fn spans(shown: &Value) -> Vec<(String, String)> {
    let stages = shown["stages"].as_array().unwrap();
    let attempts = stages
        .iter()
        .flat_map(|it| it["attempts"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    attempts
        .map(|it| (text(&it["started_at"]), text(&it["finished_at"])))
        .collect()
}

#[test]
fn no_more_stages_of_a_group_run_than_its_limit_though_the_server_dies() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("shared.yaml", SHARED);
    cluster.add_worker(&["--slots", "4"]);
    cluster.add_worker(&["--slots", "4"]);
    let runs: Vec<String> = (0..6).map(|_| cluster.submit("shared.yaml", &[])).collect();
    cluster.kill_server(0);
    cluster.restart_server(0);
    let mut all: Vec<_> = runs
        .iter()
        .flat_map(|run| spans(&cluster.watch(run)))
        .collect();
    all.sort();
    assert!(all.len() >= 6);
    for (begun, _) in &all {
        // The same instant may be the end of one and the beginning of another.
        let beside = all.iter().filter(|(from, to)| from <= begun && begun < to);
        assert!(beside.count() <= 2, "at {begun}: {all:?}");
    }
}

#[test]
fn a_stage_says_that_it_waits_for_a_slot_or_for_the_rate() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("shared.yaml", SHARED);
    cluster.place.file("paced.yaml", PACED);
    cluster.add_worker(&["--slots", "8"]);
    let long = ["--set", "milliseconds=60000"];
    let first = cluster.submit("shared.yaml", &long);
    let second = cluster.submit("shared.yaml", &long);
    cluster.wait_for_stage(&first, "load", "running");
    cluster.wait_for_stage(&second, "load", "running");
    let third = cluster.submit("shared.yaml", &[]);
    let waits = |run: &str, stage: &str| {
        let shown = cluster.show(run);
        let stages = shown["stages"].as_array().unwrap();
        let stage = stages.iter().find(|it| it["name"] == stage).unwrap();
        stage["waiting_for"].as_str().unwrap_or_default().to_owned()
    };
    let slot = format!("a slot of group `warehouse` (2 of 2: {first}/load, {second}/load)");
    assert_eq!(waits(&third, "load"), slot);
    cluster.command(&["cancel", &first]).output().unwrap();
    cluster.wait_for_stage(&third, "load", "succeeded");
    let paced = cluster.submit("paced.yaml", &[]);
    eventually("the second call waits for its token", || {
        waits(&paced, "two").starts_with("rate limit `api`, next at ")
    });
}
