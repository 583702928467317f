//! What the engine wants to know of the journal: it asks, and is told with an input. An answer that gets lost
//! with a coordinator is asked for again by the next one.

use marquetry_types::{AttemptId, Diagnostic, Outcome, RunId, StageName, Timestamp};
use marquetry_workflow::ChildRequest;
use serde::{Deserialize, Serialize};

use crate::{Action, Decision, Engine, Rejection, RunState, Submission};

/// A question about the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// What is to run as part of another run.
    Child {
        /// The deployed workflow with its parameters.
        request: ChildRequest,
        /// The run that the stage began before it was done again.
        previous: Option<RunId>,
    },
    /// What a stage of this content gave.
    Cached {
        /// Its content.
        key: String,
        /// What was computed earlier is too old.
        not_before: Option<Timestamp>,
    },
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// To [`Lookup::Child`].
    Child(Child),
    /// To [`Lookup::Cached`]: nothing where nothing is known, or nothing can be read.
    Cached(Option<Cached>),
}

/// What is to run as part of another run.
#[derive(Debug, Clone, PartialEq)]
pub enum Child {
    /// A new run, of this version of the deployed workflow.
    New(Box<Submission>, u64),
    /// The run that was begun before, as the journal has it: it is of the same workflow with the same
    /// parameters.
    Previous(Box<RunState>, u64),
    /// It cannot be.
    Refused(Diagnostic),
    /// The journal does not answer: to be asked again after a while.
    Unknown,
}

/// An outcome that may be used again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cached {
    /// The attempt that gave it last.
    pub attempt: AttemptId,
    /// What it gave.
    pub outcome: Outcome,
    /// When that was computed.
    pub computed_at: Timestamp,
}

impl Engine {
    /// Asks a question on behalf of a stage.
    pub(crate) fn ask(run: &RunId, stage: &StageName, lookup: Lookup, decision: &mut Decision) {
        decision.actions.push(Action::LookUp {
            run: run.clone(),
            stage: stage.clone(),
            lookup: Box::new(lookup),
        });
    }

    /// A question is answered. The stage may no longer want to know.
    pub(crate) fn looked_up(
        &mut self,
        run: &RunId,
        stage: &StageName,
        found: Found,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Result<(), Rejection> {
        let live = self.runs.get(run);
        let index = live.and_then(|live| live.state.stages.get_index_of(stage));
        let Some((live, index)) = live.zip(index) else {
            return Ok(());
        };
        if live.waits_until(index).is_none() || live.state.cancel_reason.is_some() {
            return Ok(());
        }
        match found {
            Found::Child(child) => self.child_found(run, stage, child, now, decision),
            Found::Cached(cached) => {
                self.cached_found(run, index, cached);
                Ok(())
            }
        }
    }
}
