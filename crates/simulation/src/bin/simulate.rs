//! `simulate`: lives through many clusters, or through one and says what happened.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use marquetry_simulation::{Options, Report, run};
use serde_json::json;

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One line of JSON.
    Json,
}

/// Lives through simulated clusters and checks what must hold.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Print every event.
    #[arg(long)]
    trace: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Default)]
struct Totals {
    seeds: u64,
    steps: u64,
    virtual_ms: u64,
    runs: u64,
    attempts: u64,
    violations: Vec<Report>,
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.seeds = self.seeds.saturating_add(1);
        self.steps = self.steps.saturating_add(report.steps);
        self.virtual_ms = self.virtual_ms.saturating_add(report.virtual_ms);
        self.runs = self.runs.saturating_add(report.runs);
        self.attempts = self.attempts.saturating_add(report.attempts);
        if report.violation.is_some() {
            self.violations.push(report);
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (from, seeds) = match arguments.seed {
        Some(seed) => (seed, 1),
        None => (arguments.from, arguments.seeds),
    };
    let options = Options {
        trace: arguments.trace,
        ..Options::default()
    };
    let begin = Instant::now();
    let next = AtomicU64::new(0);
    let totals = Mutex::new(Totals::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let shows_progress = std::io::stderr().is_terminal() && seeds > 1;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= seeds {
                        return;
                    }
                    let report = run(from.saturating_add(place), &options);
                    let Ok(mut totals) = totals.lock() else {
                        return;
                    };
                    if options.trace {
                        let mut out = anstream::stdout().lock();
                        for line in &report.trace {
                            drop(writeln!(out, "{line}"));
                        }
                    }
                    totals.add(report);
                    if shows_progress && totals.seeds.is_multiple_of(50) {
                        let mut err = anstream::stderr().lock();
                        let found = totals.violations.len();
                        drop(write!(
                            err,
                            "\r{}/{seeds} seeds, {found} violations",
                            totals.seeds
                        ));
                    }
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap_or_default();
    if shows_progress {
        drop(writeln!(anstream::stderr()));
    }
    print(&totals, begin.elapsed().as_secs_f64(), arguments.output);
    if totals.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print(totals: &Totals, seconds: f64, output: Output) {
    let mut out = anstream::stdout().lock();
    let per_second = (totals.steps as f64 / seconds.max(1e-9)).round();
    let hours = totals.virtual_ms as f64 / 3_600_000.0;
    let written = match output {
        Output::Json => {
            let line = json!({
                "load": "simulate",
                "seeds": totals.seeds,
                "seconds": (seconds * 1000.0).round() / 1000.0,
                "steps": totals.steps,
                "steps_per_second": per_second,
                "virtual_hours": (hours * 100.0).round() / 100.0,
                "runs": totals.runs,
                "attempts": totals.attempts,
                "violations": totals.violations.len(),
                "failing_seeds": totals.violations.iter().map(|it| it.seed).collect::<Vec<_>>(),
            });
            writeln!(out, "{line}")
        }
        Output::Text => {
            for report in &totals.violations {
                drop(writeln!(out, "{report}\n"));
            }
            writeln!(
                out,
                "{} seeds, {} runs, {} attempts, {hours:.1} virtual hours, {per_second:.0} steps/s, {} violations",
                totals.seeds,
                totals.runs,
                totals.attempts,
                totals.violations.len()
            )
        }
    };
    drop(written);
}
