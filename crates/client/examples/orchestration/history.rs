//! The chain with a million finished runs behind it: a stage's cost must not grow with history.

use std::path::Path;
use std::time::{Duration, Instant};

use marquetry_journal::testing::samples;
use marquetry_journal::{Journal, SqliteJournal};
use serde_json::json;

use crate::{Cluster, chain, median, say, serve};

const RUNS: u32 = 1_000_000;
/// Runs of one commit while the history is made.
const AT_ONCE: u32 = 2000;
const STAGES: usize = 40;
const TIMES: usize = 15;

pub(crate) async fn measure(program: &Path) {
    let empty = Cluster::start(program, 1, 2).await;
    let mut old = Cluster::start(program, 1, 2).await;
    // The server is away while its history is written, and the time that it takes to be back is measured.
    crate::end(&mut old.server);
    write_history(&old.folder.path().join("marquetry-data/journal.db")).await;
    let listen = old.url.trim_start_matches("http://").to_owned();
    let start = Instant::now();
    old.server = serve(program, old.folder.path(), &listen).0;
    let start_up = start.elapsed();
    old.run(&chain(2)).await;
    let workflow = chain(STAGES);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    // In turns: the disk is not the same from one minute to the next.
    for _ in 0..TIMES {
        without.push(empty.run(&workflow).await);
        with.push(old.run(&workflow).await);
    }
    let (without, with) = (median(without), median(with));
    let figures = json!({
        "runs_behind": RUNS,
        "median_s": with.as_secs_f64(),
        "empty_median_s": without.as_secs_f64(),
        "ratio": (with.as_secs_f64() / without.as_secs_f64() * 100.0).round() / 100.0,
        "start_up_s": start_up.as_secs_f64(),
    });
    say("history", figures);
}

async fn write_history(journal: &Path) {
    // The lock of the server that was killed is free once it is gone.
    let journal = loop {
        match SqliteJournal::open(journal) {
            Ok(journal) => break journal,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let epoch = samples::lead(&journal).await;
    for first in (0..RUNS).step_by(AT_ONCE as usize) {
        let runs = (first..first + AT_ONCE).map(u64::from).map(samples::run_id);
        let records = runs.flat_map(|run| samples::finished_run(&run, "old", None));
        journal.append(epoch, records.collect()).await.unwrap();
    }
}
