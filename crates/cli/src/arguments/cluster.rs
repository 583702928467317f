//! Looking after a cluster: `health`, `drain`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// The server [default: the first of `--coordinator`].
    pub(crate) url: Option<String>,
    /// Whether it is the one that leads.
    #[arg(long)]
    pub(crate) leads: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// The worker, as `marquetry workers` names it.
    pub(crate) worker: String,
    /// Why; it stands in the worker's log.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}
