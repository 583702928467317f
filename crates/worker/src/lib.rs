//! The worker: it takes assignments from a coordinator's stream and runs the stages.
//!
//! The protocol is a pure machine, the engine's [`Agent`](marquetry_engine::Agent); `line` carries its messages over a stream that may
//! break, `executor` runs attempts on threads of their own, so that no stage keeps the heartbeat
//! waiting. A stage that panics, overruns its timeout or runs out of memory fails by itself.

mod attempt;
mod bundle_cache;
mod config;
mod executor;
mod line;
mod log_book;

pub use config::WorkerConfig;
pub use line::Worker;
pub use log_book::{LOG_FOLDER, read_log};
