//! Whole ingestions over files in memory and over the real data, short of the stage around them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod contract;
mod formats;
mod malformed;
mod real_data;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use futures::TryStreamExt;
use marquetry_types::Diagnostic;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use crate::error::IngestError;
use crate::ingestion::{Counts, Ingestion, Setting, Watcher};
use crate::quarantine;
use crate::source::SourceFile;

struct Unwatched;

impl Watcher for Unwatched {
    fn progress(&self, _: &str, done: u64, total: u64) {
        assert!(done <= total, "{done} of {total} bytes");
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// What an ingestion gave.
pub(super) struct Ingested {
    pub(super) rows: RecordBatch,
    pub(super) rejected: RecordBatch,
    pub(super) counts: Counts,
    pub(super) is_unchanged: bool,
}

impl Ingested {
    /// The accepted rows as texts, columns joined by `|`.
    pub(super) fn lines(&self) -> Vec<String> {
        lines(&self.rows)
    }

    /// Record, line, field, value and reason of each rejected record, joined by `|`.
    pub(super) fn rejections(&self) -> Vec<String> {
        lines(&self.rejected.project(&[1, 2, 3, 4, 5]).unwrap())
    }

    /// The raw texts of the rejected records.
    pub(super) fn raw(&self) -> Vec<String> {
        lines(&self.rejected.project(&[6]).unwrap())
    }

    /// `name type` of each column.
    pub(super) fn columns(&self) -> Vec<String> {
        let schema = self.rows.schema();
        let fields = schema.fields().iter();
        fields
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect()
    }
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let formatters: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    let line = |row| {
        let texts: Vec<_> = formatters
            .iter()
            .map(|column| column.value(row).to_string())
            .collect();
        texts.join("|")
    };
    (0..batch.num_rows()).map(line).collect()
}

/// Runs an ingestion over stored files, on two threads.
pub(super) async fn ingest_from(
    store: Arc<dyn ObjectStore>,
    options: Value,
) -> Result<Ingested, IngestError> {
    let options = serde_json::from_value(options).unwrap();
    let mut metas: Vec<_> = store.list(None).try_collect().await.unwrap();
    metas.sort_by(|left, right| left.location.cmp(&right.location));
    let files = metas
        .into_iter()
        .map(|meta| {
            let name = meta.location.to_string();
            let url = format!("memory:///{name}");
            Arc::new(SourceFile {
                url,
                name,
                store: Arc::clone(&store),
                meta,
            })
        })
        .collect();
    let setting = Setting {
        files,
        options: Arc::new(options),
        threads: 2,
        pool: Arc::new(UnboundedMemoryPool::default()),
        watcher: Arc::new(Unwatched),
    };
    let ingestion = Ingestion::prepare(setting).await?;
    let is_unchanged = ingestion.unchanged_parquet().is_some();
    let mut pass = ingestion.rows().await?;
    let mut accepted = Vec::new();
    let mut rejected = Vec::new();
    while let Some(rows) = pass.next().await? {
        accepted.push(rows.accepted);
        rejected.extend(rows.rejected);
    }
    let counts = pass.finish()?;
    let rows = concat_batches(&ingestion.schema(), &accepted).unwrap();
    let rejected = concat_batches(&quarantine::schema(), &rejected).unwrap();
    assert_eq!(counts.accepted, rows.num_rows() as u64);
    assert_eq!(counts.rejections.total(), rejected.num_rows() as u64);
    assert_eq!(
        counts.read,
        counts.accepted + counts.duplicates + counts.rejections.total()
    );
    Ok(Ingested {
        rows,
        rejected,
        counts,
        is_unchanged,
    })
}

/// Runs an ingestion over the given files.
pub(super) async fn try_ingest<B: AsRef<[u8]>>(
    files: &[(&str, B)],
    mut options: Value,
) -> Result<Ingested, IngestError> {
    let store = InMemory::new();
    for (name, bytes) in files {
        store
            .put(&(*name).into(), bytes.as_ref().to_vec().into())
            .await
            .unwrap();
    }
    options["path"] = "unused".into();
    if options.get("max_rejected_share").is_none() {
        options["max_rejected_share"] = 1.0.into();
    }
    ingest_from(Arc::new(store), options).await
}

/// Runs an ingestion that succeeds over one file.
pub(super) async fn ingest(name: &str, bytes: impl AsRef<[u8]>, options: Value) -> Ingested {
    try_ingest(&[(name, bytes)], options).await.unwrap()
}

/// Runs an ingestion that is refused over one file.
pub(super) async fn refused(name: &str, bytes: impl AsRef<[u8]>, options: Value) -> Diagnostic {
    match try_ingest(&[(name, bytes)], options).await {
        Err(IngestError::Invalid(diagnostic)) => diagnostic,
        Err(other) => unreachable!("refused in another way: {other}"),
        Ok(ingested) => unreachable!("accepted: {:?}", ingested.lines()),
    }
}

/// The folder of the real data, where it is there.
pub(super) fn real_data(folder: &str) -> Option<PathBuf> {
    let path = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("../../../shared/data")
        .join(folder);
    let found = path.canonicalize().ok().filter(|path| path.is_dir());
    if found.is_none() {
        #[expect(clippy::print_stderr, reason = "says why the test proves nothing here")]
        {
            eprintln!("skipped: {} is not there", path.display());
        }
    }
    found
}

/// Runs an ingestion over a local folder, taking the files whose names end so.
pub(super) async fn ingest_local(folder: &Path, ending: &str, options: Value) -> Ingested {
    let local = LocalFileSystem::new_with_prefix(folder).unwrap();
    let all: Vec<_> = local.list(None).try_collect().await.unwrap();
    let store = InMemory::new();
    for meta in all
        .iter()
        .filter(|meta| meta.location.as_ref().ends_with(ending))
    {
        let bytes = local
            .get(&meta.location)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        store.put(&meta.location, bytes.into()).await.unwrap();
    }
    ingest_from(Arc::new(store), options).await.unwrap()
}
