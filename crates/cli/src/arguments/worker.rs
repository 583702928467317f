//! Running stages for a cluster: `worker`, and the children that it starts.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::Resources;

#[derive(Debug, Args)]
pub(crate) struct WorkerArguments {
    #[command(flatten)]
    pub(crate) resources: Resources,
    /// The beginning of its name; the rest makes it unique.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A queue that it serves; may be repeated [default: default].
    #[arg(long, value_name = "QUEUE", value_delimiter = ',')]
    pub(crate) queue: Vec<String>,
    /// Something that stages may ask for; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// Where stages run.
    #[arg(long, value_enum, default_value_t = IsolationArgument::Process)]
    pub(crate) isolation: IsolationArgument,
    /// Seconds that a cancelled stage may take to end by itself before it is cut off.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    pub(crate) cancel_patience: u64,
    /// Seconds that what runs may take to end when the worker is asked to stop.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) drain_timeout: u64,
    #[command(flatten)]
    pub(crate) data_plane: DataPlaneArguments,
}

/// Whether and how a worker takes parts of other workers' queries.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data plane")]
pub(crate) struct DataPlaneArguments {
    /// Takes parts of other workers' queries at this address and port; port 0 takes a free one.
    #[arg(long, env = "MARQUETRY_DATA_PLANE", value_name = "ADDRESS")]
    pub(crate) data_plane: Option<String>,
    /// The URL at which other workers reach it [default: the address it listens on].
    #[arg(
        long,
        env = "MARQUETRY_DATA_PLANE_URL",
        value_name = "URL",
        requires = "data_plane"
    )]
    pub(crate) data_plane_url: Option<String>,
    /// Memory of all these parts together, in MiB; queries beyond it spill.
    #[arg(
        long,
        env = "MARQUETRY_DATA_PLANE_MEMORY",
        default_value_t = 2048,
        value_name = "MIB"
    )]
    pub(crate) data_plane_memory: u64,
    /// Its certificate, as PEM; other workers know its authority by their `--authority`.
    #[arg(long, env = "MARQUETRY_DATA_PLANE_CERTIFICATE", value_name = "FILE", requires = "data_plane_key", value_hint = ValueHint::FilePath)]
    pub(crate) data_plane_certificate: Option<PathBuf>,
    /// The key of its certificate, as PEM.
    #[arg(long, env = "MARQUETRY_DATA_PLANE_KEY", value_name = "FILE", requires = "data_plane_certificate", value_hint = ValueHint::FilePath)]
    pub(crate) data_plane_key: Option<PathBuf>,
    /// Listens beyond this machine without TLS.
    #[arg(long, env = "MARQUETRY_INSECURE")]
    pub(crate) insecure: bool,
}

/// Where stages run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationArgument {
    /// In processes of their own, which are limited and can be killed.
    Process,
    /// On threads of the worker: the least overhead, for stages that are trusted.
    Thread,
}

#[derive(Debug, Args)]
pub(crate) struct StageHost {
    /// Threads of a stage.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}
