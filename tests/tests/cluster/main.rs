//! Clusters of real processes, and what befalls them: stages that block, grow and crash, workers and
//! servers that are killed, strangers at the door.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod access;
mod clients;
mod hosts;
mod kills;
mod operations;
mod secrets;
mod takeover;
mod throttles;
