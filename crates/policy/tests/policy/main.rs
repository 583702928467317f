//! What the crate promises, from outside: see each module.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "tests may fail by panicking, and their counts are small"
)]

mod behaviour;
mod coverage;
mod linear_world;
mod mabwiser;
mod open_bandit;
mod propensities;
mod storage;

/// The text of a committed expectation.
fn fixture(name: &str) -> String {
    let folder = std::path::Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("tests/fixtures");
    std::fs::read_to_string(folder.join(name)).unwrap()
}
