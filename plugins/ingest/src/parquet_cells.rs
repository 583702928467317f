//! Parquet columns as cells, so that one set of rules serves every format. Each Arrow type is first
//! cast, without loss, to one of a few that cells are read from.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::cell::Cell;
use crate::options::ColumnType;

/// A column that cells are read from.
#[derive(Debug)]
pub(crate) enum CellColumn {
    Int(Int64Array),
    Unsigned(UInt64Array),
    Float(Float64Array),
    Text(StringArray),
    Bool(BooleanArray),
    Day(Date32Array),
    Instant(TimestampMicrosecondArray),
    Clock(TimestampMicrosecondArray),
}

impl CellColumn {
    /// Casts a column, whose type [`column_type_of`] knows.
    ///
    /// # Errors
    ///
    /// If a value does not fit, such as a timestamp in seconds beyond the range of microseconds.
    pub(crate) fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        let (family, target) = family(array.data_type()).ok_or_else(|| {
            ArrowError::CastError(format!(
                "values of type {} have no cells",
                array.data_type()
            ))
        })?;
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let column = cast_with_options(array, &target, &strict)?;
        Ok(match family {
            Family::Int => Self::Int(column.as_primitive::<Int64Type>().clone()),
            Family::Unsigned => Self::Unsigned(column.as_primitive::<UInt64Type>().clone()),
            Family::Float => Self::Float(column.as_primitive::<Float64Type>().clone()),
            Family::Text => Self::Text(column.as_string::<i32>().clone()),
            Family::Bool => Self::Bool(column.as_boolean().clone()),
            Family::Day => Self::Day(column.as_primitive::<Date32Type>().clone()),
            Family::Instant => {
                Self::Instant(column.as_primitive::<TimestampMicrosecondType>().clone())
            }
            Family::Clock => Self::Clock(column.as_primitive::<TimestampMicrosecondType>().clone()),
        })
    }

    /// The cell of a row, which the column has.
    pub(crate) fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Int(array) if array.is_valid(row) => Cell::Int(array.value(row)),
            Self::Unsigned(array) if array.is_valid(row) => {
                let number = array.value(row);
                i64::try_from(number).map_or(Cell::Unsigned(number), Cell::Int)
            }
            Self::Float(array) if array.is_valid(row) => Cell::Float(array.value(row)),
            Self::Text(array) if array.is_valid(row) => Cell::Text(Cow::Borrowed(array.value(row))),
            Self::Bool(array) if array.is_valid(row) => Cell::Bool(array.value(row)),
            Self::Day(array) if array.is_valid(row) => Cell::Day(array.value(row)),
            Self::Instant(array) if array.is_valid(row) => Cell::Instant(array.value(row)),
            Self::Clock(array) if array.is_valid(row) => Cell::Clock(array.value(row)),
            _ => Cell::Null,
        }
    }
}

enum Family {
    Int,
    Unsigned,
    Float,
    Text,
    Bool,
    Day,
    Instant,
    Clock,
}

/// What cells of a type are, and the Arrow type that they are read from.
fn family(data_type: &DataType) -> Option<(Family, DataType)> {
    use DataType as T;
    Some(match data_type {
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => {
            (Family::Int, T::Int64)
        }
        T::UInt64 => (Family::Unsigned, T::UInt64),
        T::Float16 | T::Float32 | T::Float64 => (Family::Float, T::Float64),
        // A decimal's text is exact, and numbers are read from text exactly.
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Decimal128(..) | T::Decimal256(..) => {
            (Family::Text, T::Utf8)
        }
        T::Dictionary(_, values) => return family(values),
        T::Boolean => (Family::Bool, T::Boolean),
        T::Date32 | T::Date64 => (Family::Day, T::Date32),
        T::Timestamp(_, zone) => {
            let family = if zone.is_some() {
                Family::Instant
            } else {
                Family::Clock
            };
            (family, T::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        _ => return None,
    })
}

/// The column type that values of an Arrow type become if no other is asked for; none if they can
/// only be copied.
pub(crate) fn column_type_of(data_type: &DataType) -> Option<ColumnType> {
    let (family, _) = family(data_type)?;
    Some(match family {
        Family::Int | Family::Unsigned => ColumnType::Int64,
        Family::Float => ColumnType::Float64,
        Family::Text
            if matches!(
                data_type,
                DataType::Decimal128(..) | DataType::Decimal256(..)
            ) =>
        {
            ColumnType::Float64
        }
        Family::Text => ColumnType::String,
        Family::Bool => ColumnType::Bool,
        Family::Day => ColumnType::Date,
        Family::Instant | Family::Clock => ColumnType::Timestamp,
    })
}

/// A row as JSON text, for the quarantine.
pub(crate) fn row_text(batch: &RecordBatch, row: usize) -> String {
    let mut object = serde_json::Map::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if column.is_null(row) {
            object.insert(field.name().clone(), serde_json::Value::Null);
            continue;
        }
        let options = FormatOptions::default();
        let text = ArrayFormatter::try_new(column.as_ref(), &options)
            .and_then(|formatter| formatter.value(row).try_to_string())
            .unwrap_or_else(|error| format!("<{error}>"));
        object.insert(field.name().clone(), serde_json::Value::String(text));
    }
    serde_json::Value::Object(object).to_string()
}

/// The columns of a schema, as a plan wants them.
pub(crate) fn found_columns(schema: &arrow::datatypes::Schema) -> Vec<crate::plan::FoundColumn> {
    let fields = schema.fields().iter();
    fields
        .map(|field| crate::plan::FoundColumn {
            name: field.name().clone(),
            kind: crate::plan::FoundType::Arrow(field.data_type().clone()),
        })
        .collect()
}

/// Whether two files have the same columns, nullability and metadata apart.
pub(crate) fn same_columns(
    left: &Arc<arrow::datatypes::Schema>,
    right: &arrow::datatypes::Schema,
) -> bool {
    found_columns(left) == found_columns(right)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use arrow::array::{Decimal128Array, DictionaryArray, TimestampSecondArray};
    use arrow::datatypes::Int32Type;

    #[test]
    fn every_type_has_its_cells() {
        let decimal = Decimal128Array::from(vec![Some(1250), None])
            .with_precision_and_scale(9, 2)
            .unwrap();
        let decimal = CellColumn::new(&(Arc::new(decimal) as ArrayRef)).unwrap();
        assert_eq!(decimal.cell(0), Cell::Text("12.50".into()));
        assert_eq!(decimal.cell(1), Cell::Null);
        let words: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
        let words = CellColumn::new(&(Arc::new(words) as ArrayRef)).unwrap();
        assert_eq!(words.cell(2), Cell::Text("a".into()));
        let big =
            CellColumn::new(&(Arc::new(UInt64Array::from(vec![7, u64::MAX])) as ArrayRef)).unwrap();
        assert_eq!(big.cell(0), Cell::Int(7));
        assert_eq!(big.cell(1), Cell::Unsigned(u64::MAX));
        let clock =
            CellColumn::new(&(Arc::new(TimestampSecondArray::from(vec![2])) as ArrayRef)).unwrap();
        assert_eq!(clock.cell(0), Cell::Clock(2_000_000));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
        assert!(CellColumn::new(&far).is_err());
    }

    #[test]
    fn rows_are_shown_as_json() {
        let batch = RecordBatch::try_from_iter([
            (
                "id",
                Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef,
            ),
            (
                "name",
                Arc::new(StringArray::from(vec!["a\"b", "c"])) as ArrayRef,
            ),
        ])
        .unwrap();
        assert_eq!(row_text(&batch, 0), r#"{"id":"1","name":"a\"b"}"#);
        assert_eq!(row_text(&batch, 1), r#"{"id":null,"name":"c"}"#);
    }
}
