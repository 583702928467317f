//! Running a workflow in this process: `validate`, `run`, `resume`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Workflow files.
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The workflow file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Sets a parameter; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Approves whatever a stage waits for, without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Computes every stage, also those with `cache` whose outputs are known; what they give may be used again.
    #[arg(long)]
    pub(crate) no_cache: bool,
    #[command(flatten)]
    pub(crate) resources: Resources,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// Approves whatever a stage waits for, without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) resources: Resources,
}

/// What stages may use of this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct Resources {
    /// Threads of a stage [default: one for each core].
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Stages that run at a time.
    #[arg(long, default_value_t = 2)]
    pub(crate) slots: u32,
    /// Memory of a stage that does not say how much it needs, in MiB; queries beyond it spill.
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    pub(crate) stage_memory: u64,
    /// A folder with a file for each secret that stages name; others are environment variables, MARQUETRY_SECRET_NAME.
    #[arg(long, env = "MARQUETRY_SECRETS_DIR", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) secrets_dir: Option<PathBuf>,
}
