//! Options of every command: where things are, which coordinator, how results are printed.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::telemetry::Telemetry;

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Where runs and their data are kept.
    #[arg(long, global = true, env = "MARQUETRY_DATA_DIR", default_value = "marquetry-data", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: PathBuf,
    /// Where the data itself is kept: a folder, or a URL such as s3://bucket/prefix, gs:// or az://
    /// [default: <data-dir>/lake].
    #[arg(long, global = true, env = "MARQUETRY_LAKE", value_name = "PLACE")]
    pub(crate) lake: Option<String>,
    /// Where the journal is kept: a SQLite file, or a URL such as postgres://user@host/database, which
    /// several servers can share [default: <data-dir>/journal.db].
    #[arg(
        long,
        global = true,
        env = "MARQUETRY_JOURNAL",
        hide_env_values = true,
        value_name = "PLACE"
    )]
    pub(crate) journal: Option<String>,
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// Shows what the program does inside: `info`, `debug`, or filters such as
    /// `marquetry_worker=debug`.
    #[arg(
        long,
        global = true,
        env = "MARQUETRY_LOG",
        default_value = "error",
        hide_default_value = true
    )]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) telemetry: Telemetry,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// Which coordinator to speak with, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Reach {
    /// A coordinator's URL, as in http://127.0.0.1:7070; several, by commas, where others take over.
    #[arg(
        long,
        global = true,
        env = "MARQUETRY_COORDINATOR",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub(crate) coordinator: Vec<String>,
    /// A file with the token to show [or MARQUETRY_TOKEN].
    #[arg(long, global = true, env = "MARQUETRY_TOKEN_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
    /// The authority that signed the coordinator's certificate, as PEM [default: the system's].
    #[arg(long, global = true, env = "MARQUETRY_AUTHORITY", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) authority: Option<PathBuf>,
    /// A certificate to show to the coordinator, as PEM.
    #[arg(long, global = true, env = "MARQUETRY_CLIENT_CERTIFICATE", value_name = "FILE", requires = "client_key", value_hint = ValueHint::FilePath)]
    pub(crate) client_certificate: Option<PathBuf>,
    /// The key of that certificate, as PEM.
    #[arg(long, global = true, env = "MARQUETRY_CLIENT_KEY", value_name = "FILE", requires = "client_certificate", value_hint = ValueHint::FilePath)]
    pub(crate) client_key: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document, for programs.
    Json,
}
