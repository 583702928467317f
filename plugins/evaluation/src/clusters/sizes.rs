//! How large segments are and what they bring in.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use marquetry_plugin::{Input, LogLevel, StageContext, StageError};
use marquetry_rows::{KeyedRows, Wanted};
use serde_json::json;

use crate::assignment::{Assignment, Names, SEGMENT};

/// The column that is taken for revenue when no option names one.
const USUAL: &str = "monetary";

/// Segments by size and revenue.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sizes {
    pub(super) segments: Vec<Size>,
    /// Customers in all.
    pub(super) total: usize,
    /// The column that the revenue is the sum of.
    pub(super) revenue_column: Option<String>,
}

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    pub(super) customers: usize,
    /// Of all customers that have a segment, 0 to 1.
    pub(super) share: f64,
    pub(super) revenue: Option<f64>,
    /// Of all revenue; none where there is none or it is negative in all.
    pub(super) revenue_share: Option<f64>,
}

/// Where revenue comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct RevenueOption<'a> {
    pub(super) column: Option<&'a str>,
    pub(super) from: Option<&'a Input>,
    pub(super) key: &'a str,
}

/// The money of each customer.
#[derive(Debug, Clone)]
pub(super) struct Revenue {
    column: String,
    /// For each row with a segment; none for customers of whom it is not known.
    values: Vec<Option<f64>>,
}

/// The revenue of the rows that have a segment, where there is a column of it.
pub(super) async fn revenue(
    stage: &StageContext,
    option: &RevenueOption<'_>,
    rows: &KeyedRows,
    assignment: &Assignment,
) -> Result<Option<Revenue>, StageError> {
    let column = option.column.unwrap_or(USUAL).to_owned();
    let Some(input) = option.from else {
        if option.column.is_none() && !rows.has(&column) {
            return Ok(None);
        }
        let all = rows.numbers_or_none(&column)?;
        let values = assignment.rows.iter().map(|row| all[*row]).collect();
        return Ok(Some(Revenue { column, values }));
    };
    let columns = [column.clone()];
    let wanted = Wanted {
        option: "revenue_from",
        input,
        key: option.key,
        columns: Some(&columns),
    };
    let other = KeyedRows::read(stage, wanted).await?;
    let all = other.numbers_or_none(&column)?;
    let places = rows.keys().find_in(other.keys());
    let values: Vec<Option<f64>> = assignment
        .rows
        .iter()
        .map(|row| places[*row].and_then(|place| all[place]))
        .collect();
    let unknown = values.iter().filter(|value| value.is_none()).count();
    if unknown > 0 {
        let fields = [("customers", json!(unknown)), ("column", json!(column))];
        stage.log(
            LogLevel::Warn,
            "the revenue of some customers is not known",
            fields,
        );
    }
    Ok(Some(Revenue { column, values }))
}

impl Sizes {
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    pub(super) fn new(assignment: &Assignment, revenue: Option<Revenue>) -> Self {
        let total = assignment.rows.len();
        let mut sums = vec![0.0; assignment.sizes.len()];
        if let Some(revenue) = &revenue {
            for (label, value) in assignment.labels.iter().zip(&revenue.values) {
                sums[*label as usize] += value.unwrap_or(0.0);
            }
        }
        let all: f64 = sums.iter().sum();
        let segments = assignment
            .sizes
            .iter()
            .zip(&sums)
            .map(|(customers, sum)| Size {
                customers: *customers,
                share: *customers as f64 / total.max(1) as f64,
                revenue: revenue.is_some().then_some(*sum),
                revenue_share: (revenue.is_some() && all > 0.0).then(|| sum / all),
            })
            .collect();
        Self {
            segments,
            total,
            revenue_column: revenue.map(|revenue| revenue.column),
        }
    }

    /// The output.
    pub(super) fn batch(&self, names: &Names) -> Result<RecordBatch, StageError> {
        let fields = vec![
            Field::new(SEGMENT, names.kind(), false),
            Field::new("customers", DataType::Int64, false),
            Field::new("share", DataType::Float64, false),
            Field::new("revenue", DataType::Float64, true),
            Field::new("revenue_share", DataType::Float64, true),
        ];
        let customers = self
            .segments
            .iter()
            .map(|size| i64::try_from(size.customers).unwrap_or(i64::MAX));
        let floats = |value: fn(&Size) -> Option<f64>| -> ArrayRef {
            Arc::new(self.segments.iter().map(value).collect::<Float64Array>())
        };
        let columns = vec![
            names.column(0..self.segments.len()),
            Arc::new(Int64Array::from_iter_values(customers)) as ArrayRef,
            floats(|size| Some(size.share)),
            floats(|size| size.revenue),
            floats(|size| size.revenue_share),
        ];
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }
}
