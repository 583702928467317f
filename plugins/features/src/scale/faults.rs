//! What `features/scale` refuses, in the same words wherever its rows are.

use arrow::datatypes::DataType;
use marquetry_kernels::KernelError;
use marquetry_plugin::StageError;
use marquetry_rows::invalid;
use marquetry_types::codes;

/// More values than this are no categories but texts of any kind.
pub(super) const MOST_CATEGORIES: usize = 256;

pub(super) fn no_rows() -> StageError {
    invalid(
        codes::TOO_FEW_ROWS,
        "`rows` has no rows to fit scalings on",
        "look at the stage that makes the rows, or `apply` scalings that were fitted before",
    )
}

pub(super) fn nothing_to_learn(column: &str) -> StageError {
    invalid(
        codes::TOO_FEW_ROWS,
        format!("column `{column}` has no values to learn what stands in for missing ones"),
        "leave it out of `columns`, or impute a `value`",
    )
}

pub(super) fn no_number(column: &str, kind: &DataType) -> StageError {
    invalid(
        codes::COLUMN_MISMATCH,
        format!("column `{column}` is of type {kind}, not a number"),
        "leave it out of `columns`, or name it in `one_hot`",
    )
}

/// `row` is the key of the row.
pub(super) fn not_finite(row: &str, column: &str, value: f64) -> StageError {
    invalid(
        codes::BAD_VALUE,
        format!("{row} has {value} in column `{column}`"),
        "make it null or filter it with features/sql",
    )
}

/// A logarithm that there is not.
pub(super) fn outside(row: &str, column: &str, error: &KernelError) -> StageError {
    let what = match error {
        KernelError::OutsideDomain { value, rule, .. } => format!("{value}: {rule}"),
        other => other.to_string(),
    };
    invalid(
        codes::BAD_VALUE,
        format!("{row}, column `{column}`: {what}"),
        "leave the column out of `log1p`, or shift it with features/sql",
    )
}

pub(super) fn overflow(column: &str) -> StageError {
    invalid(
        codes::BAD_VALUE,
        format!("column `{column}` has values too large to be scaled"),
        "name it in `log1p`, or divide it with features/sql",
    )
}

pub(super) fn too_many_categories(column: &str, values: usize) -> StageError {
    invalid(
        codes::BAD_VALUE,
        format!("column `{column}` has {values} values, more than {MOST_CATEGORIES} categories"),
        "group rare values with features/sql, or leave it out of `one_hot`",
    )
}

pub(super) fn same_name(column: &str) -> StageError {
    invalid(
        codes::COLUMN_MISMATCH,
        format!("two columns of the result would be called `{column}`"),
        "rename one with features/sql, or name each column once",
    )
}
