//! Looking at runs: `runs`, `show`, `logs`, `report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

#[derive(Debug, Args)]
pub(crate) struct OneRun {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Only runs with this status.
    #[arg(long, value_enum)]
    pub(crate) status: Option<Status>,
    /// Only runs of this workflow.
    #[arg(long)]
    pub(crate) workflow: Option<String>,
    /// Those, too, that have left the journal, from the archive in the lake.
    #[arg(long, short)]
    pub(crate) all: bool,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 20)]
    pub(crate) limit: usize,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// Only this stage.
    pub(crate) stage: Option<String>,
    /// Goes on with what the stages say until the run has ended; with `--output json` one object a line.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last so many of the lines that there are.
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// Where to write it [default: <data-dir>/reports/<run>.html].
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}
