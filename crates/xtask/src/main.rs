//! `cargo xtask`: everything that is done to this repository rather than by Marquetry. It depends on
//! nothing but `clap`, so that a fresh clone says something within seconds.

#![expect(
    clippy::print_stdout,
    reason = "a command-line tool speaks on standard output"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod demo;
mod place;
mod snapshot;
mod steps;
mod test;
mod tools;

/// Builds, tests and shows Marquetry.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds marquetry, makes sample orders, segments their customers and writes the report.
    Demo(demo::DemoArguments),
    /// Checks the format, the lints and every test; this is what CI runs.
    Test(test::TestArguments),
    /// Checks the format and the lints, and the dependencies where cargo-deny is installed.
    Lint,
    /// Runs the tests and accepts what their snapshots say now; look at `git diff` afterwards.
    Snapshot(snapshot::SnapshotArguments),
    /// Measures what README.md promises.
    Bench(bench::BenchArguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Lint => test::lint(),
        Task::Snapshot(arguments) => snapshot::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("\nxtask: {message}");
            ExitCode::FAILURE
        }
    }
}
