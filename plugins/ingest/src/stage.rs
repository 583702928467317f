//! The stage kind `ingest/files`: an ingestion between object stores and the stage's outputs.

use std::sync::Arc;

use arrow::datatypes::Schema;
use async_trait::async_trait;
use marquetry_lake::{DataFile, FileLocation, Lake, Manifest, Source};
use marquetry_plugin::{LogLevel, Reporter, StageContext, StageError, StageHandler, describe};
use marquetry_types::{Diagnostic, Outcome, StageDescriptor, codes};
use object_store::ObjectMeta;
use serde_json::json;
use url::Url;

use crate::error::IngestError;
use crate::ingestion::{Counts, Ingestion, Setting, Watcher};
use crate::options::FilesOptions;
use crate::parquet_file::Footer;
use crate::source::SourceFile;
use crate::{quarantine, report};

const DESCRIPTION: &str = "\
Reads CSV, NDJSON, Parquet and fixed-width files from any object store and gives typed rows that keep a \
contract. Records that are malformed, or whose values break the contract, go to the output `rejected` \
one by one, with file, record number, line, column, value, reason and raw text; the rest of the file is \
read on. Rows come out in the order of the files' names and of the records in them.\n\n\
Parquet files that need no change (no renaming, casting, contract or de-duplication, all columns taken) \
are not copied: the dataset points at the files, pinned by ETag or size and time, and a later change of \
one is an error.\n\n\
One pass over the files, in memory that does not depend on their size; a pass more where types are \
inferred, and one where `deduplicate` keeps the last row or goes by an order. `unique` and `deduplicate` \
keep some 70 bytes a key, which count against the stage's memory.";

const EXAMPLE: &str = "\
path: data/orders/*.csv
columns:
  order_id: { from: InvoiceNo, not_null: true }
  customer_id: { from: CustomerID, type: int64 }
  quantity: { from: Quantity, type: int64 }
  unit_price: { from: UnitPrice, type: float64, min: 0 }
  ts: { from: InvoiceDate, type: timestamp, timezone: Europe/London }
  channel: { value: wholesale }
max_rejected_share: 0.01
";

/// `ingest/files`.
#[derive(Debug)]
pub struct IngestFiles {
    descriptor: StageDescriptor,
}

impl Default for IngestFiles {
    fn default() -> Self {
        let descriptor = describe::<FilesOptions>(
            "ingest/files",
            1,
            "read files of rows, with types and a contract",
        )
        .description(DESCRIPTION)
        .output("rows", "the accepted rows")
        .output(
            "rejected",
            "the quarantine: source, record, line, field, value, reason, raw",
        )
        .metric("files", "files read")
        .metric("rows_read", "records found in the files")
        .metric("rows_accepted", "rows of the output `rows`")
        .metric("rows_rejected", "rows of the output `rejected`")
        .metric("rejected_share", "rejected over read, 0 to 1")
        .metric("duplicates_dropped", "rows that `deduplicate` dropped")
        .example(EXAMPLE)
        .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for IngestFiles {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: FilesOptions = stage.options()?;
        let files = find_files(&stage, &options).await?;
        let file_count = files.len();
        stage.log(
            LogLevel::Info,
            "found files",
            [("files", json!(file_count))],
        );
        let setting = Setting {
            files: files.clone(),
            options: Arc::new(options),
            threads: stage.threads(),
            pool: Arc::clone(&stage.session().runtime_env().memory_pool),
            watcher: Arc::new(StageWatcher(stage.reporter())),
        };
        let ingestion = Ingestion::prepare(setting).await?;
        let counts = if let Some(footers) = ingestion.unchanged_parquet() {
            adopt(&mut stage, &files, footers).await?
        } else {
            copy(&mut stage, &ingestion).await?
        };
        say(&mut stage, &counts, file_count).await?;
        Ok(stage.finish())
    }
}

/// Passes an ingestion's progress on to whoever watches the stage.
struct StageWatcher(Reporter);

impl Watcher for StageWatcher {
    fn progress(&self, phase: &str, done: u64, total: u64) {
        self.0.progress(phase, done, Some(total), "bytes");
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// The files that the option `path` means, in the order of their URLs, each once.
async fn find_files(
    stage: &StageContext,
    options: &FilesOptions,
) -> Result<Vec<Arc<SourceFile>>, StageError> {
    let mut files = Vec::new();
    for pattern in &options.path.0 {
        for object in Source::resolve(pattern, stage.base_dir()).await? {
            if is_marker(&object.url) && !pattern.ends_with(file_name(&object.url)) {
                continue;
            }
            let name = shown_name(&object.url);
            let meta = ObjectMeta {
                location: object.path,
                last_modified: object.last_modified,
                size: object.size,
                e_tag: object.etag,
                version: None,
            };
            files.push(Arc::new(SourceFile {
                url: object.url,
                name,
                store: object.store,
                meta,
            }));
        }
    }
    files.sort_by(|left, right| left.url.cmp(&right.url));
    files.dedup_by(|left, right| left.url == right.url);
    if files.is_empty() {
        let message = format!("no file matches {}", options.path.0.join(", "));
        let diagnostic = Diagnostic::new(codes::NO_INPUT, message)
            .help("relative paths start at the folder where the run was submitted; `*` stays within a folder, `**` goes below");
        return Err(StageError::Invalid(diagnostic));
    }
    Ok(files)
}

/// Whether a file is one of those that tools leave beside data, such as `_SUCCESS` and `.part.crc`.
fn is_marker(url: &str) -> bool {
    file_name(url).starts_with(['_', '.'])
}

fn file_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// The path of a local file, and the URL of any other.
fn shown_name(url: &str) -> String {
    let local = Url::parse(url).ok().and_then(|url| url.to_file_path().ok());
    local.map_or_else(|| url.to_owned(), |path| path.display().to_string())
}

/// Writes the rows.
async fn copy(stage: &mut StageContext, ingestion: &Ingestion) -> Result<Counts, StageError> {
    let mut accepted = stage.writer("rows", ingestion.schema()).await?;
    let mut rejected = stage.writer("rejected", quarantine::schema()).await?;
    let mut pass = ingestion.rows().await?;
    while let Some(rows) = pass.next().await? {
        accepted.write(&rows.accepted).await?;
        if let Some(batch) = &rows.rejected {
            rejected.write(batch).await?;
        }
    }
    let counts = pass.finish()?;
    stage.finish_output(accepted).await?;
    stage.finish_output(rejected).await?;
    Ok(counts)
}

/// Makes a dataset of the files themselves.
async fn adopt(
    stage: &mut StageContext,
    files: &[Arc<SourceFile>],
    footers: &[Footer],
) -> Result<Counts, StageError> {
    let mut rows = 0;
    let mut data_files = Vec::new();
    for (file, footer) in files.iter().zip(footers) {
        rows += footer.rows;
        data_files.push(DataFile {
            location: FileLocation::Source {
                url: file.url.clone(),
                etag: file.meta.e_tag.clone(),
                last_modified: file.meta.last_modified,
            },
            bytes: file.meta.size,
            rows: footer.rows,
            digest: None,
        });
    }
    let schema = footers.first().map_or_else(
        || Arc::new(Schema::empty()),
        |footer| Arc::clone(&footer.schema),
    );
    let manifest = Manifest {
        version: 1,
        schema,
        files: data_files,
        rows,
    };
    let prefix = format!("{}/rows", Lake::attempt_prefix(stage.attempt()));
    let dataset = stage.lake().commit_manifest(&prefix, &manifest).await?;
    stage.adopt("rows", dataset);
    stage
        .write_batches("rejected", quarantine::schema(), Vec::new())
        .await?;
    stage.log(
        LogLevel::Info,
        "the files need no change: nothing is copied",
        [("rows", json!(rows))],
    );
    Ok(Counts {
        read: rows,
        accepted: rows,
        ..Counts::default()
    })
}

/// Metrics, log and panels.
async fn say(stage: &mut StageContext, counts: &Counts, files: usize) -> Result<(), StageError> {
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    for (name, value) in [
        ("files", files as f64),
        ("rows_read", counts.read as f64),
        ("rows_accepted", counts.accepted as f64),
        ("rows_rejected", counts.rejections.total() as f64),
        ("rejected_share", counts.rejected_share()),
        ("duplicates_dropped", counts.duplicates as f64),
    ] {
        stage.metric(name, value);
    }
    stage.log(
        LogLevel::Info,
        "read rows",
        [
            ("read", json!(counts.read)),
            ("accepted", json!(counts.accepted)),
            ("duplicates", json!(counts.duplicates)),
        ],
    );
    if counts.read == 0 {
        stage.log(
            LogLevel::Warn,
            "the files hold no rows",
            [("files", json!(files))],
        );
    }
    for counted in counts.rejections.reasons().iter().take(10) {
        let fields = [
            ("reason", json!(counted.what())),
            ("rows", json!(counted.count)),
            ("first", json!(counted.example)),
        ];
        stage.log(LogLevel::Warn, "rejected rows", fields);
    }
    stage.panel(&report::figures(counts, files)).await?;
    if let Some(panel) = report::quarantine(counts) {
        stage.panel(&panel).await?;
    }
    Ok(())
}

impl From<IngestError> for StageError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Invalid(diagnostic) => Self::Invalid(diagnostic),
            IngestError::Transient(diagnostic) => Self::Transient(diagnostic),
            IngestError::Engine(engine) => Self::from(engine),
            IngestError::Cancelled => Self::Cancelled,
        }
    }
}
