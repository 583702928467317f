//! `cargo xtask bench startup`: whole processes, from start to exit.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use crate::place::{BUILD, cargo, marquetry, repository};
use crate::steps::Steps;

/// Options of `cargo xtask bench startup`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each is measured, after one run that is not.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: u32,
}

/// What `validate` may take.
const VALIDATE_BOUND: Duration = Duration::from_millis(20);
/// What a run of one stage on ten rows may take.
const RUN_BOUND: Duration = Duration::from_millis(150);

const ONE_STAGE: &str = "\
marquetry: v1
name: one-stage
stages:
  orders:
    uses: ingest/files
    with: { path: orders.csv }
";

/// Measures both, and fails when one is above its bound.
pub(super) fn run(options: &Options) -> Result<(), String> {
    let times = options.times;
    let mut steps = Steps::default();
    steps.run("build", cargo(BUILD).arg("--release"))?;
    let program = marquetry("release")?;
    let folder = program.with_file_name("bench-startup");
    prepare(&folder).map_err(|error| format!("cannot prepare {}: {error}", folder.display()))?;

    let workflow = repository().join("workflows/retail.yaml");
    let validate = measure("validate", times, |_| {
        let mut command = Command::new(&program);
        command
            .arg("validate")
            .arg(&workflow)
            .current_dir(repository());
        command
    })?;
    let one_stage = measure("run of one stage", times, |round| {
        let mut command = Command::new(&program);
        // A journal of its own each time: the first run in an empty folder is the slowest.
        let data = folder.join(format!("data-{round}"));
        command
            .args(["run", "one-stage.yaml", "--data-dir"])
            .arg(data)
            .current_dir(&folder);
        command
    })?;
    let verdicts = [
        verdict(
            "marquetry validate workflows/retail.yaml",
            &validate,
            VALIDATE_BOUND,
        ),
        verdict("marquetry run, one stage, ten rows", &one_stage, RUN_BOUND),
    ];
    println!();
    for (line, _) in &verdicts {
        println!("{line}");
    }
    match verdicts.iter().all(|(_, within)| *within) {
        true => Ok(()),
        false => Err("a median is above its bound".to_owned()),
    }
}

fn prepare(folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join("one-stage.yaml"), ONE_STAGE)?;
    let mut rows = String::from("customer_id,amount\n");
    for customer in 1..=10 {
        rows.push_str(&format!("{customer},{}.50\n", customer * 3));
    }
    fs::write(folder.join("orders.csv"), rows)
}

/// Times `times` runs of a command, in ascending order, after one that warms the file cache.
fn measure(
    name: &str,
    times: u32,
    command: impl Fn(u32) -> Command,
) -> Result<Vec<Duration>, String> {
    let mut durations = Vec::new();
    for round in 0..=times {
        let mut command = command(round);
        command.stdout(Stdio::null());
        let start = Instant::now();
        let status = command
            .status()
            .map_err(|error| format!("{name}: cannot start: {error}"))?;
        let elapsed = start.elapsed();
        if !status.success() {
            return Err(format!("{name} failed ({status})"));
        }
        if round > 0 {
            durations.push(elapsed);
        }
    }
    durations.sort_unstable();
    Ok(durations)
}

/// The line to print, and whether the median keeps to its bound. `sorted` is ascending and not empty.
fn verdict(what: &str, sorted: &[Duration], bound: Duration) -> (String, bool) {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let median = at(sorted.len() / 2);
    let line = format!(
        "{what}: median {:.1} ms (bound {:.0}), from {:.1} to {:.1}, {} times",
        milliseconds(median),
        milliseconds(bound),
        milliseconds(at(0)),
        milliseconds(at(sorted.len().saturating_sub(1))),
        sorted.len()
    );
    (line, median <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_judged_not_the_slowest() {
        let sorted: Vec<_> = [8, 9, 90].map(Duration::from_millis).into();
        let (line, within) = verdict("validate", &sorted, Duration::from_millis(20));
        assert!(within);
        assert_eq!(
            line,
            "validate: median 9.0 ms (bound 20), from 8.0 to 90.0, 3 times"
        );
        assert!(!verdict("validate", &sorted, Duration::from_millis(8)).1);
    }
}
