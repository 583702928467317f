//! Looking at data: `head`, `export`, `tables`, `policies`, `sql`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

#[derive(Debug, Args)]
pub(crate) struct Head {
    /// RUN/STAGE for a stage's first output, RUN/STAGE/OUTPUT for any; TABLE for the current version
    /// of a published table, TABLE@VERSION for any.
    #[arg(value_name = "DATASET")]
    pub(crate) dataset: String,
    /// How many rows.
    #[arg(short = 'n', long, default_value_t = 10)]
    pub(crate) rows: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// RUN/STAGE for a stage's first output, RUN/STAGE/OUTPUT for any; TABLE for the current version
    /// of a published table, TABLE@VERSION for any.
    #[arg(value_name = "DATASET")]
    pub(crate) dataset: String,
    /// The format.
    #[arg(long, value_enum, default_value_t = FileFormat::Csv)]
    pub(crate) format: FileFormat,
    /// The file; without it the rows go to the standard output.
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}

/// Formats that rows can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    Csv,
    Ndjson,
    Parquet,
}

#[derive(Debug, Args)]
pub(crate) struct Tables {
    #[command(subcommand)]
    pub(crate) command: Option<TablesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TablesCommand {
    /// Show the versions of a table, the newest first.
    Show {
        /// The table.
        name: String,
        /// At most so many versions.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Policies {
    #[command(subcommand)]
    pub(crate) command: Option<PoliciesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PoliciesCommand {
    /// Show what a policy has learned: its arms, their means by segment, and its history.
    Show {
        /// The policy, or a version of it: `offers`, `offers@3`.
        #[arg(value_name = "NAME[@VERSION]")]
        policy: String,
        /// At most so many versions of its history.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// One query.
    pub(crate) query: String,
    /// How rows are printed [default: a table, or with `--output json` JSON].
    #[arg(long, value_enum)]
    pub(crate) format: Option<RowFormat>,
    /// At most so many rows; 0 for all.
    #[arg(long, short = 'n', default_value_t = 1000)]
    pub(crate) limit: usize,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    Table,
    Json,
    Csv,
}
