//! Runs as clients see them.

use marquetry_engine::{
    AttemptEnd, AttemptState, ItemCounts, RunState, RunStatus, RunSummary, StageStatus, Waiting,
};
use marquetry_proto::{diagnostic_to_wire, timestamp_to_wire, to_prost_struct, v1};
use marquetry_types::{
    Diagnostic, FailureClass, Published, PublishedKind, StageFailure, StageName, codes,
};

/// A run with all its stages. `waiting` says for what a stage waits.
pub(crate) fn run(state: &RunState, waiting: &dyn Fn(&StageName) -> Option<Waiting>) -> v1::Run {
    v1::Run {
        summary: Some(summary(&state.summary())),
        params: Some(to_prost_struct(state.params())),
        stages: state
            .stages
            .keys()
            .filter(|name| name.place().is_none())
            .filter_map(|name| stage(state, name, waiting(name)))
            .collect(),
        outputs: (state.status == RunStatus::Succeeded).then(|| (&state.outputs).into()),
        parent: state
            .submitted
            .parent
            .as_ref()
            .map(|parent| v1::ParentStage {
                run_id: parent.run.to_string(),
                stage: parent.stage.to_string(),
            }),
    }
}

pub(crate) fn run_status(status: RunStatus) -> v1::RunStatus {
    match status {
        RunStatus::Running => v1::RunStatus::Running,
        RunStatus::Succeeded => v1::RunStatus::Succeeded,
        RunStatus::Failed => v1::RunStatus::Failed,
        RunStatus::Cancelled => v1::RunStatus::Cancelled,
    }
}

/// The status to filter by; none for all.
pub(crate) fn run_status_from_wire(status: v1::RunStatus) -> Option<RunStatus> {
    match status {
        v1::RunStatus::Unspecified => None,
        v1::RunStatus::Running => Some(RunStatus::Running),
        v1::RunStatus::Succeeded => Some(RunStatus::Succeeded),
        v1::RunStatus::Failed => Some(RunStatus::Failed),
        v1::RunStatus::Cancelled => Some(RunStatus::Cancelled),
    }
}

pub(crate) fn summary(summary: &RunSummary) -> v1::RunSummary {
    v1::RunSummary {
        run_id: summary.run.to_string(),
        workflow: summary.workflow.clone(),
        status: run_status(summary.status).into(),
        submitted_at: Some(timestamp_to_wire(summary.submitted_at)),
        finished_at: summary.finished_at.map(timestamp_to_wire),
        stages_total: summary.stages.total,
        stages_succeeded: summary.stages.succeeded,
        stages_failed: summary.stages.failed,
        stages_skipped: summary.stages.skipped,
        failure: summary
            .failure
            .as_ref()
            .map(|failure| diagnostic_to_wire(&failure.diagnostic)),
    }
}

/// One stage of a run.
pub(crate) fn stage(run: &RunState, name: &StageName, waits: Option<Waiting>) -> Option<v1::Stage> {
    let state = run.stages.get(name)?;
    let declared = run.workflow().stage(name)?;
    Some(v1::Stage {
        name: name.to_string(),
        kind: declared.uses.to_string(),
        status: stage_status(state.status).into(),
        needs: declared.needs.iter().map(ToString::to_string).collect(),
        attempts: state.attempts.iter().map(attempt).collect(),
        outcome: state.outcome.as_ref().map(Into::into),
        failure: state.failure.as_ref().map(Into::into),
        skip_reason: state.skip_reason.clone().unwrap_or_default(),
        published: state.published.iter().map(published).collect(),
        withheld: state
            .withheld
            .iter()
            .map(|withheld| v1::WithheldOutput {
                output: withheld.output.clone(),
                reason: withheld.reason.clone(),
            })
            .collect(),
        items: state.items.as_ref().map(|_| counts(state.item_counts)),
        started_at: state.started_at.map(timestamp_to_wire),
        finished_at: state.ended_at.map(timestamp_to_wire),
        waiting: waits.as_ref().map(waiting),
        approval: state.approval.as_ref().map(|approval| v1::Approval {
            by: approval.by.clone(),
            comment: approval.comment.clone(),
        }),
        child: state.child.as_ref().map(|child| v1::ChildRun {
            run_id: child.run.to_string(),
            workflow: child.workflow.clone(),
            workflow_version: child.version,
        }),
    })
}

fn counts(counts: ItemCounts) -> v1::ItemCounts {
    v1::ItemCounts {
        total: counts.total,
        running: counts.running,
        succeeded: counts.succeeded,
        failed: counts.failed,
    }
}

fn waiting(waiting: &Waiting) -> v1::Waiting {
    let waiting_for = match waiting {
        Waiting::Needs(_) => v1::WaitingFor::Needs,
        Waiting::Group { .. } => v1::WaitingFor::Group,
        Waiting::Retry(_) => v1::WaitingFor::Retry,
        Waiting::Approval { .. } => v1::WaitingFor::Approval,
        Waiting::Until(_) => v1::WaitingFor::Time,
        Waiting::Run { .. } => v1::WaitingFor::Run,
        Waiting::Concurrency { .. } => v1::WaitingFor::Concurrency,
        Waiting::Rate { .. } => v1::WaitingFor::Rate,
        Waiting::Slot { .. } => v1::WaitingFor::Slot,
        Waiting::Worker { .. } => v1::WaitingFor::Worker,
    };
    v1::Waiting {
        waiting_for: waiting_for.into(),
        message: waiting.to_string(),
    }
}

fn published(version: &Published) -> v1::PublishedVersion {
    let kind = match version.kind {
        PublishedKind::Table => v1::PublishedKind::Table,
        PublishedKind::Policy => v1::PublishedKind::Policy,
    };
    v1::PublishedVersion {
        kind: kind.into(),
        name: version.name.to_string(),
        version: version.version,
        dataset: Some((&version.dataset).into()),
    }
}

fn stage_status(status: StageStatus) -> v1::StageStatus {
    match status {
        StageStatus::Pending => v1::StageStatus::Pending,
        StageStatus::Retrying => v1::StageStatus::Queued,
        StageStatus::Running => v1::StageStatus::Running,
        StageStatus::Succeeded => v1::StageStatus::Succeeded,
        StageStatus::Failed => v1::StageStatus::Failed,
        StageStatus::Skipped => v1::StageStatus::Skipped,
        StageStatus::Cancelled => v1::StageStatus::Cancelled,
    }
}

fn attempt(attempt: &AttemptState) -> v1::Attempt {
    let failure = match &attempt.end {
        None | Some(AttemptEnd::Succeeded) => None,
        Some(AttemptEnd::Failed(failure)) => Some(failure.into()),
        Some(AttemptEnd::Lost(reason)) => {
            let diagnostic =
                Diagnostic::new(codes::WORKER_LOST, format!("it was given up: {reason}"));
            Some(
                (&StageFailure {
                    class: FailureClass::Transient,
                    diagnostic,
                })
                    .into(),
            )
        }
    };
    v1::Attempt {
        number: attempt.token.attempt.attempt.0,
        worker: attempt.worker.to_string(),
        assigned_at: Some(timestamp_to_wire(attempt.assigned_at)),
        finished_at: attempt.finished_at.map(timestamp_to_wire),
        failure,
        reused: attempt.reused().map(|reused| v1::Reused {
            run_id: reused.attempt.run.to_string(),
            stage: reused.attempt.stage.to_string(),
            attempt: reused.attempt.attempt.0,
            computed_at: Some(timestamp_to_wire(reused.computed_at)),
        }),
    }
}
