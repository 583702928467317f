//! Cuts a text file into records as its bytes arrive, and knows each record's line. It decides only
//! where records begin and end, so that one pass over the bytes can feed parsers on several threads.
//!
//! A malformed record costs itself, not the file. After a quote that is never closed, or text after a
//! closing quote, only the line on which the record began is given up, and reading goes on at the
//! next line: a stray quote cannot swallow the rows below it.

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr_iter, memchr2};

use crate::rule::Reason;

/// A record that is longer is rejected; it also bounds how far a closing quote is looked for.
pub(crate) const MAX_RECORD_BYTES: usize = 8 << 20;
/// Rows of a block, which becomes one record batch.
const MAX_BLOCK_RECORDS: usize = 65_536;
/// How much of a record beyond [`MAX_RECORD_BYTES`] is kept for the quarantine.
const KEPT_OF_OVERLONG: usize = 4096;

/// How records are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Splitting {
    /// A record is a line that is not blank.
    Lines {
        /// How many lines to skip at the top.
        skip: u32,
    },
    /// A record is a line that is not empty, and goes on through line breaks within quotes.
    Quoted {
        delimiter: u8,
        quote: u8,
        comment: Option<u8>,
    },
}

/// Where a record stands in its block.
#[derive(Debug, Clone)]
pub(crate) struct RecordSpan {
    /// Its first byte.
    pub(crate) start: usize,
    /// The byte after its last, line break excluded.
    pub(crate) end: usize,
    /// The line of the file on which it begins, counted from 1.
    pub(crate) line: u64,
    /// Why it is no record, if it is none.
    pub(crate) fault: Option<Reason>,
}

/// Whole records of one file, in order.
#[derive(Debug, Clone)]
pub(crate) struct TextBlock {
    /// The records' bytes, with the line breaks between them.
    pub(crate) bytes: Bytes,
    /// The records.
    pub(crate) records: Vec<RecordSpan>,
    /// The number in the file of the first record, counted from 1; a header is no record.
    pub(crate) first_record: u64,
}

impl TextBlock {
    /// The bytes of a record.
    pub(crate) fn record(&self, span: &RecordSpan) -> &[u8] {
        self.bytes.get(span.start..span.end).unwrap_or_default()
    }
}

/// Why a file is no text that can be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SplitError {
    /// It begins with the byte-order mark of UTF-16.
    #[error("it is UTF-16, and only UTF-8 is read")]
    Utf16,
}

/// Cuts one file.
#[derive(Debug)]
pub(crate) struct Splitter {
    splitting: Splitting,
    pending: BytesMut,
    next_line: u64,
    next_record: u64,
    lines_to_skip: u32,
    at_start: bool,
    /// Within a record that is too long, of which the rest is dropped.
    dropping: bool,
}

enum Scan {
    /// The record's content ends before the first offset; the next record begins at the second.
    Record {
        end: usize,
        next: usize,
        fault: Option<Reason>,
    },
    /// More bytes decide.
    NeedMore,
}

impl Splitter {
    pub(crate) fn new(splitting: Splitting) -> Self {
        let lines_to_skip = match splitting {
            Splitting::Lines { skip } => skip,
            Splitting::Quoted { .. } => 0,
        };
        Self {
            splitting,
            pending: BytesMut::new(),
            next_line: 1,
            next_record: 1,
            lines_to_skip,
            at_start: true,
            dropping: false,
        }
    }

    /// Takes the next bytes of the file.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole records, or nothing if there are none without more bytes. At the end of the
    /// file the last line counts as whole.
    ///
    /// # Errors
    ///
    /// If the file is no UTF-8 from its first bytes on.
    pub(crate) fn next_block(&mut self, at_end: bool) -> Result<Option<TextBlock>, SplitError> {
        if self.at_start && !self.skip_byte_order_mark(at_end)? {
            return Ok(None);
        }
        let mut records = Vec::new();
        let mut position = 0;
        while records.len() < MAX_BLOCK_RECORDS && position < self.pending.len() {
            if self.dropping {
                position = self.drop_rest_of_line(position, at_end);
                continue;
            }
            let Scan::Record { end, next, fault } = self.scan(position, at_end) else {
                break;
            };
            if !self.is_skipped(position, end) {
                records.push(RecordSpan {
                    start: position,
                    end,
                    line: self.next_line,
                    fault,
                });
            }
            let line_breaks = memchr_iter(b'\n', &self.pending[position..next]).count();
            self.next_line += line_breaks as u64;
            position = next;
        }
        let bytes = self
            .pending
            .split_to(position.min(self.pending.len()))
            .freeze();
        if records.is_empty() {
            return Ok(None);
        }
        let first_record = self.next_record;
        self.next_record += records.len() as u64;
        Ok(Some(TextBlock {
            bytes,
            records,
            first_record,
        }))
    }

    /// Says that the first record was a header, so that the one after it is number 1.
    pub(crate) fn discount_header(&mut self) {
        self.next_record -= 1;
    }

    /// Whether enough bytes were there to look for a mark.
    fn skip_byte_order_mark(&mut self, at_end: bool) -> Result<bool, SplitError> {
        if self.pending.len() < 3 && !at_end {
            return Ok(false);
        }
        if self.pending.starts_with(&[0xff, 0xfe]) || self.pending.starts_with(&[0xfe, 0xff]) {
            return Err(SplitError::Utf16);
        }
        if self.pending.starts_with("\u{feff}".as_bytes()) {
            let _ = self.pending.split_to(3);
        }
        self.at_start = false;
        Ok(true)
    }

    fn drop_rest_of_line(&mut self, position: usize, at_end: bool) -> usize {
        match memchr(b'\n', &self.pending[position..]) {
            Some(length) => {
                self.dropping = false;
                self.next_line += 1;
                position + length + 1
            }
            None => {
                self.dropping = !at_end;
                self.pending.len()
            }
        }
    }

    /// Whether what stands there is no record: a blank line, a comment, a line to skip.
    fn is_skipped(&mut self, start: usize, end: usize) -> bool {
        if self.lines_to_skip > 0 {
            self.lines_to_skip -= 1;
            return true;
        }
        let line = &self.pending[start..end];
        match self.splitting {
            Splitting::Lines { .. } => line.iter().all(u8::is_ascii_whitespace),
            Splitting::Quoted { comment, .. } => {
                line.is_empty() || (comment.is_some() && line.first().copied() == comment)
            }
        }
    }

    fn scan(&mut self, start: usize, at_end: bool) -> Scan {
        let rest = &self.pending[start..];
        let line_break = memchr(b'\n', rest).or(at_end.then_some(rest.len()));
        let Some(line_length) = line_break.filter(|length| *length <= MAX_RECORD_BYTES) else {
            if rest.len() <= MAX_RECORD_BYTES {
                return Scan::NeedMore;
            }
            self.dropping = true;
            return Scan::Record {
                end: start + KEPT_OF_OVERLONG,
                next: start + KEPT_OF_OVERLONG,
                fault: Some(too_long()),
            };
        };
        let line = &rest[..line_length];
        let is_plain = match self.splitting {
            Splitting::Lines { .. } => true,
            Splitting::Quoted { quote, comment, .. } => {
                let is_comment = comment.is_some() && line.first().copied() == comment;
                is_comment || memchr(quote, line).is_none()
            }
        };
        let next = (line_length + 1).min(rest.len());
        let plain_end = start + strip_carriage_return(line).len();
        if is_plain {
            return Scan::Record {
                end: plain_end,
                next: start + next,
                fault: None,
            };
        }
        let Splitting::Quoted {
            delimiter, quote, ..
        } = self.splitting
        else {
            return Scan::NeedMore;
        };
        let reach = &rest[..rest.len().min(MAX_RECORD_BYTES)];
        let is_whole = at_end || rest.len() > MAX_RECORD_BYTES;
        match scan_quoted(reach, delimiter, quote) {
            Quoted::Ends(end) => {
                let next = (end + 1).min(rest.len());
                let end = strip_carriage_return(&rest[..end]).len();
                Scan::Record {
                    end: start + end,
                    next: start + next,
                    fault: None,
                }
            }
            // The bytes run out in the middle of the record: with more bytes it may end well.
            Quoted::Open | Quoted::RunsOut if !is_whole => Scan::NeedMore,
            Quoted::RunsOut if rest.len() <= MAX_RECORD_BYTES => Scan::Record {
                end: start + strip_carriage_return(rest).len(),
                next: start + rest.len(),
                fault: None,
            },
            Quoted::RunsOut => Scan::Record {
                end: plain_end,
                next: start + next,
                fault: Some(too_long()),
            },
            Quoted::Open => Scan::Record {
                end: plain_end,
                next: start + next,
                fault: Some("a quote is opened and not closed".into()),
            },
            Quoted::TextAfterQuote => Scan::Record {
                end: plain_end,
                next: start + next,
                fault: Some("text after a closing quote".into()),
            },
        }
    }
}

enum Quoted {
    /// The record's line break (or the end) is at this offset.
    Ends(usize),
    /// The bytes end outside quotes, before a line break.
    RunsOut,
    /// The bytes end within quotes.
    Open,
    /// Something other than a delimiter or a line break follows a closing quote.
    TextAfterQuote,
}

/// Walks the fields of a record from its first byte. A quote within an unquoted field (`5" pipe`) is
/// a character like others.
fn scan_quoted(bytes: &[u8], delimiter: u8, quote: u8) -> Quoted {
    let mut position = 0;
    loop {
        if bytes.get(position).copied() != Some(quote) {
            let Some(length) = memchr2(delimiter, b'\n', &bytes[position..]) else {
                return Quoted::RunsOut;
            };
            position += length;
            if bytes[position] == b'\n' {
                return Quoted::Ends(position);
            }
            position += 1;
            continue;
        }
        position += 1;
        loop {
            let Some(length) = memchr(quote, &bytes[position..]) else {
                return Quoted::Open;
            };
            position += length + 1;
            if bytes.get(position).copied() != Some(quote) {
                break;
            }
            position += 1;
        }
        match &bytes[position..] {
            [] | [b'\r'] => return Quoted::RunsOut,
            [b'\n', ..] => return Quoted::Ends(position),
            [b'\r', b'\n', ..] => return Quoted::Ends(position + 1),
            [next, ..] if *next == delimiter => position += 1,
            _ => return Quoted::TextAfterQuote,
        }
    }
}

fn too_long() -> Reason {
    format!("longer than {} MiB", MAX_RECORD_BYTES >> 20).into()
}

fn strip_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    const CSV: Splitting = Splitting::Quoted {
        delimiter: b',',
        quote: b'"',
        comment: None,
    };

    /// Splits `text`, given in pieces of `piece` bytes, into (line, content, fault).
    fn split(
        splitting: Splitting,
        text: &[u8],
        piece: usize,
    ) -> Vec<(u64, String, Option<String>)> {
        let mut splitter = Splitter::new(splitting);
        let mut found = Vec::new();
        let mut drain = |splitter: &mut Splitter, at_end| {
            while let Some(block) = splitter.next_block(at_end).unwrap() {
                for span in &block.records {
                    let content = String::from_utf8_lossy(block.record(span)).into_owned();
                    found.push((span.line, content, span.fault.clone().map(Into::into)));
                }
            }
        };
        for bytes in text.chunks(piece) {
            splitter.push(bytes);
            drain(&mut splitter, false);
        }
        drain(&mut splitter, true);
        found
    }

    fn contents(splitting: Splitting, text: &str) -> Vec<(u64, String)> {
        split(splitting, text.as_bytes(), 7)
            .into_iter()
            .map(|(line, content, fault)| {
                assert_eq!(fault, None);
                (line, content)
            })
            .collect()
    }

    #[test]
    fn line_breaks_within_quotes_belong_to_the_record() {
        let text = "\u{feff}a,\"b\r\nc\"\r\n\r\nd,e\n\"\"\"f\"\"\n\",g";
        assert_eq!(
            contents(CSV, text),
            [
                (1, "a,\"b\r\nc\"".to_owned()),
                (4, "d,e".to_owned()),
                (5, "\"\"\"f\"\"\n\",g".to_owned()),
            ]
        );
    }

    #[test]
    fn a_quote_inside_an_unquoted_field_is_a_character() {
        assert_eq!(contents(CSV, "5\" pipe,1\nx,y\n").len(), 2);
    }

    #[test]
    fn a_bad_quote_costs_one_line() {
        let found = split(CSV, b"a,\"b\nc,d\ne,\"f\"g\nh,i\n", 1000);
        let lines: Vec<_> = found
            .iter()
            .map(|(line, content, fault)| (*line, content.as_str(), fault.as_deref()))
            .collect();
        // The quote of line 1 would close at line 3, where text follows.
        assert_eq!(
            lines,
            [
                (1, "a,\"b", Some("text after a closing quote")),
                (2, "c,d", None),
                (3, "e,\"f\"g", Some("text after a closing quote")),
                (4, "h,i", None),
            ]
        );
        let found = split(CSV, b"a,\"b\nc,d\n", 3);
        assert_eq!(
            found[0].2.as_deref(),
            Some("a quote is opened and not closed")
        );
        assert_eq!(found[1], (2, "c,d".to_owned(), None));
    }

    #[test]
    fn blank_lines_comments_and_skipped_lines_count_as_lines_only() {
        let lines = Splitting::Lines { skip: 1 };
        assert_eq!(
            contents(lines, " header\n\n  \r\n 1 2\r\n"),
            [(4, " 1 2".to_owned())]
        );
        let commented = Splitting::Quoted {
            delimiter: b',',
            quote: b'"',
            comment: Some(b'#'),
        };
        assert_eq!(contents(commented, "# \"a\nb,c\n"), [(2, "b,c".to_owned())]);
    }

    #[test]
    fn an_endless_line_is_dropped_and_the_next_is_read() {
        let mut text = vec![b'x'; MAX_RECORD_BYTES + 100];
        text.extend_from_slice(b"\nb\n");
        let found = split(Splitting::Lines { skip: 0 }, &text, 1 << 20);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].2.as_deref(), Some("longer than 8 MiB"));
        assert_eq!(found[1], (2, "b".to_owned(), None));
    }

    #[test]
    fn utf_16_is_named() {
        let mut splitter = Splitter::new(CSV);
        splitter.push(&[0xff, 0xfe, b'a', 0]);
        assert_eq!(splitter.next_block(false).unwrap_err(), SplitError::Utf16);
    }

    proptest! {
        #[test]
        fn records_do_not_depend_on_how_bytes_arrive(
            text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b'a')], 0..60),
            piece in 1_usize..9,
        ) {
            prop_assert_eq!(split(CSV, &text, piece), split(CSV, &text, 1000));
        }
    }
}
