//! Learning scalings by passes over rows that stay where they are, and applying them by a query.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::count_distinct;
use datafusion::logical_expr::{Expr, cast, lit, when};
use marquetry_kernels::{Imputation, Scaling, from_order_key};
use marquetry_passes::{
    Column, Extent, Scan, at_ranks, float, is_infinite, key_column, ln_1p, number, order_of,
    spreads, write_by_key,
};
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{integer_in, is_number, texts_of};

use super::faults::{self, MOST_CATEGORIES};
use super::fit::Plan;
use super::fitted::{Rule, Step};
use super::options::Method;

/// A column of numbers with something in each place.
struct Completed<'a> {
    name: &'a str,
    /// Where the scan has it.
    place: usize,
    impute: f64,
    log1p: bool,
    values: Column,
}

/// Learns the steps of a plan. Passes: one for what there is, four for medians or two for the mean of each
/// column, two for scalings, one for each column of texts.
///
/// # Errors
/// There are no rows, or a value that cannot be taken.
pub(super) async fn fit(
    stage: &StageContext,
    scan: &Scan,
    plan: &Plan,
) -> Result<Vec<Step>, StageError> {
    let places = places(scan, plan.numbers.iter())?;
    let (rows, extents) = extents(scan, &places).await?;
    if rows == 0 {
        return Err(faults::no_rows());
    }
    let imputes = imputes(scan, plan, &places, &extents).await?;
    let mut columns = Vec::with_capacity(places.len());
    for ((name, place), (extent, impute)) in plan
        .numbers
        .iter()
        .zip(&places)
        .zip(extents.iter().zip(imputes))
    {
        let log1p = plan.log1p.contains(name);
        columns.push(complete(scan, (name, *place), rows, *extent, (impute, log1p)).await?);
    }
    stage.check_cancelled()?;
    let scalings = scalings(scan, plan, rows, &columns).await?;
    let mut steps = Vec::new();
    for (column, (center, scale)) in columns.iter().zip(scalings) {
        if !(center.is_finite() && scale.is_finite()) {
            return Err(faults::overflow(column.name));
        }
        steps.push(Step {
            column: column.name.to_owned(),
            rule: Rule::Number {
                impute: column.impute,
                log1p: column.log1p,
                center,
                scale,
            },
        });
    }
    for column in &plan.one_hot {
        stage.check_cancelled()?;
        let values = categories(scan, column).await?;
        steps.extend(values.into_iter().map(|value| Step {
            column: column.clone(),
            rule: Rule::Category(value),
        }));
    }
    Ok(steps)
}

/// Writes the key and the columns that the steps make, in the order of the key. Gives the number of rows.
///
/// # Errors
/// A value cannot be taken, or a key is missing or repeated.
pub(super) async fn apply(
    stage: &mut StageContext,
    scan: &Scan,
    steps: &[Step],
) -> Result<u64, StageError> {
    let is_scaled = |step: &&Step| matches!(step.rule, Rule::Number { .. });
    let scaled = steps.iter().filter(is_scaled).map(|step| &step.column);
    let (rows, extents) = extents(scan, &places(scan, scaled)?).await?;
    let mut extents = extents.into_iter();
    let mut query = vec![key_column()];
    let mut fields = vec![scan.key_field()];
    for (number, step) in steps.iter().enumerate() {
        let place = place(scan, &step.column)?;
        let value = match &step.rule {
            Rule::Number {
                impute,
                log1p,
                center,
                scale,
            } => {
                let extent = extents.next().unwrap_or(NOTHING);
                let how = (*impute, *log1p);
                let column = complete(scan, (&step.column, place), rows, extent, how).await?;
                let Column { value, min, max } = column.values;
                // What is done to numbers keeps their order: the ends tell of all.
                let ends = [min, max].map(|end| (end - center) / scale);
                if rows > 0 && !ends.iter().all(|end| end.is_finite()) {
                    return Err(faults::overflow(&step.column));
                }
                (value - lit(*center)) / lit(*scale)
            }
            Rule::Category(wanted) => {
                let is_it = text(scan, &step.column, place)?.eq(lit(wanted.as_str()));
                when(is_it, lit(1.0)).otherwise(lit(0.0))?
            }
        };
        let name = step.output();
        if fields.iter().any(|field| *field.name() == name) {
            return Err(faults::same_name(&name));
        }
        fields.push(Field::new(name, DataType::Float64, false));
        query.push(value.alias(format!("s{number}")));
    }
    let schema = Arc::new(Schema::new(fields));
    let query = scan.frame().select(query)?;
    let made = Arc::clone(&schema);
    write_by_key(stage, "rows", scan, query, schema, move |keys, batch| {
        let mut columns: Vec<ArrayRef> = vec![keys.array()];
        columns.extend(batch.columns().iter().skip(1).cloned());
        Ok(RecordBatch::try_new(Arc::clone(&made), columns)?)
    })
    .await
}

/// What is known of no rows.
const NOTHING: Extent = Extent {
    present: 0,
    min: 0.0,
    max: 0.0,
};

fn place(scan: &Scan, name: &str) -> Result<usize, StageError> {
    let place = scan.columns().iter().position(|column| column == name);
    place.ok_or_else(|| faults::no_number(name, &DataType::Null))
}

fn places<'a>(
    scan: &Scan,
    names: impl Iterator<Item = &'a String>,
) -> Result<Vec<usize>, StageError> {
    names.map(|name| place(scan, name)).collect()
}

/// What is known of columns of numbers, which must be finite where they are there.
async fn extents(scan: &Scan, places: &[usize]) -> Result<(u64, Vec<Extent>), StageError> {
    let name = |place: usize| scan.columns().get(place).map_or("?", String::as_str);
    for place in places {
        let kind = scan.kind(*place);
        if !(is_number(&kind) || kind == DataType::Null) {
            return Err(faults::no_number(name(*place), &kind));
        }
    }
    let (rows, extents) = scan.extents(places).await?;
    for (place, extent) in places.iter().zip(&extents) {
        if !extent.is_finite()
            && let Some((row, Some(value))) = scan.first_where(*place, is_infinite(*place)).await?
        {
            return Err(faults::not_finite(&row, name(*place), value));
        }
    }
    Ok((rows, extents))
}

/// What stands in for missing numbers of each column.
async fn imputes(
    scan: &Scan,
    plan: &Plan,
    places: &[usize],
    extents: &[Extent],
) -> Result<Vec<f64>, StageError> {
    if let Imputation::Constant(value) = plan.impute {
        return Ok(vec![value; places.len()]);
    }
    let mut learnt = plan.numbers.iter().zip(extents);
    if let Some((name, _)) = learnt.find(|(_, extent)| extent.present == 0) {
        return Err(faults::nothing_to_learn(name));
    }
    if plan.impute == Imputation::Median {
        return medians(scan, places, extents).await;
    }
    let mut means = Vec::with_capacity(places.len());
    for (place, extent) in places.iter().zip(extents) {
        let present = scan.frame().filter(float(*place).is_not_null())?;
        let values = Column {
            value: coalesce(vec![float(*place), lit(0.0)]),
            min: extent.min,
            max: extent.max,
        };
        let found = spreads(&present, extent.present, &[values]).await?;
        means.extend(found.first().map(|spread| spread.mean));
    }
    Ok(means)
}

/// The medians of columns that have numbers.
async fn medians(
    scan: &Scan,
    places: &[usize],
    extents: &[Extent],
) -> Result<Vec<f64>, StageError> {
    let wanted = places.iter().zip(extents).map(|(place, extent)| {
        // The middle one, or the middle two.
        let ranks = vec![(extent.present - 1) / 2, extent.present / 2];
        (order_of(float(*place), false), ranks)
    });
    let found = at_ranks(&scan.frame(), &wanted.collect::<Vec<_>>()).await?;
    let middles = found.iter().filter_map(|found| {
        let [lower, upper] = found.as_slice() else {
            return None;
        };
        let [lower, upper] = [lower, upper].map(|it| from_order_key(it.key));
        Some(f64::midpoint(lower, upper))
    });
    Ok(middles.collect())
}

/// A column with something in each place, and its logarithm where that is wanted.
async fn complete<'a>(
    scan: &Scan,
    (name, place): (&'a str, usize),
    rows: u64,
    extent: Extent,
    (impute, log1p): (f64, bool),
) -> Result<Completed<'a>, StageError> {
    let mut values = Column {
        value: coalesce(vec![float(place), lit(impute)]),
        min: extent.min,
        max: extent.max,
    };
    if extent.present == 0 {
        (values.min, values.max) = (impute, impute);
    } else if extent.present < rows {
        (values.min, values.max) = (values.min.min(impute), values.max.max(impute));
    }
    if log1p {
        if let Err(error) = Scaling::log1p(&[values.min]) {
            let outside = values.value.clone().lt_eq(lit(-1.0));
            let first = scan.first_where(place, outside).await?;
            let (row, value) = first.unwrap_or_else(|| ("a row".to_owned(), None));
            let first = Scaling::log1p(&[value.unwrap_or(impute)]).err();
            return Err(faults::outside(&row, name, &first.unwrap_or(error)));
        }
        values = Column {
            value: ln_1p(values.value),
            min: Scaling::Log1p.apply(values.min),
            max: Scaling::Log1p.apply(values.max),
        };
    }
    Ok(Completed {
        name,
        place,
        impute,
        log1p,
        values,
    })
}

/// For each column what is subtracted and what is divided by.
async fn scalings(
    scan: &Scan,
    plan: &Plan,
    rows: u64,
    columns: &[Completed<'_>],
) -> Result<Vec<(f64, f64)>, StageError> {
    debug_assert!(
        columns
            .iter()
            .all(|column| column.place < scan.columns().len())
    );
    let values: Vec<Column> = columns.iter().map(|column| column.values.clone()).collect();
    let or_one = |spread: f64| if spread > 0.0 { spread } else { 1.0 };
    Ok(match plan.method {
        Method::None => vec![(0.0, 1.0); values.len()],
        Method::MinMax => {
            let ranges = values.iter().map(|it| (it.min, or_one(it.max - it.min)));
            ranges.collect()
        }
        Method::Standard => {
            let found = spreads(&scan.frame(), rows, &values).await?;
            let found = found.into_iter();
            found.map(|it| (it.mean, or_one(it.std))).collect()
        }
    })
}

/// A column as texts, null where it has none.
fn text(scan: &Scan, name: &str, place: usize) -> Result<Expr, StageError> {
    let kind = scan.kind(place);
    if !can_cast_types(&kind, &DataType::Utf8) {
        texts_of(name, &arrow::array::new_empty_array(&kind))?;
    }
    Ok(cast(number(place), DataType::Utf8))
}

/// The different values of a column of texts.
async fn categories(scan: &Scan, name: &str) -> Result<BTreeSet<String>, StageError> {
    let values = text(scan, name, place(scan, name)?)?;
    let found = scan
        .frame()
        .filter(values.clone().is_not_null())?
        .select(vec![values.clone().alias("value")])?
        .distinct()?
        .limit(0, Some(MOST_CATEGORIES + 1))?
        .collect()
        .await?;
    let mut categories = BTreeSet::new();
    for batch in &found {
        categories.extend(texts_of(name, batch.column(0))?.into_iter().flatten());
    }
    if categories.len() > MOST_CATEGORIES {
        let all = scan
            .frame()
            .aggregate(vec![], vec![count_distinct(values).alias("values")])?
            .collect()
            .await?;
        let all = usize::try_from(integer_in(&all, 0).unwrap_or(0)).unwrap_or(0);
        return Err(faults::too_many_categories(name, all));
    }
    Ok(categories)
}
