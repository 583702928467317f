//! The coordinator: gRPC in front, the engine behind, the journal underneath.
//!
//! One task, the reign, owns the engine. It takes everything that arrived meanwhile, lets the
//! engine decide, commits all records in one append, and only then acts: it answers the callers,
//! pushes assignments down the workers' streams and tells the watchers. When a commit fails or is in
//! doubt it forgets everything, ends the workers' streams and restores the engine from the journal;
//! the workers come back with what they hold.
//!
//! Reading never passes through that task: [`RunService`](marquetry_proto::v1) reads the journal.

mod bundles;
mod config;
mod coordinator;
mod hub;
mod in_process;
mod reign;
mod request;
mod run_service;
mod views;
mod worker_service;

pub use config::{CoordinatorConfig, TakeUp};
pub use coordinator::Coordinator;
pub use in_process::{InProcess, in_process};
