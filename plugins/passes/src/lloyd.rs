//! Lloyd's iterations over rows that lie on many machines: one query an iteration, for all starts that are
//! still going.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, UInt32Type};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{DataFrame, ident};
use marquetry_kernels::{ClusterSums, ExactScale, Farthest, KernelError, Matrix, Steps};
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::invalid;
use marquetry_types::codes;

use crate::functions::{LABEL, NEAREST, SQUARED_DISTANCE, SUMS, centres_argument, scales_argument};
use crate::moments::sums_of;
use crate::scan::{bytes_in, key_column};
use crate::{Column, Scan};

/// Bytes of sums that a part of a query may hold for its starts together. Starts beyond it take turns.
const SUMS_BYTES: usize = 64 * 1024 * 1024;

/// Rounding may put a squared distance a little beyond what bounds of its parts say.
const ROUNDING: f64 = 1.0 + 1e-9;

/// What is to be found.
#[derive(Debug)]
pub struct LloydSearch {
    /// The numbers of a row.
    pub columns: Vec<Column>,
    /// The starts, each at its own centres.
    pub starts: Vec<Steps>,
}

/// Goes on from every start until its centres rest, and gives them with the sums of their last places.
///
/// # Errors
/// A query fails, the stage is cancelled, or distances are beyond floating point.
pub async fn descend(
    stage: &StageContext,
    scan: &Scan,
    search: LloydSearch,
) -> Result<Vec<(Steps, ClusterSums)>, StageError> {
    let LloydSearch {
        columns,
        mut starts,
    } = search;
    let mut done = 0;
    loop {
        let mut going: Vec<usize> = Vec::new();
        for (number, steps) in starts.iter().enumerate() {
            if !steps.is_done() {
                going.push(number);
            }
        }
        if going.is_empty() {
            break;
        }
        for turn in turns(&starts, &going, columns.len()) {
            stage.check_cancelled()?;
            let centres: Vec<&Matrix> = turn.iter().map(|it| starts[*it].centres()).collect();
            let passes = pass(scan.frame(), &columns, &centres).await?;
            for (number, sums) in turn.iter().zip(passes) {
                let steps = &mut starts[*number];
                let far = match sums.empty() {
                    0 => Vec::new(),
                    empty => farthest(scan.frame(), &columns, steps.centres(), empty).await?,
                };
                steps.advance(sums, &far).map_err(|error| strange(&error))?;
                done += 1;
                stage.progress("moving centres", done, None, "iterations");
            }
        }
    }
    let all: Vec<usize> = (0..starts.len()).collect();
    let mut last = Vec::with_capacity(starts.len());
    for turn in turns(&starts, &all, columns.len()) {
        stage.check_cancelled()?;
        let centres: Vec<&Matrix> = turn.iter().map(|it| starts[*it].centres()).collect();
        last.extend(pass(scan.frame(), &columns, &centres).await?);
    }
    Ok(starts.into_iter().zip(last).collect())
}

/// The starts in groups whose sums a part of a query can hold.
fn turns(starts: &[Steps], going: &[usize], columns: usize) -> Vec<Vec<usize>> {
    let mut turns: Vec<Vec<usize>> = Vec::new();
    let mut held = 0;
    for number in going {
        let clusters = starts[*number].centres().rows();
        let bytes = clusters.saturating_mul(8 + 16 * (columns + 1));
        held += bytes;
        match turns.last_mut() {
            Some(turn) if held <= SUMS_BYTES => turn.push(*number),
            _ => {
                held = bytes;
                turns.push(vec![*number]);
            }
        }
    }
    turns
}

/// One pass: for each set of centres the sums of its clusters.
async fn pass(
    frame: DataFrame,
    columns: &[Column],
    sets: &[&Matrix],
) -> Result<Vec<ClusterSums>, StageError> {
    let mut all_scales = Vec::with_capacity(sets.len());
    for centres in sets {
        let mut scales: Vec<ExactScale> = columns
            .iter()
            .map(|column| ExactScale::for_bound(column.min.abs().max(column.max.abs())))
            .collect();
        scales.push(ExactScale::for_bound(farthest_possible(columns, centres)?));
        all_scales.push(scales);
    }
    let values = columns.iter().enumerate();
    let mut projected: Vec<Expr> = values
        .map(|(number, column)| column.value.clone().alias(format!("x{number}")))
        .collect();
    for (set, centres) in sets.iter().enumerate() {
        projected.push(nearest(columns, centres).alias(format!("place{set}")));
    }
    let figures = all_scales.iter().enumerate().map(|(set, scales)| {
        let mut arguments = vec![lit(scales_argument(scales)), ident(format!("place{set}"))];
        arguments.extend((0..columns.len()).map(|column| ident(format!("x{column}"))));
        SUMS.call(arguments).alias(format!("sums{set}"))
    });
    let frame = frame.select(projected)?;
    let found = frame
        .aggregate(vec![], figures.collect())?
        .collect()
        .await?;
    let mut passes = Vec::with_capacity(sets.len());
    for ((bytes, scales), centres) in bytes_in(&found).into_iter().zip(&all_scales).zip(sets) {
        let sums = sums_of(bytes)?;
        let mut cells = Vec::with_capacity(centres.rows() * columns.len());
        for cluster in 0..centres.rows() {
            for (column, scale) in scales.iter().take(columns.len()).enumerate() {
                cells.push(sums.sum(cluster, column, *scale));
            }
        }
        let inertia = match scales.last() {
            Some(scale) => sums.total(columns.len(), *scale),
            None => 0.0,
        };
        let cells = Matrix::new(cells, centres.rows(), columns.len());
        passes.push(ClusterSums {
            counts: sums.counts(centres.rows()),
            sums: cells.map_err(|error| strange(&error))?,
            inertia,
        });
    }
    Ok(passes)
}

/// The squared distance that no row exceeds.
fn farthest_possible(columns: &[Column], centres: &Matrix) -> Result<f64, StageError> {
    let distances = centres.iter_rows().map(|centre| {
        let sides = columns.iter().zip(centre).map(|(column, place)| {
            let side = (column.max - place).abs().max((column.min - place).abs());
            side * side
        });
        sides.sum::<f64>()
    });
    let bound = distances.fold(0.0_f64, f64::max) * ROUNDING;
    if bound.is_finite() {
        return Ok(bound);
    }
    Err(invalid(
        codes::BAD_VALUE,
        "the squared distances of customers are beyond floating point: a column has huge numbers",
        "bring the columns to comparable scales first, with `log1p` of features/scale or with features/sql",
    ))
}

/// The nearest centre of a row.
fn nearest(columns: &[Column], centres: &Matrix) -> Expr {
    let centres = lit(centres_argument(centres));
    let values = columns.iter().map(|column| column.value.clone());
    NEAREST.call(std::iter::once(centres).chain(values).collect())
}

/// The rows that are farthest from their centres, the farthest first and of equal ones the first by key.
async fn farthest(
    frame: DataFrame,
    columns: &[Column],
    centres: &Matrix,
    count: usize,
) -> Result<Vec<Farthest>, StageError> {
    let mut projected = vec![key_column(), nearest(columns, centres).alias("place")];
    let values = columns.iter().enumerate();
    projected.extend(values.map(|(number, it)| it.value.clone().alias(format!("x{number}"))));
    let distance = get_field(ident("place"), SQUARED_DISTANCE);
    let found = frame
        .select(projected)?
        .sort(vec![
            distance.sort(false, false),
            key_column().sort(true, true),
        ])?
        .limit(0, Some(count))?
        .collect()
        .await?;
    let mut rows = Vec::with_capacity(count);
    for batch in &found {
        let places = NearestCentre::of(batch, 1)?;
        for (row, (label, squared)) in places
            .labels
            .iter()
            .zip(&places.squared_distances)
            .enumerate()
        {
            let numbers = batch.columns().iter().skip(2).filter_map(|column| {
                let numbers = column.as_primitive_opt::<Float64Type>()?;
                Some(numbers.value(row))
            });
            rows.push(Farthest {
                row: numbers.collect(),
                cluster: *label,
                squared_distance: *squared,
            });
        }
    }
    Ok(rows)
}

/// The nearest centre of each row of a batch.
#[derive(Debug)]
pub struct NearestCentre {
    /// Its number.
    pub labels: Vec<u32>,
    /// The squared distance to it.
    pub squared_distances: Vec<f64>,
}

impl NearestCentre {
    /// A query of the key and the nearest centre of each row.
    ///
    /// # Errors
    /// The query cannot be planned.
    pub fn query(
        scan: &Scan,
        columns: &[Column],
        centres: &Matrix,
    ) -> Result<DataFrame, StageError> {
        let place = nearest(columns, centres).alias("place");
        Ok(scan.frame().select(vec![key_column(), place])?)
    }

    /// What stands in a column of a batch of [`query`](Self::query).
    ///
    /// # Errors
    /// It is something else.
    pub fn of(batch: &RecordBatch, column: usize) -> Result<Self, StageError> {
        let read = || {
            let places = batch.columns().get(column)?.as_struct_opt()?;
            let labels = places.column_by_name(LABEL)?;
            let squared = places.column_by_name(SQUARED_DISTANCE)?;
            Some(Self {
                labels: labels.as_primitive_opt::<UInt32Type>()?.values().to_vec(),
                squared_distances: squared.as_primitive_opt::<Float64Type>()?.values().to_vec(),
            })
        };
        read().ok_or_else(|| {
            StageError::invalid(codes::STAGE_INTERNAL, "a pass gave no centres of rows")
        })
    }
}

fn strange(error: &KernelError) -> StageError {
    StageError::invalid(
        codes::STAGE_INTERNAL,
        format!("a pass over the rows gave something else than sums of its centres: {error}"),
    )
}
