//! The one error of off-policy estimates: rows and options that no estimate can be made of.

use crate::PolicyError;

/// Why there is no estimate. Rows are counted from 0, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OffPolicyError {
    /// A row that cannot have been logged so.
    #[error("row {row}: {problem}")]
    Row {
        /// The row.
        row: usize,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// Too few rows for what was asked.
    #[error("{rows} rows: {needs}")]
    TooFewRows {
        /// The rows there are.
        rows: usize,
        /// What needs more, and how many.
        needs: &'static str,
    },
    /// An estimator that needs a reward model's predictions, of a log without.
    #[error("`{estimator}` needs a reward model's predictions with every row")]
    NoPredictions {
        /// The estimator.
        estimator: &'static str,
    },
    /// A target policy that never takes a logged action.
    #[error(
        "the target policy gives no logged action any probability: the log says nothing about it"
    )]
    NoOverlap,
    /// An interval that is not defined for an estimator.
    #[error(
        "no empirical-Bernstein interval for `{estimator}`, which is no mean of independent terms: take a bootstrap"
    )]
    NotAMean {
        /// The estimator.
        estimator: &'static str,
    },
    /// An option outside of its range.
    #[error("option `{option}` is {value}: {rule}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it is.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// A number that a reward model cannot learn from or predict for.
    #[error("reward model: {0}")]
    Model(#[from] PolicyError),
}

pub(super) fn check(
    option: &'static str,
    value: f64,
    holds: bool,
    rule: &'static str,
) -> Result<(), OffPolicyError> {
    if holds {
        return Ok(());
    }
    Err(OffPolicyError::Option {
        option,
        value,
        rule,
    })
}
