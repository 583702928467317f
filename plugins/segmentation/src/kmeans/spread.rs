//! K-means by passes over the rows: what workers share, and what takes more rows than memory holds.

use std::sync::Arc;

use marquetry_kernels::{ClusterSums, Matrix, Steps, plus_plus};
use marquetry_passes::{
    Column, LloydSearch, NearestCentre, Scan, columns_in, descend, spreads, write_by_key,
};
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::{KeyedRows, Wanted, choose_columns, from_kernel, off_thread};
use marquetry_types::codes;

use super::fit::{Fitted, Goal, Search, by_size, numbers_in};
use super::trials::{Judge, Trial, best};
use super::{Found, check_distances, goal, panels, warn_of_spreads};
use crate::centres;
use crate::output::{numbered, numbered_schema};

/// Clusters the rows and writes their segments.
pub(super) async fn cluster(
    stage: &mut StageContext,
    wanted: Wanted<'_>,
    search: Search,
) -> Result<Found, StageError> {
    let schema = columns_in(stage, wanted).await?;
    let columns = choose_columns(wanted.option, &schema, wanted.key, wanted.columns)?;
    centres::check_columns(&columns)?;
    let wanted = Wanted {
        columns: Some(&columns),
        ..wanted
    };
    let scan = Scan::open(stage, wanted).await?;
    let (rows, numbers) = scan.finite(&(0..columns.len()).collect::<Vec<_>>()).await?;
    let count = usize::try_from(rows).unwrap_or(usize::MAX);
    goal::check_count(&search.goal, count)?;
    let spreads = spreads(&scan.frame(), rows, &numbers).await?;
    warn_of_spreads(stage, &columns, spreads.iter().map(|spread| spread.std));
    let variances = spreads.iter().map(|spread| spread.std * spread.std);
    #[expect(clippy::cast_precision_loss, reason = "columns are few")]
    let variance = variances.sum::<f64>() / columns.len() as f64;

    let sampled = scan.sample(stage, rows, search.sample, search.seed).await?;
    let sample = Arc::new(sampled.matrix(&columns)?);
    let starts = starts(&sampled, &columns, Arc::clone(&sample), &search).await?;
    let tolerance = match search.tolerance {
        0.0 => 0.0,
        tolerance => tolerance * variance,
    };
    let starts = starts.into_iter();
    let going = LloydSearch {
        columns: numbers.clone(),
        starts: starts
            .map(|centres| Steps::new(centres, search.max_iterations, tolerance))
            .collect(),
    };
    let ends = descend(stage, &scan, going).await?;
    let judged = Judged {
        ends,
        count,
        search,
    };
    let (end, trials, search) = judged
        .choose(&sampled, &columns, Arc::clone(&sample))
        .await?;
    let (steps, sums) = end;
    let sizes: Vec<usize> = sums
        .counts
        .iter()
        .map(|count| usize::try_from(*count).unwrap_or(usize::MAX))
        .collect();
    let order = match search.goal {
        Goal::From(_) => (0..sizes.len()).collect(),
        Goal::Search(_) => by_size(&sizes),
    };
    let fitted = Fitted {
        centres: steps.centres().select(&order),
        sizes: order.iter().map(|cluster| sizes[*cluster]).collect(),
        inertia: sums.inertia,
        iterations: steps.iterations(),
        converged: steps.converged(),
        trials,
    };
    check_distances(&fitted)?;
    write(stage, &scan, &numbers, steps.centres(), &numbers_in(&order)).await?;
    let panels = panels::all(&sample, &fitted, search.silhouette_sample, search.seed);
    let panels = panels.map_err(|error| from_kernel(&error, sampled.keys(), &columns))?;
    Ok(Found {
        columns,
        fitted,
        panels,
    })
}

/// Where to begin: given centres, or for each number of segments as many starts as are asked for, chosen from
/// the sample.
async fn starts(
    sampled: &KeyedRows,
    columns: &[String],
    sample: Arc<Matrix>,
    search: &Search,
) -> Result<Vec<Matrix>, StageError> {
    let clusters = match &search.goal {
        Goal::From(centres) => return Ok(vec![centres.clone()]),
        Goal::Search(clusters) => *clusters,
    };
    let (keys, columns) = (sampled.keys().clone(), columns.to_vec());
    let (starts, seed, threads) = (search.starts, search.seed, search.threads);
    off_thread(move || {
        let mut all = Vec::new();
        for k in clusters.all() {
            let chosen = plus_plus(&sample, k, starts, seed, threads);
            all.extend(chosen.map_err(|error| from_kernel(&error, &keys, &columns))?);
        }
        Ok(all)
    })
    .await
}

/// Where one start ended.
type End = (Steps, ClusterSums);

/// What all starts ended at, to be chosen from.
struct Judged {
    ends: Vec<End>,
    count: usize,
    search: Search,
}

impl Judged {
    /// Of each number of segments the start with the least inertia, of equal ones the first; and of these the
    /// one with the best silhouette.
    async fn choose(
        self,
        sampled: &KeyedRows,
        columns: &[String],
        sample: Arc<Matrix>,
    ) -> Result<(End, Vec<Trial>, Search), StageError> {
        let Self {
            ends,
            count,
            search,
        } = self;
        let (keys, columns) = (sampled.keys().clone(), columns.to_vec());
        off_thread(move || {
            let fail = |error| from_kernel(&error, &keys, &columns);
            let judge = match &search.goal {
                Goal::From(_) => None,
                Goal::Search(clusters) => {
                    Judge::new(&sample, count, &search, *clusters).map_err(fail)?
                }
            };
            let mut winners: Vec<End> = Vec::new();
            for end in ends {
                let clusters = |end: &End| end.0.centres().rows();
                match winners.last_mut() {
                    Some(last) if clusters(last) == clusters(&end) => {
                        if end.1.inertia < last.1.inertia {
                            *last = end;
                        }
                    }
                    _ => winners.push(end),
                }
            }
            let mut tried = Vec::with_capacity(winners.len());
            for (steps, sums) in winners {
                let trial = match &judge {
                    Some(judge) => Some(judge.trial(steps.centres(), sums.inertia).map_err(fail)?),
                    None => None,
                };
                tried.push(((steps, sums), trial));
            }
            match best(tried) {
                Some((end, trials)) => Ok((end, trials, search)),
                None => Err(StageError::invalid(
                    codes::STAGE_INTERNAL,
                    "there is no start to choose from",
                )),
            }
        })
        .await
    }
}

/// Writes the segment of each row, in the order of the key.
async fn write(
    stage: &mut StageContext,
    scan: &Scan,
    numbers: &[Column],
    centres: &Matrix,
    segments: &[u32],
) -> Result<(), StageError> {
    let query = NearestCentre::query(scan, numbers, centres)?;
    let schema = numbered_schema(scan.key_field());
    write_by_key(stage, "segments", scan, query, schema, |keys, batch| {
        let places = NearestCentre::of(batch, 1)?;
        let labels = places.labels.iter();
        let labels: Vec<u32> = labels
            .map(|label| segments.get(*label as usize).copied().unwrap_or(*label))
            .collect();
        numbered(keys, &labels, &places.squared_distances)
    })
    .await?;
    Ok(())
}
