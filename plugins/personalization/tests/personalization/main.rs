//! Whole stages: what they write, measure, say and refuse.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests may fail by panicking, and some results are exact"
)]

mod content;
mod recommend;
mod support;
