//! Reads one text file as a stream of blocks: bytes are fetched one piece ahead, and unpacked and
//! split on a blocking thread.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use futures::stream::{self, BoxStream, StreamExt};
use marquetry_types::{Diagnostic, codes};

use crate::error::IngestError;
use crate::options::{FilesOptions, Format};
use crate::parse::{Block, Records};
use crate::plan::Binding;
use crate::record::{RecordLayout, read_csv};
use crate::source::{SourceFile, Unpacker};
use crate::split::{Splitter, Splitting, TextBlock};

/// Decides how the columns of a file fill a plan: told the file's name, its layout and its columns.
pub(crate) type Binder =
    Arc<dyn Fn(&str, RecordLayout, Vec<String>) -> Result<Binding, Diagnostic> + Send + Sync>;

/// Consecutive blocks of a file, or why there are no more.
pub(crate) type BlockStream = BoxStream<'static, Result<Block, IngestError>>;

/// How the text files of an ingestion are written.
#[derive(Debug, Clone)]
pub(crate) enum TextFormat {
    /// Delimiter and quote are ASCII.
    Csv {
        delimiter: u8,
        quote: u8,
        comment: Option<u8>,
        header: bool,
    },
    /// The keys that are read.
    Ndjson { keys: Vec<String> },
    /// Fields by name, and where they stand.
    FixedWidth {
        layout: RecordLayout,
        names: Vec<String>,
        skip_lines: u32,
    },
}

impl TextFormat {
    /// What the options say of a text format. `keys` are the columns that a plan reads.
    ///
    /// # Errors
    ///
    /// `MQ0113` if they contradict each other.
    pub(crate) fn new(
        format: Format,
        options: &FilesOptions,
        keys: Vec<String>,
        first_file: &str,
    ) -> Result<Self, Diagnostic> {
        match format {
            Format::Ndjson => Ok(Self::Ndjson { keys }),
            Format::FixedWidth => fixed_width(options),
            Format::Csv | Format::Parquet => csv(options, first_file),
        }
    }

    fn splitting(&self) -> Splitting {
        match self {
            Self::Csv {
                delimiter,
                quote,
                comment,
                ..
            } => Splitting::Quoted {
                delimiter: *delimiter,
                quote: *quote,
                comment: *comment,
            },
            Self::Ndjson { .. } => Splitting::Lines { skip: 0 },
            Self::FixedWidth { skip_lines, .. } => Splitting::Lines { skip: *skip_lines },
        }
    }
}

fn csv(options: &FilesOptions, first_file: &str) -> Result<TextFormat, Diagnostic> {
    let csv = &options.csv;
    let is_tab_separated = first_file.contains(".tsv") && csv.delimiter == ',';
    let delimiter = if is_tab_separated {
        b'\t'
    } else {
        ascii("csv.delimiter", csv.delimiter)?
    };
    let quote = ascii("csv.quote", csv.quote)?;
    let comment = csv
        .comment
        .map(|comment| ascii("csv.comment", comment))
        .transpose()?;
    if delimiter == quote || comment == Some(delimiter) || comment == Some(quote) {
        let message = "`csv.delimiter`, `csv.quote` and `csv.comment` must be different characters";
        return Err(Diagnostic::new(codes::STAGE_OPTIONS, message));
    }
    Ok(TextFormat::Csv {
        delimiter,
        quote,
        comment,
        header: csv.header,
    })
}

fn ascii(option: &str, character: char) -> Result<u8, Diagnostic> {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(byte),
        _ => {
            let message = format!(
                "`{option}` is {character:?}; it must be one ASCII character that ends no line"
            );
            Err(Diagnostic::new(codes::STAGE_OPTIONS, message))
        }
    }
}

fn fixed_width(options: &FilesOptions) -> Result<TextFormat, Diagnostic> {
    let refuse = |message: String| {
        Err(Diagnostic::new(codes::STAGE_OPTIONS, message).help(
            "`fixed_width: { fields: [{ name: id, start: 1, width: 6 }] }`, or names alone for fields separated by blanks",
        ))
    };
    let Some(fixed_width) = &options.fixed_width else {
        return refuse("fixed-width files need `fixed_width.fields`".to_owned());
    };
    if fixed_width.fields.is_empty() {
        return refuse("`fixed_width.fields` is empty".to_owned());
    }
    let names: Vec<_> = fixed_width
        .fields
        .iter()
        .map(|field| field.name.clone())
        .collect();
    let skip_lines = fixed_width.skip_lines;
    let mut ranges = Vec::new();
    for field in &fixed_width.fields {
        match (field.start, field.width) {
            (Some(start), Some(width)) if start >= 1 && width >= 1 => {
                let from = start as usize - 1;
                ranges.push((from, from.saturating_add(width as usize)));
            }
            (None, None) => {}
            _ => {
                return refuse(format!(
                    "the field `{}` needs both `start` and `width`, from 1 on, or neither",
                    field.name
                ));
            }
        }
    }
    let layout = if ranges.is_empty() {
        RecordLayout::Blanks {
            fields: names.len(),
        }
    } else if ranges.len() == names.len() {
        RecordLayout::FixedWidth { ranges }
    } else {
        return refuse(
            "some of `fixed_width.fields` have `start` and `width`, and some do not".to_owned(),
        );
    };
    Ok(TextFormat::FixedWidth {
        layout,
        names,
        skip_lines,
    })
}

/// Opens a file: its first piece is fetched and split at once.
///
/// # Errors
///
/// If it cannot be fetched, is no such text, or its header does not fit.
pub(crate) async fn open(
    source: usize,
    file: Arc<SourceFile>,
    format: Arc<TextFormat>,
    binder: Binder,
) -> Result<BlockStream, IngestError> {
    let unpacker = Unpacker::new(file.packing())
        .map_err(|error| IngestError::unreadable(&file.name, error, "try again"))?;
    let splitter = Splitter::new(format.splitting());
    let reader = TextFile {
        source,
        file,
        format,
        binder,
        unpacker,
        splitter,
        binding: None,
        offset: 0,
        ahead: None,
        at_end: false,
    };
    Ok(match reader.next().await? {
        None => stream::empty().boxed(),
        Some((first, reader)) => {
            let rest = stream::try_unfold(reader, TextFile::next);
            stream::once(async { Ok(first) }).chain(rest).boxed()
        }
    })
}

struct TextFile {
    source: usize,
    file: Arc<SourceFile>,
    format: Arc<TextFormat>,
    binder: Binder,
    unpacker: Unpacker,
    splitter: Splitter,
    /// Known from the first block on.
    binding: Option<Arc<Binding>>,
    /// Where the next piece to ask for begins.
    offset: u64,
    /// The piece that was asked for.
    ahead: Option<SpawnedTask<Result<Bytes, IngestError>>>,
    at_end: bool,
}

impl TextFile {
    async fn next(mut self) -> Result<Option<(Block, Self)>, IngestError> {
        let mut piece = None;
        loop {
            let (reader, block) = blocking(move || {
                let block = self.step(piece);
                (self, block)
            })
            .await;
            self = reader;
            if let Some(block) = block? {
                return Ok(Some((block, self)));
            }
            if self.at_end {
                self.check_not_empty()?;
                self.file.check_unchanged().await?;
                return Ok(None);
            }
            piece = Some(self.fetch().await?);
        }
    }

    /// The piece that was asked for before, while the next one is asked for.
    async fn fetch(&mut self) -> Result<Bytes, IngestError> {
        let piece = match self.ahead.take() {
            Some(task) => join(task).await?,
            None => self.file.piece(self.offset).await?,
        };
        self.offset += piece.len() as u64;
        if !piece.is_empty() && self.offset < self.file.meta.size {
            let file = Arc::clone(&self.file);
            let offset = self.offset;
            self.ahead = Some(SpawnedTask::spawn(async move { file.piece(offset).await }));
        }
        Ok(piece)
    }

    /// Takes in a piece, if there is one, and gives the next block, if it is whole.
    fn step(&mut self, piece: Option<Bytes>) -> Result<Option<Block>, IngestError> {
        if let Some(piece) = piece {
            let splitter = &mut self.splitter;
            let mut take = |bytes: &[u8]| splitter.push(bytes);
            let unpacked = if piece.is_empty() {
                self.at_end = true;
                self.unpacker.finish(&mut take)
            } else {
                self.unpacker.unpack(&piece, &mut take)
            };
            unpacked.map_err(|error| {
                let why = format!("it does not unpack ({error})");
                IngestError::unreadable(
                    &self.file.name,
                    why,
                    "the file is truncated, damaged or not packed as its name says",
                )
            })?;
        }
        loop {
            let records = self.splitter.next_block(self.at_end).map_err(|error| {
                IngestError::unreadable(
                    &self.file.name,
                    error,
                    "convert it, for example with `iconv -f UTF-16 -t UTF-8`",
                )
            })?;
            let Some(mut records) = records else {
                return Ok(None);
            };
            let binding = match &self.binding {
                Some(binding) => Arc::clone(binding),
                None => {
                    let binding = Arc::new(self.bind(&mut records)?);
                    self.binding = Some(Arc::clone(&binding));
                    binding
                }
            };
            if !records.records.is_empty() {
                let records = Records::Text(records);
                return Ok(Some(Block {
                    source: self.source,
                    binding,
                    records,
                }));
            }
        }
    }

    /// Works out the columns from the first block, and takes the header out of it.
    fn bind(&mut self, block: &mut TextBlock) -> Result<Binding, IngestError> {
        let (layout, names) = match self.format.as_ref() {
            TextFormat::Ndjson { keys } => {
                let slots = keys
                    .iter()
                    .enumerate()
                    .map(|(slot, key)| (key.clone(), slot));
                (
                    RecordLayout::Json {
                        slots: slots.collect(),
                    },
                    keys.clone(),
                )
            }
            TextFormat::FixedWidth { layout, names, .. } => (layout.clone(), names.clone()),
            TextFormat::Csv {
                delimiter,
                quote,
                header,
                ..
            } => {
                let mut names = first_fields(&self.file.name, block, *delimiter, *quote)?;
                if *header {
                    block.records.remove(0);
                    self.splitter.discount_header();
                } else {
                    names.fill(String::new());
                }
                for (index, name) in names.iter_mut().enumerate() {
                    if name.is_empty() {
                        *name = format!("column_{}", index + 1);
                    }
                }
                let layout = RecordLayout::Csv {
                    delimiter: *delimiter,
                    quote: *quote,
                    fields: names.len(),
                };
                (layout, names)
            }
        };
        Ok((self.binder)(&self.file.name, layout, names)?)
    }

    fn check_not_empty(&self) -> Result<(), IngestError> {
        let needs_header = matches!(*self.format, TextFormat::Csv { header: true, .. });
        if needs_header && self.binding.is_none() {
            let help = "a CSV file without rows still has a header; without headers at all, set `csv.header: false`";
            return Err(IngestError::unreadable(
                &self.file.name,
                "it is empty and has no header",
                help,
            ));
        }
        Ok(())
    }
}

/// The texts of the first record, trimmed.
fn first_fields(
    file: &str,
    block: &TextBlock,
    delimiter: u8,
    quote: u8,
) -> Result<Vec<String>, IngestError> {
    let help = "the first line must be a header of column names in UTF-8";
    let Some(span) = block.records.first() else {
        return Ok(Vec::new());
    };
    if let Some(fault) = &span.fault {
        return Err(IngestError::unreadable(
            file,
            format!("its header is malformed: {fault}"),
            help,
        ));
    }
    let Ok(text) = std::str::from_utf8(block.record(span)) else {
        return Err(IngestError::unreadable(
            file,
            "its header is not valid UTF-8",
            help,
        ));
    };
    let mut cells = Vec::new();
    read_csv(text, delimiter, quote, &mut cells);
    Ok(cells
        .iter()
        .map(|cell| cell.to_text().unwrap_or_default().trim().to_owned())
        .collect())
}

/// Runs what may take longer than an async thread should be held.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    join(SpawnedTask::spawn_blocking(work)).await
}

/// Waits for a task, and panics where it panicked.
pub(crate) async fn join<T: Send + 'static>(task: SpawnedTask<T>) -> T {
    match task.join_unwind().await {
        Ok(value) => value,
        // A task is only cancelled when the runtime shuts down, and this one with it.
        Err(_) => futures::future::pending().await,
    }
}
