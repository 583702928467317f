//! The stage family `ingest`: files of any common format become rows with types and a contract.

mod cell;
mod infer;
mod keys;
mod number_text;
mod options;
mod parquet_cells;
mod parse;
mod plan;
mod quarantine;
mod record;
mod rule;
mod split;
mod time_text;
