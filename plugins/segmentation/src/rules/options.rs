//! What `with` takes in `segmentation/rules`.

use marquetry_plugin::{FileName, Input, RowExpression};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `segmentation/rules`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RulesOptions {
    /// The customers, one a row.
    pub(super) rows: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    pub(super) key: String,
    /// The rules, in order of precedence.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(super) rules: Option<Vec<Rule>>,
    /// A rhai script instead of rules: `fn segment(row) { … }` gives the name of the customer's
    /// segment, or null. With `match: all` it may give an array of names.
    #[serde(default)]
    pub(super) script: Option<FileName>,
    /// Whether a customer is in the segment of the first rule that holds, or in those of all.
    #[serde(default, rename = "match")]
    pub(super) matching: Matching,
    /// The segment of customers for whom no rule holds.
    #[serde(default = "otherwise")]
    #[schemars(length(min = 1))]
    pub(super) otherwise: String,
}

/// A rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// The segment of the customers for whom it holds. Several rules may name the same.
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// When it holds: an expression over the columns, as in `monetary > 1000 && recency_days < 30`.
    /// A null result is no.
    pub(super) when: RowExpression,
}

/// Which of the rules that hold count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Matching {
    /// The first: a customer is in one segment.
    #[default]
    First,
    /// All: a customer is in every segment whose rule holds, and has a row for each.
    All,
}

fn otherwise() -> String {
    "other".to_owned()
}
