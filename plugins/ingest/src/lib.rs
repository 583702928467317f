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
mod rule;
mod source;
mod split;
mod text_file;
mod time_text;

#[cfg(test)]
mod tests;
