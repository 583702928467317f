//! `submit`, `watch`, `cancel`, `retry` and `approve`: runs of a coordinator elsewhere.

use std::path::Path;
use std::time::Duration;

use marquetry_proto::{to_prost_value, v1};
use marquetry_types::{RunId, Timestamp};
use serde_json::{Value, json};

use crate::approvals::user;
use crate::arguments::{Approve, Cancel, Common, Format, Retry, Submit, Watch};
use crate::cluster::Cluster;
use crate::commands::run::read_settings;
use crate::commands::runs;
use crate::failure::Failure;
use crate::output::{self, BOLD, DIM};
use crate::progress::Progress;
use crate::run_view::RunView;
use crate::stages::registry;
use crate::telemetry::traced;
use crate::workflow_file;

/// After how long without news a watcher is told what the run waits for.
const SILENCE: Duration = Duration::from_secs(2);
/// The pause before a watch that broke is taken up again.
const PAUSE: Duration = Duration::from_millis(200);

/// `marquetry submit`
pub(crate) async fn submit(common: &Common, arguments: &Submit) -> Result<(), Failure> {
    let (bundle, workflow, workflow_version) = what_to_run(&arguments.workflow)?;
    let params = read_settings(&arguments.set)?;
    let cluster = Cluster::of(common)?;
    // A submission that is sent again, for its answer got lost, is the same one.
    let request_id = match &arguments.request_id {
        Some(id) => id.clone(),
        None => RunId::new(Timestamp::now(), fresh()).to_string(),
    };
    let request = v1::SubmitRunRequest {
        bundle,
        workflow,
        workflow_version,
        params: params
            .into_iter()
            .map(|(name, text)| (name, to_prost_value(&Value::String(text))))
            .collect(),
        request_id,
        base_dir: match &arguments.base_dir {
            Some(folder) => absolute(folder)?,
            None => String::new(),
        },
        // Whoever waits here watches, and sees how far it is.
        wait: None,
        no_cache: arguments.no_cache,
    };
    let submitted = cluster
        .call(|mut runs| {
            let request = traced(request.clone());
            async move { runs.submit_run(request).await }
        })
        .await?;
    let run: RunId = submitted.run_id.parse().map_err(Failure::internal)?;
    if arguments.wait {
        return follow(common, &cluster, &run).await;
    }
    if common.output == Format::Json {
        return output::json(&json!({"run": run, "created": submitted.created}));
    }
    if !submitted.created {
        output::note("this request had been submitted before: this is its run");
    }
    output::line(&run)
}

/// A file with what it names, or the name and version of a deployed workflow. What is no file, and cannot
/// be meant as one, is a name.
fn what_to_run(what: &Path) -> Result<(Option<v1::WorkflowBundle>, String, u64), Failure> {
    let is_yaml = what
        .extension()
        .is_some_and(|it| it == "yaml" || it == "yml");
    let has_folder = what.components().count() > 1;
    if is_yaml || has_folder || what.is_file() {
        let (_, bundle, _) = workflow_file::read(what, registry().as_ref())?;
        let bundle = v1::WorkflowBundle {
            entry: bundle.entry,
            files: bundle.files.into_iter().collect(),
        };
        return Ok((Some(bundle), String::new(), 0));
    }
    let text = what.to_string_lossy();
    match text.split_once('@') {
        None => Ok((None, text.into_owned(), 0)),
        Some((name, version)) => match version.parse() {
            Ok(version) if version > 0 => Ok((None, name.to_owned(), version)),
            _ => Err(Failure::no_match(
                format!("`{version}` is no version"),
                "write NAME@VERSION, as in `retail-segmentation@3`",
            )),
        },
    }
}

/// `marquetry watch`
pub(crate) async fn watch(common: &Common, arguments: &Watch) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let run = cluster.find(&arguments.run).await?;
    follow(common, &cluster, &run).await
}

/// `marquetry cancel`
pub(crate) async fn cancel(common: &Common, arguments: &Cancel) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let run = cluster.find(&arguments.run).await?;
    let request = v1::CancelRunRequest {
        run_id: run.to_string(),
        reason: arguments.reason.clone().unwrap_or_default(),
    };
    cluster
        .call(|mut runs| {
            let request = request.clone();
            async move { runs.cancel_run(request).await }
        })
        .await?;
    said(common, &run, "is being cancelled")
}

/// `marquetry retry`
pub(crate) async fn retry(common: &Common, arguments: &Retry) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let run = cluster.find(&arguments.run).await?;
    let request = v1::RetryRunRequest {
        run_id: run.to_string(),
        from_stages: arguments.from.clone(),
    };
    cluster
        .call(|mut runs| {
            let request = request.clone();
            async move { runs.retry_run(request).await }
        })
        .await?;
    if arguments.wait {
        return follow(common, &cluster, &run).await;
    }
    said(common, &run, "goes on")
}

/// `marquetry approve`
pub(crate) async fn approve(common: &Common, arguments: &Approve) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let run = cluster.find(&arguments.run).await?;
    let decision = match arguments.reject {
        true => v1::ApprovalDecision::Reject,
        false => v1::ApprovalDecision::Approve,
    };
    let request = v1::ApproveStageRequest {
        run_id: run.to_string(),
        stage: arguments.stage.clone(),
        decision: decision.into(),
        comment: arguments.comment.clone().unwrap_or_default(),
        approver: user(),
    };
    cluster
        .call(|mut runs| {
            let request = request.clone();
            async move { runs.approve_stage(request).await }
        })
        .await?;
    let what = match arguments.reject {
        true => format!("does not go on: stage {} is rejected", arguments.stage),
        false => format!("goes on: stage {} is approved", arguments.stage),
    };
    said(common, &run, &what)
}

fn said(common: &Common, run: &RunId, what: &str) -> Result<(), Failure> {
    if common.output == Format::Json {
        return output::json(&json!({"run": run}));
    }
    output::line(format!("run {run} {what}"))
}

/// Watches a run to its end, over as many coordinators as it takes, then shows it. An interrupt leaves
/// the run alone: it goes on without a watcher.
async fn follow(common: &Common, cluster: &Cluster, run: &RunId) -> Result<(), Failure> {
    let is_silent = common.output == Format::Json;
    if !is_silent {
        output::note(format!("{DIM}run{DIM:#} {BOLD}{run}{BOLD:#}"));
    }
    let mut progress = Progress::new(is_silent);
    let request = v1::WatchRunRequest {
        run_id: run.to_string(),
    };
    let watched = async {
        loop {
            let mut events = cluster
                .call(|mut runs| {
                    let request = request.clone();
                    async move { runs.watch_run(request).await }
                })
                .await?;
            loop {
                let next = tokio::time::timeout(SILENCE, events.message()).await;
                match next {
                    Ok(Ok(Some(response))) => {
                        if let Some(event) = &response.event {
                            progress.event(event);
                        }
                    }
                    Ok(Ok(None)) => return Ok::<(), Failure>(()),
                    // The coordinator stopped, or leads no longer.
                    Ok(Err(_)) => break,
                    // A run never hangs without saying why.
                    Err(_) => progress.waiting(&cluster.run(run).await?),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        watched = watched => watched?,
        _ = tokio::signal::ctrl_c() => {
            drop(progress);
            output::note(format!("the run goes on: `marquetry watch {run}` watches it again"));
            return Err(Failure::Run);
        }
    }
    drop(progress);
    let view = RunView::from(cluster.run(run).await?);
    runs::print(common, &view)?;
    if view.status == "succeeded" {
        Ok(())
    } else {
        Err(Failure::Run)
    }
}

/// A folder as others find it.
pub(crate) fn absolute(folder: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(folder);
    let absolute = absolute.map_err(|error| Failure::file("find", folder, &error))?;
    Ok(absolute.to_string_lossy().into_owned())
}

/// Entropy for a request id.
fn fresh() -> u128 {
    use std::hash::{BuildHasher, Hasher};
    // Each state is seeded by the system; two give as many bits as an id takes.
    let half = || {
        std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish()
    };
    (u128::from(half()) << 64) | u128::from(half())
}
