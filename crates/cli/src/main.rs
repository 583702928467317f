//! `marquetry`: workflows for customer segmentation, from the command line.
//!
//! It wires and decides nothing: workflows are read by `marquetry_workflow`, runs are decided by the
//! coordinator and done by the worker, both of which live in this process and talk gRPC over a pipe.

mod approvals;
mod archived_runs;
mod arguments;
mod cluster;
mod commands;
mod datasets;
mod embedded;
mod failure;
mod keeping;
mod kept_logs;
mod listening;
mod opening;
mod output;
mod place;
mod progress;
mod published;
mod run_view;
mod stages;
mod telemetry;
mod workflow_file;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command, TokenCommand};
use crate::failure::Failure;

/// Coordinators and workers make and drop many small things on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let format = arguments.common.output;
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure, format);
            failure.exit_code()
        }
    }
}

fn start(arguments: Arguments) -> Result<(), Failure> {
    let observing = telemetry::begin(&arguments.common, &arguments.command)?;
    let done = obey(&arguments);
    observing.end();
    done
}

fn obey(arguments: &Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    // What needs no runtime starts none: checking a file takes milliseconds.
    match &arguments.command {
        Command::Validate(arguments) => return commands::run::validate(common, arguments),
        Command::Stages(arguments) => return commands::describe::stages(common, arguments),
        Command::Sample(sample) => return commands::sample::make(common, sample),
        Command::Schema => return commands::describe::schema(),
        Command::Token(TokenCommand::New(arguments)) => {
            return commands::server::token(common, arguments);
        }
        Command::StageHost(arguments) => return commands::worker::host(arguments),
        Command::DataPlane => return commands::data_plane::serve(),
        Command::Completions { shell } => return commands::describe::completions(*shell),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::internal)?;
    let done = runtime.block_on(async {
        match &arguments.command {
            Command::Run(arguments) => commands::run::run(common, arguments).await,
            Command::Resume(arguments) => commands::run::resume(common, arguments).await,
            Command::Runs(arguments) => commands::runs::list(common, arguments).await,
            Command::Show(arguments) => commands::runs::show(common, arguments).await,
            Command::Logs(arguments) => commands::logs::print(common, arguments).await,
            Command::Report(arguments) => commands::report::write(common, arguments).await,
            Command::Head(arguments) => commands::data::head(common, arguments).await,
            Command::Export(arguments) => commands::data::export(common, arguments).await,
            Command::Tables(arguments) => commands::tables::run(common, arguments).await,
            Command::Policies(arguments) => commands::policies::run(common, arguments).await,
            Command::Server(arguments) => commands::server::serve(common, arguments).await,
            Command::Worker(arguments) => commands::worker::serve(common, arguments).await,
            Command::Submit(arguments) => commands::submit::submit(common, arguments).await,
            Command::Watch(arguments) => commands::submit::watch(common, arguments).await,
            Command::Cancel(arguments) => commands::submit::cancel(common, arguments).await,
            Command::Retry(arguments) => commands::submit::retry(common, arguments).await,
            Command::Approve(arguments) => commands::submit::approve(common, arguments).await,
            Command::Deploy(arguments) => commands::workflows::deploy(common, arguments).await,
            Command::Workflows(arguments) => commands::workflows::list(common, arguments).await,
            Command::Retire(arguments) => commands::workflows::retire(common, arguments).await,
            Command::Schedules => commands::workflows::schedules(common).await,
            Command::Backfill(arguments) => commands::workflows::backfill(common, arguments).await,
            Command::Doctor(arguments) => commands::doctor::examine(common, arguments).await,
            Command::Sql(arguments) => commands::sql::query(common, arguments).await,
            Command::Collect(arguments) => commands::collect::run(common, arguments).await,
            Command::Backup(arguments) => commands::backup::backup(common, arguments).await,
            Command::Restore(arguments) => commands::backup::restore(common, arguments).await,
            Command::Health(arguments) => commands::health::check(common, arguments).await,
            Command::Workers => commands::cluster::workers(common).await,
            Command::Queues => commands::cluster::queues(common).await,
            Command::Drain(arguments) => commands::cluster::drain(common, arguments).await,
            Command::Validate(_)
            | Command::Token(_)
            | Command::StageHost(_)
            | Command::DataPlane
            | Command::Stages(_)
            | Command::Sample(_)
            | Command::Schema
            | Command::Completions { .. } => Ok(()),
        }
    });
    // A stage that does not heed its cancellation must not keep the program.
    runtime.shutdown_background();
    done
}
