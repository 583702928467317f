//! The spans of a run, its stages and its attempts: their ids and when they began. Both follow from the
//! run's records, so that every coordinator says the same.

use marquetry_types::{AttemptId, StageName, Timestamp, TraceContext};

use crate::RunState;

impl RunState {
    /// What stands above the run: the caller's span, or nothing but the run's own trace.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        let own = || TraceContext::of_run(self.id());
        self.submitted.trace.unwrap_or_else(own)
    }

    /// The run's span. A run that is done again after its end has another one.
    #[must_use]
    pub fn run_trace(&self) -> TraceContext {
        let stretch = self.begun_at.unwrap_or(self.submitted.at).as_millis();
        self.trace().child(&format!("{}@{stretch}", self.id()))
    }

    /// The span of a stage; that of an item stands below its stage's.
    #[must_use]
    pub fn stage_trace(&self, name: &StageName) -> TraceContext {
        let stage = self.run_trace().child(name.stage());
        match name.place() {
            Some(_) => stage.child(name.as_str()),
            None => stage,
        }
    }

    /// The span of an attempt.
    #[must_use]
    pub fn attempt_trace(&self, attempt: &AttemptId) -> TraceContext {
        let stage = self.stage_trace(&attempt.stage);
        stage.child(&attempt.attempt.to_string())
    }

    /// When the run's span begins: when it was submitted, or when it was resumed.
    #[must_use]
    pub fn span_start(&self) -> Timestamp {
        let submitted = self.submitted.at;
        let Some(begun) = self.begun_at else {
            return submitted;
        };
        // Nothing is done before a run is admitted: what was done earlier was done before it was resumed.
        let is_resumed = self.stages.values().any(|stage| {
            let first = stage.attempts.first();
            first.is_some_and(|attempt| attempt.assigned_at < begun)
        });
        if is_resumed { begun } else { submitted }
    }

    /// When a stage's span begins: when what it needs had ended, or, where that was later for some
    /// reason, with its first attempt since the run was resumed.
    #[must_use]
    pub fn stage_span_start(&self, name: &StageName) -> Timestamp {
        let (open, begun) = (self.open_since(name), self.span_start());
        let Some(stage) = self.stages.get(name) else {
            return open;
        };
        let own = stage.attempts.iter().map(|attempt| attempt.assigned_at);
        let first = own.filter(|at| *at >= begun).min();
        let bounds = first.into_iter().chain(stage.ended_at);
        bounds.fold(open, Timestamp::min)
    }
}
