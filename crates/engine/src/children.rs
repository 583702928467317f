//! Runs that are part of other runs: how a `workflow/run` begins one, and what its end means.
//!
//! A child begins in the commit in which its stage says so, and its end and the stage's end are one commit: a
//! stage never waits for a run that is over.

use marquetry_types::{Diagnostic, FailureClass, Outcome, RunId, StageName, Timestamp, codes};
use marquetry_workflow::ChildRequest;
use serde_json::Value;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::timers::Timer;
use crate::{
    Child, ChildRun, Decision, Engine, Lookup, Parent, Record, Rejection, RunState, RunStatus,
    Submission,
};

/// How many runs may be part of one another.
const DEEPEST: usize = 8;
/// How long until a journal that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// A stage may begin its run: asks what that is.
    pub(crate) fn want_child(
        &mut self,
        run: &RunId,
        stage: StageName,
        options: &Value,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let state = self.run(run).and_then(|state| state.stages.get(&stage));
        let Some(state) = state else { return Ok(()) };
        if state.items.is_some() {
            // Its items have succeeded: the runs of a list give nothing but their ends.
            return self.pass(run, stage, None, Outcome::default(), now, decision);
        }
        match ChildRequest::of(options) {
            Ok(request) => {
                let previous = state.child.as_ref().map(|child| child.run.clone());
                let lookup = Lookup::Child { request, previous };
                Self::ask(run, &stage, lookup, decision);
                Ok(())
            }
            Err(why) => {
                let diagnostic = Diagnostic::new(codes::STAGE_OPTIONS, why);
                self.fail_stage(run, stage, FailureClass::Invalid, diagnostic, now, decision)
            }
        }
    }

    /// It is known what a stage is to run.
    pub(crate) fn child_found(
        &mut self,
        run: &RunId,
        stage: &StageName,
        child: Child,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let refused = match child {
            Child::Unknown => {
                self.ask_later(run, stage, now);
                return Ok(());
            }
            Child::Refused(diagnostic) => Some(diagnostic),
            Child::New(submission, version) => {
                self.begin_child(run, stage, *submission, version, now, decision)?
            }
            Child::Previous(state, version) => {
                self.go_on_with_child(run, stage, *state, version, now, decision)?
            }
        };
        match refused {
            None => Ok(()),
            Some(diagnostic) => {
                let (stage, class) = (stage.clone(), FailureClass::Invalid);
                self.fail_stage(run, stage, class, diagnostic, now, decision)
            }
        }
    }

    fn ask_later(&mut self, run: &RunId, stage: &StageName, now: Timestamp) {
        let at = now.saturating_add(ASK_AGAIN);
        self.timers
            .arm(at, Timer::Retry(run.clone(), stage.clone()));
    }

    /// Begins a run as part of another one. Gives why it cannot be, if it cannot.
    fn begin_child(
        &mut self,
        run: &RunId,
        stage: &StageName,
        mut submission: Submission,
        version: u64,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<Option<Diagnostic>, Rejection> {
        if self.runs.contains_key(&submission.run) {
            return Ok(None);
        }
        if let Some(diagnostic) = self.why_no_child(run, &submission) {
            return Ok(Some(diagnostic));
        }
        let Some(state) = self.run(run) else {
            return Ok(None);
        };
        submission.trace = Some(state.stage_trace(stage));
        submission.parent = Some(Parent {
            run: run.clone(),
            stage: stage.clone(),
        });
        submission.ignores_cache = state.submitted.ignores_cache;
        let child = ChildRun {
            run: submission.run.clone(),
            workflow: submission.workflow.name.clone(),
            version,
        };
        self.submit(submission, now, decision)?;
        self.child_started(run, stage, child, now, decision)?;
        Ok(None)
    }

    /// Goes on with the run that the stage began before it was done again. Gives why it cannot be, if it
    /// cannot.
    fn go_on_with_child(
        &mut self,
        run: &RunId,
        stage: &StageName,
        state: RunState,
        version: u64,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<Option<Diagnostic>, Rejection> {
        let id = state.id().clone();
        // What was read may be older than memory.
        let state = self.run(&id).cloned().unwrap_or(state);
        let child = ChildRun {
            run: id.clone(),
            workflow: state.workflow().name.clone(),
            version,
        };
        match state.status {
            // It ended since it was read: what became of it is asked for again.
            RunStatus::Running if !self.runs.contains_key(&id) => {
                self.ask_later(run, stage, now);
                return Ok(None);
            }
            RunStatus::Running => {}
            RunStatus::Failed | RunStatus::Cancelled => {
                let concurrency = state.workflow().concurrency.as_ref();
                let group = state.submitted.group.as_ref();
                if let Err(full) = self.check_group(group, concurrency) {
                    return Ok(Some(refused(&full.to_string())));
                }
                self.resume(state, BTreeSet::new(), now, decision)?;
            }
            // Somebody went on with it meanwhile.
            RunStatus::Succeeded => {
                self.child_started(run, stage, child, now, decision)?;
                let outcome = state.outputs.clone();
                self.pass(run, stage.clone(), None, outcome, now, decision)?;
                return Ok(None);
            }
        }
        self.child_started(run, stage, child, now, decision)?;
        Ok(None)
    }

    fn child_started(
        &mut self,
        run: &RunId,
        stage: &StageName,
        child: ChildRun,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let record = Record::ChildStarted {
            run: run.clone(),
            stage: stage.clone(),
            child,
            at: now,
        };
        Ok(self.record(record, decision)?)
    }

    /// Why a run cannot be part of another one, if it cannot.
    fn why_no_child(&self, run: &RunId, submission: &Submission) -> Option<Diagnostic> {
        let workflow = &submission.workflow;
        let above: Vec<&RunState> = self.with_ancestors(run).collect();
        if let Some(same) = above.iter().find(|it| it.workflow().name == workflow.name) {
            let message = format!(
                "workflow `{}` would run itself: run {} of it is above this stage",
                workflow.name,
                same.id()
            );
            return Some(refused(&message));
        }
        if above.len() >= DEEPEST {
            let message =
                format!("{DEEPEST} runs are part of one another, and there can be no more");
            return Some(refused(&message));
        }
        let group = submission.group.as_ref()?;
        let shares = |it: &&&RunState| it.submitted.group.as_ref() == Some(group);
        if let Some(same) = above.iter().find(shares) {
            let message = format!(
                "the run would wait for ever: it is of concurrency group `{group}`, and so is run {}, which waits for it",
                same.id()
            );
            return Some(refused(&message));
        }
        let full = self.check_group(Some(group), workflow.concurrency.as_ref());
        full.err().map(|full| refused(&full.to_string()))
    }

    /// A run, the run that it is part of, and so on, as far as they run.
    fn with_ancestors(&self, run: &RunId) -> impl Iterator<Item = &RunState> {
        std::iter::successors(self.run(run), |state| {
            self.run(&state.submitted.parent.as_ref()?.run)
        })
    }

    /// A run ended: the stage that waits for it ends with it.
    pub(crate) fn child_ended(
        &mut self,
        child: &RunId,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(state) = self.run(child) else {
            return Ok(());
        };
        let Some(parent) = state.submitted.parent.clone() else {
            return Ok(());
        };
        let standing = self.run(&parent.run);
        let standing = standing.and_then(|run| run.stages.get(&parent.stage));
        let waits = standing.and_then(|stage| stage.awaited_child());
        if waits.is_none_or(|awaited| awaited.run != *child) {
            return Ok(());
        }
        let Parent { run, stage } = parent;
        if state.status == RunStatus::Succeeded {
            let outcome = state.outputs.clone();
            return self.pass(&run, stage, None, outcome, now, decision);
        }
        let (class, diagnostic) = (FailureClass::Invalid, why_of(state));
        self.fail_stage(&run, stage, class, diagnostic, now, decision)
    }

    /// A run that was restored waits for another one, which may not be there.
    pub(crate) fn check_child(
        &mut self,
        run: &RunId,
        stage: StageName,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let state = self.run(run).and_then(|state| state.stages.get(&stage));
        let Some(child) = state.and_then(|state| state.awaited_child()) else {
            return Ok(());
        };
        if self.runs.contains_key(&child.run) {
            return Ok(());
        }
        let message = format!(
            "run {} of workflow `{}` cannot be read from the journal",
            child.run, child.workflow
        );
        let diagnostic = refused(&message);
        self.fail_stage(run, stage, FailureClass::Invalid, diagnostic, now, decision)
    }

    /// Stops the runs that are part of a run that is stopped.
    pub(crate) fn cancel_children(
        &mut self,
        run: &RunId,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let Some(state) = self.run(run) else {
            return Ok(());
        };
        let awaited = state.stages.values().filter_map(|it| it.awaited_child());
        let children: Vec<RunId> = awaited.map(|child| child.run.clone()).collect();
        for child in children {
            let reason = format!("run {run}, which it is part of, was cancelled");
            self.cancel(&child, reason, now, decision)?;
        }
        Ok(())
    }
}

/// Why a stage failed whose run did not succeed.
fn why_of(child: &RunState) -> Diagnostic {
    let (run, workflow) = (child.id(), &child.workflow().name);
    let how = match child.status {
        RunStatus::Cancelled => "did not go on",
        _ => "failed",
    };
    let (code, why) = match &child.failure {
        Some(failure) => {
            let of = failure.stage.as_ref();
            let of = of.map_or_else(String::new, |stage| format!("stage `{stage}`: "));
            let why = format!("{of}{}", failure.diagnostic.message);
            (failure.diagnostic.code.clone(), why)
        }
        None => (codes::CANCELLED, String::new()),
    };
    let message = format!("run {run} of workflow `{workflow}` {how}: {why}");
    let help = format!(
        "`marquetry show {run}` tells more; `marquetry retry` of this run goes on with that one"
    );
    Diagnostic::new(code, message).help(help)
}

fn refused(message: &str) -> Diagnostic {
    Diagnostic::new(codes::CHILD_REFUSED, message)
        .help("look at the workflows that run one another with `workflow/run`, and at their `concurrency`")
}
