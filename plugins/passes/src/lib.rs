//! Numerics over more rows than one machine holds: the kernels of stages as functions of queries, of which
//! each is one pass over the rows.
//!
//! The rows stay in the lake. A pass is a query that the engine cuts where the stage is spread over workers;
//! otherwise it runs where the stage does, within its memory. What a pass adds is whole numbers
//! ([`marquetry_kernels::ExactSums`], [`marquetry_kernels::RankCounts`]), so that the same rows give the same
//! bits on any number of workers and threads, however their files are cut; and it is what the same kernel
//! gives of rows in memory, but for the rounding of sums.

mod functions;
mod lloyd;
mod moments;
mod ranks;
mod scan;
mod write;

pub use functions::functions;
pub use lloyd::{LloydSearch, NearestCentre, descend};
pub use moments::{Spread, spreads};
pub use ranks::{at_ranks, order_of};
pub use scan::{Column, Extent, Scan, columns_in, float, is_infinite, key_column, ln_1p, number};
pub use write::write_by_key;

use marquetry_plugin::{LogLevel, StageContext, StageError};

/// What rows in memory gave, or none where there was too little memory: then passes over them do.
///
/// # Errors
/// There was another error.
pub fn unless_too_large<Done>(
    stage: &StageContext,
    done: Result<Done, StageError>,
) -> Result<Option<Done>, StageError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(StageError::ResourceExhausted(why)) => {
            let message =
                "the rows do not fit the stage's memory: each step is a query over them instead";
            stage.log(LogLevel::Info, message, [("reason", why.message.into())]);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
