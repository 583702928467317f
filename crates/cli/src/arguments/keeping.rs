//! What is kept and what is removed: `collect`, `backup`, `restore`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use marquetry_workflow::parse_duration;

#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// Says what would be removed, and removes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leaves alone what is younger than this.
    #[arg(long, default_value = "1d", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) older_than: Duration,
    /// Removes all data, too, of runs that ended longer ago than this, except for what is published.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) keep_data_for: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file, which must not be there yet.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The file that `marquetry backup` wrote.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Replaces a journal that has runs.
    #[arg(long)]
    pub(crate) force: bool,
}
