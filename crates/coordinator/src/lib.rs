//! The coordinator: gRPC in front, the engine behind, the journal underneath.
//!
//! One task, the reign, owns the engine. It takes everything that arrived meanwhile, lets the
//! engine decide, commits all records in one append, and only then acts: it answers the callers,
//! pushes assignments down the workers' streams and tells the watchers. When a commit fails or is in
//! doubt it wins a new epoch, forgets everything, ends the workers' streams and restores the engine from
//! the journal; the workers come back with what they hold. `leadership` decides which of several
//! coordinators has the reign; the others read the journal and name the leader.
//!
//! Reading never passes through that task: [`RunService`](marquetry_proto::v1) reads the journal.

mod access;
mod bundles;
mod clock;
mod cluster_service;
mod config;
mod coordinator;
mod front;
mod hub;
mod in_process;
mod leadership;
mod log_stream;
mod metrics;
mod recent_requests;
mod recent_workflows;
mod refusals;
mod reign;
mod request;
mod run_ends;
mod run_service;
mod scheduler;
mod submissions;
mod upkeep;
mod views;
mod waiting;
mod worker_service;
mod workflow_service;

pub use access::{AccessRole, TokenError, Tokens, new_token};
pub use config::{CoordinatorConfig, TakeUp};
pub use coordinator::Coordinator;
pub use front::{Front, ServerTls};
pub use in_process::{InProcess, in_process};
pub use leadership::Role;
pub use log_stream::LogStore;
pub use upkeep::{Collected, History, Upkeep};
pub use waiting::serve_waiting;
