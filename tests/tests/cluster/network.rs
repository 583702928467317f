//! The network between workers, clients, servers and the database is cut, goes silent and is slow.

use std::process::Stdio;
use std::time::{Duration, Instant};

use marquetry_journal::testing::PostgresServer;
use marquetry_tests::{Cluster, Dice, Proxy, attempts, eventually, interrupted};
use serde_json::Value;

const SEED: u64 = 20_261_128;
const SLEEPS: &str = "
marquetry: v1
name: sleeps
stages:
  sleep: { uses: probe/sleep, with: { milliseconds: 2000 } }
  after: { uses: probe/nothing, with: {}, needs: [sleep] }
";
/// Both ends of a connection notice that nothing comes any more within this; then the lease would.
const NOTICED: Duration = Duration::from_secs(13);

fn cluster(more: &[&str]) -> Cluster {
    let cluster = Cluster::start(more);
    cluster.place.file("sleeps.yaml", SLEEPS);
    cluster
}

fn is_by(attempt: &Value, worker: &str) -> bool {
    attempt["worker"].as_str().unwrap().starts_with(worker)
}

/// A worker behind a network that the test holds, which runs the stage that sleeps, and another one that
/// waits for work.
fn sleeping(cluster: &mut Cluster) -> (Proxy, String) {
    let proxy = Proxy::to_url(cluster.url(0));
    let first = [
        "--coordinator",
        &proxy.url(),
        "--slots",
        "1",
        "--name",
        "first",
    ];
    cluster.add_worker(&first);
    let run = cluster.submit("sleeps.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    cluster.add_worker(&["--slots", "1", "--name", "second"]);
    eventually("both are there", || active(cluster) == 2);
    (proxy, run)
}

/// Workers that take stages.
fn active(cluster: &Cluster) -> usize {
    let listed = cluster
        .command(&["workers", "--output", "json"])
        .output()
        .unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let workers = listed.as_array().unwrap().iter();
    workers.filter(|worker| worker["state"] == "active").count()
}

/// The stage went to the second worker, and what the first one did counts for nothing; it is of use again.
fn the_first_was_fenced_and_works_again(cluster: &mut Cluster, run: &str) {
    let shown = cluster.watch(run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let [first, second] = attempts(&shown, "sleep") else {
        unreachable!("two attempts: {shown:#}")
    };
    assert!(
        is_by(first, "first-") && first["end"] == "lost",
        "{shown:#}"
    );
    assert!(
        is_by(second, "second-") && second["end"] == "succeeded",
        "{shown:#}"
    );
    assert_eq!(attempts(&shown, "after").len(), 1, "{shown:#}");

    cluster.kill_worker(1);
    let shown = cluster.watch(&cluster.submit("sleeps.yaml", &[]));
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let last = attempts(&shown, "sleep").last().unwrap();
    assert!(is_by(last, "first-"), "{shown:#}");
}

#[test]
fn the_result_of_a_worker_that_was_cut_off_for_longer_than_the_grace_is_refused() {
    let mut cluster = cluster(&[]);
    let (proxy, run) = sleeping(&mut cluster);
    proxy.cut();
    let cut = Instant::now();
    eventually("the stage is given to the other", || {
        attempts(&cluster.show(&run), "sleep").len() == 2
    });
    // What it ran is done by then, and it says so as soon as it can; the other one still sleeps.
    std::thread::sleep(Duration::from_millis(2100).saturating_sub(cut.elapsed()));
    proxy.heal();
    assert!(proxy.resets() > 1, "it was not cut off: {}", proxy.resets());
    the_first_was_fenced_and_works_again(&mut cluster, &run);
}

#[test]
fn a_worker_whose_network_goes_silent_is_given_up_by_the_signs_of_life() {
    let mut cluster = cluster(&[]);
    let (proxy, run) = sleeping(&mut cluster);
    proxy.silence();
    let silent = Instant::now();
    eventually("the stage is given to the other", || {
        attempts(&cluster.show(&run), "sleep").len() == 2
    });
    let took = silent.elapsed();
    assert!(took < NOTICED, "{took:?}");
    assert_eq!(proxy.resets(), 0, "nobody was told");
    proxy.heal();
    the_first_was_fenced_and_works_again(&mut cluster, &run);
}

#[test]
fn runs_end_over_a_slow_network() {
    let mut cluster = cluster(&[]);
    cluster
        .place
        .file("customers.csv", &interrupted::customers());
    cluster.place.file("killed.yaml", interrupted::WORKFLOW);
    let proxy = Proxy::to_url(cluster.url(0));
    proxy.slow_down(Duration::from_millis(50), 256 * 1024);
    let slow = proxy.url();
    cluster.add_worker(&["--coordinator", &slow, "--slots", "2", "--threads", "1"]);
    let submit = ["submit", "killed.yaml", "--wait", "--coordinator", &slow];
    for _ in 0..3 {
        let submitted = cluster.command(&submit).output().unwrap();
        assert!(submitted.status.success(), "{submitted:?}");
    }
    assert!(proxy.connections() >= 4, "all of them went through it");
    assert!(proxy.bytes() > 10_000, "{}", proxy.bytes());
}

#[test]
fn whoever_waits_for_a_run_goes_on_waiting_over_cuts_and_silence() {
    let mut cluster = cluster(&[]);
    let proxy = Proxy::to_url(cluster.url(0));
    let far = proxy.url();
    let submit = [
        "submit",
        "sleeps.yaml",
        "--wait",
        "--output",
        "json",
        "--coordinator",
        &far,
    ];
    // Longer than it takes to notice that nothing comes any more.
    for silence in [None, Some(Duration::from_millis(3500))] {
        let waiting = cluster
            .command(&submit)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let before = proxy.connections();
        eventually("it has submitted", || {
            proxy.connections() > before && !runs(&cluster).is_empty()
        });
        // Without a worker it waits until there is one.
        match silence {
            None => {
                proxy.cut();
                std::thread::sleep(Duration::from_millis(700));
            }
            Some(silence) => {
                proxy.silence();
                std::thread::sleep(silence);
            }
        }
        proxy.heal();
        let worker = cluster.add_worker(&["--slots", "1"]);
        let output = waiting.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
        cluster.kill_worker(worker);
    }
    assert_eq!(runs(&cluster).len(), 2, "each was submitted once");
}

fn runs(cluster: &Cluster) -> Vec<Value> {
    let listed = cluster
        .command(&["runs", "--output", "json"])
        .output()
        .unwrap();
    serde_json::from_slice(&listed.stdout).unwrap_or_default()
}

/// Submits runs and does something to the cluster between them; all succeed.
fn disturbed(cluster: &Cluster, runs: usize, mut disturb: impl FnMut(&mut Dice)) -> Vec<Value> {
    cluster
        .place
        .file("customers.csv", &interrupted::customers());
    cluster.place.file("killed.yaml", interrupted::WORKFLOW);
    let mut dice = Dice::new(SEED);
    let mut submitted = Vec::new();
    for number in 0..runs {
        let request_id = format!("run-{number}");
        submitted.push(cluster.submit("killed.yaml", &["--request-id", &request_id]));
        disturb(&mut dice);
    }
    let shown: Vec<Value> = submitted.iter().map(|run| cluster.watch(run)).collect();
    for run in &shown {
        assert_eq!(run["status"], "succeeded", "{run:#}");
        for stage in run["stages"].as_array().unwrap() {
            let attempts = stage["attempts"].as_array().unwrap();
            let succeeded = attempts.iter().filter(|it| it["end"] == "succeeded");
            assert_eq!(succeeded.count(), 1, "once and not twice: {run:#}");
        }
    }
    shown
}

#[test]
fn runs_end_whose_workers_are_cut_off_again_and_again() {
    let mut cluster = cluster(&[]);
    let proxies = [0, 1].map(|_| Proxy::to_url(cluster.url(0)));
    for proxy in &proxies {
        cluster.add_worker(&[
            "--coordinator",
            &proxy.url(),
            "--slots",
            "2",
            "--threads",
            "1",
        ]);
    }
    disturbed(&cluster, 20, |dice| {
        let proxy = &proxies[usize::try_from(dice.below(2)).unwrap()];
        std::thread::sleep(Duration::from_millis(dice.below(100)));
        match dice.below(3) {
            0 => proxy.silence(),
            _ => proxy.cut(),
        }
        // Within the grace, and beyond it.
        std::thread::sleep(Duration::from_millis(dice.below(800)));
        proxy.heal();
    });
    let resets: u64 = proxies.iter().map(Proxy::resets).sum();
    assert!(resets > 10, "{resets}");
}

#[test]
fn runs_go_on_when_the_database_was_cut_off() {
    let Some(postgres) = PostgresServer::start_on_tcp(None) else {
        return;
    };
    let journal = postgres.new_journal_at("127.0.0.1");
    let (before, rest) = journal.split_once("@127.0.0.1:").unwrap();
    let (port, database) = rest.split_once('/').unwrap();
    let proxy = Proxy::to(([127, 0, 0, 1], port.parse().unwrap()).into());
    let journal = format!("{before}@{}/{database}", proxy.address());
    let mut cluster = cluster(&["--journal", &journal]);
    cluster.add_worker(&["--slots", "1"]);
    let run = cluster.submit("sleeps.yaml", &[]);
    cluster.wait_for_stage(&run, "sleep", "running");
    proxy.cut();
    std::thread::sleep(Duration::from_secs(2));
    proxy.heal();
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    for stage in ["sleep", "after"] {
        assert_eq!(
            attempts(&shown, stage).len(),
            1,
            "no stage runs twice: {shown:#}"
        );
    }
    assert!(proxy.resets() > 0, "it was not cut off");
    disturbed(&cluster, 6, |dice| {
        std::thread::sleep(Duration::from_millis(dice.below(100)));
        proxy.cut();
        std::thread::sleep(Duration::from_millis(dice.below(400)));
        proxy.heal();
    });
}

#[test]
fn runs_go_on_while_the_database_is_restarted_again_and_again() {
    let Some(mut postgres) = PostgresServer::start() else {
        return;
    };
    let mut cluster = cluster(&["--journal", &postgres.new_journal()]);
    for _ in 0..2 {
        cluster.add_worker(&["--slots", "2", "--threads", "1"]);
    }
    let mut restarts = 0;
    disturbed(&cluster, 9, |dice| {
        std::thread::sleep(Duration::from_millis(dice.below(150)));
        if dice.below(3) == 0 {
            postgres.restart_immediately();
            restarts += 1;
        }
    });
    assert!(restarts > 1, "{restarts}");
}
