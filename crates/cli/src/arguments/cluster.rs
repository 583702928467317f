//! Looking after a cluster: `doctor`, `health`, `drain`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Where a server is to listen [default: 127.0.0.1:7070, unless a coordinator is named].
    #[arg(long, env = "MARQUETRY_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Where it is to show metrics.
    #[arg(long, env = "MARQUETRY_METRICS", value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,
    /// Where a worker is to take parts of other workers' queries.
    #[arg(long, env = "MARQUETRY_DATA_PLANE", value_name = "ADDRESS")]
    pub(crate) data_plane: Option<String>,
}

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
