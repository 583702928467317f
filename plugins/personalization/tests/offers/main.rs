//! `personalization/offers` as a whole stage: what it decides, with what probability, and what it refuses.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "tests may fail by panicking, and some results are exact"
)]

mod choosing;
mod refusing;
mod support;
