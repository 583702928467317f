//! A worker or the server dies in the middle of a stage.

use std::time::{Duration, Instant};

use marquetry_tests::Cluster;
use serde_json::Value;

const SLEEPS: &str = "
marquetry: v1
name: sleeps
stages:
  before: { uses: probe/nothing, with: {} }
  sleep: { uses: probe/sleep, with: { milliseconds: 2000 }, needs: [before] }
  after: { uses: probe/nothing, with: {}, needs: [sleep] }
";

fn stage<'a>(shown: &'a Value, name: &str) -> &'a Value {
    let stages = shown["stages"].as_array().unwrap();
    stages.iter().find(|it| it["name"] == name).unwrap()
}

fn attempts(shown: &Value, name: &str) -> usize {
    stage(shown, name)["attempts"].as_array().unwrap().len()
}

#[test]
fn a_stage_of_a_killed_worker_runs_again_on_another_one() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("sleeps.yaml", SLEEPS);
    cluster.add_worker(&["--slots", "1", "--name", "first"]);
    let run = cluster.submit("sleeps.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    cluster.add_worker(&["--slots", "1", "--name", "second"]);
    cluster.kill_worker(0);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let sleep = stage(&shown, "sleep");
    assert_eq!(sleep["attempts"][0]["end"], "lost", "{sleep:#}");
    assert_eq!(sleep["attempts"][1]["end"], "succeeded", "{sleep:#}");
    assert_eq!(
        (attempts(&shown, "before"), attempts(&shown, "after")),
        (1, 1)
    );
}

#[test]
fn no_stage_runs_twice_when_the_server_is_killed_and_comes_back() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("sleeps.yaml", SLEEPS);
    cluster.add_worker(&["--slots", "1"]);
    let run = cluster.submit("sleeps.yaml", &["--request-id", "only-one"]);
    cluster.wait_for_stage(&run, "sleep", "running");
    cluster.kill_server();
    cluster.restart_server();
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    for name in ["before", "sleep", "after"] {
        assert_eq!(attempts(&shown, name), 1, "{shown:#}");
    }
    let again = cluster.submit("sleeps.yaml", &["--request-id", "only-one"]);
    assert_eq!(again, run, "one request is one run");
}

#[test]
fn a_drained_worker_finishes_what_it_runs_and_takes_nothing_new() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("sleeps.yaml", SLEEPS);
    cluster.add_worker(&["--slots", "1", "--name", "old"]);
    let run = cluster.submit("sleeps.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    cluster.add_worker(&["--slots", "1", "--name", "new"]);
    let old = cluster.worker_process(0);
    let asked = std::process::Command::new("kill")
        .args(["-TERM", &old.id().to_string()])
        .status();
    assert!(asked.unwrap().success());
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = old.try_wait().unwrap() {
            break status;
        }
        assert!(asked.elapsed() < Duration::from_secs(60), "it never ends");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let by = |name: &str| {
        stage(&shown, name)["attempts"][0]["worker"]
            .as_str()
            .unwrap()
    };
    assert!(by("sleep").starts_with("old-"), "{shown:#}");
    assert!(by("after").starts_with("new-"), "{shown:#}");
    assert_eq!(attempts(&shown, "sleep"), 1);
}
