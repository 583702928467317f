//! `cargo xtask bench policy`: the example `throughput` of marquetry-policy.

use super::example::{build, succeed};

/// Prints decisions and updates a second, policy by policy.
pub(super) fn run() -> Result<(), String> {
    succeed(&mut build("throughput")?)
}
