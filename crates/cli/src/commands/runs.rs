//! `runs` and `show`.

use marquetry_engine::{RunState, RunStatus, StageStatus};
use marquetry_journal::{JournalReader, Page, RunFilter};
use marquetry_types::thousands;
use marquetry_workflow::render;

use crate::arguments::{Common, Format, OneRun, Runs, Status};
use crate::failure::Failure;
use crate::output::{self, BOLD, DIM, GREEN, RED, YELLOW};
use crate::place::Place;
use crate::run_view::{RunView, SummaryView};

/// `marquetry runs`
pub(crate) async fn list(common: &Common, arguments: &Runs) -> Result<(), Failure> {
    let journal = Place::of(common)?.reader()?;
    let filter = RunFilter {
        status: arguments.status.map(|status| match status {
            Status::Running => RunStatus::Running,
            Status::Succeeded => RunStatus::Succeeded,
            Status::Failed => RunStatus::Failed,
            Status::Cancelled => RunStatus::Cancelled,
        }),
        name: arguments.workflow.clone(),
    };
    let runs = journal
        .list_runs(&filter, &Page::first(arguments.limit))
        .await?;
    if common.output == Format::Json {
        return output::json(&runs.iter().map(SummaryView::from).collect::<Vec<_>>());
    }
    let rows = runs.iter().map(|run| {
        let took = run
            .finished_at
            .map(|end| output::between(run.submitted_at, end));
        vec![
            run.run.to_string(),
            run.workflow.clone(),
            run.status.as_str().to_owned(),
            format!("{}/{}", run.stages.succeeded, run.stages.total),
            run.submitted_at.to_string(),
            took.unwrap_or_default(),
        ]
    });
    let header = ["run", "workflow", "status", "stages", "submitted", "took"];
    output::line(output::table(&header, rows.collect()))
}

/// `marquetry show`
pub(crate) async fn show(common: &Common, arguments: &OneRun) -> Result<(), Failure> {
    let state = Place::of(common)?.load(&arguments.run).await?;
    print(common, &state)
}

/// Prints a run.
pub(crate) fn print(common: &Common, run: &RunState) -> Result<(), Failure> {
    if common.output == Format::Json {
        return output::json(&RunView::from(run));
    }
    let colour = match run.status {
        RunStatus::Succeeded => GREEN,
        RunStatus::Failed => RED,
        RunStatus::Running | RunStatus::Cancelled => YELLOW,
    };
    let took = run
        .finished_at
        .map(|end| format!(" in {}", output::between(run.submitted.at, end)));
    output::line(format!(
        "\n{BOLD}{}{BOLD:#}  {}  {colour}{}{colour:#}{}\n",
        run.workflow().name,
        run.id(),
        run.status.as_str(),
        took.unwrap_or_default(),
    ))?;
    let rows = run.stages.iter().map(|(name, stage)| {
        let kind = run
            .workflow()
            .stages
            .get(name)
            .map(|stage| stage.uses.to_string());
        let last = stage.attempts.last();
        let took = last.and_then(|last| Some(output::between(last.assigned_at, last.finished_at?)));
        let outcome = stage.outcome.clone().unwrap_or_default();
        let outputs: Vec<String> = outcome
            .outputs
            .iter()
            .map(|(name, dataset)| format!("{name} {}", thousands(dataset.rows)))
            .collect();
        let what = match stage.status {
            StageStatus::Skipped => stage.skip_reason.clone().unwrap_or_default(),
            _ => outputs.join(", "),
        };
        vec![
            name.to_string(),
            kind.unwrap_or_default(),
            stage.status.as_str().to_owned(),
            took.unwrap_or_default(),
            what,
        ]
    });
    output::line(output::table(
        &["stage", "kind", "status", "took", "rows"],
        rows.collect(),
    ))?;
    for stage in run.stages.values() {
        for version in &stage.published {
            output::line(format!("{GREEN}published{GREEN:#} {version}"))?;
        }
        for withheld in &stage.withheld {
            let (output, reason) = (&withheld.output, &withheld.reason);
            output::line(format!(
                "{YELLOW}not published{YELLOW:#} {output}: {reason}"
            ))?;
        }
    }
    let mut figures = Vec::new();
    for (name, stage) in &run.stages {
        let metrics = stage.outcome.iter().flat_map(|outcome| &outcome.metrics);
        figures.extend(
            metrics.map(|(metric, value)| vec![format!("{name}.{metric}"), output::figure(*value)]),
        );
    }
    if !figures.is_empty() {
        output::line(format!(
            "\n{}",
            output::table(&["figure", "value"], figures)
        ))?;
    }
    if let Some(failure) = &run.failure {
        let at = failure
            .stage
            .as_ref()
            .map(|stage| format!("{DIM}in stage {stage}{DIM:#}\n"));
        let text = render(&failure.diagnostic.clone().into(), None, false);
        output::line(format!("\n{}{}", at.unwrap_or_default(), text.trim_end()))?;
    }
    Ok(())
}
