//! `report`: one HTML file from the journal and the artifacts of a run.

use marquetry_engine::{RunState, StageState};
use marquetry_lake::Lake;
use marquetry_plugin::{PANEL_MEDIA_TYPE, Panel};
use marquetry_report::{ReportData, ReportStage, render};
use marquetry_types::{LogLevel, StageName, Timestamp};
use marquetry_workflow::StageCatalogue;

use crate::arguments::{Common, Format, Report};
use crate::failure::Failure;
use crate::output;
use crate::place::Place;
use crate::stages::registry;

/// `marquetry report`
pub(crate) async fn write(common: &Common, arguments: &Report) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let run = place.load(&arguments.run).await?;
    let lake = place.lake().await?;
    let registry = registry();
    let mut stages = Vec::new();
    for (name, state) in run.stages.iter().filter(|(name, _)| name.place().is_none()) {
        stages.push(stage(&run, name, state, &lake, registry.as_ref()).await?);
    }
    let data = ReportData {
        workflow: run.workflow().name.clone(),
        description: run.workflow().description.clone(),
        run: run.id().to_string(),
        status: run.status,
        params: run.params().clone(),
        submitted_at: run.submitted.at,
        finished_at: run.finished_at,
        generated_at: Timestamp::now(),
        stages,
    };
    let html = render(&data).map_err(Failure::internal)?;
    let path = match &arguments.out {
        Some(path) => path.clone(),
        None => place.report_path(run.id()),
    };
    let failed = |error: std::io::Error| Failure::file("write", &path, &error);
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(&path, html).map_err(failed)?;
    if common.output == Format::Json {
        return output::json(&serde_json::json!({"file": path, "run": run.id()}));
    }
    output::line(path.display())
}

async fn stage(
    run: &RunState,
    name: &StageName,
    state: &StageState,
    lake: &Lake,
    catalogue: &dyn StageCatalogue,
) -> Result<ReportStage, Failure> {
    let declared = run.workflow().stage(name);
    let kind = declared
        .map(|stage| stage.uses.to_string())
        .unwrap_or_default();
    let needs = declared
        .map(|stage| stage.needs.clone())
        .unwrap_or_default();
    let end_of = |need: &StageName| {
        run.stages
            .get(need)
            .and_then(|stage| stage.attempts.last())
            .and_then(|it| it.finished_at)
    };
    let outcome = state.outcome.clone().unwrap_or_default();
    let mut panels: Vec<Panel> = Vec::new();
    for artifact in outcome
        .artifacts
        .iter()
        .filter(|it| it.media_type == PANEL_MEDIA_TYPE)
    {
        let bytes = lake.get(&artifact.path).await?;
        panels.push(serde_json::from_slice(&bytes).map_err(Failure::internal)?);
    }
    let mut warnings = Vec::new();
    if let Some(last) = state.attempts.last() {
        let lines = marquetry_worker::read_log(lake, &last.token.attempt).await?;
        let lines = lines
            .into_iter()
            .filter(|line| line.level == LogLevel::Warn);
        warnings.extend(lines.map(|line| {
            let fields: Vec<String> = line
                .fields
                .iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            if fields.is_empty() {
                line.message
            } else {
                format!("{}: {}", line.message, fields.join(", "))
            }
        }));
    }
    Ok(ReportStage {
        name: name.to_string(),
        summary: catalogue.descriptor(&kind).map(|it| it.summary.clone()),
        kind,
        status: state.status,
        ready_at: needs
            .iter()
            .filter_map(end_of)
            .max()
            .or(Some(run.submitted.at)),
        needs: needs.iter().map(ToString::to_string).collect(),
        started_at: state.started_at,
        finished_at: state.ended_at,
        attempts: u32::try_from(state.attempts.len()).unwrap_or(u32::MAX),
        rows: outcome
            .outputs
            .iter()
            .map(|(name, set)| (name.clone(), set.rows))
            .collect(),
        metrics: outcome.metrics,
        failure: state
            .failure
            .as_ref()
            .map(|failure| failure.diagnostic.clone()),
        skip_reason: state.skip_reason.clone(),
        warnings,
        panels,
    })
}
