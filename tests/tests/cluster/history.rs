//! Runs that ended: archived, asked for, discarded, backed up and restored, and their files collected.

use std::path::Path;
use std::process::{Command, Output};

use marquetry_tests::{Cluster, eventually, said};
use serde_json::Value;

const TWO: &str = "
marquetry: v1
name: two
stages:
  first: { uses: probe/nothing, with: {} }
  second: { uses: probe/nothing, with: {}, needs: [first] }
";

fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    cluster.command(arguments).output().unwrap()
}

/// What the journal says, not the server.
fn of_journal(cluster: &Cluster, arguments: &[&str]) -> Output {
    let mut command = cluster.command(arguments);
    command
        .env_remove("MARQUETRY_COORDINATOR")
        .output()
        .unwrap()
}

fn submitted(cluster: &Cluster, count: usize) -> Vec<String> {
    let runs: Vec<_> = (0..count)
        .map(|_| cluster.submit("two.yaml", &["--wait", "--output", "json"]))
        .map(|shown| serde_json::from_str::<Value>(&shown).unwrap())
        .map(|shown| shown["id"].as_str().unwrap().to_owned())
        .collect();
    runs
}

/// Makes a file three days old.
fn age(file: &Path) {
    let mut touch = Command::new("touch");
    touch.args(["-d", "3 days ago"]).arg(file);
    assert!(touch.status().unwrap().success());
}

fn seen(cluster: &Cluster) -> Value {
    let sql =
        "select count(*) as runs, count(distinct run) as ids from runs where state = 'succeeded'";
    cluster.json(&["sql", sql])[0].clone()
}

#[test]
fn finished_runs_are_archived_and_discarded_while_servers_are_killed_and_none_is_lost_or_doubled() {
    let mut cluster = Cluster::start(&["--archive-after", "100ms", "--keep-runs", "2"]);
    cluster.place.file("two.yaml", TWO);
    cluster.add_worker(&[]);
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.extend(submitted(&cluster, 3));
        assert_eq!(seen(&cluster)["ids"], runs.len());
        cluster.kill_server(0);
        let seen = seen(&cluster);
        assert_eq!(
            (&seen["runs"], &seen["ids"]),
            (&runs.len().into(), &runs.len().into())
        );
        cluster.restart_server(0);
    }
    eventually("old runs leave the journal", || {
        cluster.json(&["runs"]).as_array().unwrap().len() == 2
    });
    let stages = cluster.json(&["sql", "select count(*) as stages from stages"]);
    assert_eq!(stages[0]["stages"], 2 * runs.len());
    let seen = seen(&cluster);
    assert_eq!(
        (&seen["runs"], &seen["ids"]),
        (&runs.len().into(), &runs.len().into())
    );

    // A run that left says where it is.
    let first = runs.first().unwrap();
    for shown in [
        run(&cluster, &["show", first]),
        of_journal(&cluster, &["show", first]),
    ] {
        assert_eq!(shown.status.code(), Some(2), "{}", said(&shown));
        assert!(said(&shown).contains("marquetry sql"), "{}", said(&shown));
    }
    let sql = format!("select state from runs where run = '{first}'");
    assert_eq!(cluster.json(&["sql", &sql])[0]["state"], "succeeded");
    // The lake alone has what was archived.
    eventually("all are archived", || {
        let lake = [
            "sql",
            "select count(*) as runs from runs",
            "--data-dir",
            "none",
        ];
        let more = ["--lake", "marquetry-data/lake", "--output", "json"];
        let output = cluster.command(&lake).args(more).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
        rows[0]["runs"] == runs.len()
    });
    // A list of all has those that left the journal, once each, with a coordinator and without.
    let all = [
        run(&cluster, &["runs", "--all", "--output", "json"]),
        of_journal(&cluster, &["runs", "--all", "--output", "json"]),
    ];
    for listed in all {
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let listed = listed.as_array().unwrap();
        let ids: Vec<_> = listed.iter().rev().map(|run| run["id"].clone()).collect();
        assert_eq!(Value::from(ids), Value::from(runs.clone()));
        let archived = listed.iter().filter(|run| run["is_archived"] == true);
        assert_eq!(archived.count(), runs.len() - 2);
    }
    let latest = cluster.json(&["runs", "--all", "--limit", "3", "--status", "succeeded"]);
    assert_eq!(latest.as_array().unwrap().len(), 3, "{latest:#}");
    let none = cluster.json(&["runs", "--all", "--workflow", "it's none"]);
    assert_eq!(none, Value::Array(Vec::new()));
    let csv = run(
        &cluster,
        &["sql", "select 1 as one, 'a,b' as two", "--format", "csv"],
    );
    assert_eq!(String::from_utf8_lossy(&csv.stdout), "one,two\n1,\"a,b\"\n");
    let cut = run(&cluster, &["sql", "select run from runs", "--limit", "5"]);
    assert!(said(&cut).contains("the first 5 rows"), "{}", said(&cut));
    let refused = run(&cluster, &["sql", "delete from runs"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    let unknown = run(&cluster, &["sql", "select * from orders"]);
    assert!(
        said(&unknown).contains("there are runs, stages"),
        "{}",
        said(&unknown)
    );
}

#[test]
fn a_server_puts_small_files_of_the_archive_together() {
    let more = ["--archive-after", "50ms", "--compact-every", "100ms"];
    let mut cluster = Cluster::start(&more);
    cluster.place.file("two.yaml", TWO);
    cluster.add_worker(&[]);
    let files = |cluster: &Cluster| {
        let folder = cluster
            .place
            .path()
            .join("marquetry-data/lake/history/v1/runs");
        let days = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let files = days.flat_map(|day| std::fs::read_dir(day.path()).unwrap().flatten());
        files
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    };
    let mut runs = 0;
    // One at a time, so that each is a batch of its own.
    eventually("files are put together", || {
        runs += submitted(&cluster, 1).len();
        eventually("the run is archived", || {
            let lake = [
                "sql",
                "select count(*) as runs from runs",
                "--data-dir",
                "none",
            ];
            let more = ["--lake", "marquetry-data/lake", "--output", "json"];
            let output = cluster.command(&lake).args(more).output().unwrap();
            let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
            rows[0]["runs"] == runs
        });
        files(&cluster)
            .iter()
            .any(|name| name.starts_with("merged-"))
    });
    assert_eq!(seen(&cluster)["runs"], runs);
    assert_eq!(seen(&cluster)["ids"], runs);
}

#[test]
fn a_backup_taken_from_a_live_server_is_restored_and_the_cluster_goes_on() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("two.yaml", TWO);
    cluster.add_worker(&[]);
    let before = submitted(&cluster, 3);
    let backup = cluster.json(&["backup", "backup.db"]);
    assert_eq!(backup["runs"], 3, "{backup:#}");
    let lost = submitted(&cluster, 1);
    let used = run(&cluster, &["restore", "backup.db", "--force"]);
    assert!(said(&used).contains("MQ0603"), "{}", said(&used));
    cluster.kill_server(0);
    let refused = run(&cluster, &["restore", "backup.db"]);
    assert!(said(&refused).contains("MQ0606"), "{}", said(&refused));
    let restored = cluster.json(&["restore", "backup.db", "--force"]);
    assert_eq!(
        (&restored["runs"], &restored["checked"]),
        (&3.into(), &true.into())
    );
    cluster.restart_server(0);
    let listed = cluster.json(&["runs"]);
    let mut listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned())
        .collect();
    listed.reverse();
    assert_eq!(listed, before);
    assert!(!listed.contains(&lost[0]));
    // The worker of before comes back to the new epoch.
    submitted(&cluster, 1);
}

#[test]
fn files_that_no_attempt_committed_are_collected() {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("two.yaml", TWO);
    cluster.place.file(
        "fails.yaml",
        "marquetry: v1\nname: fails\nstages:\n  crash: { uses: probe/crash, with: {}, retry: { attempts: 1 } }\n",
    );
    cluster.add_worker(&[]);
    let good = submitted(&cluster, 1).remove(0);
    let bad = cluster.submit("fails.yaml", &[]);
    assert_eq!(cluster.watch(&bad)["status"], "failed");
    let lake = cluster.place.path().join("marquetry-data/lake");
    let put = |path: &str| {
        let path = lake.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "rows").unwrap();
        age(&path);
        path
    };
    let garbage = put(&format!("runs/{bad}/crash/1/rows/part-00000.parquet"));
    let committed = put(&format!("runs/{good}/first/1/rows/part-00000.parquet"));
    let log = put(&format!("runs/{bad}/crash/1/log/99999.ndjson"));
    let found = cluster.json(&["collect", "--dry-run"]);
    assert_eq!(found["files"].as_array().unwrap().len(), 1, "{found:#}");
    assert!(garbage.exists());
    let removed = cluster.json(&["collect"]);
    assert_eq!(
        (&removed["bytes"], &removed["removed"]),
        (&4.into(), &true.into())
    );
    assert!(!garbage.exists() && committed.exists() && log.exists());
}

#[test]
fn a_server_collects_by_itself() {
    let mut cluster = Cluster::start(&["--archive-after", "1s", "--collect-every", "200ms"]);
    cluster.place.file("two.yaml", TWO);
    cluster.add_worker(&[]);
    let run = submitted(&cluster, 1).remove(0);
    let attempt = format!("marquetry-data/lake/runs/{run}/first/1");
    // Of an item that is no more.
    let garbage = cluster
        .place
        .path()
        .join(attempt.replace("first", "first.0"));
    std::fs::create_dir_all(&garbage).unwrap();
    let garbage = garbage.join("part-00000.parquet");
    std::fs::write(&garbage, "rows").unwrap();
    age(&garbage);
    eventually("the file is gone", || !garbage.exists());
}
