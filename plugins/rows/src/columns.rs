//! Columns as numbers and as texts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use marquetry_plugin::StageError;
use marquetry_types::codes;

use crate::Keys;
use crate::faults::{invalid, missing_column};

/// The whole number in a column of a result of one row, if it is not null.
#[must_use]
pub fn integer_in(batches: &[RecordBatch], column: usize) -> Option<i64> {
    let batch = batches.iter().find(|batch| batch.num_rows() > 0)?;
    let numbers = batch
        .columns()
        .get(column)?
        .as_primitive_opt::<Int64Type>()?;
    numbers.iter().next().flatten()
}

/// Whether a column is taken as numbers by default.
#[must_use]
pub fn is_numeric(kind: &DataType) -> bool {
    kind.is_numeric()
}

/// Whether a column is taken as texts by default: texts and truth values.
#[must_use]
pub fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => is_text(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => true,
        _ => false,
    }
}

/// Refuses a dataset without the key or one of the columns. `option` is the option that names the dataset.
///
/// # Errors
/// One is missing.
pub fn check_columns(
    option: &str,
    schema: &Schema,
    key: &str,
    named: &[String],
) -> Result<(), StageError> {
    let wanted = std::iter::once(key).chain(named.iter().map(String::as_str));
    match wanted
        .into_iter()
        .find(|column| schema.column_with_name(column).is_none())
    {
        None => Ok(()),
        Some(column) => Err(missing_column(option, column, schema)),
    }
}

/// The columns but the key whose type is one of those.
#[must_use]
pub fn columns_where(schema: &Schema, key: &str, take: fn(&DataType) -> bool) -> Vec<String> {
    let fields = schema.fields().iter();
    fields
        .filter(|field| field.name() != key && take(field.data_type()))
        .map(|field| field.name().clone())
        .collect()
}

/// The columns that an option names, or by default all numeric ones but the key.
///
/// # Errors
/// A column is named twice, or the key, or there is no numeric column.
pub fn choose_columns(
    option: &str,
    schema: &Schema,
    key: &str,
    named: Option<&[String]>,
) -> Result<Vec<String>, StageError> {
    let Some(named) = named else {
        let columns = columns_where(schema, key, is_numeric);
        if columns.is_empty() {
            return Err(invalid(
                codes::COLUMN_MISMATCH,
                format!("`{option}` has no numeric column besides its key"),
                "there must be numbers to compare: see features/customer and features/scale",
            ));
        }
        return Ok(columns);
    };
    for (index, column) in named.iter().enumerate() {
        if named.iter().take(index).any(|other| other == column) {
            let message = format!("`columns` names `{column}` twice");
            return Err(invalid(
                codes::STAGE_OPTIONS,
                message,
                "name each column once",
            ));
        }
        if column == key {
            let message = format!("`columns` names the key `{column}`");
            let help = "a key says who a row is, not what it is like: leave it out";
            return Err(invalid(codes::STAGE_OPTIONS, message, help));
        }
    }
    Ok(named.to_vec())
}

/// The values of a column as finite numbers; truth values are 0 and 1.
///
/// # Errors
/// The column is neither, or holds a null, NaN or infinity: the message names the first one's key.
pub fn numbers_of(name: &str, column: &ArrayRef, keys: &Keys) -> Result<Vec<f64>, StageError> {
    let numbers = floats(name, column)?;
    refuse(name, &numbers, keys, |row| {
        numbers.is_null(row) || !numbers.value(row).is_finite()
    })?;
    Ok(numbers.values().to_vec())
}

/// As [`numbers_of`], with none for null.
///
/// # Errors
/// As [`numbers_of`], but for nulls.
pub fn numbers_or_none_of(
    name: &str,
    column: &ArrayRef,
    keys: &Keys,
) -> Result<Vec<Option<f64>>, StageError> {
    let numbers = floats(name, column)?;
    refuse(name, &numbers, keys, |row| {
        numbers.is_valid(row) && !numbers.value(row).is_finite()
    })?;
    Ok(numbers.iter().collect())
}

fn floats(name: &str, column: &ArrayRef) -> Result<Float64Array, StageError> {
    let kind = column.data_type();
    let empty = column.is_empty() && *kind == DataType::Null;
    let cast = if is_number(kind) || empty {
        cast(column, &DataType::Float64).ok()
    } else {
        None
    };
    let numbers = cast
        .as_ref()
        .and_then(|cast| cast.as_any().downcast_ref::<Float64Array>());
    numbers.cloned().ok_or_else(|| no_number(name, kind))
}

/// Whether a column can be taken as numbers: truth values are 0 and 1.
#[must_use]
pub fn is_number(kind: &DataType) -> bool {
    is_numeric(kind) || *kind == DataType::Boolean
}

/// A column cannot be taken as numbers.
#[must_use]
pub fn no_number(name: &str, kind: &DataType) -> StageError {
    invalid(
        codes::COLUMN_MISMATCH,
        format!("column `{name}` is of type {kind}, not a number"),
        "leave it out of `columns`, or encode it with features/scale",
    )
}

/// Refuses numbers of which some are bad, naming the first one's key.
fn refuse(
    name: &str,
    numbers: &Float64Array,
    keys: &Keys,
    is_bad: impl Fn(usize) -> bool,
) -> Result<(), StageError> {
    let Some(first) = (0..numbers.len()).find(|row| is_bad(*row)) else {
        return Ok(());
    };
    let what = if numbers.is_null(first) {
        "no value".to_owned()
    } else {
        numbers.value(first).to_string()
    };
    let more = (first + 1..numbers.len())
        .filter(|row| is_bad(*row))
        .count();
    Err(bad_number(name, &keys.shown(first), &what, more as u64))
}

/// A row has something in a column that is no finite number, and so have some `more` after it.
#[must_use]
pub fn bad_number(name: &str, key: &str, what: &str, more: u64) -> StageError {
    let more = match more {
        0 => String::new(),
        1 => ", and 1 more row has none that can be used".to_owned(),
        others => format!(", and {others} more rows have none that can be used"),
    };
    invalid(
        codes::BAD_VALUE,
        format!("{key} has {what} in column `{name}`{more}"),
        "impute with features/scale, filter with features/sql, or leave the column out of `columns`",
    )
}

/// The values of a column as texts, none for null.
///
/// # Errors
/// The column's type has no text.
pub fn texts_of(name: &str, column: &ArrayRef) -> Result<Vec<Option<String>>, StageError> {
    let texts = cast(column, &DataType::Utf8).ok();
    let texts = texts
        .as_ref()
        .and_then(|texts| texts.as_any().downcast_ref::<StringArray>());
    match texts {
        Some(texts) => Ok(texts.iter().map(|text| text.map(str::to_owned)).collect()),
        None => Err(invalid(
            codes::COLUMN_MISMATCH,
            format!(
                "column `{name}` is of type {}, not a text",
                column.data_type()
            ),
            "cast it with features/sql",
        )),
    }
}

/// The columns of a batch by name, as the types of these fields; other columns are left out.
///
/// # Errors
/// A column is missing or has another type, or a value of it does not fit; or a null stands where the
/// field takes none. `option` is the option that names the dataset.
pub fn select_as(
    option: &str,
    batch: &RecordBatch,
    fields: &[Field],
) -> Result<RecordBatch, StageError> {
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let name = field.name();
        let Some(column) = batch.column_by_name(name) else {
            return Err(missing_column(option, name, &batch.schema()));
        };
        let wrong = || {
            invalid(
                codes::COLUMN_MISMATCH,
                format!(
                    "column `{name}` of `{option}` is of type {}, not {}",
                    column.data_type(),
                    field.data_type()
                ),
                "cast it with features/sql",
            )
        };
        let cast = cast(column, field.data_type()).map_err(|_| wrong())?;
        if cast.null_count() > column.null_count() {
            return Err(wrong());
        }
        if !field.is_nullable() && cast.null_count() > 0 {
            return Err(invalid(
                codes::BAD_VALUE,
                format!("{} rows of `{option}` have no `{name}`", cast.null_count()),
                "filter those rows with features/sql",
            ));
        }
        columns.push(cast);
    }
    let schema = Arc::new(Schema::new(fields.to_vec()));
    Ok(RecordBatch::try_new(schema, columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Decimal128Array, Int64Array};

    fn keys(count: i64) -> Keys {
        Keys::new(
            "rows",
            "customer_id",
            &(Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef),
        )
        .unwrap()
    }

    fn numbers(column: impl Array + 'static) -> Result<Vec<f64>, String> {
        let column: ArrayRef = Arc::new(column);
        let count = i64::try_from(column.len()).unwrap();
        numbers_of("monetary", &column, &keys(count)).map_err(|error| match error {
            StageError::Invalid(diagnostic) => diagnostic.message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn numbers_of_any_kind_are_floats() {
        assert_eq!(numbers(Int64Array::from(vec![3, -4])), Ok(vec![3.0, -4.0]));
        assert_eq!(
            numbers(BooleanArray::from(vec![true, false])),
            Ok(vec![1.0, 0.0])
        );
        let decimals = Decimal128Array::from(vec![1250])
            .with_precision_and_scale(10, 2)
            .unwrap();
        assert_eq!(numbers(decimals), Ok(vec![12.5]));
    }

    #[test]
    fn what_is_no_number_is_named_with_its_key() {
        assert_eq!(
            numbers(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None, Some(2.0), None])),
            Err("customer_id 1 has NaN in column `monetary`, and 2 more rows have none that can be used".to_owned())
        );
        assert_eq!(
            numbers(Float64Array::from(vec![None, Some(1.0)])),
            Err("customer_id 0 has no value in column `monetary`".to_owned())
        );
        assert_eq!(
            numbers(StringArray::from(vec!["12"])),
            Err("column `monetary` is of type Utf8, not a number".to_owned())
        );
    }
}
