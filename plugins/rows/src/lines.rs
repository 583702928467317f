//! Columns of lines, such as those of orders, under types that queries can rely on.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::cast;
use datafusion::prelude::{Expr, ident, lit};
use marquetry_plugin::StageError;
use marquetry_types::codes;

use crate::faults::{invalid, missing_column};

/// The columns of an input, each as an expression of the type that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    option: &'a str,
    schema: &'a Schema,
}

impl<'a> Lines<'a> {
    /// The columns of the input that an option names, for messages.
    #[must_use]
    pub const fn new(option: &'a str, schema: &'a Schema) -> Self {
        Self { option, schema }
    }

    /// The type of a column.
    ///
    /// # Errors
    /// There is no such column; so of all below.
    pub fn type_of(&self, column: &str) -> Result<&'a DataType, StageError> {
        match self.schema.column_with_name(column) {
            Some((_, field)) => Ok(field.data_type()),
            None => Err(missing_column(self.option, column, self.schema)),
        }
    }

    /// A column as it is.
    ///
    /// # Errors
    /// There is none.
    pub fn plain(&self, column: &str) -> Result<Expr, StageError> {
        self.type_of(column).map(|_| ident(column))
    }

    /// A column of numbers, cast to a type.
    ///
    /// # Errors
    /// It holds no numbers.
    pub fn number(&self, column: &str, to: DataType) -> Result<Expr, StageError> {
        let kind = self.type_of(column)?;
        if kind.is_numeric() || *kind == DataType::Null {
            Ok(cast(ident(column), to))
        } else {
            Err(self.wrong_type(column, kind, "a number"))
        }
    }

    /// A column of times in microseconds, in a time zone. Times without an offset are in UTC.
    ///
    /// # Errors
    /// It holds neither timestamps nor dates.
    pub fn time(&self, column: &str, timezone: &str) -> Result<Expr, StageError> {
        let zoned = |zone: &str| DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from(zone)));
        let instant = match self.type_of(column)? {
            DataType::Timestamp(_, Some(_)) => ident(column),
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 | DataType::Null => {
                // Without an offset a time is one in UTC; cast at once it would be one in `timezone`.
                let naive = cast(
                    ident(column),
                    DataType::Timestamp(TimeUnit::Microsecond, None),
                );
                cast(naive, zoned("UTC"))
            }
            kind => return Err(self.wrong_type(column, kind, "a timestamp or a date")),
        };
        Ok(cast(instant, zoned(timezone)))
    }

    /// A column of true and false, false where it is null and where there is no column.
    ///
    /// # Errors
    /// It holds something else.
    pub fn flag(&self, column: Option<&str>) -> Result<Expr, StageError> {
        let Some(column) = column else {
            return Ok(lit(false));
        };
        match self.type_of(column)? {
            DataType::Boolean => Ok(coalesce(vec![ident(column), lit(false)])),
            kind => Err(self.wrong_type(column, kind, "true or false")),
        }
    }

    fn wrong_type(&self, column: &str, kind: &DataType, wanted: &str) -> StageError {
        invalid(
            codes::COLUMN_MISMATCH,
            format!(
                "column `{column}` of `{}` is of type {kind}, not {wanted}",
                self.option
            ),
            "cast it in ingest/files or features/sql",
        )
    }
}

/// The SQL condition that a column has no finite number.
#[must_use]
pub fn not_finite(column: &str) -> String {
    // A comparison with NaN is false, and one with null is null.
    format!("NOT coalesce(abs(CAST({column} AS DOUBLE)) <= 1.7976931348623157e308, false)")
}

/// Refuses lines of an option without a usable value: how many of them there are, by column.
///
/// # Errors
/// There is such a line; the first column that has one is named.
pub fn check_usable(option: &str, unusable: &[(&str, i64)]) -> Result<(), StageError> {
    let Some((name, lines)) = unusable.iter().find(|(_, lines)| *lines > 0) else {
        return Ok(());
    };
    let subject = if *lines == 1 {
        "1 line has".to_owned()
    } else {
        format!("{lines} lines have")
    };
    Err(invalid(
        codes::BAD_VALUE,
        format!("{subject} no value that can be used in column `{name}` of `{option}`"),
        "reject such lines by a contract in ingest/files, or filter them with features/sql",
    ))
}
