//! A worker or the server dies in the middle of a stage.

use std::time::{Duration, Instant};

use marquetry_journal::testing::PostgresServer;
use marquetry_tests::{Cluster, attempts, send, stage};

const SLEEPS: &str = "
marquetry: v1
name: sleeps
stages:
  before: { uses: probe/nothing, with: {} }
  sleep: { uses: probe/sleep, with: { milliseconds: 2000 }, needs: [before] }
  after: { uses: probe/nothing, with: {}, needs: [sleep] }
";

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
        (
            attempts(&shown, "before").len(),
            attempts(&shown, "after").len()
        ),
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
    cluster.kill_server(0);
    cluster.restart_server(0);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    for name in ["before", "sleep", "after"] {
        assert_eq!(attempts(&shown, name).len(), 1, "{shown:#}");
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
    send(old.id(), "TERM");
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
    assert_eq!(attempts(&shown, "sleep").len(), 1);
}

/// Two servers on one PostgreSQL, the first of which leads, and a worker that knows both.
fn pair() -> Option<(PostgresServer, Cluster)> {
    let postgres = PostgresServer::start()?;
    let mut cluster = Cluster::start(&["--journal", &postgres.new_journal()]);
    cluster.add_server();
    cluster.place.file("sleeps.yaml", SLEEPS);
    cluster.add_worker(&["--slots", "1"]);
    Some((postgres, cluster))
}

#[test]
fn the_second_server_leads_within_five_seconds_of_the_firsts_death() {
    let Some((_postgres, mut cluster)) = pair() else {
        return;
    };
    let run = cluster.submit("sleeps.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    cluster.kill_server(0);
    let died = Instant::now();
    // The client waits for whoever leads.
    let next = cluster.submit("sleeps.yaml", &[]);
    let took = died.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    for run in [run, next] {
        let shown = cluster.watch(&run);
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
        assert_eq!(
            attempts(&shown, "sleep").len(),
            1,
            "no stage runs twice: {shown:#}"
        );
    }
}

#[test]
fn a_leader_that_was_paused_wakes_up_as_a_follower() {
    let Some((_postgres, cluster)) = pair() else {
        return;
    };
    let run = cluster.submit("sleeps.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    cluster.signal_server(0, "STOP");
    let paused = Instant::now();
    let second = cluster.url(1).to_owned();
    let at_second = |arguments: &[&str]| {
        let mut command = cluster.command(arguments);
        command
            .env("MARQUETRY_COORDINATOR", &second)
            .output()
            .unwrap()
    };
    let submitted = at_second(&["submit", "sleeps.yaml"]);
    assert!(submitted.status.success(), "{submitted:?}");
    let took = paused.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    cluster.signal_server(0, "CONT");
    let first = cluster.url(0).to_owned();
    // It names the leader, whom the client then asks.
    let through_first = cluster
        .command(&["submit", "sleeps.yaml"])
        .env("MARQUETRY_COORDINATOR", &first)
        .output()
        .unwrap();
    assert!(through_first.status.success(), "{through_first:?}");
    for submitted in [&submitted, &through_first] {
        let run = String::from_utf8(submitted.stdout.clone()).unwrap();
        let shown = cluster.watch(run.trim());
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
    }
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(
        attempts(&shown, "sleep").len(),
        1,
        "no stage runs twice: {shown:#}"
    );
}

#[test]
fn runs_go_on_when_the_database_was_killed_and_comes_back() {
    let Some((mut postgres, cluster)) = pair() else {
        return;
    };
    let run = cluster.submit("sleeps.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    postgres.kill();
    std::thread::sleep(Duration::from_millis(2500));
    postgres.restart();
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(
        attempts(&shown, "sleep").len(),
        1,
        "no stage runs twice: {shown:#}"
    );
}
