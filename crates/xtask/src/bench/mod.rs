//! `cargo xtask bench`: measures on this machine what README.md and docs/performance.md promise, on the release
//! build. Figures go to standard output as JSON lines, and nothing else does; what cargo says goes to
//! standard error.

mod example;
mod kmeans;
mod orchestration;
mod peers;
mod policy;
mod process;
mod retail;
mod rules;
mod simulate;
mod startup;
mod text;

use clap::{Args, Subcommand};

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// How long `marquetry validate` and a run of one stage on ten rows take, start of the process
    /// included. Fails when a median is above its bound.
    Startup(startup::Options),
    /// Lloyd's iterations from given centres on 1M x 16 (k = 8), 1M x 32 (k = 64) and 100k x 128 (k = 256).
    Kmeans(kmeans::Options),
    /// Orders in Parquet to segments, RFM and silhouette: a whole `marquetry run`, with its peak memory.
    Retail(retail::Options),
    /// Decisions and updates a second of the policies, in one process on one thread.
    Policy,
    /// Stages and runs on a cluster of processes: a chain, a fan, many runs, deaths, and what idleness costs.
    Orchestration(orchestration::Options),
    /// Rules over customers: those that become expressions of the query engine, and the others.
    Rules,
    /// Clusters under a deterministic simulator: seeds, steps a second, virtual hours, violations.
    Simulate(simulate::Options),
}

/// Runs a benchmark.
pub(crate) fn run(arguments: &BenchArguments) -> Result<(), String> {
    match &arguments.benchmark {
        Benchmark::Startup(options) => startup::run(options),
        Benchmark::Kmeans(options) => kmeans::run(options),
        Benchmark::Retail(options) => retail::run(options),
        Benchmark::Policy => policy::run(),
        Benchmark::Orchestration(options) => orchestration::run(options),
        Benchmark::Rules => rules::run(),
        Benchmark::Simulate(options) => simulate::run(options),
    }
}
