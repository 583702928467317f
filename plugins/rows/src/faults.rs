//! Errors about rows, in the words of the person who wrote the stage.

use arrow::datatypes::Schema;
use marquetry_kernels::KernelError;
use marquetry_plugin::StageError;
use marquetry_script::{listed, nearest};
use marquetry_types::{Diagnostic, ErrorCode, codes};

use crate::Keys;

/// An error that the author of the workflow or the owner of the data must act on.
#[must_use]
pub fn invalid(code: ErrorCode, message: impl Into<String>, help: impl Into<String>) -> StageError {
    StageError::Invalid(Diagnostic::new(code, message).help(help))
}

/// Refuses a key whose name a column of the output has.
///
/// # Errors
/// It is one of those `taken`.
pub fn check_key(key: &str, taken: &[&str]) -> Result<(), StageError> {
    if !taken.contains(&key) {
        return Ok(());
    }
    Err(invalid(
        codes::STAGE_OPTIONS,
        format!("the key cannot be named `{key}`: the output has a column of that name"),
        "rename it in ingest/files or features/sql",
    ))
}

/// The input of the option `input` has no column of that name.
#[must_use]
pub fn missing_column(input: &str, column: &str, schema: &Schema) -> StageError {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let help = match nearest(column, names.iter().copied()) {
        Some(other) => format!("did you mean `{other}`?"),
        None => format!("its columns are {}", listed(&names)),
    };
    invalid(
        codes::COLUMN_MISMATCH,
        format!("`{input}` has no column `{column}`"),
        help,
    )
}

/// What a kernel refuses, said of the rows and columns that it was given.
#[must_use]
pub fn from_kernel(error: &KernelError, keys: &Keys, columns: &[String]) -> StageError {
    match error {
        KernelError::Stopped => StageError::Cancelled,
        KernelError::NotFinite { row, column, value } => invalid(
            codes::BAD_VALUE,
            format!(
                "{} has {value} in column `{}`",
                keys.shown(*row),
                columns.get(*column).map_or("?", String::as_str)
            ),
            "impute with features/scale, or filter with features/sql",
        ),
        KernelError::TooManyClusters { clusters, rows } => invalid(
            codes::TOO_FEW_ROWS,
            format!("{clusters} clusters of {rows} rows: a cluster needs a row of its own"),
            format!("lower `k` to {rows} or less, or look why there are so few rows"),
        ),
        KernelError::Empty(_) => invalid(
            codes::TOO_FEW_ROWS,
            error.to_string(),
            "look at the stage that makes the rows: its input or its filter may be empty",
        ),
        _ => invalid(
            codes::BAD_VALUE,
            error.to_string(),
            "look at the rows of the input",
        ),
    }
}
