//! `cargo xtask bench rules`: the example `rules_speed` of marquetry-segmentation.

use super::example::{build, succeed};

/// Prints rows a second through rules, beside the same query in SQL.
pub(super) fn run() -> Result<(), String> {
    succeed(&mut build("rules_speed")?)
}
