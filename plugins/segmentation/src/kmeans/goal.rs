//! How many segments there are to be, or where they begin.

use marquetry_kernels::Matrix;
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::invalid;
use marquetry_types::codes;

use super::fit::Goal;
use super::options::{Clusters, KMeansStageOptions};
use crate::centres::Centres;

/// How many segments or where they begin, and the columns where they are known already.
pub(super) async fn read(
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
pub(super) fn check_count(goal: &Goal, count: usize) -> Result<(), StageError> {
    let (k, needed) = match goal {
        Goal::Search(Clusters::Exactly(k)) => (*k, *k),
        // Of as many segments as customers there is no silhouette.
        Goal::Search(Clusters::Range { max, .. }) => (*max, max + 1),
        Goal::From(centres) => (centres.rows(), centres.rows()),
    };
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
