//! The loop of decisions, responses and learning, stage by stage in one lake.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail by panicking"
)]

mod bad_input;
mod deciding;
mod learning;
mod simulating;
mod support;
