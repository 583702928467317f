//! Arrow columns as a script sees them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use marquetry_script::{Cell, Columns};

/// The columns of a batch, each as one of the four types that scripts know.
#[derive(Debug)]
pub struct Cells {
    columns: Vec<Cellular>,
    rows: usize,
}

#[derive(Debug)]
enum Cellular {
    Bool(BooleanArray),
    Int(Int64Array),
    Float(Float64Array),
    Text(StringArray),
    /// Not read by any script.
    Unread,
}

/// What scripts see of a column of some type; none where they cannot read it.
fn seen_as(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Dictionary(_, values) => seen_as(values),
        DataType::Boolean => Some(DataType::Boolean),
        // Beyond 2^63 a cast would make nulls of numbers.
        DataType::UInt64 => Some(DataType::Float64),
        other if other.is_integer() => Some(DataType::Int64),
        other if other.is_numeric() => Some(DataType::Float64),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            Some(DataType::Utf8)
        }
        // As ISO 8601 writes them; see `in_utc`.
        other if other.is_temporal() => Some(DataType::Utf8),
        _ => None,
    }
}

/// The names of the columns that scripts can read, with their places in the schema.
#[must_use]
pub fn readable(schema: &Schema) -> Vec<(usize, String)> {
    let fields = schema.fields().iter().enumerate();
    fields
        .filter(|(_, field)| seen_as(field.data_type()).is_some())
        .map(|(place, field)| (place, field.name().clone()))
        .collect()
}

impl Cells {
    /// The cells of a batch. `readable` numbers the columns as scripts do; only those that
    /// `is_read` are converted.
    ///
    /// # Errors
    /// A column cannot be converted.
    pub fn new(
        batch: &RecordBatch,
        readable: &[(usize, String)],
        is_read: &[bool],
    ) -> Result<Self, ArrowError> {
        let mut columns = Vec::with_capacity(readable.len());
        for ((place, _), is_read) in readable.iter().zip(is_read) {
            let column = if *is_read {
                cellular(batch.column(*place))?
            } else {
                Cellular::Unread
            };
            columns.push(column);
        }
        Ok(Self {
            columns,
            rows: batch.num_rows(),
        })
    }
}

fn cellular(column: &ArrayRef) -> Result<Cellular, ArrowError> {
    let Some(kind) = seen_as(column.data_type()) else {
        return Ok(Cellular::Unread);
    };
    let cast = match column.data_type() {
        DataType::Timestamp(_, Some(_)) => cast(&in_utc(column)?, &kind)?,
        _ => cast(column, &kind)?,
    };
    let any = cast.as_any();
    Ok(if let Some(values) = any.downcast_ref::<BooleanArray>() {
        Cellular::Bool(values.clone())
    } else if let Some(values) = any.downcast_ref::<Int64Array>() {
        Cellular::Int(values.clone())
    } else if let Some(values) = any.downcast_ref::<Float64Array>() {
        Cellular::Float(values.clone())
    } else if let Some(values) = any.downcast_ref::<StringArray>() {
        Cellular::Text(values.clone())
    } else {
        Cellular::Unread
    })
}

/// Moments as times of day in UTC, without a zone. Their texts then compare in the order of time, which
/// an offset (`+01:00` when clocks are changed) and a `Z` after fractions of a second would upset.
fn in_utc(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Timestamp(unit, _) => cast(column, &DataType::Timestamp(*unit, None)),
        _ => Ok(Arc::clone(column)),
    }
}

impl Columns for Cells {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        match &self.columns[column] {
            Cellular::Bool(values) if values.is_valid(row) => Cell::Bool(values.value(row)),
            Cellular::Int(values) if values.is_valid(row) => Cell::Int(values.value(row)),
            Cellular::Float(values) if values.is_valid(row) => Cell::Float(values.value(row)),
            Cellular::Text(values) if values.is_valid(row) => Cell::Text(values.value(row)),
            _ => Cell::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, TimestampMillisecondArray, UInt32Array};
    use arrow::datatypes::Field;

    #[test]
    fn cells_have_the_types_of_scripts() {
        let fields = vec![
            Field::new("n", DataType::UInt32, true),
            Field::new("day", DataType::Date32, true),
            Field::new("unread", DataType::UInt32, true),
        ];
        let numbers: ArrayRef = Arc::new(UInt32Array::from(vec![Some(7), None]));
        let days: ArrayRef = Arc::new(Date32Array::from(vec![0, 365]));
        let batch = RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            vec![Arc::clone(&numbers), days, numbers],
        )
        .unwrap();
        let readable = readable(&batch.schema());
        let cells = Cells::new(&batch, &readable, &[true, true, false]).unwrap();
        assert_eq!(
            (cells.cell(0, 0), cells.cell(0, 1)),
            (Cell::Int(7), Cell::Null)
        );
        assert_eq!(cells.cell(1, 1), Cell::Text("1971-01-01"));
        assert_eq!(cells.cell(2, 0), Cell::Null);
    }

    #[test]
    fn times_compare_as_texts_in_the_order_of_time() {
        // 00:30 and 01:00 BST, half a second later, and 01:00 GMT on the night of the change.
        let times = TimestampMillisecondArray::from(vec![
            1_729_985_400_000,
            1_729_987_200_000,
            1_729_987_200_500,
            1_729_990_800_000,
        ])
        .with_timezone("Europe/London");
        let batch = RecordBatch::try_from_iter([("ts", Arc::new(times) as ArrayRef)]).unwrap();
        let readable = readable(&batch.schema());
        let cells = Cells::new(&batch, &readable, &[true]).unwrap();
        let texts: Vec<&str> = (0..4)
            .map(|row| match cells.cell(0, row) {
                Cell::Text(text) => text,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts[1], "2024-10-27T00:00:00");
        assert_eq!(texts[2], "2024-10-27T00:00:00.500");
        assert!(texts.is_sorted(), "{texts:?}");
    }
}
