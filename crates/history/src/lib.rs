//! What is left of runs that have ended: tables in the lake, queries over them, and the files that nobody
//! needs any more.
//!
//! - [`Archive`] writes finished runs as two Parquet tables below `history/` in the lake.
//! - [`Catalogue`] answers SQL over those tables and what the journal still holds, and over published tables.
//! - [`collect`](mod@collect) finds and removes files of runs that nothing refers to.

mod archive;
mod catalogue;
pub mod collect;
mod columns;
mod compact;
mod error;
mod latest;
mod runs;
mod stages;

pub use archive::{Archive, SavedRows};
pub use catalogue::Catalogue;
pub use compact::{Change, Compacted, Compaction};
pub use error::HistoryError;
