//! The way from files to accepted and rejected rows, in up to three passes over the files: one to find
//! the types of columns that nobody gave, one to find which of several rows with equal keys stays,
//! and one that gives the rows. Blocks are parsed on several threads and come out in the order of
//! the files, so the result depends neither on threads nor on timing.
//!
//! Memory holds a few blocks of a few MiB each, and the keys of `unique` and `deduplicate`, which
//! count against the stage's limit.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::memory_pool::MemoryPool;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use marquetry_types::{Diagnostic, codes};

use crate::error::IngestError;
use crate::infer::{Seen, look_at};
use crate::keys::{FirstOnly, RowPlace, UniqueCheck, WinnerSearch, Winners};
use crate::options::{FilesOptions, Format, Keep};
use crate::parquet_cells::found_columns;
use crate::parquet_file::{self, Footer};
use crate::parse::{Block, ParsedBlock, Records, parse_block};
use crate::plan::{Action, Binding, Plan, keeps_others, missing_column, needs_found_columns};
use crate::quarantine::{self, Rejection, Tally};
use crate::record::RecordLayout;
use crate::source::{Packing, SourceFile, format_of};
use crate::text_file::{self, Binder, TextFormat, blocking, join};

/// Files that are opened ahead of the one that is read.
const FILES_AHEAD: usize = 4;

/// Who watches an ingestion and may stop it.
pub(crate) trait Watcher: Send + Sync {
    /// Told how many of the files' bytes are done in this phase.
    fn progress(&self, phase: &str, done: u64, total: u64);
    /// Asked now and then.
    fn is_cancelled(&self) -> bool;
}

/// What an ingestion works with.
#[derive(Clone)]
pub(crate) struct Setting {
    /// The files, in order.
    pub(crate) files: Vec<Arc<SourceFile>>,
    pub(crate) options: Arc<FilesOptions>,
    /// Blocks parsed at once.
    pub(crate) threads: usize,
    /// What keys are remembered in.
    pub(crate) pool: Arc<dyn MemoryPool>,
    pub(crate) watcher: Arc<dyn Watcher>,
}

/// An ingestion whose plan is made.
pub(crate) struct Ingestion {
    setting: Setting,
    format: Format,
    plan: Arc<Plan>,
    footers: Vec<Footer>,
    /// Bytes of the files before each, and of all at the end.
    bytes_before: Vec<u64>,
}

/// Some rows.
pub(crate) struct Rows {
    /// Accepted rows.
    pub(crate) accepted: RecordBatch,
    /// Rows for the quarantine, if any.
    pub(crate) rejected: Option<RecordBatch>,
}

/// What became of all records.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) read: u64,
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejections: Tally,
}

impl Counts {
    /// Rejected records over all; 0 if there were none.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
    pub(crate) fn rejected_share(&self) -> f64 {
        if self.read == 0 {
            0.0
        } else {
            self.rejections.total() as f64 / self.read as f64
        }
    }
}

impl Ingestion {
    /// Looks at the files as far as the plan needs it.
    ///
    /// # Errors
    ///
    /// If options contradict each other or the files, or a file cannot be read.
    pub(crate) async fn prepare(setting: Setting) -> Result<Self, IngestError> {
        check_share(&setting.options)?;
        let format = format_of(&setting.files, &setting.options)?;
        let mut total = 0_u64;
        let mut bytes_before = vec![0];
        for file in &setting.files {
            total = total.saturating_add(file.meta.size);
            bytes_before.push(total);
        }
        let mut ingestion = Self {
            setting,
            format,
            plan: Arc::new(Plan::empty()),
            footers: Vec::new(),
            bytes_before,
        };
        let found = if format == Format::Parquet {
            Some(ingestion.read_footers().await?)
        } else if needs_found_columns(&ingestion.setting.options, format == Format::Ndjson) {
            Some(ingestion.infer().await?)
        } else {
            None
        };
        ingestion.plan = Arc::new(Plan::new(&ingestion.setting.options, found.as_deref())?);
        Ok(ingestion)
    }

    /// The columns of the accepted rows.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.plan.schema)
    }

    /// The footers of the files, if the rows are those of Parquet files as they are: nothing is
    /// cast, renamed, left out, checked or dropped.
    pub(crate) fn unchanged_parquet(&self) -> Option<&[Footer]> {
        let options = &self.setting.options;
        let first = self.footers.first()?;
        let is_whole = options.unique.is_empty()
            && options.deduplicate.is_none()
            && self.plan.columns.len() == first.schema.fields().len();
        let is_same = self
            .plan
            .columns
            .iter()
            .zip(first.schema.fields())
            .all(|(column, field)| {
                let is_copy = matches!(
                    &column.action,
                    Action::Copy {
                        not_null: false,
                        ..
                    }
                );
                is_copy && column.from() == Some(field.name()) && column.name == *field.name()
            });
        let is_one_schema = self
            .footers
            .iter()
            .all(|footer| footer.schema.fields() == first.schema.fields());
        (is_whole && is_same && is_one_schema).then_some(&self.footers)
    }

    /// Starts the last pass.
    ///
    /// # Errors
    ///
    /// If a pass before it fails.
    pub(crate) async fn rows(&self) -> Result<RowPass<'_>, IngestError> {
        let pool = &self.setting.pool;
        let schema = &self.plan.schema;
        let unique = self.places(&self.setting.options.unique, "unique")?;
        let unique = if unique.is_empty() {
            None
        } else {
            Some(UniqueCheck::new(schema, unique, pool)?)
        };
        let deduplication = match &self.setting.options.deduplicate {
            None => Deduplication::None,
            Some(deduplicate) => {
                let keys = self.places(&deduplicate.keys, "deduplicate.keys")?;
                let order = deduplicate.order_by.as_deref();
                let order = order
                    .map(|column| self.plan.index_of(column, "deduplicate.order_by"))
                    .transpose()?;
                if deduplicate.keep == Keep::First && order.is_none() {
                    Deduplication::FirstOnly(FirstOnly::new(schema, keys, pool)?)
                } else {
                    let search = WinnerSearch::new(schema, keys, order, deduplicate.keep, pool)?;
                    Deduplication::Winners(self.search_winners(search).await?)
                }
            }
        };
        Ok(RowPass {
            ingestion: self,
            parsed: self.parsed(),
            meter: Meter::new(self, "reading rows"),
            unique,
            deduplication,
            counts: Counts::default(),
            present: Vec::new(),
            other_keys: Vec::new(),
        })
    }

    fn places(&self, columns: &[String], option: &str) -> Result<Vec<usize>, IngestError> {
        let places = columns
            .iter()
            .map(|column| self.plan.index_of(column, option));
        Ok(places.collect::<Result<_, _>>()?)
    }

    /// The columns of the first file; all have the same, unless options name what is read.
    async fn read_footers(&mut self) -> Result<Vec<crate::plan::FoundColumn>, IngestError> {
        let files = self.setting.files.clone();
        let mut footers = stream::iter(files)
            .map(|file| async move { parquet_file::footer(&file).await })
            .buffered(FILES_AHEAD * 4);
        while let Some(footer) = footers.next().await {
            self.footers.push(footer?);
            self.check_cancelled()?;
        }
        let (Some(first), Some(first_file)) = (self.footers.first(), self.setting.files.first())
        else {
            return Ok(Vec::new());
        };
        if keeps_others(&self.setting.options) {
            for (file, footer) in self.setting.files.iter().zip(&self.footers) {
                parquet_file::check_same_columns(
                    (&first_file.name, &first.schema),
                    (&file.name, &footer.schema),
                )?;
            }
        }
        Ok(found_columns(&first.schema))
    }

    /// The columns of all files with the types that all their values fit.
    async fn infer(&self) -> Result<Vec<crate::plan::FoundColumn>, IngestError> {
        let all_keep = keeps_others(&self.setting.options);
        let is_csv = self.format == Format::Csv;
        let headers = Headers::default();
        let noted = headers.clone();
        let binder: Binder = Arc::new(move |file, layout, names| {
            noted.note(file, &names);
            Ok(Binding {
                layout,
                names,
                slots: Vec::new(),
            })
        });
        let options = Arc::clone(&self.setting.options);
        let blocks = self.text_blocks(Vec::new(), binder)?;
        let mut looks = blocks
            .map(move |block| {
                let options = Arc::clone(&options);
                async move {
                    let block = block?;
                    let looked = move || {
                        let seen = look_at(&block, &options.null_values);
                        (block.source, text_length(&block), seen)
                    };
                    Ok::<_, IngestError>(blocking(looked).await)
                }
            })
            .buffered(self.setting.threads.max(1));
        let mut seen = Seen::default();
        let mut meter = Meter::new(self, "finding column types");
        let files = &self.setting.files;
        let mut checked = 0;
        while let Some(look) = looks.next().await {
            let (source, bytes, look) = look?;
            if is_csv && all_keep && source >= checked {
                headers.check(files, checked..source + 1)?;
                checked = source + 1;
            }
            seen.merge(&look);
            meter.add(source, bytes)?;
        }
        if is_csv && all_keep {
            headers.check(files, checked..files.len())?;
        }
        let first = headers.first(files);
        if let Some((_, names)) = &first {
            seen.add_names(names);
        }
        let twice = seen_twice(first.as_ref().map(|(_, names)| names.as_slice()));
        if let (true, Some(name)) = (all_keep, twice) {
            let message = format!("the header has the column `{name}` twice");
            return Err(IngestError::Invalid(
                Diagnostic::new(codes::COLUMN_MISMATCH, message)
                    .help("give the columns distinct names, or name those to read in `columns`"),
            ));
        }
        Ok(seen.found())
    }

    async fn search_winners(&self, mut search: WinnerSearch) -> Result<Winners, IngestError> {
        let mut parsed = self.parsed();
        let mut meter = Meter::new(self, "comparing keys");
        while let Some(block) = parsed.next().await {
            let ParsedBlock { block, batch, .. } = block?;
            meter.add(block.source, text_length(&block))?;
            search = blocking(move || search.look_at(&batch).map(|()| search)).await?;
        }
        Ok(search.finish())
    }

    /// The blocks of all files, parsed, in order.
    fn parsed(&self) -> BoxStream<'static, Result<ParsedBlock, IngestError>> {
        let blocks = match self.blocks() {
            Ok(blocks) => blocks,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let plan = Arc::clone(&self.plan);
        let files = self.setting.files.clone();
        let parse = move |block: Result<Block, IngestError>| {
            let plan = Arc::clone(&plan);
            let file = block
                .as_ref()
                .ok()
                .and_then(|block| files.get(block.source))
                .cloned();
            async move {
                let block = block?;
                blocking(move || parse_block(&plan, block))
                    .await
                    .map_err(|error| {
                        let name = file.map_or_else(String::new, |file| file.name.clone());
                        IngestError::unreadable(
                            &name,
                            error,
                            "a value does not fit the types that columns can have",
                        )
                    })
            }
        };
        blocks
            .map(parse)
            .buffered(self.setting.threads.max(1))
            .boxed()
    }

    fn blocks(&self) -> Result<text_file::BlockStream, IngestError> {
        let plan = Arc::clone(&self.plan);
        if self.format == Format::Parquet {
            return Ok(self.opened(move |source, file| {
                let plan = Arc::clone(&plan);
                async move { parquet_file::open(source, file, plan).await }
            }));
        }
        let binder: Binder = Arc::new(move |file, layout, names| plan.bind(file, layout, names));
        self.text_blocks(self.plan.inputs(), binder)
    }

    fn text_blocks(
        &self,
        keys: Vec<String>,
        binder: Binder,
    ) -> Result<text_file::BlockStream, IngestError> {
        let first_file = self.setting.files.first().map_or("", |file| &file.name);
        let format = TextFormat::new(self.format, &self.setting.options, keys, first_file)?;
        let format = Arc::new(format);
        Ok(self.opened(move |source, file| {
            text_file::open(source, file, Arc::clone(&format), Arc::clone(&binder))
        }))
    }

    /// The blocks of all files in order; a few files are opened ahead, each in a task of its own.
    fn opened<Opening>(
        &self,
        open: impl Fn(usize, Arc<SourceFile>) -> Opening + Send + 'static,
    ) -> text_file::BlockStream
    where
        Opening: Future<Output = Result<text_file::BlockStream, IngestError>> + Send + 'static,
    {
        let files: Vec<_> = self.setting.files.iter().cloned().enumerate().collect();
        stream::iter(files)
            .map(move |(source, file)| join(SpawnedTask::spawn(open(source, file))))
            .buffered(FILES_AHEAD)
            .try_flatten()
            .boxed()
    }

    fn check_cancelled(&self) -> Result<(), IngestError> {
        if self.setting.watcher.is_cancelled() {
            Err(IngestError::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// The headers of text files, noted as files are opened, which is in no order.
#[derive(Clone, Default)]
struct Headers(Arc<Mutex<HashMap<String, Vec<String>>>>);

impl Headers {
    fn note(&self, file: &str, names: &[String]) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert(file.to_owned(), names.to_vec());
    }

    fn of(&self, file: &SourceFile) -> Option<Vec<String>> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get(&file.name).cloned()
    }

    /// The first file that has one, with its header.
    fn first<'f>(&self, files: &'f [Arc<SourceFile>]) -> Option<(&'f str, Vec<String>)> {
        let mut headers = files.iter().map(|file| Some((&*file.name, self.of(file)?)));
        headers.find_map(|header| header)
    }

    /// Refuses files of these numbers that have other columns than the first: a column more or less must
    /// not pass in silence where all columns are taken.
    fn check(&self, files: &[Arc<SourceFile>], range: Range<usize>) -> Result<(), Diagnostic> {
        let Some((first_file, first)) = self.first(files) else {
            return Ok(());
        };
        for file in files.get(range).unwrap_or_default() {
            let Some(names) = self.of(file) else { continue };
            if let Some(name) = first.iter().find(|name| !names.contains(name)) {
                return Err(missing_column(&file.name, name, &names));
            }
            if let Some(name) = names.iter().find(|name| !first.contains(name)) {
                return Err(missing_column(first_file, name, &first));
            }
        }
        Ok(())
    }
}

fn check_share(options: &FilesOptions) -> Result<(), IngestError> {
    if (0.0..=1.0).contains(&options.max_rejected_share) {
        return Ok(());
    }
    let message = format!(
        "`max_rejected_share` is {}; it is a share of the rows, from 0 to 1",
        options.max_rejected_share
    );
    Err(IngestError::invalid(codes::STAGE_OPTIONS, message))
}

fn seen_twice(names: Option<&[String]>) -> Option<&String> {
    let names = names?;
    names
        .iter()
        .enumerate()
        .find(|(index, name)| names[..*index].contains(name))
        .map(|(_, name)| name)
}

/// The bytes of a block's text; Parquet is measured by whole files.
fn text_length(block: &Block) -> u64 {
    match &block.records {
        Records::Text(text) => text.bytes.len() as u64,
        Records::Rows { .. } => 0,
    }
}

/// Turns blocks into progress in bytes.
struct Meter<'a> {
    ingestion: &'a Ingestion,
    phase: &'static str,
    source: usize,
    within: u64,
}

impl<'a> Meter<'a> {
    const fn new(ingestion: &'a Ingestion, phase: &'static str) -> Self {
        Self {
            ingestion,
            phase,
            source: 0,
            within: 0,
        }
    }

    fn add(&mut self, source: usize, text_bytes: u64) -> Result<(), IngestError> {
        let Ingestion {
            setting,
            bytes_before,
            ..
        } = self.ingestion;
        if source != self.source {
            self.source = source;
            self.within = 0;
        }
        if let Some(file) = setting.files.get(source)
            && file.packing() == Packing::Plain
        {
            self.within = self.within.saturating_add(text_bytes).min(file.meta.size);
        }
        let before = bytes_before.get(source).copied().unwrap_or(0);
        let total = bytes_before.last().copied().unwrap_or(0);
        setting
            .watcher
            .progress(self.phase, before.saturating_add(self.within), total);
        self.ingestion.check_cancelled()
    }

    fn finish(&self) {
        let total = self.ingestion.bytes_before.last().copied().unwrap_or(0);
        self.ingestion
            .setting
            .watcher
            .progress(self.phase, total, total);
    }
}

enum Deduplication {
    None,
    FirstOnly(FirstOnly),
    Winners(Winners),
}

impl Deduplication {
    fn stays(&mut self, batch: &RecordBatch) -> Result<Vec<bool>, IngestError> {
        Ok(match self {
            Self::None => vec![true; batch.num_rows()],
            Self::FirstOnly(first_only) => first_only.stays(batch)?,
            Self::Winners(winners) => (0..batch.num_rows())
                .map(|_| winners.next_stays())
                .collect(),
        })
    }
}

/// The last pass: asked for rows until there are no more.
pub(crate) struct RowPass<'a> {
    ingestion: &'a Ingestion,
    parsed: BoxStream<'static, Result<ParsedBlock, IngestError>>,
    meter: Meter<'a>,
    unique: Option<UniqueCheck>,
    deduplication: Deduplication,
    counts: Counts,
    /// For JSON: which keys were ever there.
    present: Vec<bool>,
    other_keys: Vec<String>,
}

impl RowPass<'_> {
    /// The next rows, in the order of the files; nothing once all are read.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or keys do not fit in memory.
    pub(crate) async fn next(&mut self) -> Result<Option<Rows>, IngestError> {
        let Some(parsed) = self.parsed.next().await else {
            self.meter.finish();
            return Ok(None);
        };
        let parsed = parsed?;
        let source = parsed.block.source;
        self.meter.add(source, text_length(&parsed.block))?;
        let name = match self.ingestion.setting.files.get(source) {
            Some(file) => file.name.clone(),
            None => String::new(),
        };
        self.note_keys(&parsed);
        self.counts.read += parsed.block.len() as u64;
        let mut rejections = parsed.rejections;
        let mut stays = self.deduplication.stays(&parsed.batch)?;
        self.counts.duplicates += stays.iter().filter(|stays| !**stays).count() as u64;
        if let Some(unique) = &mut self.unique {
            let (block, origins) = (&parsed.block, &parsed.origins);
            let place = |row: usize| {
                let record = origins
                    .get(row)
                    .map_or(0, |origin| block.record_number(*origin));
                RowPlace { source, record }
            };
            let predecessors = unique.predecessors(&parsed.batch, &stays, &place)?;
            for (row, first) in predecessors.into_iter().enumerate() {
                if let (Some(first), Some(origin)) = (first, origins.get(row)) {
                    stays[row] = false;
                    rejections.push(self.duplicate(block, *origin, first));
                }
            }
            rejections.sort_by_key(|rejection| rejection.record);
        }
        for rejection in &rejections {
            self.counts.rejections.add(&name, rejection);
        }
        let accepted = if stays.contains(&false) {
            filter_record_batch(&parsed.batch, &BooleanArray::from(stays))?
        } else {
            parsed.batch
        };
        self.counts.accepted += accepted.num_rows() as u64;
        let rejected = if rejections.is_empty() {
            None
        } else {
            Some(quarantine::to_batch(&name, &rejections)?)
        };
        Ok(Some(Rows { accepted, rejected }))
    }

    /// What became of all records, once there are no more.
    ///
    /// # Errors
    ///
    /// `MQ0404` if too many were rejected; `MQ0403` if no JSON object has a key that a column reads.
    pub(crate) fn finish(self) -> Result<Counts, IngestError> {
        let allowed = self.ingestion.setting.options.max_rejected_share;
        if self.counts.rejected_share() > allowed {
            return Err(too_many_rejected(&self.counts, allowed));
        }
        self.check_keys_present()?;
        Ok(self.counts)
    }

    fn duplicate(&self, block: &Block, origin: usize, first: RowPlace) -> Rejection {
        let options = &self.ingestion.setting.options;
        let file = self.ingestion.setting.files.get(first.source);
        let file = file.map_or("", |file| &file.name);
        let keys = options.unique.join(", ");
        // The place of the first row is a value, so that duplicates count as one reason.
        let value = format!("first in record {} of {file}", first.record);
        block.reject(origin, Some(&keys), Some(value), "not unique".into())
    }

    fn note_keys(&mut self, parsed: &ParsedBlock) {
        if !matches!(parsed.block.binding.layout, RecordLayout::Json { .. }) {
            return;
        }
        self.present.resize(parsed.present.len(), false);
        for (known, present) in self.present.iter_mut().zip(&parsed.present) {
            *known |= present;
        }
        for key in &parsed.other_keys {
            if self.other_keys.len() < 30 && !self.other_keys.contains(key) {
                self.other_keys.push(key.clone());
            }
        }
    }

    /// A key that no object has is a misspelling, not a column of nulls.
    fn check_keys_present(&self) -> Result<(), IngestError> {
        if self.counts.accepted == 0 {
            return Ok(());
        }
        let inputs = self.ingestion.plan.inputs();
        for (input, present) in inputs.iter().zip(&self.present) {
            let has_default = self.ingestion.plan.columns.iter().any(|column| {
                matches!(&column.action, Action::Convert { from, rule } if from == input && rule.has_default())
            });
            if !present && !has_default {
                let keys: Vec<_> = inputs
                    .iter()
                    .zip(&self.present)
                    .filter(|(_, present)| **present)
                    .map(|(key, _)| key.clone())
                    .chain(self.other_keys.iter().cloned())
                    .collect();
                return Err(missing_column("no JSON object of the input", input, &keys).into());
            }
        }
        Ok(())
    }
}

fn too_many_rejected(counts: &Counts, allowed: f64) -> IngestError {
    let rejected = counts.rejections.total();
    let reasons: Vec<_> = counts
        .rejections
        .reasons()
        .iter()
        .take(3)
        .map(|counted| {
            format!(
                "{} times {}, first {}",
                counted.count,
                counted.what(),
                counted.example
            )
        })
        .collect();
    let message = format!(
        "{rejected} of {} rows were rejected ({:.1} %), and {:.1} % are allowed: {}",
        counts.read,
        100.0 * counts.rejected_share(),
        100.0 * allowed,
        reasons.join("; ")
    );
    IngestError::Invalid(
        Diagnostic::new(codes::TOO_MANY_REJECTED, message)
            .help("mend the files or the contract in `columns`, or raise `max_rejected_share` and look at the output `rejected`"),
    )
}
