//! `sql`: questions about runs.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use marquetry_history::Catalogue;

use crate::arguments::{Common, Format, RowFormat, Sql};
use crate::commands::data::{print_csv, print_json};
use crate::datasets;
use crate::failure::Failure;
use crate::keeping::session_options;
use crate::output;
use crate::place::Place;

/// `marquetry sql`
pub(crate) async fn query(common: &Common, arguments: &Sql) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let journal = match place.has_journal() {
        true => Some(place.reader().await?),
        false => {
            output::note("there is no journal here: what is archived in the lake is asked");
            None
        }
    };
    let catalogue = Catalogue::new(place.lake().await?, journal);
    let rows = catalogue
        .query(&arguments.query, &session_options(&place))
        .await?;
    // One more than is shown, to know whether there are more.
    let rows = match arguments.limit {
        0 => rows,
        limit => datasets::first(rows, limit.saturating_add(1))?,
    };
    let schema: SchemaRef = Arc::clone(rows.schema().inner());
    let batches = rows.collect().await?;
    let (batches, is_cut) = cut(batches, arguments.limit);
    let format = arguments.format.unwrap_or(match common.output {
        Format::Json => RowFormat::Json,
        Format::Text => RowFormat::Table,
    });
    match format {
        RowFormat::Json => print_json(&batches)?,
        RowFormat::Csv => print_csv(&schema, &batches)?,
        RowFormat::Table => {
            let batches = match batches.is_empty() {
                true => vec![RecordBatch::new_empty(schema)],
                false => batches,
            };
            output::line(pretty_format_batches(&batches).map_err(Failure::internal)?)?;
        }
    }
    if is_cut {
        let limit = arguments.limit;
        output::note(format!("the first {limit} rows; `--limit 0` shows all"));
    }
    Ok(())
}

/// The first rows, and whether there are more.
fn cut(batches: Vec<RecordBatch>, limit: usize) -> (Vec<RecordBatch>, bool) {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if limit == 0 || rows <= limit {
        return (batches, false);
    }
    let mut left = limit;
    let first = batches.into_iter().map(|batch| {
        let taken = batch.slice(0, left.min(batch.num_rows()));
        left -= taken.num_rows();
        taken
    });
    (first.collect(), true)
}
