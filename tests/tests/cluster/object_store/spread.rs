//! Queries over several workers whose rows lie in an object store: in the lake there, or in source objects that
//! an ingestion pins and does not copy.

use marquetry_tests::{Cluster, said};

use super::server::{BUCKET, S3Server, SECRET};
use crate::distributed::{rows, spread, wait_for_planes};

const FEATURES: &str = r#"
marquetry: v1
name: features
stages:
  orders:
    uses: ingest/files
    with: { path: "s3://BUCKET/orders/*.parquet" }
  spread:
    uses: features/customer
    parallelism: cluster
    with: &customer
      orders: "${{ stages.orders }}"
      cancelled: cancelled
      as_of: "2025-01-01T00:00:00Z"
      top: [country, channel]
  local:
    uses: features/customer
    parallelism: local
    with: *customer
"#;

/// Two workers with data planes on a lake, or on that of the server's own folder.
fn cluster(server: &S3Server, lake: Option<&str>) -> Cluster {
    let mut environment = server.environment(SECRET, 20);
    environment.extend(lake.map(|lake| ("MARQUETRY_LAKE".to_owned(), lake.to_owned())));
    let mut cluster = Cluster::start_with(&environment, &[]);
    for name in ["w0", "w1"] {
        let plane = ["--data-plane", "127.0.0.1:0"];
        let own = ["--name", name, "--slots", "1", "--threads", "1"];
        cluster.add_worker(&[own.as_slice(), plane.as_slice()].concat());
    }
    wait_for_planes(&cluster, 2);
    cluster
}

#[test]
fn source_objects_and_lakes_in_an_object_store_are_read_by_every_worker_of_a_query() {
    let server = S3Server::start();
    let in_s3 = format!("s3://{BUCKET}/lake");
    for lake in [None, Some(in_s3.as_str())] {
        let cluster = cluster(&server, lake);
        let folder = server.objects().join("orders");
        let out = folder.to_str().unwrap();
        let sample = [
            "sample", "orders", "--rows", "8000", "--seed", "3", "--out", out,
        ];
        let sampled = cluster.place.run(&sample);
        assert!(sampled.status.success(), "{}", said(&sampled));

        let workflow = FEATURES.replace("BUCKET", BUCKET);
        cluster.place.file("features.yaml", &workflow);
        let run = cluster.submit("features.yaml", &[]);
        let shown = cluster.watch(&run);
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
        let over = spread(&cluster, &run, "spread");
        assert!(
            !over.is_empty() && over.iter().all(|workers| *workers == 2),
            "{over:?}"
        );
        let of = |stage: &str| rows(&cluster, &format!("{run}/{stage}"), "customer_id");
        of("spread").assert_same(&of("local"), "features");

        let lake = match lake {
            None => cluster.place.path().join("marquetry-data/lake"),
            Some(_) => server.objects().join("lake"),
        };
        let ingested = lake.join(format!("runs/{run}/orders/1/rows"));
        let names = std::fs::read_dir(&ingested).unwrap();
        let names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["manifest.json"], "no row was copied");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
