//! The files of an ingestion: their format, their bytes in pieces, and whether they stayed the same.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use marquetry_types::{Diagnostic, codes};
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

use crate::error::IngestError;
use crate::options::{FilesOptions, Format};

/// Bytes of one request to a store for plain files.
const PLAIN_PIECE: u64 = 4 << 20;
/// The same for packed files, which grow when they are unpacked, by up to a thousand times.
const PACKED_PIECE: u64 = 256 << 10;

/// A file to read, pinned to how it was when it was listed.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// Its URL.
    pub(crate) url: String,
    /// How messages and the quarantine call it: the URL, or the path of a local file.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Its size, path, time and, where the store gives one, ETag.
    pub(crate) meta: ObjectMeta,
}

impl SourceFile {
    /// Its path in its store.
    pub(crate) const fn path(&self) -> &Path {
        &self.meta.location
    }

    /// How its bytes are packed.
    pub(crate) fn packing(&self) -> Packing {
        let (_, packing) = split_packing(&self.name);
        packing
    }

    /// The next bytes from an offset on; nothing at the end.
    ///
    /// # Errors
    ///
    /// If the store fails, or the file is another than the one that was listed.
    pub(crate) async fn piece(&self, offset: u64) -> Result<Bytes, IngestError> {
        let length = match self.packing() {
            Packing::Plain => PLAIN_PIECE,
            Packing::Gzip | Packing::Zstd => PACKED_PIECE,
        };
        let range: Range<u64> = offset..self.meta.size.min(offset.saturating_add(length));
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.range(range).await
    }

    /// The bytes of a range, which the file has.
    ///
    /// # Errors
    ///
    /// As [`piece`](Self::piece).
    pub(crate) async fn range(&self, range: Range<u64>) -> Result<Bytes, IngestError> {
        let expected = range.end.saturating_sub(range.start);
        let options = GetOptions {
            range: Some(range.into()),
            if_match: self.meta.e_tag.clone(),
            ..GetOptions::default()
        };
        let failed = |error| IngestError::store(&self.name, &error);
        let response = self
            .store
            .get_opts(self.path(), options)
            .await
            .map_err(failed)?;
        let bytes = response.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != expected {
            return Err(IngestError::changed(&self.name));
        }
        Ok(bytes)
    }

    /// Looks again at a file of a store without `ETag`s, which cannot watch over it.
    ///
    /// # Errors
    ///
    /// If it is not what it was when it was listed.
    pub(crate) async fn check_unchanged(&self) -> Result<(), IngestError> {
        if self.meta.e_tag.is_some() {
            return Ok(());
        }
        let now = self.store.head(self.path()).await;
        let now = now.map_err(|error| IngestError::store(&self.name, &error))?;
        let is_same = now.size == self.meta.size && now.last_modified == self.meta.last_modified;
        if is_same {
            Ok(())
        } else {
            Err(IngestError::changed(&self.name))
        }
    }
}

/// How a text file is packed, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

fn split_packing(name: &str) -> (&str, Packing) {
    if let Some(inner) = name.strip_suffix(".gz") {
        (inner, Packing::Gzip)
    } else if let Some(inner) = name.strip_suffix(".zst") {
        (inner, Packing::Zstd)
    } else {
        (name, Packing::Plain)
    }
}

/// The one format of the files.
///
/// # Errors
///
/// `MQ0113` if it cannot be told, or if there are several.
pub(crate) fn format_of(
    files: &[Arc<SourceFile>],
    options: &FilesOptions,
) -> Result<Format, Diagnostic> {
    if let Some(format) = options.format {
        return Ok(format);
    }
    if options.fixed_width.is_some() {
        return Ok(Format::FixedWidth);
    }
    let mut first: Option<(Format, &str)> = None;
    for file in files {
        let Some(format) = format_by_name(&file.name) else {
            let message = format!("the name of {} does not say its format", file.name);
            return Err(Diagnostic::new(codes::STAGE_OPTIONS, message).help(
                "set `format` to csv, ndjson, parquet or fixed_width, or let `path` match the data files alone, as `*.csv` does",
            ));
        };
        match first {
            None => first = Some((format, &file.name)),
            Some((known, _)) if known == format => {}
            Some((known, known_name)) => {
                let message = format!(
                    "the files have several formats: {known_name} is {known}, {} is {format}",
                    file.name
                );
                return Err(Diagnostic::new(codes::STAGE_OPTIONS, message).help(
                    "read each format in a stage of its own and join the rows with features/sql",
                ));
            }
        }
    }
    Ok(first.map_or(Format::Csv, |(format, _)| format))
}

fn format_by_name(name: &str) -> Option<Format> {
    let (name, _) = split_packing(name);
    let (_, extension) = name.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}

/// Unpacks a file as its bytes arrive.
pub(crate) enum Unpacker {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd {
        decoder: Box<ZstdDecoder<'static>>,
        within_frame: bool,
    },
}

impl Unpacker {
    pub(crate) fn new(packing: Packing) -> std::io::Result<Self> {
        Ok(match packing {
            Packing::Plain => Self::Plain,
            Packing::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Packing::Zstd => Self::Zstd {
                decoder: Box::new(ZstdDecoder::new()?),
                within_frame: false,
            },
        })
    }

    /// Hands the unpacked bytes to `take`.
    ///
    /// # Errors
    ///
    /// If the bytes are not packed as the file's name says.
    pub(crate) fn unpack(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> std::io::Result<()> {
        match self {
            Self::Plain => take(bytes),
            Self::Gzip(decoder) => {
                decoder.write_all(bytes)?;
                take(decoder.get_ref());
                decoder.get_mut().clear();
            }
            Self::Zstd {
                decoder,
                within_frame,
            } => {
                let mut unpacked = vec![0; 256 << 10];
                let mut input = InBuffer::around(bytes);
                loop {
                    let mut output = OutBuffer::around(unpacked.as_mut_slice());
                    let hint = decoder.run(&mut input, &mut output)?;
                    let filled = output.as_slice().len();
                    let is_full = filled == output.capacity();
                    take(output.as_slice());
                    *within_frame = hint != 0;
                    if input.pos() == bytes.len() && !is_full {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands out what is left at the end of the file.
    ///
    /// # Errors
    ///
    /// If the file ends too early.
    pub(crate) fn finish(&mut self, take: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
        match self {
            Self::Plain => Ok(()),
            Self::Gzip(decoder) => {
                decoder.try_finish()?;
                take(decoder.get_ref());
                decoder.get_mut().clear();
                Ok(())
            }
            Self::Zstd {
                within_frame: false,
                ..
            } => Ok(()),
            Self::Zstd {
                within_frame: true, ..
            } => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn unpack(packing: Packing, bytes: &[u8], piece: usize) -> std::io::Result<Vec<u8>> {
        let mut unpacker = Unpacker::new(packing)?;
        let mut unpacked = Vec::new();
        for bytes in bytes.chunks(piece) {
            unpacker.unpack(bytes, &mut |bytes| unpacked.extend_from_slice(bytes))?;
        }
        unpacker.finish(&mut |bytes| unpacked.extend_from_slice(bytes))?;
        Ok(unpacked)
    }

    #[test]
    fn packed_files_are_unpacked_and_truncated_ones_are_noticed() {
        let text = "a,b\n1,2\n".repeat(100_000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for (packing, packed) in [(Packing::Gzip, gzip), (Packing::Zstd, zstd)] {
            assert_eq!(unpack(packing, &packed, 1000).unwrap(), text.as_bytes());
            let twice = [packed.as_slice(), packed.as_slice()].concat();
            assert_eq!(unpack(packing, &twice, 777).unwrap().len(), 2 * text.len());
            assert!(
                unpack(packing, &packed[..packed.len() / 2], 1000).is_err(),
                "{packing:?}"
            );
            assert!(unpack(packing, b"a,b\n1,2\n", 1000).is_err(), "{packing:?}");
        }
    }

    #[test]
    fn names_say_formats() {
        assert_eq!(format_by_name("a/b.CSV"), Some(Format::Csv));
        assert_eq!(format_by_name("a/b.jsonl.gz"), Some(Format::Ndjson));
        assert_eq!(format_by_name("a.b/c"), None);
        assert_eq!(format_by_name("README.md"), None);
    }
}
