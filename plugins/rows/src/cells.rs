//! Arrow columns as a script sees them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, StringViewArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use marquetry_script::{Cell, Columns};

/// The columns of a batch, each as one of the four types that scripts know.
#[derive(Debug)]
pub struct Cells {
    columns: Vec<Cellular>,
    /// The columns as they are, for expressions over whole columns.
    batch: RecordBatch,
}

#[derive(Debug)]
enum Cellular {
    Bool(BooleanArray),
    Int(Int64Array),
    Float(Float64Array),
    Text(StringArray),
    View(StringViewArray),
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
        DataType::Utf8View => Some(DataType::Utf8View),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Null => Some(DataType::Utf8),
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

/// The readable columns with the types that scripts see.
#[must_use]
pub fn seen(schema: &Schema, readable: &[(usize, String)]) -> SchemaRef {
    let fields = readable.iter().filter_map(|(place, name)| {
        let kind = seen_as(schema.fields().get(*place)?.data_type())?;
        Some(Field::new(name, kind, true))
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Cells {
    /// The readable columns as they are seen, numbered as scripts do; what is not read is null.
    #[must_use]
    pub const fn batch(&self) -> &RecordBatch {
        &self.batch
    }

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
        let schema = seen(&batch.schema(), readable);
        let rows = batch.num_rows();
        let mut columns = Vec::with_capacity(readable.len());
        let mut arrays = Vec::with_capacity(readable.len());
        for (((place, _), is_read), field) in readable.iter().zip(is_read).zip(schema.fields()) {
            if *is_read {
                let array = cast_to(batch.column(*place), field.data_type())?;
                columns.push(cellular(&array));
                arrays.push(array);
            } else {
                columns.push(Cellular::Unread);
                arrays.push(new_null_array(field.data_type(), rows));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options)?;
        Ok(Self { columns, batch })
    }
}

fn cast_to(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        same if same == kind => Ok(Arc::clone(column)),
        DataType::Timestamp(_, Some(_)) => cast(&in_utc(column)?, kind),
        _ => cast(column, kind),
    }
}

fn cellular(column: &ArrayRef) -> Cellular {
    let any = column.as_any();
    if let Some(values) = any.downcast_ref::<BooleanArray>() {
        Cellular::Bool(values.clone())
    } else if let Some(values) = any.downcast_ref::<Int64Array>() {
        Cellular::Int(values.clone())
    } else if let Some(values) = any.downcast_ref::<Float64Array>() {
        Cellular::Float(values.clone())
    } else if let Some(values) = any.downcast_ref::<StringArray>() {
        Cellular::Text(values.clone())
    } else if let Some(values) = any.downcast_ref::<StringViewArray>() {
        Cellular::View(values.clone())
    } else {
        Cellular::Unread
    }
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
        self.batch.num_rows()
    }

    fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        match &self.columns[column] {
            Cellular::Bool(values) if values.is_valid(row) => Cell::Bool(values.value(row)),
            Cellular::Int(values) if values.is_valid(row) => Cell::Int(values.value(row)),
            Cellular::Float(values) if values.is_valid(row) => Cell::Float(values.value(row)),
            Cellular::Text(values) if values.is_valid(row) => Cell::Text(values.value(row)),
            Cellular::View(values) if values.is_valid(row) => Cell::Text(values.value(row)),
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
