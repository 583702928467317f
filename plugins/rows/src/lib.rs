//! What stages that compute on customers share: rows with a key, in memory, in the order of the key.
//!
//! Sums depend on the order of their terms, and ties on which row comes first. So every such stage
//! reads its rows sorted by their key, refuses keys that are missing or repeated, and names the key
//! and the column of a value that it cannot take.

#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::panic,
        reason = "tests may fail by panicking"
    )
)]

mod cells;
mod columns;
mod faults;
mod keyed;
mod keys;
pub mod orders;
mod partitions;

pub use cells::{Cells, readable, seen};
pub use columns::{
    bad_number, check_columns, choose_columns, columns_where, integer_in, is_number, is_numeric,
    is_text, no_number, numbers_of, numbers_or_none_of, select_as, texts_of,
};
pub use faults::{check_key, from_kernel, invalid, missing_column};
pub use keyed::{KeyedRows, Wanted};
pub use keys::Keys;
pub use partitions::by_partition;

use marquetry_plugin::StageError;

/// Does long work away from the threads that serve everything else.
///
/// # Errors
/// What the work fails with. A panic in it goes on here.
pub async fn off_thread<Done, Work>(work: Work) -> Result<Done, StageError>
where
    Done: Send + 'static,
    Work: FnOnce() -> Result<Done, StageError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels such work.
            Err(_) => Err(StageError::Cancelled),
        },
    }
}
