//! `cargo xtask bench orchestration`: the example `orchestration` of marquetry-client, on the release binary.

use clap::Args;

use super::example::{build, build_release, succeed};
use crate::place::marquetry;

/// Options of `cargo xtask bench orchestration`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only these loads: chain, fan, runs, death, idle, scale, history, query.
    loads: Vec<String>,
}

/// Prints a line a load.
pub(super) fn run(options: &Options) -> Result<(), String> {
    build_release(["--bin", "marquetry"])?;
    let mut loads = build("orchestration")?;
    succeed(loads.arg(marquetry("release")?).args(&options.loads))
}
