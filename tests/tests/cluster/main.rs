//! Clusters of real processes, and what befalls them: stages that block, grow and crash, workers and
//! servers that are killed, strangers at the door.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod access;
mod away;
mod caching;
mod certificates;
mod children;
mod clients;
mod collector;
mod distributed;
mod failures;
mod full_disk;
mod health;
mod history;
mod hosts;
mod kills;
mod log_lines;
mod log_streams;
mod network;
mod object_store;
mod operations;
mod passes;
mod ports;
mod secrets;
mod takeover;
mod throttles;
mod traces;
