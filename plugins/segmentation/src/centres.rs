//! Centres as a dataset: one row per segment, with `segment`, `customers` and the columns clustered by.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use marquetry_kernels::Matrix;
use marquetry_plugin::{Input, StageContext, StageError};
use marquetry_rows::{KeyedRows, Keys, Wanted, invalid};
use marquetry_types::codes;

use crate::output::SEGMENT;

/// The column of the centres that counts rows.
pub(crate) const CUSTOMERS: &str = "customers";

/// Centres that were read.
#[derive(Debug)]
pub(crate) struct Centres {
    /// What the segments are called, in the order of the centres.
    pub(crate) segments: Keys,
    /// The columns, in the order of the matrix.
    pub(crate) columns: Vec<String>,
    /// One row per segment.
    pub(crate) points: Matrix,
}

impl Centres {
    /// Reads centres, sorted by `segment`. The columns are those named, or all numeric ones but
    /// `customers`, which counts and does not place.
    pub(crate) async fn read(
        stage: &StageContext,
        input: &Input,
        columns: Option<&[String]>,
    ) -> Result<Self, StageError> {
        let wanted = Wanted {
            option: "centres",
            input,
            key: SEGMENT,
            columns,
        };
        let rows = KeyedRows::read(stage, wanted).await;
        let rows = rows.map_err(|error| of_values(error, ROW_PER_SEGMENT))?;
        if rows.is_empty() {
            return Err(invalid(
                codes::TOO_FEW_ROWS,
                "`centres` has no rows",
                ROW_PER_SEGMENT,
            ));
        }
        let columns = match columns {
            Some(named) => rows.chosen_columns(Some(named))?,
            None => {
                let mut numeric = rows.numeric_columns();
                numeric.retain(|column| column != CUSTOMERS);
                numeric
            }
        };
        if columns.is_empty() {
            return Err(invalid(
                codes::COLUMN_MISMATCH,
                format!("`centres` has no numeric column besides `{SEGMENT}` and `{CUSTOMERS}`"),
                "it must have the columns that the rows were clustered by",
            ));
        }
        let points = rows.matrix(&columns);
        let points = points.map_err(|error| of_values(error, FINITE))?;
        Ok(Self {
            segments: rows.keys().clone(),
            columns,
            points,
        })
    }
}

const ROW_PER_SEGMENT: &str =
    "it must have a row per segment, as the output `centres` of segmentation/kmeans";

const FINITE: &str =
    "every centre needs a finite number in each column: look at the stage that makes `centres`";

/// The same error with other advice, if it is about a value: the usual advice is for customers.
fn of_values(error: StageError, help: &str) -> StageError {
    match error {
        StageError::Invalid(diagnostic) if diagnostic.code == codes::BAD_VALUE => {
            StageError::Invalid(diagnostic.help(help))
        }
        other => other,
    }
}

/// Refuses columns that the dataset of centres has for itself.
pub(crate) fn check_columns(columns: &[String]) -> Result<(), StageError> {
    match columns
        .iter()
        .find(|column| [SEGMENT, CUSTOMERS].contains(&column.as_str()))
    {
        None => Ok(()),
        Some(column) => Err(invalid(
            codes::STAGE_OPTIONS,
            format!(
                "a column to cluster by cannot be named `{column}`: the output `centres` has one of that name"
            ),
            "leave it out of `columns`, or rename it with features/sql",
        )),
    }
}

/// Centres as rows of the output, numbered from 0.
pub(crate) fn batch(
    columns: &[String],
    points: &Matrix,
    sizes: &[usize],
) -> Result<RecordBatch, StageError> {
    let mut fields = vec![
        Field::new(SEGMENT, DataType::Int64, false),
        Field::new(CUSTOMERS, DataType::Int64, false),
    ];
    let integers = |numbers: &mut dyn Iterator<Item = usize>| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            numbers.map(|number| i64::try_from(number).unwrap_or(i64::MAX)),
        ))
    };
    let mut arrays = vec![
        integers(&mut (0..points.rows())),
        integers(&mut sizes.iter().copied()),
    ];
    for (index, column) in columns.iter().enumerate() {
        fields.push(Field::new(column, DataType::Float64, false));
        let values = points.iter_rows().map(|row| row[index]);
        arrays.push(Arc::new(Float64Array::from_iter_values(values)));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}
