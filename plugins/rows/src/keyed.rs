//! A dataset in memory, in the order of its key.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::{DataFrame, ident};
use futures::StreamExt;
use marquetry_kernels::Matrix;
use marquetry_plugin::{Input, Reporter, StageContext, StageError};

use crate::columns::{
    check_columns, choose_columns, columns_where, is_numeric, is_text, numbers_of,
    numbers_or_none_of, texts_of,
};
use crate::faults::missing_column;
use crate::{Keys, by_partition, off_thread};

/// What to read of a dataset.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The option that names the dataset, for messages.
    pub option: &'a str,
    /// The dataset.
    pub input: &'a Input,
    /// The column that identifies a row.
    pub key: &'a str,
    /// The other columns; all where none are named.
    pub columns: Option<&'a [String]>,
}

/// The batches of a stream, and the memory that they take.
async fn collect(
    mut stream: SendableRecordBatchStream,
    memory: MemoryReservation,
    reporter: Reporter,
) -> Result<(Vec<RecordBatch>, MemoryReservation), StageError> {
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        reporter.check_cancelled()?;
        let batch = batch?;
        memory.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    Ok((batches, memory))
}

/// The rows, sorted by a column if it is of a type that keys can have. Most datasets are sorted already.
fn by_key(rows: RecordBatch, key: &str) -> Result<RecordBatch, StageError> {
    let column = rows.column_by_name(key);
    let Some(column) = column.filter(|column| is_key(column.data_type())) else {
        return Ok(rows);
    };
    let order = sort_to_indices(column, None, None)?;
    if order.values().iter().copied().eq(0..) {
        return Ok(rows);
    }
    Ok(take_record_batch(&rows, &order)?)
}

fn is_key(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => is_key(values),
        kind => kind.is_integer() || is_text(kind),
    }
}

/// The rows of a dataset, sorted by a key that each of them has and no two share. They count against
/// the memory of the stage.
#[derive(Debug)]
pub struct KeyedRows {
    option: String,
    keys: Keys,
    rows: RecordBatch,
    reservation: MemoryReservation,
}

impl KeyedRows {
    /// Reads and sorts a dataset. Its rows must fit the stage's memory twice.
    ///
    /// # Errors
    /// A column is missing, a key is missing, repeated or of another type than integer or text, or
    /// the rows do not fit.
    pub async fn read(stage: &StageContext, wanted: Wanted<'_>) -> Result<Self, StageError> {
        let Wanted {
            option,
            input,
            key,
            columns,
        } = wanted;
        let mut frame = stage.table(input).await?;
        let named = columns.unwrap_or_default();
        check_columns(option, frame.schema().as_arrow(), key, named)?;
        if columns.is_some() {
            // A stage may ask for a column twice; a query may not.
            let mut taken = vec![key];
            for column in named {
                if !taken.contains(&column.as_str()) {
                    taken.push(column);
                }
            }
            frame = frame.select(taken.into_iter().map(ident).collect::<Vec<_>>())?;
        }
        Self::gather(stage, option, key, frame).await
    }

    /// The rows of a query, sorted. They must fit the stage's memory twice.
    ///
    /// # Errors
    /// As [`read`](Self::read), and the query fails.
    pub async fn gather(
        stage: &StageContext,
        option: &str,
        key: &str,
        frame: DataFrame,
    ) -> Result<Self, StageError> {
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let pool = &stage.session().runtime_env().memory_pool;
        let reservation = MemoryConsumer::new(format!("rows of `{option}`")).register(pool);
        let parts = by_partition(frame, |stream| {
            collect(stream, reservation.new_empty(), stage.reporter())
        })
        .await?;
        let scattered = parts.iter().map(|(_, memory)| memory.size()).sum();
        // For a moment there are two copies, and a third of them while they are sorted.
        reservation.try_grow(scattered)?;
        let rows = concat_batches(&schema, parts.iter().flat_map(|(batches, _)| batches))?;
        let rows = off_thread({
            let key = key.to_owned();
            move || by_key(rows, &key)
        })
        .await?;
        drop(parts);
        Self::new(option, key, rows, reservation)
    }

    fn new(
        option: &str,
        key: &str,
        rows: RecordBatch,
        reservation: MemoryReservation,
    ) -> Result<Self, StageError> {
        let Some(column) = rows.column_by_name(key) else {
            return Err(missing_column(option, key, &rows.schema()));
        };
        let keys = Keys::new(option, key, column)?;
        Ok(Self {
            option: option.to_owned(),
            keys,
            rows,
            reservation,
        })
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys of the rows.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The columns and their types.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// The rows, columns as they were read.
    #[must_use]
    pub const fn batch(&self) -> &RecordBatch {
        &self.rows
    }

    /// Whether there is a column of that name.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        self.rows.column_by_name(column).is_some()
    }

    /// The numeric columns but the key.
    #[must_use]
    pub fn numeric_columns(&self) -> Vec<String> {
        self.columns_where(is_numeric)
    }

    /// The text and truth-value columns but the key.
    #[must_use]
    pub fn text_columns(&self) -> Vec<String> {
        self.columns_where(is_text)
    }

    fn columns_where(&self, take: fn(&arrow::datatypes::DataType) -> bool) -> Vec<String> {
        columns_where(&self.rows.schema(), self.keys.name(), take)
    }

    /// The columns that an option names, or by default all numeric ones but the key.
    ///
    /// # Errors
    /// An option names a column twice, or the key, or there is no numeric column.
    pub fn chosen_columns(&self, named: Option<&[String]>) -> Result<Vec<String>, StageError> {
        choose_columns(&self.option, &self.rows.schema(), self.keys.name(), named)
    }

    /// A column as finite numbers.
    ///
    /// # Errors
    /// There is no such column, or [`numbers_of`] refuses it.
    pub fn numbers(&self, column: &str) -> Result<Vec<f64>, StageError> {
        numbers_of(column, self.column(column)?, &self.keys)
    }

    /// A column as finite numbers, none for null.
    ///
    /// # Errors
    /// There is no such column, or [`numbers_or_none_of`] refuses it.
    pub fn numbers_or_none(&self, column: &str) -> Result<Vec<Option<f64>>, StageError> {
        numbers_or_none_of(column, self.column(column)?, &self.keys)
    }

    /// A column as texts.
    ///
    /// # Errors
    /// There is no such column, or it has no texts.
    pub fn texts(&self, column: &str) -> Result<Vec<Option<String>>, StageError> {
        texts_of(column, self.column(column)?)
    }

    /// Columns as a matrix, which counts against the memory of the stage as long as these rows do.
    ///
    /// # Errors
    /// As [`KeyedRows::numbers`], and the matrix does not fit.
    pub fn matrix(&self, columns: &[String]) -> Result<Matrix, StageError> {
        // The matrix, and the columns that it is made from.
        let bytes = self
            .len()
            .saturating_mul(columns.len())
            .saturating_mul(2 * size_of::<f64>());
        self.reservation.try_grow(bytes)?;
        let mut numbers = Vec::with_capacity(columns.len());
        for column in columns {
            numbers.push(self.numbers(column)?);
        }
        let matrix = Matrix::from_columns(&numbers, self.len());
        self.reservation.shrink(bytes / 2);
        matrix.map_err(|error| crate::from_kernel(&error, &self.keys, columns))
    }

    fn column(&self, name: &str) -> Result<&ArrayRef, StageError> {
        let found = self.rows.column_by_name(name);
        found.ok_or_else(|| missing_column(&self.option, name, &self.rows.schema()))
    }
}
