//! The stages that learn, whole: what a policy makes of decisions and responses, what is refused, and that it
//! beats uniform choice among the sample's customers.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "tests may fail by panicking, and some results are exact"
)]

mod attribution;
mod refusing;
mod support;
mod teaching;
mod world;
