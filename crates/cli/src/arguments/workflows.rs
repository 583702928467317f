//! Deployed workflows: `deploy`, `workflows`, `retire`, `backfill`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// Workflow files.
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// What there is to say of these versions.
    #[arg(long)]
    pub(crate) comment: Option<String>,
    /// The folder in which relative source paths start, as the workers see it [default: each worker's own].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) base_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Workflows {
    /// The versions of this one.
    pub(crate) name: Option<String>,
    /// At most so many versions.
    #[arg(long, short = 'n', default_value_t = 20)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Retire {
    /// The workflow.
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Backfill {
    /// The workflow.
    pub(crate) name: String,
    /// Which of its schedules, where it has several.
    #[arg(long)]
    pub(crate) schedule: Option<String>,
    /// Where the time begins: a day in UTC, or an instant.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// Where it ends; the end is no part of it.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
}
