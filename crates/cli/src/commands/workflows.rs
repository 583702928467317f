//! `deploy`, `workflows`, `retire`, `schedules` and `backfill`: what a cluster knows by name.

use marquetry_proto::{timestamp_from_wire, timestamp_to_wire, v1};
use marquetry_types::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::arguments::{Backfill, Common, Deploy, Format, Retire, Workflows};
use crate::cluster::Cluster;
use crate::commands::submit::absolute;
use crate::failure::Failure;
use crate::output::{self, DIM};
use crate::stages::registry;
use crate::workflow_file;

#[derive(Debug, Serialize)]
struct VersionView {
    name: String,
    version: u64,
    deployed_at: String,
    comment: String,
    stages: u32,
    schedules: Vec<String>,
}

impl From<v1::WorkflowVersion> for VersionView {
    fn from(wire: v1::WorkflowVersion) -> Self {
        Self {
            name: wire.name,
            version: wire.version,
            deployed_at: time(wire.deployed_at.as_ref()),
            comment: wire.comment,
            stages: wire.stages,
            schedules: wire.schedules,
        }
    }
}

fn time(wire: Option<&prost_types::Timestamp>) -> String {
    wire.map(|at| timestamp_from_wire(at).to_string())
        .unwrap_or_default()
}

/// `marquetry deploy`
pub(crate) async fn deploy(common: &Common, arguments: &Deploy) -> Result<(), Failure> {
    let registry = registry();
    // All are read before one is deployed.
    let mut bundles = Vec::new();
    for file in &arguments.files {
        let (_, bundle, _) = workflow_file::read(file, registry.as_ref())?;
        bundles.push(bundle);
    }
    let cluster = Cluster::of(common)?;
    let mut deployed = Vec::new();
    for bundle in bundles {
        let request = v1::DeployWorkflowRequest {
            bundle: Some(v1::WorkflowBundle {
                entry: bundle.entry,
                files: bundle.files.into_iter().collect(),
            }),
            comment: arguments.comment.clone().unwrap_or_default(),
            base_dir: arguments
                .base_dir
                .as_deref()
                .map_or(Ok(String::new()), absolute)?,
        };
        let response = cluster
            .ask_workflows(|mut workflows| {
                let request = request.clone();
                async move { workflows.deploy_workflow(request).await }
            })
            .await?;
        let version = VersionView::from(response.workflow.unwrap_or_default());
        if common.output == Format::Text {
            let what = match response.created {
                true => "is deployed",
                false => "was deployed already",
            };
            output::line(format!("{}@{} {what}", version.name, version.version))?;
        }
        deployed.push(json!({"workflow": version, "created": response.created}));
    }
    match common.output {
        Format::Json => output::json(&deployed),
        Format::Text => Ok(()),
    }
}

/// `marquetry workflows`
pub(crate) async fn list(common: &Common, arguments: &Workflows) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let listed = match &arguments.name {
        None => {
            cluster
                .ask_workflows(|mut workflows| async move {
                    workflows.list_workflows(v1::ListWorkflowsRequest {}).await
                })
                .await?
                .workflows
        }
        Some(name) => {
            let request = v1::ListWorkflowVersionsRequest {
                name: name.clone(),
                page_size: arguments.limit,
                before_version: 0,
            };
            let listed = cluster
                .ask_workflows(|mut workflows| {
                    let request = request.clone();
                    async move { workflows.list_workflow_versions(request).await }
                })
                .await?;
            if listed.versions.is_empty() {
                let message = format!("there is no deployed workflow `{name}`");
                return Err(Failure::no_match(
                    message,
                    "`marquetry workflows` lists them",
                ));
            }
            listed.versions
        }
    };
    let views: Vec<VersionView> = listed.into_iter().map(VersionView::from).collect();
    if common.output == Format::Json {
        return output::json(&views);
    }
    if views.is_empty() {
        output::note("no workflow is deployed; `marquetry deploy FILE` deploys one");
        return Ok(());
    }
    let rows = views.into_iter().map(|view| {
        vec![
            format!("{}@{}", view.name, view.version),
            view.stages.to_string(),
            view.schedules.join(" "),
            view.deployed_at,
            view.comment,
        ]
    });
    let header = ["workflow", "stages", "schedules", "deployed", "comment"];
    output::line(output::table(&header, rows.collect()))
}

/// `marquetry retire`
pub(crate) async fn retire(common: &Common, arguments: &Retire) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let request = v1::RetireWorkflowRequest {
        name: arguments.name.clone(),
    };
    let retired = cluster
        .ask_workflows(|mut workflows| {
            let request = request.clone();
            async move { workflows.retire_workflow(request).await }
        })
        .await?;
    if common.output == Format::Json {
        return output::json(&json!({"workflow": arguments.name, "version": retired.version}));
    }
    output::line(format!(
        "{}@{} is retired: its schedules stop",
        arguments.name, retired.version
    ))
}

#[derive(Debug, Serialize)]
struct ScheduleView {
    workflow: String,
    version: u64,
    schedule: String,
    rule: String,
    timezone: String,
    enabled: bool,
    next: Option<String>,
    last: Option<String>,
}

/// `marquetry schedules`
pub(crate) async fn schedules(common: &Common) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let listed = cluster
        .ask_workflows(|mut workflows| async move {
            workflows.list_schedules(v1::ListSchedulesRequest {}).await
        })
        .await?;
    let text = |at: &prost_types::Timestamp| timestamp_from_wire(at).to_string();
    let schedules: Vec<ScheduleView> = listed
        .schedules
        .into_iter()
        .map(|state| ScheduleView {
            workflow: state.workflow,
            version: state.version,
            schedule: state.schedule,
            rule: state.rule,
            timezone: state.timezone,
            enabled: state.enabled,
            next: state.next.as_ref().map(text),
            last: state.last.as_ref().map(text),
        })
        .collect();
    if common.output == Format::Json {
        return output::json(&schedules);
    }
    if schedules.is_empty() {
        output::note(
            "no deployed workflow has a schedule; `on: [{ schedule: \"0 3 * * *\" }]` gives it one",
        );
        return Ok(());
    }
    let rows = schedules.into_iter().map(|view| {
        let next = match (view.enabled, view.next) {
            (false, _) => "disabled".to_owned(),
            (true, next) => next.unwrap_or_else(|| "never".to_owned()),
        };
        vec![
            format!("{}@{}", view.workflow, view.version),
            view.schedule,
            view.rule,
            view.timezone,
            next,
            view.last.unwrap_or_default(),
        ]
    });
    let header = ["workflow", "schedule", "rule", "time zone", "next", "last"];
    output::line(output::table(&header, rows.collect()))
}

/// `marquetry backfill`
pub(crate) async fn backfill(common: &Common, arguments: &Backfill) -> Result<(), Failure> {
    let cluster = Cluster::of(common)?;
    let request = v1::BackfillRequest {
        workflow: arguments.name.clone(),
        schedule: arguments.schedule.clone().unwrap_or_default(),
        from: Some(timestamp_to_wire(instant("--from", &arguments.from)?)),
        to: Some(timestamp_to_wire(instant("--to", &arguments.to)?)),
    };
    let begun = cluster
        .ask_workflows(|mut workflows| {
            let request = request.clone();
            async move { workflows.backfill(request).await }
        })
        .await?;
    if common.output == Format::Json {
        let runs = begun.runs.iter().map(|run| {
            json!({"run": run.run_id, "scheduled_at": time(run.scheduled_at.as_ref()), "created": run.created})
        });
        return output::json(&runs.collect::<Vec<_>>());
    }
    if begun.runs.is_empty() {
        output::note("the schedule has no occurrence whose interval lies in that time");
    }
    for run in &begun.runs {
        let known = match run.created {
            true => String::new(),
            false => format!("  {DIM}begun before{DIM:#}"),
        };
        output::line(format!(
            "{}  {}{known}",
            time(run.scheduled_at.as_ref()),
            run.run_id
        ))?;
    }
    Ok(())
}

/// An instant, or a day, which begins in UTC.
fn instant(option: &str, text: &str) -> Result<Timestamp, Failure> {
    let midnight = format!("{text}T00:00:00Z");
    let parsed = text.parse::<Timestamp>().or_else(|_| midnight.parse());
    parsed.map_err(|_| {
        let message = format!("`{option} {text}` is no time");
        Failure::no_match(
            message,
            "write a day, `2026-11-01`, or an instant, `2026-11-01T06:00:00Z`",
        )
    })
}
