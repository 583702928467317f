//! The orders as Parquet files, one a month, all of them or none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::calendar::{month_name, month_of};
use crate::{OrderGenerator, SampleError};

/// Where files grow before they get their names; removed at the end, and at the start if a killed process
/// left it. Readers pass over names with a dot.
const UNFINISHED: &str = ".unfinished";

/// Writes the orders below `dir`, which is made if it is not there, as `orders-2023-01.parquet` and so on
/// (zstd). Returns the files in the order of time. The files appear after the last row is durable.
///
/// `progress` hears how many rows are written so far, after each batch.
///
/// # Errors
///
/// [`SampleError::FolderInUse`] if `dir` holds Parquet files already; [`SampleError::TooManyRows`]; or what
/// the disk says.
pub fn write_orders(
    dir: &Path,
    rows: u64,
    seed: u64,
    mut progress: impl FnMut(u64),
) -> Result<Vec<PathBuf>, SampleError> {
    refuse_if_in_use(dir)?;
    let unfinished = dir.join(UNFINISHED);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(failed(&unfinished))?;
    }
    fs::create_dir_all(&unfinished).map_err(failed(&unfinished))?;

    let generator = OrderGenerator::new(rows, seed)?;
    let schema = generator.schema();
    let mut written = 0;
    let mut batches = generator
        .inspect(|batch| {
            written += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
            progress(written);
        })
        .peekable();

    let mut names = Vec::new();
    while let Some(Ok(first)) = batches.peek() {
        let month = batch_month(first);
        let of_month = std::iter::from_fn(|| {
            batches.next_if(|batch| matches!(batch, Ok(batch) if batch_month(batch) == month))
        });
        let name = format!("orders-{}.parquet", month_name(month));
        write_file(&unfinished.join(&name), &schema, of_month)?;
        names.push(name);
    }
    if let Some(Err(error)) = batches.next() {
        return Err(error);
    }
    if names.is_empty() {
        // No rows: a file all the same, so that readers find the columns.
        let name = "orders.parquet".to_owned();
        write_file(&unfinished.join(&name), &schema, std::iter::empty())?;
        names.push(name);
    }

    let mut files = Vec::new();
    for name in names {
        let file = dir.join(&name);
        fs::rename(unfinished.join(&name), &file).map_err(failed(&file))?;
        files.push(file);
    }
    fs::remove_dir(&unfinished).map_err(failed(&unfinished))?;
    Ok(files)
}

/// Writes one Parquet file and waits until it is on the disk.
pub(crate) fn write_file(
    path: &Path,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, SampleError>>,
) -> Result<(), SampleError> {
    let encoding_failed = |source| SampleError::Encode {
        path: path.to_owned(),
        source,
    };
    let file = File::create(path).map_err(failed(path))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer =
        ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(encoding_failed)?;
    for batch in batches {
        writer.write(&batch?).map_err(encoding_failed)?;
    }
    let file = writer.into_inner().map_err(encoding_failed)?;
    file.sync_all().map_err(failed(path))
}

fn refuse_if_in_use(dir: &Path) -> Result<(), SampleError> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let name = entry.map_err(failed(dir))?.file_name();
        if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            return Err(SampleError::FolderInUse {
                folder: dir.to_owned(),
                file: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

/// The month of a batch, which has rows of one month only.
fn batch_month(batch: &RecordBatch) -> usize {
    let times = batch
        .column_by_name("ts")
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    times
        .and_then(|times| times.values().first())
        .map_or(0, |at| month_of(*at))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> SampleError {
    move |source| SampleError::Write {
        path: path.to_owned(),
        source,
    }
}
