//! The state machine of runs, stages, attempts and leases: inputs in, records and actions out.
//!
//! It is pure. There is no clock, no I/O, no randomness and no task in here: time comes with each
//! input, and what is to be done goes out as data. So everything that can go wrong in a cluster is
//! tested by feeding inputs, and a run's state is nothing but the fold of its records.
//!
//! The contract with the caller, the coordinator: [`Engine::step`] applies its records to memory at
//! once. The caller commits them and only then performs the actions (*commit, then act*). If the
//! commit fails or is in doubt, the caller throws the engine away and restores one from the journal.

mod action;
mod agent;
mod attempts;
mod backlog;
mod backoff;
mod caching;
mod children;
mod config;
mod control;
mod deadlines;
mod dispatch;
mod engine;
mod fan;
mod gauges;
mod groups;
mod input;
mod live_run;
mod lookup;
mod membership;
mod outputs;
mod record;
mod run_state;
mod scope;
mod shelf;
mod spans;
mod stage_state;
mod throttles;
mod timers;
mod views;
mod waiting;
mod workers;

pub use action::{Action, Assignment, Decision};
pub use agent::{Agent, AgentEffect, AgentInput};
pub use config::EngineConfig;
pub use engine::{Engine, Rejection};
pub use gauges::Gauges;
pub use input::{Input, Submission, WorkerHello};
pub use lookup::{Cached, Child, Found, Lookup};
pub use record::{
    Approval, CacheEntry, CacheUse, ChildRun, Parent, Record, Remembered, RunSubmitted, Scheduled,
    Withheld,
};
pub use run_state::{BadRecord, RunFailure, RunState, RunStatus, RunSummary, StageCounts};
pub use stage_state::{AttemptEnd, AttemptState, ItemCounts, StageState, StageStatus};
pub use views::{QueueView, WorkerView};
pub use waiting::Waiting;
