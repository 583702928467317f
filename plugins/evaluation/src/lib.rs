//! Stages that judge segments and say what they are: indices of their separation, their sizes and
//! revenue, and what distinguishes each in numbers and words.
//!
//! An assignment, from whatever stage, is a dataset with the key and a column `segment` of integers or
//! texts, one row per customer.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "tests may fail by panicking")
)]

mod assignment;
mod clusters;
mod gate;
mod migration;
mod profile;
mod stability;
mod value;

use std::sync::Arc;

use marquetry_plugin::StageHandler;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![
        Arc::new(clusters::Clusters::default()),
        Arc::new(gate::Gate::default()),
        Arc::new(migration::Migration::default()),
        Arc::new(profile::Profile::default()),
        Arc::new(stability::Stability::default()),
        Arc::new(value::ValueStage::default()),
    ]
}

/// The default of every option `key`.
fn customer_id() -> String {
    "customer_id".to_owned()
}
