//! Reads one Parquet file as a stream of blocks, the needed columns only.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, try_join_all};
use futures::stream::{self, StreamExt};
use marquetry_types::{Diagnostic, codes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::error::IngestError;
use crate::parquet_cells::{found_columns, same_columns};
use crate::parse::{Block, Records};
use crate::plan::Plan;
use crate::record::RecordLayout;
use crate::source::SourceFile;
use crate::text_file::BlockStream;

/// Rows of a block.
const BATCH_ROWS: usize = 16_384;

/// What a file's footer says.
#[derive(Debug, Clone)]
pub(crate) struct Footer {
    /// The columns.
    pub(crate) schema: SchemaRef,
    /// How many rows there are.
    pub(crate) rows: u64,
}

/// Fetches ranges of the version of a file that was listed.
#[derive(Debug)]
struct PinnedReader {
    file: Arc<SourceFile>,
}

impl PinnedReader {
    async fn fetch(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        if range.end > self.file.meta.size || range.start > range.end {
            return Err(ParquetError::EOF(format!(
                "it speaks of bytes {} to {}, and has {}",
                range.start, range.end, self.file.meta.size
            )));
        }
        let fetched = self.file.range(range).await;
        fetched.map_err(|error| ParquetError::External(Box::new(error)))
    }
}

impl AsyncFileReader for PinnedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.fetch(range).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        let reader = &*self;
        try_join_all(ranges.into_iter().map(|range| reader.fetch(range))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size = self.file.meta.size;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

async fn builder(
    file: &Arc<SourceFile>,
) -> Result<ParquetRecordBatchStreamBuilder<PinnedReader>, IngestError> {
    if file.meta.size == 0 {
        let help = "the file has no bytes: write it again, or remove it";
        return Err(IngestError::unreadable(
            &file.name,
            "it is empty and no Parquet file",
            help,
        ));
    }
    let reader = PinnedReader {
        file: Arc::clone(file),
    };
    ParquetRecordBatchStreamBuilder::new(reader)
        .await
        .map_err(|error| IngestError::parquet(&file.name, error))
}

/// Reads a file's footer.
///
/// # Errors
///
/// If the file is truncated, damaged or no Parquet.
pub(crate) async fn footer(file: &Arc<SourceFile>) -> Result<Footer, IngestError> {
    let builder = builder(file).await?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    Ok(Footer {
        schema: Arc::clone(builder.schema()),
        rows,
    })
}

/// Checks that two files have the same columns.
///
/// # Errors
///
/// `MQ0403` naming the first difference.
pub(crate) fn check_same_columns(
    first: (&str, &SchemaRef),
    other: (&str, &SchemaRef),
) -> Result<(), Diagnostic> {
    if same_columns(first.1, other.1) {
        return Ok(());
    }
    let (left, right) = (found_columns(first.1), found_columns(other.1));
    let unlike = left.iter().find(|column| !right.contains(column));
    let extra = right.iter().find(|column| !left.contains(column));
    let difference = match (unlike, extra) {
        (Some(column), _) => match right.iter().find(|found| found.name == column.name) {
            Some(found) => {
                format!(
                    "`{}` is {:?} in the first and {:?} in the other",
                    column.name, column.kind, found.kind
                )
            }
            None => format!("the other has no column `{}`", column.name),
        },
        (None, Some(column)) => format!("the first has no column `{}`", column.name),
        (None, None) => "their columns stand in another order".to_owned(),
    };
    let message = format!(
        "{} and {} have different columns: {difference}",
        first.0, other.0
    );
    Err(Diagnostic::new(codes::COLUMN_MISMATCH, message)
        .help("name the columns to read, with their types, in `columns`"))
}

/// Opens a file for the columns that a plan reads.
///
/// # Errors
///
/// If it is truncated, damaged or no Parquet, or lacks a column.
pub(crate) async fn open(
    source: usize,
    file: Arc<SourceFile>,
    plan: Arc<Plan>,
) -> Result<BlockStream, IngestError> {
    let builder = builder(&file).await?;
    let inputs = plan.inputs();
    let mut roots = Vec::new();
    let mut names = Vec::new();
    for (index, field) in builder.schema().fields().iter().enumerate() {
        if inputs.contains(field.name()) {
            roots.push(index);
            names.push(field.name().clone());
        }
    }
    // The rows of a file have no layout of their own: slots are columns.
    let layout = RecordLayout::Blanks {
        fields: names.len(),
    };
    let binding = Arc::new(plan.bind(&file.name, layout, names)?);
    plan.check_copies(&file.name, builder.schema())?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let batches = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|error| IngestError::parquet(&file.name, error))?;
    let mut next_record = 1;
    let watched = Arc::clone(&file);
    let blocks = batches.map(move |batch| {
        let batch = batch.map_err(|error| IngestError::parquet(&file.name, error))?;
        let first_record = next_record;
        next_record += batch.num_rows() as u64;
        let records = Records::Rows {
            batch,
            first_record,
        };
        Ok(Block {
            source,
            binding: Arc::clone(&binding),
            records,
        })
    });
    let unchanged = stream::once(async move { watched.check_unchanged().await })
        .filter_map(async |checked| checked.err().map(Err));
    Ok(blocks.chain(unchanged).boxed())
}
