//! Learning scalings from rows in memory, and applying them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use marquetry_kernels::{Imputation, KernelError, Scaling};
use marquetry_plugin::StageError;
use marquetry_rows::{KeyedRows, invalid, missing_column, texts_of};
use marquetry_types::codes;

use super::faults::{self, MOST_CATEGORIES};
use super::fitted::{Rule, Step};
use super::options::Method;

/// What to learn.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The numeric columns.
    pub numbers: Vec<String>,
    /// Those of them of which the logarithm is taken.
    pub log1p: Vec<String>,
    /// The columns of texts.
    pub one_hot: Vec<String>,
    /// What stands in for missing numbers.
    pub impute: Imputation,
    /// How numbers are scaled.
    pub method: Method,
}

/// Learns the steps of a plan from rows.
///
/// # Errors
/// There are no rows, or a value that cannot be taken.
pub(crate) fn fit(rows: &KeyedRows, plan: &Plan) -> Result<Vec<Step>, StageError> {
    if rows.is_empty() {
        return Err(faults::no_rows());
    }
    let mut steps = Vec::new();
    for column in &plan.numbers {
        let values = optional_numbers(rows, column)?;
        let present: Vec<f64> = values.iter().flatten().copied().collect();
        let impute = plan.impute.fit(&present);
        let impute = impute.map_err(|_| faults::nothing_to_learn(column))?;
        let log1p = plan.log1p.contains(column);
        let values = completed(rows, column, values, impute, log1p)?;
        let scaling = match plan.method {
            Method::Standard => Some(Scaling::standard(&values)),
            Method::MinMax => Some(Scaling::min_max(&values)),
            Method::None => None,
        };
        let scaling = scaling.transpose().map_err(|error| {
            invalid(
                codes::BAD_VALUE,
                format!("column `{column}`: {error}"),
                "look at its values",
            )
        })?;
        let (center, scale) = match scaling {
            Some(Scaling::Standard { mean, std }) => (mean, std),
            Some(Scaling::MinMax { min, range }) => (min, range),
            Some(Scaling::Log1p) | None => (0.0, 1.0),
        };
        if !(center.is_finite() && scale.is_finite()) {
            return Err(faults::overflow(column));
        }
        let rule = Rule::Number {
            impute,
            log1p,
            center,
            scale,
        };
        steps.push(Step {
            column: column.clone(),
            rule,
        });
    }
    for column in &plan.one_hot {
        let values: BTreeSet<String> = texts(rows, column)?.into_iter().flatten().collect();
        if values.len() > MOST_CATEGORIES {
            return Err(faults::too_many_categories(column, values.len()));
        }
        steps.extend(values.into_iter().map(|value| Step {
            column: column.clone(),
            rule: Rule::Category(value),
        }));
    }
    Ok(steps)
}

/// The key and the columns that the steps make.
///
/// # Errors
/// A column is missing, or a value cannot be taken.
pub(crate) fn apply(rows: &KeyedRows, steps: &[Step]) -> Result<RecordBatch, StageError> {
    let mut fields = vec![rows.keys().field()];
    let mut columns = vec![rows.keys().array()];
    for step in steps {
        let name = step.output();
        let values: Float64Array = match &step.rule {
            Rule::Number {
                impute,
                log1p,
                center,
                scale,
            } => {
                let values = optional_numbers(rows, &step.column)?;
                let mut values = completed(rows, &step.column, values, *impute, *log1p)?;
                for value in &mut values {
                    *value = (*value - center) / scale;
                }
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(faults::overflow(&step.column));
                }
                values.into()
            }
            Rule::Category(wanted) => {
                let values = texts(rows, &step.column)?;
                let hits = values
                    .iter()
                    .map(|value| f64::from(u8::from(value.as_ref() == Some(wanted))));
                Float64Array::from_iter_values(hits)
            }
        };
        if fields.iter().any(|field| *field.name() == name) {
            return Err(faults::same_name(&name));
        }
        fields.push(Field::new(name, DataType::Float64, false));
        columns.push(Arc::new(values) as ArrayRef);
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

fn column<'a>(rows: &'a KeyedRows, name: &str) -> Result<&'a ArrayRef, StageError> {
    let found = rows.batch().column_by_name(name);
    found.ok_or_else(|| missing_column("rows", name, &rows.schema()))
}

/// Texts, also of a column of truth values or numbers.
fn texts(rows: &KeyedRows, name: &str) -> Result<Vec<Option<String>>, StageError> {
    texts_of(name, column(rows, name)?)
}

/// Finite numbers, none where the column has null.
fn optional_numbers(rows: &KeyedRows, name: &str) -> Result<Vec<Option<f64>>, StageError> {
    let values = column(rows, name)?;
    let kind = values.data_type();
    let is_number = kind.is_numeric() || matches!(kind, DataType::Boolean | DataType::Null);
    let numbers = if is_number {
        cast(values, &DataType::Float64).ok()
    } else {
        None
    };
    let numbers = numbers
        .as_ref()
        .and_then(|numbers| numbers.as_primitive_opt::<Float64Type>());
    let Some(numbers) = numbers else {
        return Err(faults::no_number(name, kind));
    };
    match numbers
        .iter()
        .position(|number| number.is_some_and(|number| !number.is_finite()))
    {
        None => Ok(numbers.iter().collect()),
        Some(row) => {
            let shown = rows.keys().shown(row);
            Err(faults::not_finite(&shown, name, numbers.value(row)))
        }
    }
}

/// Numbers with something in each place, and their logarithms where these are wanted.
fn completed(
    rows: &KeyedRows,
    name: &str,
    values: Vec<Option<f64>>,
    impute: f64,
    log1p: bool,
) -> Result<Vec<f64>, StageError> {
    let mut values: Vec<f64> = values
        .into_iter()
        .map(|value| value.unwrap_or(impute))
        .collect();
    if log1p {
        let logarithm = Scaling::log1p(&values).map_err(|error| {
            let place = match &error {
                KernelError::OutsideDomain { row, .. } | KernelError::NotFinite { row, .. } => {
                    rows.keys().shown(*row)
                }
                _ => "a row".to_owned(),
            };
            faults::outside(&place, name, &error)
        })?;
        for value in &mut values {
            *value = logarithm.apply(*value);
        }
    }
    Ok(values)
}
