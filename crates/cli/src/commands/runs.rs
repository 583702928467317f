//! `runs` and `show`, from the journal of a data folder or from a coordinator.

use std::collections::BTreeSet;

use marquetry_engine::RunStatus;
use marquetry_journal::{Page, RunFilter};
use marquetry_proto::v1;
use marquetry_types::thousands;
use marquetry_workflow::render;

use crate::archived_runs;
use crate::arguments::{Common, Format, OneRun, Runs, Status};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::{self, BOLD, DIM, GREEN, RED, YELLOW};
use crate::place::Place;
use crate::run_view::{ParentView, RunView, SummaryView};

/// `marquetry runs`
pub(crate) async fn list(common: &Common, arguments: &Runs) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let mut runs = match Cluster::named(common)? {
        Some(cluster) => of_cluster(&cluster, arguments).await?,
        // The archive may be all that there is.
        None if arguments.all && !place.has_journal() => Vec::new(),
        None => of_journal(&place, arguments).await?,
    };
    if arguments.all {
        add_archived(&place, arguments, &mut runs).await?;
    }
    if common.output == Format::Json {
        return output::json(&runs);
    }
    let rows = runs.into_iter().map(|run| {
        let took = run
            .finished_at
            .map(|end| output::between(run.submitted_at, end));
        vec![
            run.id,
            run.workflow,
            match run.is_archived {
                true => format!("{}, archived", run.status),
                false => run.status.to_owned(),
            },
            format!("{}/{}", run.stages_succeeded, run.stages),
            run.submitted_at.to_string(),
            took.unwrap_or_default(),
        ]
    });
    let header = ["run", "workflow", "status", "stages", "submitted", "took"];
    output::line(output::table(&header, rows.collect()))
}

/// Adds what is in the archive alone. Ids are in the order in which runs were submitted, the latest highest.
async fn add_archived(
    place: &Place,
    arguments: &Runs,
    runs: &mut Vec<SummaryView>,
) -> Result<(), Failure> {
    let known: BTreeSet<String> = runs.iter().map(|run| run.id.clone()).collect();
    let workflow = arguments.workflow.as_deref();
    // Those that are known may all be archived, too.
    let limit = arguments.limit.saturating_add(known.len());
    let archived = archived_runs::list(place, status(arguments), workflow, limit).await?;
    let more = archived.into_iter().filter(|run| !known.contains(&run.id));
    runs.extend(more);
    runs.sort_by(|a, b| b.id.cmp(&a.id));
    runs.truncate(arguments.limit);
    Ok(())
}

fn status(arguments: &Runs) -> Option<RunStatus> {
    arguments.status.map(|status| match status {
        Status::Running => RunStatus::Running,
        Status::Succeeded => RunStatus::Succeeded,
        Status::Failed => RunStatus::Failed,
        Status::Cancelled => RunStatus::Cancelled,
    })
}

async fn of_journal(place: &Place, arguments: &Runs) -> Result<Vec<SummaryView>, Failure> {
    let journal = place.reader().await?;
    let filter = RunFilter {
        status: status(arguments),
        name: arguments.workflow.clone(),
    };
    let page = Page::first(arguments.limit);
    let runs = journal.list_runs(&filter, &page).await?;
    Ok(runs.iter().map(SummaryView::from).collect())
}

async fn of_cluster(cluster: &Cluster, arguments: &Runs) -> Result<Vec<SummaryView>, Failure> {
    let status = arguments
        .status
        .map_or(v1::RunStatus::Unspecified, |status| match status {
            Status::Running => v1::RunStatus::Running,
            Status::Succeeded => v1::RunStatus::Succeeded,
            Status::Failed => v1::RunStatus::Failed,
            Status::Cancelled => v1::RunStatus::Cancelled,
        });
    let mut request = v1::ListRunsRequest {
        workflow: arguments.workflow.clone().unwrap_or_default(),
        status: status.into(),
        ..v1::ListRunsRequest::default()
    };
    let mut views = Vec::new();
    loop {
        let missing = arguments.limit.saturating_sub(views.len());
        request.page_size = u32::try_from(missing).unwrap_or(u32::MAX);
        if missing == 0 {
            return Ok(views);
        }
        let page = cluster
            .call(|mut runs| {
                let request = request.clone();
                async move { runs.list_runs(request).await }
            })
            .await?;
        views.extend(page.runs.into_iter().map(SummaryView::from));
        if page.next_page_token.is_empty() {
            return Ok(views);
        }
        request.page_token = page.next_page_token;
    }
}

/// `marquetry show`
pub(crate) async fn show(common: &Common, arguments: &OneRun) -> Result<(), Failure> {
    let view = match Cluster::named(common)? {
        Some(cluster) => {
            let run = cluster.find(&arguments.run).await?;
            RunView::from(cluster.run(&run).await?)
        }
        None => RunView::from(&Place::of(common)?.load(&arguments.run).await?),
    };
    print(common, &view)
}

/// Prints a run.
pub(crate) fn print(common: &Common, run: &RunView) -> Result<(), Failure> {
    if common.output == Format::Json {
        return output::json(run);
    }
    let colour = match run.status {
        "succeeded" => GREEN,
        "failed" => RED,
        _ => YELLOW,
    };
    let took = run
        .finished_at
        .map(|end| format!(" in {}", output::between(run.submitted_at, end)));
    output::line(format!(
        "\n{BOLD}{}{BOLD:#}  {}  {colour}{}{colour:#}{}\n",
        run.workflow,
        run.id,
        run.status,
        took.unwrap_or_default(),
    ))?;
    if let Some(ParentView { run, stage }) = &run.parent {
        output::line(format!("{DIM}part of run {run}, stage {stage}{DIM:#}\n"))?;
    }
    let rows = run.stages.iter().map(|stage| {
        let last = stage.attempts.last();
        let took = stage.started_at.zip(stage.finished_at);
        let took = took.map(|(start, end)| output::between(start, end));
        let outputs: Vec<String> = stage
            .outputs
            .iter()
            .map(|(name, output)| format!("{name} {}", thousands(output.rows)))
            .collect();
        let what = match (&stage.skip_reason, &stage.waiting_for, &stage.approval) {
            (Some(reason), _, _) => reason.clone(),
            (_, Some(waiting), _) => {
                let since = last.and_then(|last| Some((last.why.as_ref()?, last.code.as_ref()?)));
                let since = since.map(|(why, code)| format!(", since {why} [{code}]"));
                format!("waiting for {waiting}{}", since.unwrap_or_default())
            }
            (_, _, Some(approval)) if approval.comment.is_empty() => {
                format!("approved by {}", approval.by)
            }
            (_, _, Some(approval)) => format!("approved by {}: {}", approval.by, approval.comment),
            (None, None, None) => outputs.join(", "),
        };
        let child = stage.child.as_ref().filter(|_| stage.waiting_for.is_none());
        let child = child.map(|it| format!("run {} of {}@{}", it.run, it.workflow, it.version));
        let reused = last.filter(|last| last.end == Some("succeeded"));
        let reused = reused.and_then(|last| last.reused.as_ref());
        let reused = reused.map(|reused| format!("as in run {}", reused.run));
        let parts = [child, Some(what).filter(|what| !what.is_empty()), reused];
        let what = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let what = match &stage.items {
            None => what,
            Some(items) => {
                let done = format!("items {}/{}", items.succeeded, items.total);
                let failed = (items.failed > 0).then(|| format!("{} failed", items.failed));
                let parts = [
                    Some(done),
                    failed,
                    Some(what).filter(|what| !what.is_empty()),
                ];
                parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
            }
        };
        vec![
            stage.name.clone(),
            stage.kind.clone(),
            stage.status.to_owned(),
            took.unwrap_or_default(),
            what,
        ]
    });
    output::line(output::table(
        &["stage", "kind", "status", "took", "rows"],
        rows.collect(),
    ))?;
    for stage in &run.stages {
        for version in &stage.published {
            let (kind, name) = (version.kind.as_str(), &version.name);
            output::line(format!(
                "{GREEN}published{GREEN:#} {kind} {name}@{}",
                version.version
            ))?;
        }
        for withheld in &stage.withheld {
            let (output, reason) = (&withheld.output, &withheld.reason);
            output::line(format!(
                "{YELLOW}not published{YELLOW:#} {output}: {reason}"
            ))?;
        }
    }
    for (name, dataset) in &run.outputs {
        let rows = thousands(dataset.rows);
        output::line(format!("{GREEN}output{GREEN:#} {name}: {rows} rows"))?;
    }
    for (name, value) in &run.metrics {
        let value = output::figure(*value);
        output::line(format!("{GREEN}output{GREEN:#} {name}: {value}"))?;
    }
    let mut figures = Vec::new();
    for stage in &run.stages {
        let metrics = stage.metrics.iter().map(|(metric, value)| {
            vec![format!("{}.{metric}", stage.name), output::figure(*value)]
        });
        figures.extend(metrics);
    }
    if !figures.is_empty() {
        output::line(format!(
            "\n{}",
            output::table(&["figure", "value"], figures)
        ))?;
    }
    if let Some(error) = &run.error {
        let at = run
            .failed_stage()
            .map(|stage| format!("{DIM}in stage {stage}{DIM:#}\n"));
        let text = render(&error.clone().into(), None, false);
        output::line(format!("\n{}{}", at.unwrap_or_default(), text.trim_end()))?;
    }
    Ok(())
}
