//! `cargo xtask bench retail`: `marquetry run` of `retail.yaml`, from its start to its exit.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use super::example::{build_release, printed, succeed};
use super::peers::Peers;
use super::process::{Watched, watch};
use super::text::{median, number, stages};
use crate::place::{marquetry, repository, target};

/// What the peers' scripts can do the same work with. PySpark takes many times as long.
const ENGINES: [&str; 2] = ["duckdb", "polars"];
/// How often each side runs with `--peers`.
const TURNS: usize = 3;
/// As many as the peers use.
const THREADS: &str = "2";

/// Options of `cargo xtask bench retail`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many order lines.
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Runs DuckDB and Polars too, in turns with ours on the same files, and prints the ratios.
    #[arg(long)]
    peers: bool,
}

/// Prints a line for each run, and with `--peers` one with the ratios.
pub(super) fn run(options: &Options) -> Result<(), String> {
    build_release(["--bin", "marquetry"])?;
    let bench = Bench {
        program: marquetry("release")?,
        folder: target()?.join("bench/retail"),
        rows: options.rows,
    };
    std::fs::create_dir_all(&bench.folder)
        .map_err(|error| format!("cannot make {}: {error}", bench.folder.display()))?;
    if options.peers {
        let peers = Peers::need()?;
        return bench.compare(&peers);
    }
    let (orders, made_by) = match Peers::find()? {
        Some(peers) => (bench.made_by(&peers)?, "gen_events"),
        None => (bench.sample()?, "sample"),
    };
    bench.run(&orders, made_by).map(|_| ())
}

struct Bench {
    program: PathBuf,
    folder: PathBuf,
    rows: u64,
}

impl Bench {
    fn made_by(&self, peers: &Peers) -> Result<PathBuf, String> {
        peers.set_up()?;
        peers.orders(self.rows)
    }

    /// Orders of our own, for a clone that has nothing beside it.
    fn sample(&self) -> Result<PathBuf, String> {
        let orders = self.folder.join(format!("orders-{}", self.rows));
        if !orders.exists() {
            let mut make = Command::new(&self.program);
            make.args(["sample", "orders", "--seed", "1", "--rows"])
                .arg(self.rows.to_string())
                .arg("--out")
                .arg(&orders);
            succeed(make.stdout(Stdio::null()))?;
        }
        Ok(orders)
    }

    /// Runs the workflow once and prints what it took.
    fn run(&self, orders: &Path, made_by: &str) -> Result<Watched, String> {
        let data = self.folder.join("data");
        if data.exists() {
            std::fs::remove_dir_all(&data)
                .map_err(|error| format!("cannot remove {}: {error}", data.display()))?;
        }
        let mut run = Command::new(&self.program);
        run.arg("run")
            .arg(repository().join("crates/xtask/src/bench/retail.yaml"))
            .arg("--data-dir")
            .arg(&data)
            .args(["--threads", THREADS, "--set"])
            .arg(format!("orders={}/*.parquet", orders.display()));
        let watched = watch(run.stdout(Stdio::null()))?;

        let ask = |words: &[&str]| {
            let mut command = Command::new(&self.program);
            command.args(words).args(["--output", "json", "--data-dir"]);
            printed(command.arg(&data))
        };
        let id =
            crate::demo::newest_run_id(&ask(&["runs"])?).ok_or("`marquetry runs` lists no run")?;
        let show = ask(&["show", &id])?;
        let stages: Vec<_> = stages(&show)
            .iter()
            .map(|(name, seconds)| format!(r#""{name}":{seconds:.3}"#))
            .collect();
        let figure = |key: &str| number(&show, key).map_or("null".to_owned(), |it| it.to_string());
        println!(
            r#"{{"rows":{},"orders":"{made_by}","stages":{{{}}},"total_s":{:.3},"peak_rss_mb":{},"inertia":{},"n_iter":{},"silhouette":{},"davies_bouldin":{}}}"#,
            self.rows,
            stages.join(","),
            watched.seconds,
            watched
                .peak_rss_mb
                .map_or("null".to_owned(), |peak| format!("{peak:.1}")),
            figure("inertia"),
            figure("iterations"),
            figure("silhouette"),
            figure("davies_bouldin"),
        );
        Ok(watched)
    }

    fn compare(&self, peers: &Peers) -> Result<(), String> {
        let orders = self.made_by(peers)?;
        let mut own = Vec::new();
        let mut theirs = [const { Vec::new() }; ENGINES.len()];
        for _ in 0..TURNS {
            for (engine, runs) in ENGINES.into_iter().zip(&mut theirs) {
                let line = peers.retail(engine, self.rows)?;
                print!("{line}");
                let total = number(&line, "total");
                let peak = number(&line, "peak_rss_mb");
                runs.push(
                    total
                        .zip(peak)
                        .ok_or_else(|| format!("{engine} gave no total"))?,
                );
            }
            let run = self.run(&orders, "gen_events")?;
            own.push((run.seconds, run.peak_rss_mb.unwrap_or(f64::NAN)));
        }
        let medians = |runs: &[(f64, f64)]| {
            let seconds = runs.iter().map(|run| run.0).collect();
            let peaks = runs.iter().map(|run| run.1).collect();
            (median(seconds), median(peaks))
        };
        let (seconds, peak) = medians(&own);
        for (engine, runs) in ENGINES.into_iter().zip(&theirs) {
            let (peer_seconds, peer_peak) = medians(runs);
            println!(
                r#"{{"rows":{},"total_s":{seconds:.3},"peak_rss_mb":{peak:.1},"peer":"{engine}","peer_total_s":{peer_seconds:.3},"peer_peak_rss_mb":{peer_peak:.1},"ratio":{:.3},"memory_ratio":{:.3}}}"#,
                self.rows,
                seconds / peer_seconds,
                peak / peer_peak,
            );
        }
        Ok(())
    }
}
