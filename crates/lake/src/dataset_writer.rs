//! Writing a dataset: rows in, Parquet objects of a bounded size out, the manifest last.

use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use marquetry_types::DatasetRef;
use object_store::buffered::BufWriter;
use object_store::path::Path as ObjectPath;
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::async_writer::AsyncFileWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use tokio::io::AsyncWriteExt;

use crate::manifest::VERSION;
use crate::{DataFile, FileLocation, Lake, LakeError, Manifest};

/// Bytes of a dictionary of floats after which their column goes without. Measured or computed floats
/// hardly repeat, and a dictionary that is given up late was work for nothing; prices fit.
const FLOAT_DICTIONARY: usize = 64 * 1024;

/// How a dataset is written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Bytes after which another object is begun.
    pub object_bytes: u64,
    /// Rows of a row group: what a reader skips or decodes as one.
    pub row_group_rows: usize,
    /// Bytes that are held back before they are sent: an object below that is one request, a larger one
    /// is sent in parts of this size.
    pub buffer_bytes: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            object_bytes: 128 * 1024 * 1024,
            row_group_rows: 256 * 1024,
            buffer_bytes: 10 * 1024 * 1024,
        }
    }
}

/// A dataset that is being written. Dropped without `finish`, it leaves garbage and no dataset.
pub struct DatasetWriter {
    lake: Lake,
    prefix: String,
    schema: SchemaRef,
    options: WriteOptions,
    files: Vec<DataFile>,
    part: Option<Part>,
}

impl std::fmt::Debug for DatasetWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DatasetWriter")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The object that is being written.
struct Part {
    path: String,
    writer: AsyncArrowWriter<Tally>,
    count: Arc<Mutex<Count>>,
    rows: u64,
}

impl Lake {
    /// Begins a dataset below `prefix`, which belongs to one attempt.
    ///
    /// # Errors
    /// The schema has no place in Parquet.
    pub async fn dataset_writer(
        &self,
        prefix: &str,
        schema: SchemaRef,
        options: WriteOptions,
    ) -> Result<DatasetWriter, LakeError> {
        let (lake, prefix) = (self.clone(), prefix.to_owned());
        Ok(DatasetWriter {
            lake,
            prefix,
            schema,
            options,
            files: Vec::new(),
            part: None,
        })
    }
}

impl DatasetWriter {
    /// The columns of the dataset.
    #[must_use]
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let finished: u64 = self.files.iter().map(|file| file.rows).sum();
        finished + self.part.as_ref().map_or(0, |part| part.rows)
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The rows have other columns, or the store refuses.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.part.is_none() {
            self.part = Some(self.begin_part()?);
        }
        let Some(part) = &mut self.part else {
            return Ok(());
        };
        let written = part.writer.write(batch).await;
        written.map_err(|error| LakeError::writing(&self.lake.address(&part.path), error))?;
        part.rows += batch.num_rows() as u64;
        let size = part.writer.bytes_written() + part.writer.in_progress_size();
        if size as u64 >= self.options.object_bytes {
            self.end_part().await?;
        }
        Ok(())
    }

    /// Makes everything durable and commits the manifest.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn finish(mut self) -> Result<DatasetRef, LakeError> {
        self.end_part().await?;
        let rows = self.files.iter().map(|file| file.rows).sum();
        let manifest = Manifest {
            version: VERSION,
            schema: self.schema,
            files: self.files,
            rows,
        };
        self.lake.commit_manifest(&self.prefix, &manifest).await
    }

    fn begin_part(&self) -> Result<Part, LakeError> {
        let path = format!("{}/part-{:05}.parquet", self.prefix, self.files.len());
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(self.options.row_group_rows))
            .set_created_by(concat!("marquetry ", env!("CARGO_PKG_VERSION")).to_owned());
        for field in self.schema.fields() {
            if field.data_type().is_floating() {
                let column = ColumnPath::new(vec![field.name().clone()]);
                properties =
                    properties.set_column_dictionary_page_size_limit(column, FLOAT_DICTIONARY);
            }
        }
        let properties = properties.build();
        let count = Arc::new(Mutex::new(Count::default()));
        let store = Arc::clone(self.lake.store());
        let object = ObjectPath::from(path.as_str());
        let inner = BufWriter::with_capacity(store, object, self.options.buffer_bytes);
        let tally = Tally {
            inner,
            count: Arc::clone(&count),
        };
        let writer = AsyncArrowWriter::try_new(tally, Arc::clone(&self.schema), Some(properties));
        let writer =
            writer.map_err(|error| LakeError::writing(&self.lake.address(&path), error))?;
        Ok(Part {
            path,
            writer,
            count,
            rows: 0,
        })
    }

    async fn end_part(&mut self) -> Result<(), LakeError> {
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        let closed = part.writer.close().await;
        closed.map_err(|error| LakeError::writing(&self.lake.address(&part.path), error))?;
        let (bytes, digest) = {
            let count = part
                .count
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            (count.bytes, count.hasher.finalize().to_hex().to_string())
        };
        self.files.push(DataFile {
            location: FileLocation::InLake { path: part.path },
            bytes,
            rows: part.rows,
            digest: Some(digest),
        });
        Ok(())
    }
}

/// What has been written of an object.
#[derive(Default)]
struct Count {
    bytes: u64,
    hasher: blake3::Hasher,
}

/// Counts and hashes what is written.
struct Tally {
    inner: BufWriter,
    count: Arc<Mutex<Count>>,
}

impl AsyncFileWriter for Tally {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), ParquetError>> {
        async move {
            {
                let mut count = self
                    .count
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                count.bytes += bytes.len() as u64;
                count.hasher.update(&bytes);
            }
            self.inner
                .put(bytes)
                .await
                .map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn complete(&mut self) -> BoxFuture<'_, Result<(), ParquetError>> {
        async move {
            self.inner
                .shutdown()
                .await
                .map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }
}
