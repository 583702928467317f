//! A run as `--output json` shows it: a shape of its own, which journals and wires may outgrow.

use std::collections::BTreeMap;

use marquetry_engine::{AttemptEnd, RunState, RunSummary, StageState, Withheld};
use marquetry_types::{Diagnostic, PublishedKind, StageName};
use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Debug, Serialize)]
pub(crate) struct SummaryView {
    id: String,
    workflow: String,
    status: &'static str,
    submitted_at: String,
    finished_at: Option<String>,
    stages: u32,
    stages_succeeded: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Diagnostic>,
}

impl From<&RunSummary> for SummaryView {
    fn from(summary: &RunSummary) -> Self {
        Self {
            id: summary.run.to_string(),
            workflow: summary.workflow.clone(),
            status: summary.status.as_str(),
            submitted_at: summary.submitted_at.to_string(),
            finished_at: summary.finished_at.map(|at| at.to_string()),
            stages: summary.stages.total,
            stages_succeeded: summary.stages.succeeded,
            error: summary
                .failure
                .as_ref()
                .map(|failure| failure.diagnostic.clone()),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct RunView {
    id: String,
    workflow: String,
    status: &'static str,
    submitted_at: String,
    finished_at: Option<String>,
    params: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Diagnostic>,
    stages: Vec<StageView>,
}

#[derive(Debug, Serialize)]
struct StageView {
    name: String,
    kind: String,
    status: &'static str,
    needs: Vec<String>,
    attempts: Vec<AttemptView>,
    outputs: BTreeMap<String, OutputView>,
    metrics: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    published: Vec<PublishedView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<Withheld>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Diagnostic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    attempt: u32,
    worker: String,
    started_at: String,
    finished_at: Option<String>,
    end: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct PublishedView {
    kind: PublishedKind,
    name: String,
    version: u64,
}

#[derive(Debug, Serialize)]
struct OutputView {
    rows: u64,
    bytes: u64,
    manifest: String,
}

impl From<&RunState> for RunView {
    fn from(run: &RunState) -> Self {
        Self {
            id: run.id().to_string(),
            workflow: run.workflow().name.clone(),
            status: run.status.as_str(),
            submitted_at: run.submitted.at.to_string(),
            finished_at: run.finished_at.map(|at| at.to_string()),
            params: run.params().clone(),
            error: run
                .failure
                .as_ref()
                .map(|failure| failure.diagnostic.clone()),
            stages: run
                .stages
                .iter()
                .map(|(name, stage)| view(run, name, stage))
                .collect(),
        }
    }
}

fn view(run: &RunState, name: &StageName, stage: &StageState) -> StageView {
    let declared = run.workflow().stages.get(name);
    let outcome = stage.outcome.clone().unwrap_or_default();
    StageView {
        name: name.to_string(),
        kind: declared
            .map(|stage| stage.uses.to_string())
            .unwrap_or_default(),
        status: stage.status.as_str(),
        needs: declared
            .into_iter()
            .flat_map(|stage| &stage.needs)
            .map(ToString::to_string)
            .collect(),
        attempts: stage
            .attempts
            .iter()
            .map(|attempt| AttemptView {
                attempt: attempt.token.attempt.attempt.0,
                worker: attempt.worker.to_string(),
                started_at: attempt.assigned_at.to_string(),
                finished_at: attempt.finished_at.map(|at| at.to_string()),
                end: attempt.end.as_ref().map(|end| match end {
                    AttemptEnd::Succeeded => "succeeded",
                    AttemptEnd::Failed(_) => "failed",
                    AttemptEnd::Lost(_) => "lost",
                }),
            })
            .collect(),
        outputs: outcome
            .outputs
            .into_iter()
            .map(|(name, set)| {
                (
                    name,
                    OutputView {
                        rows: set.rows,
                        bytes: set.bytes,
                        manifest: set.manifest,
                    },
                )
            })
            .collect(),
        metrics: outcome.metrics,
        published: stage
            .published
            .iter()
            .map(|version| PublishedView {
                kind: version.kind,
                name: version.name.to_string(),
                version: version.version,
            })
            .collect(),
        withheld: stage.withheld.clone(),
        error: stage
            .failure
            .as_ref()
            .map(|failure| failure.diagnostic.clone()),
        skip_reason: stage.skip_reason.clone(),
    }
}
