//! Whole stages: what they write, measure, say and refuse, in a lake of their own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests may fail by panicking, and some results are exact"
)]

mod assign;
mod kmeans;
mod lifecycle;
mod parity;
mod rfm;
mod rule_errors;
mod rules;
mod same_every_run;
mod support;
