//! Runs of a coordinator: `submit`, `watch`, `cancel`, `retry`, `approve`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// The workflow file, or the name of a deployed workflow: NAME, or NAME@VERSION.
    #[arg(value_name = "FILE|NAME", value_hint = ValueHint::FilePath)]
    pub(crate) workflow: PathBuf,
    /// Sets a parameter; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// A name for this request: however often it is sent, it is one run.
    #[arg(long)]
    pub(crate) request_id: Option<String>,
    /// The folder on the workers in which relative source paths start [default: where each was started].
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(crate) base_dir: Option<PathBuf>,
    /// Computes every stage, also those with `cache` whose outputs are known; what they give may be used again.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Waits for the run's end and shows it.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// Why; it is shown where the run is shown.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// A stage to be done again although it succeeded, with all that needs it; may be repeated.
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) from: Vec<String>,
    /// Waits for the run's end and shows it.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// The stage that waits.
    pub(crate) stage: String,
    /// Rejects: the stage fails.
    #[arg(long)]
    pub(crate) reject: bool,
    /// What there is to say; it is shown where the run is shown.
    #[arg(long)]
    pub(crate) comment: Option<String>,
}
