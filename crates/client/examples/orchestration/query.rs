//! What it costs to spread the features of customers over two workers with a thread each, beside one worker
//! with two threads. `MARQUETRY_QUERY_ROWS` says how many lines of orders there are.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{Cluster, command, median, say};

/// Lines of orders, unless the environment says otherwise.
const ROWS: u64 = 10_000_000;
/// Runs of each cluster, in turns.
const TURNS: usize = 3;
/// The same figures by a query of one's own, as an analyst would write it.
const QUERY: &str = "\
WITH per_order AS (
  SELECT customer_id, order_id, min(ts) AS began, sum(quantity) AS items,
         sum(quantity * unit_price) AS monetary
  FROM orders WHERE customer_id IS NOT NULL AND NOT cancelled GROUP BY customer_id, order_id),
gaps AS (
  SELECT *, CAST(began AS BIGINT) - lag(CAST(began AS BIGINT))
         OVER (PARTITION BY customer_id ORDER BY began, order_id) AS gap
  FROM per_order),
products AS (
  SELECT customer_id, count(DISTINCT product_id) AS distinct_products
  FROM orders WHERE NOT cancelled GROUP BY customer_id)
SELECT gaps.customer_id, max(began) AS latest, min(began) AS first, count(*) AS frequency,
       sum(items) AS items, sum(monetary) AS monetary, avg(gap) AS gap_mean, stddev(gap) AS gap_std,
       max(distinct_products) AS distinct_products
FROM gaps LEFT JOIN products ON products.customer_id = gaps.customer_id
GROUP BY gaps.customer_id ORDER BY gaps.customer_id";

/// The workflow that leaves the lines of orders as a table.
fn ingestion(orders: &Path) -> String {
    format!(
        "marquetry: v1\nname: orders\nstages:\n  orders:\n    uses: ingest/files\n    \
         publish: orders\n    with: {{ path: '{}' }}\n",
        orders.display()
    )
}

fn customers(parallelism: &str) -> String {
    format!(
        "marquetry: v1\nname: customers\nstages:\n  customers:\n    uses: features/customer\n    \
         parallelism: {parallelism}\n    with:\n      orders: '${{{{ tables.orders }}}}'\n      \
         cancelled: cancelled\n      as_of: '2025-01-01T00:00:00Z'\n      top: [country, channel]\n"
    )
}

fn sql(parallelism: &str) -> String {
    let query = QUERY.replace('\n', "\n        ");
    format!(
        "marquetry: v1\nname: sql\nstages:\n  customers:\n    uses: features/sql\n    \
         parallelism: {parallelism}\n    with:\n      inputs: {{ orders: '${{{{ tables.orders }}}}' }}\n      \
         query: |\n        {query}\n"
    )
}

pub(super) async fn measure(program: &Path) {
    let rows = std::env::var("MARQUETRY_QUERY_ROWS").ok();
    let rows = rows.and_then(|rows| rows.parse().ok()).unwrap_or(ROWS);
    let folder = tempfile::tempdir().unwrap();
    let orders = folder.path().join("orders");
    let made = command(program, folder.path())
        .args([
            "sample",
            "orders",
            "--rows",
            &rows.to_string(),
            "--output",
            "json",
            "--out",
        ])
        .arg(&orders)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");

    let mut one = Cluster::start(program, 0, 0).await;
    one.add_worker_with(&["--threads", "2", "--slots", "1"]);
    let mut two = Cluster::start(program, 0, 0).await;
    for _ in 0..2 {
        let plane = ["--data-plane", "127.0.0.1:0"];
        two.add_worker_with(&[["--threads", "1"], ["--slots", "1"], plane].concat());
    }
    let pattern = orders.join("*.parquet");
    for cluster in [&one, &two] {
        cluster.run(&ingestion(&pattern)).await;
    }
    // The queries of `features/customer` beside its tally in memory, then the same query in both.
    for (kind, workflow) in [
        ("features/customer", customers as fn(&str) -> String),
        ("features/sql", sql),
    ] {
        let (mut alone, mut spread) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            alone.push(one.run(&workflow("local")).await);
            spread.push(two.run(&workflow("cluster")).await);
        }
        let seconds = |times: Vec<Duration>| median(times).as_secs_f64();
        let (alone, spread) = (seconds(alone), seconds(spread));
        say(
            "query",
            json!({
                "uses": kind,
                "rows": rows,
                "one_process_s": alone,
                "two_workers_s": spread,
                "ratio": (spread / alone * 100.0).round() / 100.0,
            }),
        );
    }
}
