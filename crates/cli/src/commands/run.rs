//! `validate`, `run` and `resume`.

use std::collections::BTreeMap;
use std::time::Duration;

use marquetry_coordinator::TakeUp;
use marquetry_engine::{RunState, RunStatus};
use marquetry_proto::{to_prost_value, v1};
use marquetry_types::RunId;
use marquetry_workflow::ParamInput;
use serde::Serialize;
use serde_json::Value;

use crate::approvals::Approvals;
use crate::arguments::{Common, Format, Resume, Run, Validate};
use crate::embedded::{Embedded, refused};
use crate::failure::Failure;
use crate::output::{self, BOLD, DIM, GREEN};
use crate::place::Place;
use crate::progress::Progress;
use crate::run_view::RunView;
use crate::stages::registry;
use crate::telemetry::traced;
use crate::{commands, workflow_file};

/// `marquetry validate`
pub(crate) fn validate(common: &Common, arguments: &Validate) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Valid {
        file: String,
        workflow: String,
        params: usize,
        stages: Vec<String>,
    }
    let registry = registry();
    let mut valid = Vec::new();
    for file in &arguments.files {
        let (workflow, _, _) = workflow_file::read(file, registry.as_ref())?;
        let stages = workflow
            .topological_order()
            .iter()
            .map(ToString::to_string)
            .collect();
        let file = file.display().to_string();
        valid.push(Valid {
            file,
            workflow: workflow.name,
            params: workflow.params.len(),
            stages,
        });
    }
    if common.output == Format::Json {
        return output::json(&valid);
    }
    for Valid { file, stages, .. } in &valid {
        output::line(format!("{GREEN}✓{GREEN:#} {file}: {}", stages.join(" → ")))?;
    }
    Ok(())
}

/// `marquetry run`
pub(crate) async fn run(common: &Common, arguments: &Run) -> Result<(), Failure> {
    let registry = registry();
    let (workflow, bundle, _) = workflow_file::read(&arguments.file, registry.as_ref())?;
    let params = read_settings(&arguments.set)?;
    let given = params
        .iter()
        .map(|(name, text)| (name.clone(), ParamInput::Text(text.clone())));
    workflow
        .resolve_params(&given.collect())
        .map_err(Failure::Input)?;
    let place = Place::of(common)?;
    let base_dir = std::env::current_dir()?.to_string_lossy().into_owned();
    let mut embedded = Embedded::start(&place, TakeUp::Nothing, &arguments.resources).await?;
    let request = v1::SubmitRunRequest {
        bundle: Some(v1::WorkflowBundle {
            entry: bundle.entry,
            files: bundle.files.into_iter().collect(),
        }),
        params: params
            .into_iter()
            .map(|(name, text)| (name, to_prost_value(&Value::String(text))))
            .collect(),
        request_id: String::new(),
        base_dir,
        no_cache: arguments.no_cache,
        ..v1::SubmitRunRequest::default()
    };
    let submitted = embedded
        .client
        .submit_run(traced(request))
        .await
        .map_err(|status| refused(&status))?;
    let run: RunId = submitted
        .into_inner()
        .run_id
        .parse()
        .map_err(Failure::internal)?;
    follow(common, embedded, &run, Approvals::new(arguments.yes)).await
}

/// `marquetry resume`
pub(crate) async fn resume(common: &Common, arguments: &Resume) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let state = place.load(&arguments.run).await?;
    let run = state.id().clone();
    if state.status == RunStatus::Succeeded {
        if common.output == Format::Text {
            output::note(format!(
                "run {run} succeeded already: there is nothing to do"
            ));
        }
        return commands::runs::print(common, &RunView::from(&state));
    }
    let take_up = TakeUp::Only(run.clone());
    let mut embedded = Embedded::start(&place, take_up, &arguments.resources).await?;
    if state.status != RunStatus::Running {
        let request = v1::RetryRunRequest {
            run_id: run.to_string(),
            from_stages: Vec::new(),
        };
        embedded
            .client
            .retry_run(request)
            .await
            .map_err(|status| refused(&status))?;
    }
    follow(common, embedded, &run, Approvals::new(arguments.yes)).await
}

/// After how long without news it is asked what the run waits for.
const SILENCE: Duration = Duration::from_millis(500);

/// Watches a run to its end, then shows it. An interrupt cancels the run, a second one ends this
/// program.
async fn follow(
    common: &Common,
    mut embedded: Embedded,
    run: &RunId,
    mut approvals: Approvals,
) -> Result<(), Failure> {
    let is_silent = common.output == Format::Json;
    if !is_silent {
        output::note(format!("{DIM}run{DIM:#} {BOLD}{run}{BOLD:#}"));
    }
    let request = v1::WatchRunRequest {
        run_id: run.to_string(),
    };
    let watch = embedded
        .client
        .watch_run(request)
        .await
        .map_err(|status| refused(&status))?;
    let mut events = watch.into_inner();
    let mut progress = Progress::new(is_silent);
    let mut interrupts = 0;
    loop {
        tokio::select! {
            event = events.message() => match event.map_err(|status| refused(&status))? {
                Some(response) => {
                    if let Some(event) = &response.event {
                        progress.event(event);
                    }
                }
                None => break,
            },
            // A run never hangs without saying why.
            () = tokio::time::sleep(SILENCE) => {
                let request = v1::GetRunRequest { run_id: run.to_string() };
                let shown = embedded.client.get_run(request).await;
                let shown = shown.map_err(|status| refused(&status))?.into_inner();
                let shown = shown.run.unwrap_or_default();
                progress.waiting(&shown);
                approvals.decide(&shown, &mut embedded.client, &progress).await?;
            }
            _ = tokio::signal::ctrl_c() => {
                interrupts += 1;
                if interrupts > 1 {
                    return Err(Failure::Run);
                }
                output::note("cancelling the run; interrupt again to leave at once");
                let request = v1::CancelRunRequest {
                    run_id: run.to_string(),
                    reason: "interrupted from the keyboard".to_owned(),
                };
                // It may have ended meanwhile, which the watch will say.
                drop(embedded.client.cancel_run(request).await);
            }
        }
    }
    drop((progress, events));
    let state: RunState = embedded.journal.load_run(run).await?;
    embedded.stop().await;
    commands::runs::print(common, &RunView::from(&state))?;
    if state.status == RunStatus::Succeeded {
        Ok(())
    } else {
        Err(Failure::Run)
    }
}

/// `--set NAME=VALUE`, repeated.
pub(crate) fn read_settings(settings: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut params = BTreeMap::new();
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            let message = format!("`--set {setting}` lacks a value");
            return Err(Failure::no_match(message, "write --set NAME=VALUE"));
        };
        if params.insert(name.to_owned(), value.to_owned()).is_some() {
            let message = format!("`{name}` is set twice");
            return Err(Failure::no_match(message, "give each parameter one value"));
        }
    }
    Ok(params)
}
