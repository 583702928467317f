//! Runs as a coordinator sends them.

use marquetry_proto::{diagnostic_from_wire, from_prost_value, timestamp_from_wire, v1};
use marquetry_types::{PublishedKind, Timestamp, codes};

use super::{
    ApprovalView, AttemptView, ChildView, ItemsView, OutputView, ParentView, PublishedView,
    ReusedView, RunView, StageView, SummaryView, WithheldView, outputs,
};

impl From<v1::RunSummary> for SummaryView {
    fn from(wire: v1::RunSummary) -> Self {
        Self {
            status: run_status(wire.status()),
            id: wire.run_id,
            workflow: wire.workflow,
            submitted_at: at(wire.submitted_at.as_ref()),
            finished_at: wire.finished_at.as_ref().map(timestamp_from_wire),
            stages: wire.stages_total,
            stages_succeeded: wire.stages_succeeded,
            error: wire.failure.map(diagnostic_from_wire),
            is_archived: false,
        }
    }
}

impl From<v1::Run> for RunView {
    fn from(wire: v1::Run) -> Self {
        let summary = SummaryView::from(wire.summary.unwrap_or_default());
        let params = wire.params.unwrap_or_default().fields.into_iter();
        let given = wire.outputs.unwrap_or_default();
        Self {
            id: summary.id,
            workflow: summary.workflow,
            status: summary.status,
            submitted_at: summary.submitted_at,
            finished_at: summary.finished_at,
            params: params
                .map(|(name, value)| (name, from_prost_value(value)))
                .collect(),
            error: summary.error,
            parent: wire.parent.map(|parent| ParentView {
                run: parent.run_id,
                stage: parent.stage,
            }),
            outputs: outputs(given.outputs),
            metrics: given.metrics.into_iter().collect(),
            stages: wire.stages.into_iter().map(stage).collect(),
        }
    }
}

fn run_status(status: v1::RunStatus) -> &'static str {
    match status {
        v1::RunStatus::Unspecified => "unknown",
        v1::RunStatus::Running => "running",
        v1::RunStatus::Succeeded => "succeeded",
        v1::RunStatus::Failed => "failed",
        v1::RunStatus::Cancelled => "cancelled",
    }
}

fn stage_status(status: v1::StageStatus) -> &'static str {
    match status {
        v1::StageStatus::Unspecified => "unknown",
        v1::StageStatus::Pending => "pending",
        v1::StageStatus::Queued => "retrying",
        v1::StageStatus::Running => "running",
        v1::StageStatus::Succeeded => "succeeded",
        v1::StageStatus::Failed => "failed",
        v1::StageStatus::Skipped => "skipped",
        v1::StageStatus::Cancelled => "cancelled",
    }
}

fn at(wire: Option<&prost_types::Timestamp>) -> Timestamp {
    wire.map_or(Timestamp::from_millis(0), timestamp_from_wire)
}

fn stage(wire: v1::Stage) -> StageView {
    let status = stage_status(wire.status());
    let outcome = wire.outcome.unwrap_or_default();
    let published = wire.published.into_iter().map(|version| PublishedView {
        kind: match version.kind() {
            v1::PublishedKind::Policy => PublishedKind::Policy,
            v1::PublishedKind::Table | v1::PublishedKind::Unspecified => PublishedKind::Table,
        },
        name: version.name,
        version: version.version,
    });
    let withheld = wire.withheld.into_iter().map(|withheld| WithheldView {
        output: withheld.output,
        reason: withheld.reason,
    });
    let failure = wire.failure.and_then(|failure| failure.diagnostic);
    StageView {
        name: wire.name,
        kind: wire.kind,
        status,
        needs: wire.needs,
        started_at: wire.started_at.as_ref().map(timestamp_from_wire),
        finished_at: wire.finished_at.as_ref().map(timestamp_from_wire),
        attempts: wire.attempts.into_iter().map(attempt).collect(),
        outputs: outputs(outcome.outputs),
        metrics: outcome.metrics.into_iter().collect(),
        published: published.collect(),
        withheld: withheld.collect(),
        error: failure.map(diagnostic_from_wire),
        items: wire.items.map(|items| ItemsView {
            total: items.total,
            running: items.running,
            succeeded: items.succeeded,
            failed: items.failed,
        }),
        waiting_for: wire.waiting.map(|waiting| waiting.message),
        approval: wire.approval.map(|approval| ApprovalView {
            by: approval.by,
            comment: approval.comment,
        }),
        skip_reason: (!wire.skip_reason.is_empty()).then_some(wire.skip_reason),
        child: wire.child.map(|child| ChildView {
            run: child.run_id,
            workflow: child.workflow,
            version: child.workflow_version,
        }),
    }
}

fn attempt(wire: v1::Attempt) -> AttemptView {
    let failure = wire.failure.and_then(|failure| failure.diagnostic);
    let why = failure.as_ref().map(|why| why.message.clone());
    let code = failure.as_ref().map(|why| why.code.clone());
    let help = failure.as_ref().map(|why| why.help.clone());
    let end = match (&wire.finished_at, failure) {
        (None, _) => None,
        (Some(_), None) => Some("succeeded"),
        (Some(_), Some(why)) if why.code == codes::WORKER_LOST.as_str() => Some("lost"),
        (Some(_), Some(_)) => Some("failed"),
    };
    AttemptView {
        attempt: wire.number,
        worker: wire.worker,
        started_at: at(wire.assigned_at.as_ref()),
        finished_at: wire.finished_at.as_ref().map(timestamp_from_wire),
        end,
        why,
        code,
        help: help.filter(|help| !help.is_empty()),
        reused: wire.reused.map(|reused| ReusedView {
            run: reused.run_id,
            stage: reused.stage,
            attempt: reused.attempt,
            computed_at: at(reused.computed_at.as_ref()),
        }),
    }
}

impl From<v1::Dataset> for OutputView {
    fn from(dataset: v1::Dataset) -> Self {
        Self {
            rows: dataset.rows,
            bytes: dataset.bytes,
            manifest: dataset.manifest,
        }
    }
}
