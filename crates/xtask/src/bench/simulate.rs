//! `cargo xtask bench simulate`: the program `simulate` of marquetry-simulation, over many seeds.

use std::process::Command;

use clap::Args;

use super::example::{build_release, succeed};
use crate::place::{program, repository};

/// Options of `cargo xtask bench simulate`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many clusters to live through.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// Prints seeds, steps a second, virtual hours and violations. Fails when anything did not hold.
pub(super) fn run(options: &Options) -> Result<(), String> {
    build_release(["--bin", "simulate"])?;
    let mut simulate = Command::new(program("release", "simulate")?);
    simulate
        .current_dir(repository())
        .args(["--output", "json"])
        .args(["--seeds", &options.seeds.to_string()])
        .args(["--from", &options.from.to_string()]);
    succeed(&mut simulate)
}
