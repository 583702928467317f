//! Stages that judge segments and say what they are: indices of their separation, their sizes and
//! revenue, and what distinguishes each in numbers and words; whether they come back when customers are
//! drawn anew, who moved between them, what they earned later; and the gate that they must pass.
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

use marquetry_plugin::{Figure, StageHandler};
use marquetry_types::thousands;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![
        Arc::new(clusters::Clusters::default()),
        Arc::new(profile::Profile::default()),
        Arc::new(stability::Stability::default()),
        Arc::new(migration::Migration::default()),
        Arc::new(value::Value::default()),
        Arc::new(gate::Gate::default()),
    ]
}

/// The default of every option `key`.
fn customer_id() -> String {
    "customer_id".to_owned()
}

/// As in "1 check" and "2 checks".
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(count as u64))
}

/// A count as a metric or a figure.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn float(count: usize) -> f64 {
    count as f64
}

/// A count as a cell of an output.
fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A figure of a panel.
fn figure(label: &str, value: f64, unit: Option<&str>, note: &str) -> Figure {
    Figure {
        label: label.to_owned(),
        value,
        unit: unit.map(str::to_owned),
        note: (!note.is_empty()).then(|| note.to_owned()),
    }
}
