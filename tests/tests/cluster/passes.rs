//! Scaling, quantiles and k-means by passes over rows that several workers share: what one finds in its
//! memory, with whoever dies in the middle.

use marquetry_tests::said;

use crate::distributed::{Begun, cluster, rows, spread};

/// Each stage where workers share it, and where one has all rows in memory.
const BOTH_WAYS: &str = r#"
marquetry: v1
name: passes
defaults: { parallelism: cluster }
stages:
  orders:
    uses: ingest/files
    with: { path: "data/orders/*.parquet" }
  # Lines rather than customers, for there are more of them: the engine does not cut what is one batch.
  lines:
    uses: features/sql
    parallelism: local
    with:
      inputs: { orders: "${{ stages.orders }}" }
      query: >
        SELECT row_number() OVER (ORDER BY ts, unit_price, quantity) AS customer_id,
               CAST(CAST(ts AS BIGINT) / 1000000 AS DOUBLE) / 86400.0 AS recency_days,
               abs(quantity) AS frequency, unit_price AS monetary,
               nullif(unit_price * quantity, unit_price) AS total, channel
        FROM orders
  scaled:
    uses: features/scale
    with: &scaled
      rows: "${{ stages.lines }}"
      columns: [recency_days, frequency, monetary, total]
      log1p: [frequency, monetary]
      impute: median
      one_hot: [channel]
  scaled_local: { uses: features/scale, parallelism: local, with: *scaled }
  rfm:
    uses: segmentation/rfm
    with: &rfm { rows: "${{ stages.lines }}" }
  rfm_local: { uses: segmentation/rfm, parallelism: local, with: *rfm }
  segments:
    uses: segmentation/kmeans
    with: &segments
      rows: "${{ stages.scaled_local }}"
      k: { min: 3, max: 5 }
      seed: 7
      starts: 2
  segments_local: { uses: segmentation/kmeans, parallelism: local, with: *segments }
  assigned:
    uses: segmentation/assign
    with: &assigned
      rows: "${{ stages.scaled_local }}"
      centres: "${{ stages.segments_local.outputs.centres }}"
  assigned_local: { uses: segmentation/assign, parallelism: local, with: *assigned }
"#;

/// K-means that takes its time: many starts, each until nobody changes segment.
const SLOW: &str = r#"
marquetry: v1
name: slow-segments
stages:
  orders:
    uses: ingest/files
    with: { path: "data/orders/*.parquet" }
  lines:
    uses: features/sql
    parallelism: local
    with:
      inputs: { orders: "${{ stages.orders }}" }
      query: >
        SELECT row_number() OVER (ORDER BY ts, unit_price, quantity) AS customer_id,
               unit_price, sqrt(unit_price * abs(quantity)) AS root, CAST(ts AS BIGINT) AS moment
        FROM orders
  scaled:
    uses: features/scale
    parallelism: local
    with: { rows: "${{ stages.lines }}" }
  segments:
    uses: segmentation/kmeans
    parallelism: PARALLELISM
    with: { rows: "${{ stages.scaled }}", k: 12, seed: 3, starts: 40, tolerance: 0 }
"#;

#[test]
fn scalings_scores_and_segments_of_two_workers_are_those_of_one() {
    let cluster = cluster(2, 20_000);
    cluster.place.file("passes.yaml", BOTH_WAYS);
    let run = cluster.submit("passes.yaml", &[]);
    let shown = cluster.watch(&run);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    for (stage, outputs, least) in [
        // What there is, four passes for medians, two for scalings, texts, and the rows.
        ("scaled", &["rows", "fitted"][..], 8),
        // Four passes for the borders, and the rows.
        ("rfm", &["segments"], 6),
        ("segments", &["segments", "centres"], 10),
        ("assigned", &["segments"], 2),
    ] {
        let local = format!("{stage}_local");
        assert_eq!(spread(&cluster, &run, &local), Vec::<u64>::new());
        let over = spread(&cluster, &run, stage);
        assert!(
            over.len() >= least && over.iter().all(|workers| *workers == 2),
            "{stage}: {over:?}\n{}",
            said(&cluster.place.run(&["logs", &run, stage]))
        );
        for output in outputs {
            let key = match *output {
                "fitted" => "position",
                "centres" => "segment",
                _ => "customer_id",
            };
            let of = |stage: &str| rows(&cluster, &format!("{run}/{stage}/{output}"), key);
            of(stage).assert_same(&of(&local), &format!("{stage}/{output}"));
        }
    }
}

#[test]
fn a_worker_that_dies_within_k_means_fails_the_attempt_and_the_next_one_finds_the_same() {
    Begun::of(SLOW, 30_000, "segments", "customer_id").goes_on_without_the_victim();
}
