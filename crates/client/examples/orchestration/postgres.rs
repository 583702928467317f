//! The same loads on a PostgreSQL of this machine, with its defaults: every commit is flushed.

use std::path::Path;

use marquetry_journal::testing::PostgresServer;
use serde_json::json;

use crate::{Cluster, RUNS, chain, median, milliseconds, runs, say_of};

const JOURNAL: &str = "postgresql, fsync and synchronous_commit on";
const STAGES: u32 = 40;

pub(crate) async fn measure(program: &Path) {
    let Some(server) = PostgresServer::start_durable() else {
        eprintln!("no PostgreSQL here: its figures are left out");
        return;
    };
    let journal = server.new_journal();
    let cluster = Cluster::start_with(program, &["--journal", &journal], 1, 10).await;
    let workflow = chain(STAGES as usize);
    let mut times = Vec::new();
    for _ in 0..15 {
        times.push(cluster.run(&workflow).await);
    }
    let time = median(times);
    let figures = json!({
        "stages": STAGES,
        "median_s": time.as_secs_f64(),
        "per_stage_ms": milliseconds(time / STAGES),
    });
    say_of(JOURNAL, "chain", figures);
    say_of(JOURNAL, "runs", runs(&cluster, RUNS).await);
}
