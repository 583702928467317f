//! The worker: it takes assignments from a coordinator's stream and runs the stages.
//!
//! The protocol is a pure machine, the engine's [`Agent`](marquetry_engine::Agent); `line` carries its
//! messages over a stream that may break, `executor` and `attempt` watch over what runs. A stage runs
//! in `threads` of this process or in one of its `hosts`, child processes that can be limited and
//! killed. One that panics, crashes, overruns its timeout or runs out of memory fails by itself.

mod attempt;
mod bundle_cache;
mod config;
#[cfg(unix)]
mod data_plane;
mod executor;
#[cfg(unix)]
mod hosts;
mod line;
mod log_book;
#[cfg(unix)]
mod memory;
mod panics;
mod peers;
mod secrets;
mod spans;
mod stage;
mod threads;

pub use config::{Isolation, WorkerConfig};
#[cfg(unix)]
pub use data_plane::{DataPlaneConfig, serve_data_plane};
#[cfg(unix)]
pub use hosts::{HostCommand, serve_stage_host};
pub use line::{Leave, Worker, WorkerError};
pub use log_book::read_log;
pub use spans::WORK_TARGET;
