//! A stage that blocks, grows or crashes ends, and takes nothing with it.

use marquetry_tests::{Cluster, eventually, lives};
use serde_json::Value;

fn workflow(uses: &str, with: &str) -> String {
    format!(
        "
marquetry: v1
name: probe
stages:
  probe:
    uses: {uses}
    with: {with}
    memory: 64MiB
    retry: {{ attempts: 1 }}
"
    )
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::start(&[]);
    for (name, uses, with) in [
        ("nothing", "probe/nothing", "{}"),
        (
            "sleep",
            "probe/sleep",
            "{ milliseconds: 600000, blocks: true }",
        ),
        (
            "memory",
            "probe/memory",
            "{ mib: 1024, milliseconds: 60000 }",
        ),
        ("crash", "probe/crash", "{}"),
    ] {
        cluster
            .place
            .file(&format!("{name}.yaml"), &workflow(uses, with));
    }
    cluster.add_worker(&["--slots", "1", "--cancel-patience", "0"]);
    cluster
}

/// The worker takes the next stage as if nothing had happened.
fn the_worker_lives(cluster: &mut Cluster) {
    let shown = cluster.watch(&cluster.submit("nothing.yaml", &[]));
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(cluster.worker_process(0).try_wait().unwrap(), None);
}

fn error(shown: &Value) -> (&str, &str) {
    let error = &shown["error"];
    (
        error["code"].as_str().unwrap(),
        error["message"].as_str().unwrap(),
    )
}

#[test]
fn cancelling_ends_a_stage_that_blocks_its_thread_and_heeds_nothing() {
    let mut cluster = cluster();
    let run = cluster.submit("sleep.yaml", &[]);
    cluster.wait_for_stage(&run, "probe", "running");
    let cancelled = cluster.command(&["cancel", &run]).output().unwrap();
    assert!(cancelled.status.success());
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "cancelled", "{shown:#}");
    the_worker_lives(&mut cluster);
}

#[test]
fn a_stage_that_grows_beyond_its_memory_is_killed_and_says_so() {
    let mut cluster = cluster();
    let shown = cluster.watch(&cluster.submit("memory.yaml", &[]));
    let (code, message) = error(&shown);
    assert_eq!(code, "MQ0804", "{shown:#}");
    assert!(message.contains("may use 64 MiB"), "{message}");
    the_worker_lives(&mut cluster);
}

#[test]
fn a_stage_that_crashes_fails_alone() {
    let mut cluster = cluster();
    let shown = cluster.watch(&cluster.submit("crash.yaml", &[]));
    let (code, message) = error(&shown);
    assert_eq!(code, "MQ0808", "{shown:#}");
    assert_eq!(message, "the stage's process was killed by signal 6");
    the_worker_lives(&mut cluster);
}

#[test]
fn the_hosts_of_a_killed_worker_end_with_it_whatever_they_run() {
    let mut cluster = cluster();
    let run = cluster.submit("sleep.yaml", &[]);
    cluster.wait_for_stage(&run, "probe", "running");
    let hosts = cluster.hosts_of(0);
    assert_eq!(hosts.len(), 1, "one slot, one host");
    cluster.kill_worker(0);
    eventually("they end", || !hosts.iter().any(|host| lives(*host)));
}
