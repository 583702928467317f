//! Serving a cluster: `server`, `token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use marquetry_workflow::parse_duration;

/// Where a server listens that is not told where.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:7070";

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The address and port to listen on; port 0 takes a free one.
    #[arg(long, env = "MARQUETRY_LISTEN", default_value = DEFAULT_LISTEN)]
    pub(crate) listen: String,
    /// The URL at which clients and workers reach it [default: the address it listens on].
    #[arg(long, env = "MARQUETRY_URL")]
    pub(crate) url: Option<String>,
    /// Its certificate, as PEM.
    #[arg(long, env = "MARQUETRY_CERTIFICATE", value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub(crate) certificate: Option<PathBuf>,
    /// The key of its certificate, as PEM.
    #[arg(long, env = "MARQUETRY_KEY", value_name = "FILE", requires = "certificate", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// The authority of clients' certificates, as PEM: whoever has none that it signed is kept out.
    #[arg(long, env = "MARQUETRY_CLIENT_AUTHORITY", value_name = "FILE", requires = "certificate", value_hint = ValueHint::FilePath)]
    pub(crate) client_authority: Option<PathBuf>,
    /// A file with the tokens that it takes, a line each, as `marquetry token new` prints them.
    #[arg(long, env = "MARQUETRY_TOKENS", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) tokens: Option<PathBuf>,
    /// The address and port at which it shows metrics and probes over plain HTTP [default: nowhere].
    #[arg(long, env = "MARQUETRY_METRICS", value_name = "HOST:PORT")]
    pub(crate) metrics: Option<String>,
    /// Lets everybody in who can reach it.
    #[arg(long, env = "MARQUETRY_INSECURE")]
    pub(crate) insecure: bool,
    #[command(flatten)]
    pub(crate) keep: Keep,
}

/// What a server keeps of runs that have ended.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "History")]
pub(crate) struct Keep {
    /// How long a finished run waits to be archived in the lake; sooner where many do.
    #[arg(long, env = "MARQUETRY_ARCHIVE_AFTER", default_value = "10m", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) archive_after: Duration,
    /// How long an archived run stays in the journal after it ended; `0s` keeps it for ever.
    #[arg(long, env = "MARQUETRY_KEEP_RUNS_FOR", default_value = "90d", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) keep_runs_for: Duration,
    /// How many finished runs stay in the journal at most; 0 keeps all.
    #[arg(
        long,
        env = "MARQUETRY_KEEP_RUNS",
        default_value_t = 0,
        value_name = "COUNT"
    )]
    pub(crate) keep_runs: u64,
    /// How often many small files of the archive become one; `0s` for never.
    #[arg(long, env = "MARQUETRY_COMPACT_EVERY", default_value = "1h", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) compact_every: Duration,
    /// How often files that nobody needs are removed from the lake; `0s` for never.
    #[arg(long, env = "MARQUETRY_COLLECT_EVERY", default_value = "1d", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) collect_every: Duration,
    /// How old they must be.
    #[arg(long, env = "MARQUETRY_COLLECT_OLDER_THAN", default_value = "1d", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) collect_older_than: Duration,
    /// How long the data of a run is kept after it ended, unless it is published; `0s` keeps it for ever.
    #[arg(long, env = "MARQUETRY_KEEP_DATA_FOR", default_value = "0s", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) keep_data_for: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and its line for the file of `marquetry server --tokens`.
    #[command(after_help = "Example:\n  marquetry token new --role operator --name ci")]
    New(NewToken),
}

#[derive(Debug, Args)]
pub(crate) struct NewToken {
    /// What its holder may do.
    #[arg(long, value_enum)]
    pub(crate) role: TokenRole,
    /// Whose it is, for people.
    #[arg(long)]
    pub(crate) name: String,
}

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenRole {
    /// Look at runs, logs and workers.
    Viewer,
    /// The same, and submit, cancel, retry and approve.
    Operator,
    /// The same, and drain workers.
    Admin,
    /// Attach as a worker, and nothing else.
    Worker,
}
