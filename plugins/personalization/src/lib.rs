//! Stages that say what each customer gets: which offer, which products, and in which words.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "tests may fail by panicking")
)]

mod content;
mod offers;
mod recommend;

use std::sync::Arc;

use marquetry_plugin::StageHandler;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![
        Arc::new(content::Content::default()),
        Arc::new(offers::Offers::default()),
        Arc::new(recommend::Recommend::default()),
    ]
}

/// The default of every option `key`.
fn customer_id() -> String {
    "customer_id".to_owned()
}
