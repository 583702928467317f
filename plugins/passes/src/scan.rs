//! The rows of a dataset where they lie, with their key and some columns.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, UInt64Type};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, cast, lit};
use datafusion::prelude::{DataFrame, ident};
use marquetry_kernels::{from_order_key, order_key};
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{
    KeyedRows, Keys, Wanted, bad_number, check_columns, integer_in, is_number, no_number,
};

use crate::functions::{DRAW, LN_1P, ORDER_KEY};

/// The key in the queries of passes, so that columns may have any names.
const KEY: &str = "k";

/// The key of a row, as `int64` or text.
#[must_use]
pub fn key_column() -> Expr {
    ident(KEY)
}

/// The column of that number, as it is in the dataset.
#[must_use]
pub fn number(column: usize) -> Expr {
    ident(format!("n{column}"))
}

/// The column of that number as a float, null where it has none.
#[must_use]
pub fn float(column: usize) -> Expr {
    cast(number(column), DataType::Float64)
}

/// A number that a query gives for each row, and between what it lies.
#[derive(Debug, Clone)]
pub struct Column {
    /// The number, a float that is never null.
    pub value: Expr,
    /// The least.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// What is known of a column of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Rows that have a number.
    pub present: u64,
    /// The least; NaN and infinite numbers count, NaN as the largest or the least. 0 of none.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Extent {
    /// Whether all numbers are finite.
    #[must_use]
    pub const fn is_finite(&self) -> bool {
        self.min.is_finite() && self.max.is_finite()
    }
}

/// The rows of a dataset, read anew by every query.
#[derive(Debug, Clone)]
pub struct Scan {
    option: String,
    key: String,
    columns: Vec<String>,
    frame: DataFrame,
}

/// The columns of a dataset.
///
/// # Errors
/// The dataset is damaged, or a source object changed.
pub async fn columns_in(stage: &StageContext, wanted: Wanted<'_>) -> Result<Schema, StageError> {
    let frame = stage.table(wanted.input).await?;
    Ok(frame.schema().as_arrow().clone())
}

impl Scan {
    /// The rows of a dataset; `wanted` names the columns.
    ///
    /// # Errors
    /// A column is missing, or the key is neither integer nor text.
    pub async fn open(stage: &StageContext, wanted: Wanted<'_>) -> Result<Self, StageError> {
        let Wanted {
            option,
            input,
            key,
            columns,
        } = wanted;
        let columns = columns.unwrap_or_default().to_vec();
        let frame = stage.table(input).await?;
        let schema = frame.schema().as_arrow();
        check_columns(option, schema, key, &columns)?;
        let kind = match schema.field_with_name(key)?.data_type() {
            // A table without rows may know no types.
            DataType::Null => DataType::Int64,
            kind => Keys::kind(option, key, kind)?,
        };
        let key_values = cast(ident(key), kind).alias(KEY);
        let numbered = columns
            .iter()
            .enumerate()
            .map(|(number, column)| ident(column).alias(format!("n{number}")));
        let frame = frame.clone().select(
            std::iter::once(key_values)
                .chain(numbered)
                .collect::<Vec<_>>(),
        )?;
        Ok(Self {
            option: option.to_owned(),
            key: key.to_owned(),
            columns,
            frame,
        })
    }

    /// The columns, in the order of their numbers.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The option that names the dataset.
    #[must_use]
    pub fn option(&self) -> &str {
        &self.option
    }

    /// The column that identifies a row.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The key for an output: `int64` or text, not null.
    #[must_use]
    pub fn key_field(&self) -> Field {
        let schema = self.frame.schema().as_arrow();
        let kind = schema.field_with_name(KEY).map(Field::data_type);
        Field::new(&self.key, kind.cloned().unwrap_or(DataType::Int64), false)
    }

    /// The rows, as [`key_column`] and [`number`] name their columns.
    #[must_use]
    pub fn frame(&self) -> DataFrame {
        self.frame.clone()
    }

    /// The type of a column.
    #[must_use]
    pub fn kind(&self, column: usize) -> DataType {
        let name = format!("n{column}");
        let field = self.frame.schema().as_arrow().field_with_name(&name);
        field.map_or(DataType::Null, |field| field.data_type().clone())
    }

    /// Refuses a column that is no number.
    ///
    /// # Errors
    /// Its type is another.
    pub fn check_number(&self, column: usize) -> Result<(), StageError> {
        let kind = self.kind(column);
        if is_number(&kind) || kind == DataType::Null {
            return Ok(());
        }
        let name = self.columns.get(column).map_or("?", String::as_str);
        Err(no_number(name, &kind))
    }

    /// How many rows there are, and what is known of columns of numbers. One pass.
    ///
    /// # Errors
    /// A column is no number, or the query fails.
    pub async fn extents(&self, columns: &[usize]) -> Result<(u64, Vec<Extent>), StageError> {
        let mut figures = vec![count(lit(1_i64)).alias("rows")];
        for (place, column) in columns.iter().enumerate() {
            self.check_number(*column)?;
            // By the order of keys: no file says of NaN where it stands.
            let value = ORDER_KEY.call(vec![float(*column)]);
            figures.push(count(float(*column)).alias(format!("count{place}")));
            figures.push(min(value.clone()).alias(format!("min{place}")));
            figures.push(max(value).alias(format!("max{place}")));
        }
        let found = self.frame().aggregate(vec![], figures)?.collect().await?;
        let whole = |column| u64::try_from(integer_in(&found, column).unwrap_or(0)).unwrap_or(0);
        let end = |column| number_in(&found, column).map_or(0.0, from_order_key);
        let extents = (0..columns.len()).map(|place| Extent {
            present: whole(1 + 3 * place),
            min: end(2 + 3 * place),
            max: end(3 + 3 * place),
        });
        Ok((whole(0), extents.collect()))
    }

    /// The same columns as numbers that are all there and finite.
    ///
    /// # Errors
    /// As [`extents`](Self::extents), or a row has no finite number: the message names the first one's key.
    pub async fn finite(&self, columns: &[usize]) -> Result<(u64, Vec<Column>), StageError> {
        let (rows, extents) = self.extents(columns).await?;
        let mut all = Vec::with_capacity(columns.len());
        for (column, extent) in columns.iter().zip(extents) {
            if extent.present < rows || !extent.is_finite() {
                let is_bad = float(*column).is_null().or(is_infinite(*column));
                return Err(self.refuse(*column, is_bad).await?);
            }
            all.push(Column {
                value: float(*column),
                min: extent.min,
                max: extent.max,
            });
        }
        Ok((rows, all))
    }

    /// Why rows of which something holds cannot be taken.
    async fn refuse(&self, column: usize, is_bad: Expr) -> Result<StageError, StageError> {
        let bad = self.frame().filter(is_bad.clone())?;
        let total = bad.aggregate(vec![], vec![count(lit(1_i64))])?;
        let total = integer_in(&total.collect().await?, 0).unwrap_or(1);
        let more = u64::try_from(total - 1).unwrap_or(0);
        let name = self.columns.get(column).map_or("?", String::as_str);
        Ok(match self.first_where(column, is_bad).await? {
            Some((key, value)) => {
                let what = value.map_or_else(|| "no value".to_owned(), |it| it.to_string());
                bad_number(name, &key, &what, more)
            }
            None => bad_number(name, "a row", "no value", more),
        })
    }

    /// The first row by key of which a condition holds: its key as messages show it, and its number in a
    /// column.
    ///
    /// # Errors
    /// The query fails.
    pub async fn first_where(
        &self,
        column: usize,
        condition: Expr,
    ) -> Result<Option<(String, Option<f64>)>, StageError> {
        let first = self
            .frame()
            .filter(condition)?
            .select(vec![key_column(), float(column).alias("value")])?
            .sort(vec![key_column().sort(true, true)])?
            .limit(0, Some(1))?;
        let first = first.collect().await?;
        let Some(row) = first.iter().find(|batch| batch.num_rows() > 0) else {
            return Ok(None);
        };
        let key = Keys::new(&self.option, &self.key, row.column(0));
        let key = key.map_or_else(|_| "a row".to_owned(), |keys| keys.shown(0));
        let value = row.column(1).as_primitive_opt::<Float64Type>();
        let value = value.and_then(|values| values.iter().next().flatten());
        Ok(Some((key, value)))
    }

    /// Rows that the seed and their keys name, `size` of them or all where there are no more; in the order of
    /// the key, with the columns under their names.
    ///
    /// # Errors
    /// The query fails, or the rows do not fit.
    pub async fn sample(
        &self,
        stage: &StageContext,
        rows: u64,
        size: usize,
        seed: u64,
    ) -> Result<KeyedRows, StageError> {
        let mut frame = self.frame();
        if rows > size as u64 {
            let draw = DRAW.call(vec![lit(ScalarValue::UInt64(Some(seed))), key_column()]);
            frame = frame
                .sort(vec![draw.sort(true, true), key_column().sort(true, true)])?
                .limit(0, Some(size))?;
        }
        let named = self
            .columns
            .iter()
            .enumerate()
            .map(|(column, name)| number(column).alias(name));
        let key = key_column().alias(&self.key);
        let frame = frame.select(std::iter::once(key).chain(named).collect::<Vec<_>>())?;
        KeyedRows::gather(stage, &self.option, &self.key, frame).await
    }
}

/// The logarithm of 1 + a float, exact near 0.
#[must_use]
pub fn ln_1p(value: Expr) -> Expr {
    LN_1P.call(vec![value])
}

/// Whether a column's number is NaN or infinite.
#[must_use]
pub fn is_infinite(column: usize) -> Expr {
    let key = ORDER_KEY.call(vec![float(column)]);
    let end = |number: f64| lit(ScalarValue::UInt64(Some(order_key(number))));
    key.clone()
        .gt_eq(end(f64::INFINITY))
        .or(key.lt_eq(end(f64::NEG_INFINITY)))
}

/// The number in a column of a result of one row.
fn number_in(batches: &[RecordBatch], column: usize) -> Option<u64> {
    let batch = batches.iter().find(|batch| batch.num_rows() > 0)?;
    let numbers = batch.columns().get(column)?;
    let numbers = numbers.as_primitive_opt::<UInt64Type>()?;
    numbers.iter().next().flatten()
}

/// The bytes in each column of a result of one row.
pub(crate) fn bytes_in(batches: &[RecordBatch]) -> Vec<&[u8]> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Vec::new();
    };
    let columns = batch.columns().iter();
    columns
        .map(|column| match column.as_binary_opt::<i32>() {
            Some(bytes) if bytes.is_valid(0) => bytes.value(0),
            _ => &[],
        })
        .collect()
}
