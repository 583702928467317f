//! The stage kind `segmentation/kmeans`.

mod fit;
mod goal;
mod options;
mod panels;
mod spread;
#[cfg(test)]
mod tests;
mod trials;

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use marquetry_kernels::{Matrix, Moments};
use marquetry_passes::unless_too_large;
use marquetry_plugin::{LogLevel, Panel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted, check_key, from_kernel, invalid, off_thread};
use marquetry_types::{Outcome, StageDescriptor, codes};
use serde_json::json;

use crate::centres;
use crate::output::{SEGMENT, numbered};
use fit::{Fitted, Placed, Search};
use options::KMeansStageOptions;

const DESCRIPTION: &str = "\
Clusters customers by k-means: Lloyd's iterations from k-means++ starts, or from given centres. Stops, ties, \
tolerance and empty clusters are as in scikit-learn's KMeans, so that the same centres give the same segments \
there and here. Rows are taken in the order of their key, and the result does not depend on the number of \
threads.\n\n\
Columns count by their differences, so scale them first (features/scale). Segments are numbered from 0, the \
largest first, or as the given centres are. With a range for `k` the number with the best mean silhouette is \
taken; the silhouette is that of a sample drawn by the seed, exact within it. Of more than 100,000 customers \
so many are drawn by the seed and their keys, and starts and samples are taken from them; every iteration \
is over all.\n\n\
S. Lloyd, Least squares quantization in PCM, 1982; D. Arthur and S. Vassilvitskii, k-means++, 2007. An \
iteration costs O(customers x segments x columns). Rows are held in memory; where they do not fit, or \
`parallelism` is `cluster`, each iteration is a query over them, which workers share. Its sums are the same \
bits on any number of workers, and what it finds is what is found in memory, but for their rounding: centres \
and distances to 1e-9 of their size.";

const EXAMPLE: &str = "\
rows: ${{ stages.scaled }}
k: { min: 4, max: 10 }
seed: 7
";

/// Of how many customers starts and samples are taken, at most. There are fewer segments than that.
const SAMPLE: usize = 100_000;

/// A column that spreads so many times as much as another decides nearly alone.
const UNEVEN: f64 = 100.0;

/// `segmentation/kmeans`.
#[derive(Debug)]
pub(crate) struct KMeansStage {
    descriptor: StageDescriptor,
    /// Whether rows may be read into memory, as they are where they fit.
    is_in_memory: bool,
    sample: usize,
}

impl Default for KMeansStage {
    fn default() -> Self {
        let summary = "cluster customers by k-means";
        let descriptor = describe::<KMeansStageOptions>("segmentation/kmeans", 2, summary)
            .pure()
            .description(DESCRIPTION)
            .output("segments", "the key, segment (0, 1 …), and the distance from the segment's centre")
            .output("centres", "segment, customers, and the mean of each column: takes new customers with segmentation/assign")
            .metric("k", "segments")
            .metric("inertia", "sum of the squared distances of customers from their centres")
            .metric("iterations", "iterations of the start that won")
            .metric("silhouette", "mean silhouette of the sample, where `k` was chosen from a range")
            .metric("customers", "rows clustered")
            .example(EXAMPLE)
            .build();
        Self {
            descriptor,
            is_in_memory: true,
            sample: SAMPLE,
        }
    }
}

impl KMeansStage {
    /// One that reads its rows into memory, or never does, and takes smaller samples.
    #[cfg(test)]
    fn for_test(is_in_memory: bool, sample: usize) -> Self {
        Self {
            is_in_memory,
            sample,
            ..Self::default()
        }
    }
}

#[async_trait]
impl StageHandler for KMeansStage {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: KMeansStageOptions = stage.options()?;
        check_key(&options.key, &[SEGMENT, "distance"])?;
        let (goal, columns) = goal::read(&stage, &options).await?;
        let search = Search {
            goal,
            seed: options.seed.unwrap_or_else(|| stage.seed()),
            sample: self.sample,
            starts: options.starts,
            max_iterations: options.max_iterations,
            tolerance: options.tolerance,
            silhouette_sample: options.silhouette_sample,
            threads: stage.threads(),
        };
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns: columns.as_deref(),
        };
        let loaded = if self.is_in_memory && !stage.is_spread() {
            unless_too_large(&stage, Loaded::read(&stage, wanted).await)?
        } else {
            None
        };
        let found = match loaded {
            Some(loaded) => loaded.cluster(&mut stage, search).await?,
            None => spread::cluster(&mut stage, wanted, search).await?,
        };
        let Found {
            columns,
            fitted,
            panels,
        } = found;
        let centres = centres::batch(&columns, &fitted.centres, &fitted.sizes)?;
        stage
            .write_batches("centres", centres.schema(), vec![centres])
            .await?;
        report(&mut stage, &fitted);
        for panel in panels {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

/// What was found, and what shows it; the segments of the rows are written.
struct Found {
    columns: Vec<String>,
    fitted: Fitted,
    panels: Vec<Panel>,
}

/// Rows in memory.
struct Loaded {
    rows: KeyedRows,
    columns: Vec<String>,
    matrix: Arc<Matrix>,
}

impl Loaded {
    async fn read(stage: &StageContext, wanted: Wanted<'_>) -> Result<Self, StageError> {
        let rows = KeyedRows::read(stage, wanted).await?;
        let columns = rows.chosen_columns(wanted.columns)?;
        centres::check_columns(&columns)?;
        let matrix = Arc::new(rows.matrix(&columns)?);
        Ok(Self {
            rows,
            columns,
            matrix,
        })
    }

    async fn cluster(self, stage: &mut StageContext, search: Search) -> Result<Found, StageError> {
        let Self {
            rows,
            columns,
            matrix,
        } = self;
        goal::check_count(&search.goal, matrix.rows())?;
        let spreads = (0..columns.len()).map(|column| {
            let values: Vec<f64> = matrix.iter_rows().map(|row| row[column]).collect();
            Moments::of(&values).population_std()
        });
        warn_of_spreads(stage, &columns, spreads);
        let (fitted, placed, panels) = compute(stage, &rows, &columns, matrix, search).await?;
        let segments = numbered(rows.keys(), &placed.labels, &placed.squared_distances)?;
        stage
            .write_batches("segments", segments.schema(), vec![segments])
            .await?;
        Ok(Found {
            columns,
            fitted,
            panels,
        })
    }
}

/// Says so when a column's spread drowns another's.
fn warn_of_spreads(stage: &StageContext, columns: &[String], spreads: impl Iterator<Item = f64>) {
    let mut widest: Option<(f64, &str)> = None;
    let mut narrowest: Option<(f64, &str)> = None;
    for (column, spread) in columns.iter().zip(spreads) {
        if spread == 0.0 {
            let fields = [("column", json!(column))];
            stage.log(
                LogLevel::Warn,
                "a column is constant: it tells no customers apart",
                fields,
            );
            continue;
        }
        if widest.is_none_or(|(other, _)| spread > other) {
            widest = Some((spread, column));
        }
        if narrowest.is_none_or(|(other, _)| spread < other) {
            narrowest = Some((spread, column));
        }
    }
    if let (Some((wide, wide_column)), Some((narrow, narrow_column))) = (widest, narrowest)
        && wide > UNEVEN * narrow
    {
        let fields = [
            ("widest", json!(wide_column)),
            ("narrowest", json!(narrow_column)),
            ("ratio", json!(wide / narrow)),
        ];
        let message = "columns spread very unevenly, so that the widest decides nearly alone: scale them first with features/scale";
        stage.log(LogLevel::Warn, message, fields);
    }
}

/// Clusters and draws, off the threads that serve.
async fn compute(
    stage: &StageContext,
    rows: &KeyedRows,
    columns: &[String],
    matrix: Arc<Matrix>,
    search: Search,
) -> Result<(Fitted, Placed, Vec<Panel>), StageError> {
    let reporter = stage.reporter();
    let keys = rows.keys().clone();
    let columns = columns.to_vec();
    off_thread(move || {
        let fail = |error| from_kernel(&error, &keys, &columns);
        let mut done = 0;
        let mut watcher = |k: usize, _| {
            done += 1;
            reporter.progress(&format!("finding {k} segments"), done, None, "iterations");
            if reporter.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let sample = if matrix.rows() > search.sample {
            Arc::new(matrix.select(&keys.sample(search.sample, search.seed)))
        } else {
            Arc::clone(&matrix)
        };
        let (fitted, placed) = fit::fit(&matrix, &sample, &search, &mut watcher).map_err(fail)?;
        check_distances(&fitted)?;
        let judged = search.silhouette_sample;
        let panels = panels::all(&sample, &fitted, judged, search.seed).map_err(fail)?;
        Ok((fitted, placed, panels))
    })
    .await
}

/// Refuses numbers whose squares are beyond floating point: all distances would be the same.
fn check_distances(fitted: &Fitted) -> Result<(), StageError> {
    if fitted.inertia.is_finite() {
        return Ok(());
    }
    Err(invalid(
        codes::BAD_VALUE,
        "the squared distances of customers are beyond floating point: a column has huge numbers",
        "bring the columns to comparable scales first, with `log1p` of features/scale or with features/sql",
    ))
}

/// Metrics and remarks.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn report(stage: &mut StageContext, fitted: &Fitted) {
    stage.metric("k", fitted.sizes.len() as f64);
    stage.metric("customers", fitted.customers() as f64);
    stage.metric("inertia", fitted.inertia);
    stage.metric("iterations", fitted.iterations as f64);
    for trial in &fitted.trials {
        let fields = [
            ("k", json!(trial.k)),
            ("silhouette", json!(trial.silhouette)),
            ("inertia", json!(trial.inertia)),
        ];
        stage.log(LogLevel::Info, "tried a number of segments", fields);
        if trial.k == fitted.sizes.len()
            && let Some(silhouette) = trial.silhouette
        {
            stage.metric("silhouette", silhouette);
        }
    }
    if !fitted.converged {
        let fields = [("iterations", json!(fitted.iterations))];
        stage.log(
            LogLevel::Warn,
            "the iterations ended before the centres came to rest",
            fields,
        );
    }
    let empty = fitted.sizes.iter().filter(|size| **size == 0).count();
    if empty > 0 {
        let fields = [("empty", json!(empty)), ("k", json!(fitted.sizes.len()))];
        stage.log(
            LogLevel::Warn,
            "there are fewer distinct customers than segments",
            fields,
        );
    }
}
