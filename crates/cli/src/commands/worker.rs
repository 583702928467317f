//! `worker`, and `stage-host`, which a worker starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use marquetry_types::{Diagnostic, QueueName, WorkerId, is_label};
use marquetry_worker::{HostCommand, Isolation, Leave, Worker, WorkerConfig};
use tokio_util::sync::CancellationToken;

use crate::arguments::{Common, IsolationArgument, StageHost, WorkerArguments};
use crate::cluster::{authority, coordinators};
use crate::commands::data_plane;
use crate::commands::server::{process_name, stop_signal};
use crate::failure::Failure;
use crate::output;
use crate::place::Place;
use crate::stages::registry;

/// `marquetry worker`
pub(crate) async fn serve(common: &Common, arguments: &WorkerArguments) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let lake = place.lake().await?;
    let resources = &arguments.resources;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = resources.threads.unwrap_or(cores).max(1);
    let isolation = match arguments.isolation {
        IsolationArgument::Process => Isolation::Processes(host_command(common, threads)?),
        IsolationArgument::Thread => Isolation::Threads,
    };
    let id: WorkerId = match &arguments.name {
        Some(name) => process_name(name),
        None => process_name("worker"),
    }
    .parse()
    .map_err(|error: marquetry_types::InvalidName| {
        Failure::no_match(error.to_string(), "give another `--name`")
    })?;
    let config = WorkerConfig {
        slots: resources.slots.max(1),
        queues: queues(&arguments.queue)?,
        labels: labels(&arguments.label)?,
        threads,
        memory_limit: resources.stage_memory.saturating_mul(1024 * 1024),
        secrets_dir: resources.secrets_dir.clone(),
        isolation,
        cancel_patience: Duration::from_secs(arguments.cancel_patience),
        authority: authority(&common.reach)?,
        data_plane: data_plane::configured(&arguments.data_plane, common, threads, &place).await?,
        ..WorkerConfig::new(id.clone(), place.spill_path())
    };
    let coordinators = coordinators(&common.reach)?;
    let url = coordinators.url();
    let worker = Worker::new(config, registry(), lake, coordinators).map_err(Failure::internal)?;
    output::note(format!("worker {id} serves {url}"));
    let leave = Leave::default();
    let patience = Duration::from_secs(arguments.drain_timeout);
    tokio::spawn(leave_on_signal(leave.clone(), patience));
    worker
        .serve(leave)
        .await
        .map_err(|error| Failure::Input(Diagnostic::from(error).into()))
}

/// The first signal lets the worker finish what it runs, for as long as `patience`; a second one ends it
/// at once.
async fn leave_on_signal(leave: Leave, patience: Duration) {
    let Leave { drain, now } = leave;
    stop_signal().await;
    output::note(
        "draining: what runs is finished, nothing new is taken; a second signal ends it at once",
    );
    drain.cancel();
    tokio::select! {
        () = stop_signal() => {}
        () = tokio::time::sleep(patience) => output::note("it took too long: what runs is given up"),
    }
    CancellationToken::cancel(&now);
}

/// This very program, whatever has been put in its place since it started.
pub(crate) fn this_program(arguments: &[&str]) -> Result<HostCommand, Failure> {
    let running = PathBuf::from("/proc/self/exe");
    let program = if running.exists() {
        running
    } else {
        std::env::current_exe().map_err(Failure::internal)?
    };
    Ok(HostCommand {
        program,
        arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
    })
}

/// What runs stages for this worker. It logs and traces as this one does.
fn host_command(common: &Common, threads: usize) -> Result<HostCommand, Failure> {
    let threads = threads.to_string();
    let mut command = this_program(&["stage-host", "--threads", &threads, "--log", &common.log])?;
    command.arguments.extend(common.telemetry.options());
    Ok(command)
}

/// `--queue QUEUE`, repeated.
fn queues(given: &[String]) -> Result<BTreeSet<QueueName>, Failure> {
    let names = given.iter().map(|name| QueueName::try_from(name.clone()));
    names
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::no_match(error.to_string(), "give another `--queue`"))
}

/// `--label NAME=VALUE`, repeated.
fn labels(given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels = BTreeMap::new();
    for label in given {
        match label.split_once('=') {
            Some((name, value)) if is_label(name) && is_label(value) => {
                labels.insert(name.to_owned(), value.to_owned());
            }
            _ => {
                let message = format!("`--label {label}` is no label");
                let help = "write --label NAME=VALUE, both of 1 to 64 letters, digits, `-`, `_`, `.` or `/`";
                return Err(Failure::no_match(message, help));
            }
        }
    }
    Ok(labels)
}

/// `marquetry stage-host`
pub(crate) fn host(arguments: &StageHost) -> Result<(), Failure> {
    marquetry_worker::serve_stage_host(arguments.threads, registry()).map_err(Failure::internal)
}
