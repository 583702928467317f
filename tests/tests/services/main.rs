//! A coordinator and its workers together, under faults: a SQLite journal in a folder of its own, gRPC
//! over pipes, a worker that runs small stages. What is faulty is put in front of the real thing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod cancelling;
mod checks;
mod commits;
mod durability;
mod exchange;
mod floor;
mod house;
mod requests;
mod scripted_worker;
mod stage_failures;
mod takeover;
