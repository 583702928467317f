//! Runs as the journal has them.

use marquetry_engine::{AttemptEnd, RunState, RunSummary, StageState};
use marquetry_types::{DatasetRef, StageName, codes};

use super::{
    ApprovalView, AttemptView, ChildView, ItemsView, OutputView, ParentView, PublishedView,
    ReusedView, RunView, StageView, SummaryView, WithheldView, outputs,
};

impl From<&RunSummary> for SummaryView {
    fn from(summary: &RunSummary) -> Self {
        Self {
            id: summary.run.to_string(),
            workflow: summary.workflow.clone(),
            status: summary.status.as_str(),
            submitted_at: summary.submitted_at,
            finished_at: summary.finished_at,
            stages: summary.stages.total,
            stages_succeeded: summary.stages.succeeded,
            error: summary
                .failure
                .as_ref()
                .map(|failure| failure.diagnostic.clone()),
            is_archived: false,
        }
    }
}

impl From<&RunState> for RunView {
    fn from(run: &RunState) -> Self {
        let stages = run.stages.iter().filter(|(name, _)| name.place().is_none());
        Self {
            id: run.id().to_string(),
            workflow: run.workflow().name.clone(),
            status: run.status.as_str(),
            submitted_at: run.submitted.at,
            finished_at: run.finished_at,
            params: run.params().clone(),
            error: run
                .failure
                .as_ref()
                .map(|failure| failure.diagnostic.clone()),
            parent: run.submitted.parent.as_ref().map(|parent| ParentView {
                run: parent.run.to_string(),
                stage: parent.stage.to_string(),
            }),
            outputs: outputs(run.outputs.outputs.clone()),
            metrics: run.outputs.metrics.clone(),
            stages: stages
                .map(|(name, state)| stage(run, name, state))
                .collect(),
        }
    }
}

fn stage(run: &RunState, name: &StageName, state: &StageState) -> StageView {
    let declared = run.workflow().stage(name);
    let outcome = state.outcome.clone().unwrap_or_default();
    let attempts = state.attempts.iter().map(|attempt| AttemptView {
        attempt: attempt.token.attempt.attempt.0,
        worker: attempt.worker.to_string(),
        started_at: attempt.assigned_at,
        finished_at: attempt.finished_at,
        end: attempt.end.as_ref().map(|end| match end {
            AttemptEnd::Succeeded => "succeeded",
            AttemptEnd::Failed(_) => "failed",
            AttemptEnd::Lost(_) => "lost",
        }),
        why: attempt.end.as_ref().and_then(|end| match end {
            AttemptEnd::Succeeded => None,
            AttemptEnd::Failed(failure) => Some(failure.diagnostic.message.clone()),
            AttemptEnd::Lost(reason) => Some(reason.clone()),
        }),
        code: attempt.end.as_ref().and_then(|end| match end {
            AttemptEnd::Succeeded => None,
            AttemptEnd::Failed(failure) => Some(failure.diagnostic.code.to_string()),
            AttemptEnd::Lost(_) => Some(codes::WORKER_LOST.to_string()),
        }),
        help: attempt.end.as_ref().and_then(|end| match end {
            AttemptEnd::Failed(failure) => failure.diagnostic.help.clone(),
            AttemptEnd::Succeeded | AttemptEnd::Lost(_) => None,
        }),
        reused: attempt.reused().map(|reused| ReusedView {
            run: reused.attempt.run.to_string(),
            stage: reused.attempt.stage.to_string(),
            attempt: reused.attempt.attempt.0,
            computed_at: reused.computed_at,
        }),
    });
    let published = state.published.iter().map(|version| PublishedView {
        kind: version.kind,
        name: version.name.to_string(),
        version: version.version,
    });
    let withheld = state.withheld.iter().map(|withheld| WithheldView {
        output: withheld.output.clone(),
        reason: withheld.reason.clone(),
    });
    let needs = declared.into_iter().flat_map(|stage| &stage.needs);
    StageView {
        name: name.to_string(),
        kind: declared
            .map(|stage| stage.uses.to_string())
            .unwrap_or_default(),
        status: state.status.as_str(),
        needs: needs.map(ToString::to_string).collect(),
        started_at: state.started_at,
        finished_at: state.ended_at,
        attempts: attempts.collect(),
        outputs: outputs(outcome.outputs),
        metrics: outcome.metrics,
        published: published.collect(),
        withheld: withheld.collect(),
        error: state
            .failure
            .as_ref()
            .map(|failure| failure.diagnostic.clone()),
        skip_reason: state.skip_reason.clone(),
        items: state.items.as_ref().map(|_| ItemsView {
            total: state.item_counts.total,
            running: state.item_counts.running,
            succeeded: state.item_counts.succeeded,
            failed: state.item_counts.failed,
        }),
        waiting_for: run.waiting(name).map(|waiting| waiting.to_string()),
        approval: state.approval.as_ref().map(|approval| ApprovalView {
            by: approval.by.clone(),
            comment: approval.comment.clone(),
        }),
        child: state.child.as_ref().map(|child| ChildView {
            run: child.run.to_string(),
            workflow: child.workflow.clone(),
            version: child.version,
        }),
    }
}

impl From<DatasetRef> for OutputView {
    fn from(dataset: DatasetRef) -> Self {
        Self {
            rows: dataset.rows,
            bytes: dataset.bytes,
            manifest: dataset.manifest,
        }
    }
}
