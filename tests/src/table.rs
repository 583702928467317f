//! Tables to be compared: columns of integers, floats and texts, rows in the order of a key.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortColumn, cast, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A table in memory.
#[derive(Debug)]
pub struct Table(RecordBatch);

impl Table {
    /// Reads a Parquet file. Rows are sorted by the columns of `key`, or by all in the order of their
    /// names where there are none.
    ///
    /// # Panics
    /// It is no such file.
    #[must_use]
    pub fn read(path: &Path, key: &[&str]) -> Self {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let schema = Arc::clone(reader.schema());
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        let all = concat_batches(&schema, &batches).unwrap();
        let mut columns: Vec<(String, ArrayRef)> = all
            .schema()
            .fields()
            .iter()
            .zip(all.columns())
            .map(|(field, column)| (field.name().clone(), plain(column)))
            .collect();
        columns.sort_by(|left, right| left.0.cmp(&right.0));
        let fields: Vec<_> = columns
            .iter()
            .map(|(name, column)| Field::new(name, column.data_type().clone(), true))
            .collect();
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        let sorted = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        Self(sorted).sorted_by(key)
    }

    /// The same rows in another order.
    ///
    /// # Panics
    /// There is no such column.
    #[must_use]
    pub fn sorted_by(&self, key: &[&str]) -> Self {
        let columns = match key {
            [] => self.0.columns().to_vec(),
            key => key.iter().map(|name| self.column(name).clone()).collect(),
        };
        let by: Vec<_> = columns
            .into_iter()
            .map(|values| SortColumn {
                values,
                options: None,
            })
            .collect();
        let order = lexsort_to_indices(&by, None).unwrap();
        Self(take_record_batch(&self.0, &order).unwrap())
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.0.num_rows()
    }

    fn column(&self, name: &str) -> &ArrayRef {
        let found = self.0.column_by_name(name);
        found.unwrap_or_else(|| panic!("no column `{name}` in {:?}", self.0.schema()))
    }

    /// The values of a column of integers.
    ///
    /// # Panics
    /// There is no such column, or it holds something else.
    #[must_use]
    pub fn integers(&self, name: &str) -> Vec<Option<i64>> {
        self.column(name)
            .as_primitive::<Int64Type>()
            .iter()
            .collect()
    }

    /// The values of a column of floats.
    ///
    /// # Panics
    /// There is no such column, or it holds something else.
    #[must_use]
    pub fn floats(&self, name: &str) -> Vec<Option<f64>> {
        self.column(name)
            .as_primitive::<Float64Type>()
            .iter()
            .collect()
    }

    /// The values of a column of texts.
    ///
    /// # Panics
    /// There is no such column, or it holds something else.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<Option<&str>> {
        self.column(name).as_string::<i32>().iter().collect()
    }

    /// Asserts that both have the same columns and rows: floats to a relative 1e-9, all else exactly.
    ///
    /// # Panics
    /// They differ.
    pub fn assert_same(&self, expected: &Self, what: &str) {
        assert_eq!(self.0.schema(), expected.0.schema(), "{what}");
        assert_eq!(self.rows(), expected.rows(), "{what}: rows");
        for (index, field) in expected.0.schema().fields().iter().enumerate() {
            let (got, wanted) = (self.0.column(index), expected.0.column(index));
            let different = match field.data_type() {
                DataType::Float64 => {
                    let floats = |column: &ArrayRef| column.as_primitive::<Float64Type>().clone();
                    let (got, wanted) = (floats(got), floats(wanted));
                    got.iter().zip(&wanted).position(|pair| match pair {
                        (Some(got), Some(wanted)) => !is_close(got, wanted, 1e-9),
                        (got, wanted) => got.is_some() || wanted.is_some(),
                    })
                }
                _ if got == wanted => None,
                _ => (0..got.len()).find(|row| got.slice(*row, 1) != wanted.slice(*row, 1)),
            };
            if let Some(row) = different {
                let [got, wanted] = [self, expected].map(|table| {
                    let row = table.0.slice(row, 1);
                    pretty_format_batches(&[row]).unwrap().to_string()
                });
                panic!("{what}, column `{}`:\n{got}\nnot\n{wanted}", field.name());
            }
        }
    }
}

/// Whether two numbers agree relatively; those next to zero, to as much of a millionth, since a difference
/// of sums is as exact as the sums and no more.
#[must_use]
pub fn is_close(got: f64, expected: f64, relative: f64) -> bool {
    (got - expected).abs() <= relative * expected.abs().max(1e-6)
}

/// A column as one of the three types. Times become microseconds since 1970 in UTC.
fn plain(column: &ArrayRef) -> ArrayRef {
    let kind = column.data_type();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let (column, to) = match kind {
        DataType::Timestamp(..) => (&cast(column, &micros).unwrap(), DataType::Int64),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => (column, DataType::Float64),
        kind if kind.is_integer() || *kind == DataType::Boolean => (column, DataType::Int64),
        _ => (column, DataType::Utf8),
    };
    cast(column, &to).unwrap()
}
