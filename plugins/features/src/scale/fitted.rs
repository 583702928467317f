//! What a fit learnt, as rows of a dataset: one per column of the output.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use marquetry_plugin::StageError;
use marquetry_rows::invalid;
use marquetry_types::codes;

/// How one column of the output is made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// The column of the input.
    pub column: String,
    /// What is done with it.
    pub rule: Rule,
}

/// What is done with a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    /// `(log1p?(value or impute) - center) / scale`.
    Number {
        /// What stands in for a missing value.
        impute: f64,
        /// Whether the logarithm of 1 + value is taken.
        log1p: bool,
        /// What is subtracted: the mean, the least value, or 0.
        center: f64,
        /// What is divided by: the standard deviation, the range, or 1.
        scale: f64,
    },
    /// 1 where the text is this one, else 0.
    Category(String),
}

impl Step {
    /// The name of the column of the output.
    pub(crate) fn output(&self) -> String {
        match &self.rule {
            Rule::Number { .. } => self.column.clone(),
            Rule::Category(value) => format!("{}={value}", self.column),
        }
    }
}

/// The columns of the dataset `fitted`.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("position", DataType::Int64, false),
        Field::new("column", DataType::Utf8, false),
        Field::new("output", DataType::Utf8, false),
        Field::new("category", DataType::Utf8, true),
        Field::new("impute", DataType::Float64, true),
        Field::new("log1p", DataType::Boolean, true),
        Field::new("center", DataType::Float64, true),
        Field::new("scale", DataType::Float64, true),
    ]))
}

/// Steps as rows.
///
/// # Errors
/// None that is known.
pub(crate) fn to_batch(steps: &[Step]) -> Result<RecordBatch, StageError> {
    let number = |pick: fn(&Rule) -> Option<f64>| -> ArrayRef {
        Arc::new(
            steps
                .iter()
                .map(|step| pick(&step.rule))
                .collect::<Float64Array>(),
        )
    };
    let positions = (0_i64..).zip(steps).map(|(position, _)| position);
    let categories = steps.iter().map(|step| match &step.rule {
        Rule::Category(value) => Some(value.as_str()),
        Rule::Number { .. } => None,
    });
    let logarithms = steps.iter().map(|step| match &step.rule {
        Rule::Number { log1p, .. } => Some(*log1p),
        Rule::Category(_) => None,
    });
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(positions)),
            Arc::new(StringArray::from_iter_values(
                steps.iter().map(|step| &step.column),
            )),
            Arc::new(StringArray::from_iter_values(
                steps.iter().map(Step::output),
            )),
            Arc::new(categories.collect::<StringArray>()),
            number(|rule| match rule {
                Rule::Number { impute, .. } => Some(*impute),
                Rule::Category(_) => None,
            }),
            Arc::new(logarithms.collect::<BooleanArray>()),
            number(|rule| match rule {
                Rule::Number { center, .. } => Some(*center),
                Rule::Category(_) => None,
            }),
            number(|rule| match rule {
                Rule::Number { scale, .. } => Some(*scale),
                Rule::Category(_) => None,
            }),
        ],
    )?)
}

/// Steps from rows that are sorted by position.
///
/// # Errors
/// The rows were not made by [`to_batch`].
pub(crate) fn from_batches(batches: &[RecordBatch]) -> Result<Vec<Step>, StageError> {
    let mut steps = Vec::new();
    for batch in batches {
        read(batch, &mut steps).ok_or_else(|| {
            invalid(
                codes::COLUMN_MISMATCH,
                "`apply` is no dataset of fitted scalings",
                "give it the output `fitted` of a features/scale stage",
            )
        })?;
    }
    Ok(steps)
}

fn read(batch: &RecordBatch, steps: &mut Vec<Step>) -> Option<()> {
    let column = |name: &str, kind: DataType| cast(batch.column_by_name(name)?, &kind).ok();
    let names = column("column", DataType::Utf8)?;
    let categories = column("category", DataType::Utf8)?;
    let logarithms = column("log1p", DataType::Boolean)?;
    let (names, categories) = (
        names.as_string_opt::<i32>()?,
        categories.as_string_opt::<i32>()?,
    );
    let logarithms = logarithms.as_boolean_opt()?;
    let figures = ["impute", "center", "scale"].map(|name| column(name, DataType::Float64));
    for row in 0..batch.num_rows() {
        let figure = |index: usize| {
            let numbers = figures
                .get(index)?
                .as_ref()?
                .as_primitive_opt::<Float64Type>()?;
            numbers
                .is_valid(row)
                .then(|| numbers.value(row))
                .filter(|number| number.is_finite())
        };
        let rule = if categories.is_valid(row) {
            Rule::Category(categories.value(row).to_owned())
        } else {
            Rule::Number {
                impute: figure(0)?,
                log1p: logarithms.is_valid(row) && logarithms.value(row),
                center: figure(1)?,
                scale: figure(2).filter(|scale| *scale != 0.0)?,
            }
        };
        steps.push(Step {
            column: names.value(row).to_owned(),
            rule,
        });
    }
    Some(())
}
