//! Stages that put customers into segments: by recency, frequency and monetary value, by k-means, and
//! by rules that a team writes.
//!
//! Each of them gives a dataset with a column for the key and one named `segment`, in the order of the
//! key: what evaluation, profiles and everything downstream calls an assignment.

#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::panic,
        clippy::float_cmp,
        reason = "tests may fail by panicking, and some results are exact"
    )
)]

mod assign;
mod centres;
mod kmeans;
mod output;
mod rfm;
mod rules;

use std::sync::Arc;

use marquetry_plugin::StageHandler;

pub use rules::RuleSet;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![
        Arc::new(rfm::Rfm::default()),
        Arc::new(kmeans::KMeansStage::default()),
        Arc::new(assign::Assign::default()),
        Arc::new(rules::Rules::default()),
    ]
}

/// The default of every option `key`.
fn customer_id() -> String {
    "customer_id".to_owned()
}
