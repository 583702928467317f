//! The engine is tested by feeding inputs: single situations, and simulations of whole clusters.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod caching;
mod children;
mod fans;
mod fencing;
mod gauges;
mod peers;
mod placement;
mod scheduled;
mod spans;
mod support;
mod throttles;
mod transitions;
mod waits;
