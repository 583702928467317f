//! The truth behind the orders: which group each customer was planted in. It is no part of the orders, and
//! is there to judge a segmentation by.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::SampleError;
use crate::generator::customer_id;
use crate::group::COUNTRIES;
use crate::plan::Plan;
use crate::write::write_file;

/// The columns of [`customers`]: `customer_id`, `planted_group` (a [`Group`](crate::Group)'s name), `country`.
#[must_use]
pub fn customers_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("customer_id", DataType::Int64, false),
        Field::new("planted_group", DataType::Utf8, false),
        Field::new("country", DataType::Utf8, false),
    ]))
}

/// The customers of the sample with the same `rows` and `seed`, by ascending id. A customer whose only
/// orders are without id is in this table and not in the orders.
///
/// # Errors
///
/// [`SampleError::TooManyRows`] above [`MAX_ROWS`](crate::MAX_ROWS).
pub fn customers(rows: u64, seed: u64) -> Result<RecordBatch, SampleError> {
    let customers = Plan::new(rows, seed)?.customers;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(
            (0..customers.len()).map(customer_id),
        )),
        Arc::new(StringArray::from_iter_values(
            customers.iter().map(|customer| customer.group.name()),
        )),
        Arc::new(StringArray::from_iter_values(
            customers
                .iter()
                .map(|customer| COUNTRIES[usize::from(customer.country)]),
        )),
    ];
    Ok(RecordBatch::try_new(customers_schema(), columns)?)
}

/// Writes [`customers`] to one Parquet file, which replaces what is there. Keep it out of the folder of the
/// orders: a workflow reads that whole.
///
/// # Errors
///
/// As [`customers`], and when the file cannot be written.
pub fn write_customers(file: &Path, rows: u64, seed: u64) -> Result<(), SampleError> {
    let batch = customers(rows, seed)?;
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = Path::new(&unfinished);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|source| SampleError::Write {
            path: folder.to_owned(),
            source,
        })?;
    }
    write_file(unfinished, &customers_schema(), std::iter::once(Ok(batch)))?;
    std::fs::rename(unfinished, file).map_err(|source| SampleError::Write {
        path: file.to_owned(),
        source,
    })
}
