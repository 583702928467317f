//! The stage kind `segmentation/kmeans`.

mod fit;
mod options;
mod panels;

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use marquetry_kernels::{Matrix, Moments};
use marquetry_plugin::{LogLevel, Panel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted, check_key, from_kernel, invalid, off_thread};
use marquetry_types::{Outcome, StageDescriptor, codes};
use serde_json::json;

use crate::centres::{self, Centres};
use crate::output::{SEGMENT, numbered};
use fit::{Fitted, Goal, Search};
use options::{Clusters, KMeansStageOptions};

const DESCRIPTION: &str = "\
Clusters customers by k-means: Lloyd's iterations from k-means++ starts, or from given centres. Stops, ties, \
tolerance and empty clusters are as in scikit-learn's KMeans, so that the same centres give the same segments \
there and here. Rows are taken in the order of their key, and the result does not depend on the number of \
threads.\n\n\
Columns count by their differences, so scale them first (features/scale). Segments are numbered from 0, the \
largest first, or as the given centres are. With a range for `k` the number with the best mean silhouette is \
taken; the silhouette is that of a sample drawn by the seed, exact within it.\n\n\
S. Lloyd, Least squares quantization in PCM, 1982; D. Arthur and S. Vassilvitskii, k-means++, 2007. An \
iteration costs O(customers x segments x columns); rows and columns are held in memory.";

const EXAMPLE: &str = "\
rows: ${{ stages.scaled }}
k: { min: 4, max: 10 }
seed: 7
";

/// A column that spreads so many times as much as another decides nearly alone.
const UNEVEN: f64 = 100.0;

/// `segmentation/kmeans`.
#[derive(Debug)]
pub(crate) struct KMeansStage {
    descriptor: StageDescriptor,
}

impl Default for KMeansStage {
    fn default() -> Self {
        let summary = "cluster customers by k-means";
        let descriptor = describe::<KMeansStageOptions>("segmentation/kmeans", 1, summary)
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
        Self { descriptor }
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
        let (goal, columns) = goal(&stage, &options).await?;
        let wanted = Wanted {
            option: "rows",
            input: &options.rows,
            key: &options.key,
            columns: columns.as_deref(),
        };
        let rows = KeyedRows::read(&stage, wanted).await?;
        let columns = rows.chosen_columns(columns.as_deref())?;
        centres::check_columns(&columns)?;
        let matrix = Arc::new(rows.matrix(&columns)?);
        check_count(&goal, &matrix)?;
        warn_of_spreads(&stage, &matrix, &columns);

        let search = Search {
            goal,
            seed: options.seed.unwrap_or_else(|| stage.seed()),
            starts: options.starts,
            max_iterations: options.max_iterations,
            tolerance: options.tolerance,
            silhouette_sample: options.silhouette_sample,
            threads: stage.threads(),
        };
        let (fitted, panels) = compute(&stage, &rows, &columns, matrix, search).await?;

        let segments = numbered(rows.keys(), &fitted.found.labels, &fitted.squared_distances)?;
        stage
            .write_batches("segments", segments.schema(), vec![segments])
            .await?;
        let centres = centres::batch(&columns, &fitted.found.centres, &fitted.sizes)?;
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

/// How many segments or where they begin, and the columns where they are known already.
async fn goal(
    stage: &StageContext,
    options: &KMeansStageOptions,
) -> Result<(Goal, Option<Vec<String>>), StageError> {
    let wanted = options.wanted()?;
    let columns = options.columns.clone();
    let (centres, columns) = if let Some(input) = &options.centres {
        let centres = Centres::read(stage, input, columns.as_deref()).await?;
        (centres.points, Some(centres.columns))
    } else if let (Some(lists), Some(names)) = (&options.start_at, &columns) {
        (written_out(lists, names)?, columns)
    } else {
        // `wanted` made sure that there is `k` where there are no centres.
        return Ok((
            Goal::Search(wanted.unwrap_or(Clusters::Exactly(1))),
            columns,
        ));
    };
    if let Some(Clusters::Exactly(k)) = wanted
        && k != centres.rows()
    {
        return Err(invalid(
            codes::STAGE_OPTIONS,
            format!("`k` is {k}, but {} centres are given", centres.rows()),
            "leave `k` out: the centres say how many segments there are",
        ));
    }
    Ok((Goal::From(centres), columns))
}

/// The centres of the option `start_at`.
fn written_out(lists: &[Vec<f64>], columns: &[String]) -> Result<Matrix, StageError> {
    for (index, list) in lists.iter().enumerate() {
        if list.len() != columns.len() {
            return Err(invalid(
                codes::STAGE_OPTIONS,
                format!(
                    "centre {} of `start_at` has {}, but `columns` names {}",
                    index + 1,
                    counted(list.len(), "number"),
                    counted(columns.len(), "column"),
                ),
                "give each centre one number per column, in the order of `columns`",
            ));
        }
    }
    Matrix::new(lists.concat(), lists.len(), columns.len()).map_err(|error| {
        invalid(
            codes::STAGE_OPTIONS,
            error.to_string(),
            "look at `start_at`",
        )
    })
}

/// As in "1 column" and "2 columns".
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Refuses fewer customers than segments, in the words of the options.
fn check_count(goal: &Goal, rows: &Matrix) -> Result<(), StageError> {
    let (k, needed) = match goal {
        Goal::Search(Clusters::Exactly(k)) => (*k, *k),
        // Of as many segments as customers there is no silhouette.
        Goal::Search(Clusters::Range { max, .. }) => (*max, max + 1),
        Goal::From(centres) => (centres.rows(), centres.rows()),
    };
    let count = rows.rows();
    if count >= needed {
        return Ok(());
    }
    if count == 0 {
        return Err(invalid(
            codes::TOO_FEW_ROWS,
            "`rows` has no customers to cluster",
            "look at the stage that makes them: its input or its filter may be empty",
        ));
    }
    let help = match goal {
        Goal::Search(Clusters::Range { .. }) if count < 3 => {
            "a range needs 3 customers or more: look why there are so few".to_owned()
        }
        Goal::Search(Clusters::Range { .. }) => {
            format!("the largest `max` for {count} customers is {}", count - 1)
        }
        Goal::Search(Clusters::Exactly(_)) => {
            format!("the largest `k` here is {count}; or look why there are so few customers")
        }
        Goal::From(_) => "give fewer centres, or look why there are so few customers".to_owned(),
    };
    let (segments, customers) = (counted(k, "segment"), counted(count, "customer"));
    Err(invalid(
        codes::TOO_FEW_ROWS,
        format!("{segments} of {customers}: there are too few customers"),
        help,
    ))
}

/// Says so when a column's spread drowns another's.
fn warn_of_spreads(stage: &StageContext, rows: &Matrix, columns: &[String]) {
    let mut widest: Option<(f64, &str)> = None;
    let mut narrowest: Option<(f64, &str)> = None;
    for (index, column) in columns.iter().enumerate() {
        let values: Vec<f64> = rows.iter_rows().map(|row| row[index]).collect();
        let spread = Moments::of(&values).population_std();
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
) -> Result<(Fitted, Vec<Panel>), StageError> {
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
        let fitted = fit::fit(&matrix, &search, &mut watcher).map_err(fail)?;
        check_distances(&fitted)?;
        let sample = search.silhouette_sample;
        let panels = panels::all(&matrix, &fitted, sample, search.seed).map_err(fail)?;
        Ok((fitted, panels))
    })
    .await
}

/// Refuses numbers whose squares are beyond floating point: all distances would be the same.
fn check_distances(fitted: &Fitted) -> Result<(), StageError> {
    if fitted.found.inertia.is_finite() {
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
    stage.metric("customers", fitted.found.labels.len() as f64);
    stage.metric("inertia", fitted.found.inertia);
    stage.metric("iterations", fitted.found.iterations as f64);
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
    if !fitted.found.converged {
        let fields = [("iterations", json!(fitted.found.iterations))];
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
