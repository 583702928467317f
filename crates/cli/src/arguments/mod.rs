//! The command line: names, help and examples, a file for each family of commands.

mod cluster;
mod command;
mod common;
mod data;
mod keeping;
mod kinds;
mod run;
mod runs;
mod server;
mod submit;
mod worker;
mod workflows;

use clap::Parser;

pub(crate) use self::cluster::{Doctor, Drain, Health};
pub(crate) use self::command::Command;
pub(crate) use self::common::{Common, Format, Reach};
pub(crate) use self::data::{
    Export, FileFormat, Head, Policies, PoliciesCommand, RowFormat, Sql, Tables, TablesCommand,
};
pub(crate) use self::keeping::{Backup, Collect, Restore};
pub(crate) use self::kinds::{Sample, Stages, StagesCommand};
pub(crate) use self::run::{Resources, Resume, Run, Validate};
pub(crate) use self::runs::{Logs, OneRun, Report, Runs, Status};
pub(crate) use self::server::{DEFAULT_LISTEN, Keep, NewToken, Server, TokenCommand, TokenRole};
pub(crate) use self::submit::{Approve, Cancel, Retry, Submit, Watch};
pub(crate) use self::worker::{DataPlaneArguments, IsolationArgument, StageHost, WorkerArguments};
pub(crate) use self::workflows::{Backfill, Deploy, Retire, Workflows};

const EXAMPLES: &str = "\
Examples:
  marquetry sample orders --rows 200000 --out data/orders    make realistic orders
  marquetry run workflows/retail.yaml                         run a workflow on them
  marquetry run retail.yaml --set segments=6                  with another parameter
  marquetry report latest                                     write its report
  marquetry head latest/segments                              look at an output

Exit codes: 0 succeeded, 1 the run failed, 2 bad input (nothing was started), 3 internal error.";

/// Customer segmentation workflows: from raw orders to segments, offers and reports.
#[derive(Debug, Parser)]
#[command(name = "marquetry", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}
