//! Runs that are part of other runs: over a server that is killed, over failures, and for a list.

use marquetry_tests::{Cluster, attempts, eventually, said, stage};
use serde_json::Value;

const ORDERS: &str = "customer,amount\nann,3.5\nbob,4.0\nann,1.5\n";

const DAILY: &str = "
marquetry: v1
name: daily
params:
  path: { type: string, default: orders.csv }
  pause: { type: int, default: 0 }
outputs:
  totals: \"${{ stages.totals }}\"
  orders: \"${{ stages.orders.rows }}\"
stages:
  nap: { uses: probe/sleep, with: { milliseconds: \"${{ params.pause }}\" } }
  orders: { uses: ingest/files, with: { path: \"${{ params.path }}\" }, needs: [nap] }
  totals:
    uses: features/sql
    with:
      inputs: { orders: \"${{ stages.orders }}\" }
      query: select customer, sum(amount) as total from orders group by customer
";

const NIGHTLY: &str = "
marquetry: v1
name: nightly
params:
  path: { type: string, default: orders.csv }
  pause: { type: int, default: 0 }
stages:
  day:
    uses: workflow/run
    with: { workflow: daily, params: { path: \"${{ params.path }}\", pause: \"${{ params.pause }}\" } }
  best:
    uses: features/sql
    with:
      inputs: { totals: \"${{ stages.day.outputs.totals }}\" }
      query: select customer from totals order by total desc limit 1
";

/// A cluster with a worker, in which `daily` is deployed.
fn cluster() -> Cluster {
    let mut cluster = Cluster::start(&[]);
    cluster.place.file("orders.csv", ORDERS);
    cluster.place.file("daily.yaml", DAILY);
    cluster.place.file("nightly.yaml", NIGHTLY);
    cluster.add_worker(&["--slots", "4"]);
    cluster.json(&["deploy", "daily.yaml"]);
    cluster
}

fn child<'a>(shown: &'a Value, name: &str) -> &'a str {
    stage(shown, name)["child"]["run"].as_str().unwrap()
}

fn runs(cluster: &Cluster) -> usize {
    cluster.json(&["runs"]).as_array().unwrap().len()
}

#[test]
fn what_a_run_gives_is_read_by_the_run_that_it_is_part_of() {
    let cluster = cluster();
    let run = cluster.submit("nightly.yaml", &[]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(stage(&shown, "best")["outputs"]["rows"]["rows"], 1);
    let day = stage(&shown, "day");
    assert_eq!(day["outputs"]["totals"]["rows"], 2);
    assert_eq!(day["metrics"]["orders"], 3.0);
    assert_eq!(day["child"]["version"], 1);
    let part = cluster.show(child(&shown, "day"));
    assert_eq!(part["parent"]["run"], run.as_str());
    assert_eq!(part["outputs"]["totals"], day["outputs"]["totals"]);
    assert_eq!(part["metrics"]["orders"], 3.0);
    // In words, too.
    let words = said(&cluster.command(&["show", &run]).output().unwrap());
    assert!(
        words.contains(&format!("run {} of daily@1", child(&shown, "day"))),
        "{words}"
    );
    let words = said(
        &cluster
            .command(&["show", child(&shown, "day")])
            .output()
            .unwrap(),
    );
    assert!(
        words.contains(&format!("part of run {run}, stage day")),
        "{words}"
    );
    assert!(words.contains("output totals: 2 rows"), "{words}");
}

#[test]
fn a_server_that_is_killed_begins_no_run_twice() {
    let mut cluster = cluster();
    let run = cluster.submit("nightly.yaml", &["--set", "pause=3000"]);
    eventually("the run of the stage begins", || runs(&cluster) == 2);
    let shown = cluster.show(&run);
    let waits = stage(&shown, "day")["waiting_for"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        waits,
        format!("run {} of workflow `daily`", child(&shown, "day"))
    );
    let part = child(&shown, "day").to_owned();
    cluster.wait_for_stage(&part, "nap", "running");
    cluster.kill_server(0);
    cluster.restart_server(0);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(child(&shown, "day"), part);
    assert_eq!(runs(&cluster), 2);
    assert_eq!(attempts(&cluster.show(&part), "nap").len(), 1, "it ran on");
}

#[test]
fn a_retry_goes_on_with_the_run_that_failed() {
    let cluster = cluster();
    let run = cluster.submit("nightly.yaml", &["--set", "path=later.csv"]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "failed");
    let part = child(&shown, "day").to_owned();
    let message = shown["error"]["message"].as_str().unwrap();
    let begins = format!("run {part} of workflow `daily` failed: stage `orders`: ");
    assert!(message.starts_with(&begins), "{message}");
    cluster.place.file("later.csv", ORDERS);
    let shown = cluster.json(&["retry", &run, "--wait"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(child(&shown, "day"), part, "it is the same run");
    assert_eq!(
        attempts(&cluster.show(&part), "nap").len(),
        1,
        "and not all of it again"
    );
    // A workflow that is another one by now gets a run of its own.
    cluster
        .place
        .file("daily.yaml", &DAILY.replace("sum(amount)", "max(amount)"));
    cluster.json(&["deploy", "daily.yaml"]);
    let shown = cluster.json(&["retry", &run, "--from", "day", "--wait"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_ne!(child(&shown, "day"), part);
    assert_eq!(stage(&shown, "day")["child"]["version"], 2);
}

#[test]
fn cancelling_a_run_cancels_its_parts_and_what_is_not_deployed_is_said() {
    let cluster = cluster();
    let run = cluster.submit("nightly.yaml", &["--set", "pause=600000"]);
    eventually("the run of the stage begins", || runs(&cluster) == 2);
    let part = child(&cluster.show(&run), "day").to_owned();
    cluster.wait_for_stage(&part, "nap", "running");
    cluster.json(&["cancel", &run]);
    assert_eq!(cluster.watch(&run)["status"], "cancelled");
    assert_eq!(cluster.show(&part)["status"], "cancelled");

    let lost = NIGHTLY.replace("workflow: daily", "workflow: weekly");
    cluster.place.file("lost.yaml", &lost);
    let shown = cluster.watch(&cluster.submit("lost.yaml", &[]));
    assert_eq!(shown["error"]["code"], "MQ0710", "{shown:#}");
    let itself = "
marquetry: v1
name: daily
stages:
  again: { uses: workflow/run, with: { workflow: daily } }
";
    cluster.place.file("itself.yaml", itself);
    cluster.json(&["deploy", "itself.yaml"]);
    let shown = cluster.watch(&cluster.submit("itself.yaml", &[]));
    assert_eq!(shown["error"]["code"], "MQ0711", "{shown:#}");
}

#[test]
fn a_run_for_each_of_a_list_is_awaited() {
    let cluster = cluster();
    let each = "
marquetry: v1
name: shops
params: { shops: { type: list, default: [north, south, east] } }
stages:
  shops:
    uses: workflow/run
    for_each: { items: \"${{ params.shops }}\", limit: 2 }
    with: { workflow: daily, params: { path: \"${{ item }}.csv\" } }
  after: { uses: probe/nothing, needs: [shops] }
";
    cluster.place.file("each.yaml", each);
    for shop in ["north", "south", "east"] {
        cluster.place.file(&format!("{shop}.csv"), ORDERS);
    }
    let shown = cluster.watch(&cluster.submit("each.yaml", &[]));
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(stage(&shown, "shops")["items"]["succeeded"], 3);
    assert_eq!(runs(&cluster), 4);
}
