//! `head` and `export`: the rows of outputs.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrow::util::pretty::pretty_format_batches;
use datafusion::parquet::arrow::ArrowWriter;
use futures::StreamExt;
use marquetry_types::thousands;

use crate::arguments::{Common, Export, FileFormat, Format, Head};
use crate::failure::Failure;
use crate::place::Place;
use crate::{datasets, output};

/// `marquetry head`
pub(crate) async fn head(common: &Common, arguments: &Head) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let dataset = datasets::find(&place, &arguments.dataset).await?;
    let (_session, rows) = datasets::read(&place, &dataset).await?;
    let rows = datasets::first(rows, arguments.rows)?;
    let batches = rows.collect().await?;
    if common.output == Format::Json {
        return print_json(&batches);
    }
    output::line(pretty_format_batches(&batches).map_err(Failure::internal)?)?;
    let shown = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    output::note(format!("{shown} of {} rows", thousands(dataset.rows)));
    Ok(())
}

/// `marquetry export`. A file appears whole or not at all.
pub(crate) async fn export(common: &Common, arguments: &Export) -> Result<(), Failure> {
    let place = Place::of(common)?;
    let dataset = datasets::find(&place, &arguments.dataset).await?;
    let (_session, rows) = datasets::read(&place, &dataset).await?;
    let schema: SchemaRef = Arc::clone(rows.schema().inner());
    let mut stream = rows.execute_stream().await?;
    match &arguments.out {
        None => {
            let stdout = BufWriter::new(io::stdout());
            let mut sink = Sink::new(arguments.format, stdout, &schema)?;
            while let Some(batch) = stream.next().await {
                match sink.write(&batch?) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    other => other?,
                }
            }
            output::quietly(sink.finish())
        }
        Some(path) => {
            let partial = beside(path);
            let failed = |error: io::Error| Failure::file("write", path, &error);
            if let Some(folder) = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
            {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            let file = BufWriter::new(File::create(&partial).map_err(failed)?);
            let mut sink = Sink::new(arguments.format, file, &schema)?;
            while let Some(batch) = stream.next().await {
                sink.write(&batch?).map_err(failed)?;
            }
            sink.finish().map_err(failed)?;
            std::fs::rename(&partial, path).map_err(failed)?;
            if common.output == Format::Json {
                let rows = dataset.rows;
                return output::json(&serde_json::json!({"file": path, "rows": rows}));
            }
            output::note(format!(
                "{} rows in {}",
                thousands(dataset.rows),
                path.display()
            ));
            Ok(())
        }
    }
}

/// Prints rows as one JSON array.
pub(crate) fn print_json(batches: &[RecordBatch]) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let mut writer = with_nulls().build::<_, JsonArray>(&mut bytes);
    for batch in batches {
        writer.write(batch).map_err(Failure::internal)?;
    }
    writer.finish().map_err(Failure::internal)?;
    bytes.push(b'\n');
    let empty: &[u8] = b"[]\n";
    let bytes = if bytes.len() > 1 { &bytes } else { empty };
    output::quietly(io::stdout().lock().write_all(bytes))
}

/// Prints rows as CSV with a header.
pub(crate) fn print_csv(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<(), Failure> {
    let stdout = BufWriter::new(io::stdout());
    let mut sink = Sink::new(FileFormat::Csv, stdout, schema)?;
    for batch in batches {
        match sink.write(batch) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
    output::quietly(sink.finish())
}

/// JSON in which every row has every column: a reader need not know the schema to see what is missing.
fn with_nulls() -> WriterBuilder {
    WriterBuilder::new().with_explicit_nulls(true)
}

/// The name under which a file is written until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// A writer of one of the formats.
enum Sink<W: Write + Send> {
    Csv(Box<arrow::csv::Writer<W>>),
    Ndjson(arrow::json::LineDelimitedWriter<W>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> Sink<W> {
    fn new(format: FileFormat, to: W, schema: &SchemaRef) -> Result<Self, Failure> {
        Ok(match format {
            FileFormat::Csv => {
                let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(to);
                // The header is due even if there are no rows.
                let empty = RecordBatch::new_empty(Arc::clone(schema));
                writer.write(&empty).map_err(Failure::internal)?;
                Self::Csv(Box::new(writer))
            }
            FileFormat::Ndjson => Self::Ndjson(with_nulls().build(to)),
            FileFormat::Parquet => {
                let writer = ArrowWriter::try_new(to, Arc::clone(schema), None);
                Self::Parquet(Box::new(writer.map_err(Failure::internal)?))
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        match self {
            Self::Csv(writer) => writer.write(batch).map_err(io_error),
            Self::Ndjson(writer) => writer.write(batch).map_err(io_error),
            Self::Parquet(writer) => writer.write(batch).map_err(io::Error::other),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Csv(writer) => writer.into_inner().flush(),
            Self::Ndjson(mut writer) => {
                writer.finish().map_err(io_error)?;
                writer.into_inner().flush()
            }
            Self::Parquet(writer) => writer.into_inner().map_err(io::Error::other)?.flush(),
        }
    }
}

/// The I/O error inside an Arrow error, so that a closed pipe is known as one.
fn io_error(error: arrow::error::ArrowError) -> io::Error {
    match error {
        arrow::error::ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
