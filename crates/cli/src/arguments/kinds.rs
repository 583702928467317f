//! Trying things: `stages`, `sample`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Args)]
pub(crate) struct Stages {
    #[command(subcommand)]
    pub(crate) command: Option<StagesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StagesCommand {
    /// Show a stage kind with its options.
    Show {
        /// The kind, as `uses` takes it.
        kind: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sample {
    /// Make orders of a shop whose customers have habits to be found.
    #[command(
        after_help = "Example:\n  marquetry sample orders --rows 1000000 --seed 1 --out data/orders"
    )]
    Orders {
        /// Order lines.
        #[arg(long, default_value_t = 200_000)]
        rows: u64,
        /// The same seed makes the same orders.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The folder for the Parquet files; it must hold none yet.
        #[arg(long, default_value = "data/orders", value_hint = ValueHint::DirPath)]
        out: PathBuf,
    },
}
