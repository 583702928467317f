//! The stage family `ingest`: files of any common format become rows with types and a contract.

mod cell;
mod error;
mod infer;
mod ingestion;
mod keys;
mod number_text;
mod options;
mod parquet_cells;
mod parquet_file;
mod parse;
mod plan;
mod quarantine;
mod record;
mod report;
mod rule;
mod source;
mod split;
mod stage;
mod text_file;
mod time_text;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use marquetry_plugin::StageHandler;

pub use stage::IngestFiles;

/// The stage kinds of this family.
#[must_use]
pub fn handlers() -> Vec<Arc<dyn StageHandler>> {
    vec![Arc::new(IngestFiles::default())]
}
