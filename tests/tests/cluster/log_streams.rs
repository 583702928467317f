//! Logs of runs from a server, by someone who has no access to the lake.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use marquetry_tests::{Cluster, Place, eventually, said};
use serde_json::Value;

const NOISY: &str = "
marquetry: v1
name: noisy
stages:
  first:
    uses: ingest/files
    with: { path: names.csv, columns: { customer_id: int64, region: string } }
  pause: { uses: probe/sleep, with: { milliseconds: 2500 }, needs: [first] }
  last:
    uses: ingest/files
    needs: [pause]
    with: { path: names.csv, columns: { customer_id: int64, region: string } }
  gone:
    uses: ingest/files
    if: always()
    needs: [last]
    retry: { attempts: 1 }
    with: { path: missing.csv, columns: { customer_id: int64 } }
";

fn cluster() -> Cluster {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("noisy.yaml", NOISY);
    cluster
        .place
        .file("names.csv", "customer_id,region\n2,south\n1,north\n");
    cluster.add_worker(&["--slots", "1"]);
    cluster
}

/// The lines of a run as JSON, asked for from elsewhere.
fn logs(cluster: &Cluster, arguments: &[&str]) -> Vec<Value> {
    let elsewhere = Place::new();
    let output = cluster
        .command(&["logs", "--output", "json"])
        .args(arguments)
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn whoever_follows_gets_every_line_once_whatever_happens_to_the_server() {
    let mut cluster = cluster();
    let run = cluster.submit("noisy.yaml", &["--base-dir", "."]);
    let elsewhere = Place::new();
    let mut following = cluster
        .command(&["logs", &run, "--follow", "--output", "json"])
        .current_dir(elsewhere.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["stage"], "first", "{first}");
    cluster.wait_for_stage(&run, "pause", "running");
    cluster.kill_server(0);
    cluster.restart_server(0);
    let mut followed = vec![first];
    // It ends by itself when the run has ended.
    followed.extend(lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()));
    eventually("it ends", || following.try_wait().unwrap().is_some());
    let shown = cluster.show(&run);
    assert_eq!(shown["status"], "failed", "{shown:#}");
    let mut kept = logs(&cluster, &[&run]);
    let key = |line: &Value| line.to_string();
    kept.sort_by_key(key);
    followed.sort_by_key(key);
    assert_eq!(followed, kept);
    let of = |stage: &str| kept.iter().filter(|line| line["stage"] == stage).count();
    assert!(
        of("first") > 0 && of("last") > 0 && of("gone") > 0,
        "{kept:#?}"
    );
}

#[test]
fn lines_can_be_chosen() {
    let cluster = cluster();
    let run = cluster.submit("noisy.yaml", &["--base-dir", "."]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "failed", "{shown:#}");
    let all = logs(&cluster, &[&run]);
    let last = logs(&cluster, &[&run, "last"]);
    let expected: Vec<&Value> = all.iter().filter(|line| line["stage"] == "last").collect();
    assert!(
        !expected.is_empty() && expected.len() < all.len(),
        "{all:#?}"
    );
    assert_eq!(last.iter().collect::<Vec<_>>(), expected);
    assert_eq!(logs(&cluster, &[&run, "--tail", "1"]), all[all.len() - 1..]);
    let error = all.iter().find(|line| line["line"]["level"] == "error");
    assert!(
        error.is_some_and(|line| line["stage"] == "gone"),
        "{all:#?}"
    );
    let unknown = cluster
        .command(&["logs", &run, "nothing"])
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
    assert!(
        said(&unknown).contains("has no stage `nothing`"),
        "{}",
        said(&unknown)
    );
}
