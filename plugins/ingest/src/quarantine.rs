//! What was rejected: one row per record in the `rejected` dataset, and a tally by reason for the
//! message, the log and the report.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::rule::Reason;

/// How much of a record's text the quarantine keeps.
const MAX_RAW_BYTES: usize = 4096;
/// Distinct reasons that are told apart; what comes later is counted together.
const MAX_REASONS: usize = 1000;

/// A record that was rejected, for the first reason that was found.
#[derive(Debug, Clone)]
pub(crate) struct Rejection {
    /// Its number in its file, counted from 1.
    pub(crate) record: u64,
    /// The line on which it begins, in a text format.
    pub(crate) line: Option<u64>,
    /// The column of the output at fault, where it is one.
    pub(crate) field: Option<String>,
    /// The value at fault, as the file has it.
    pub(crate) value: Option<String>,
    /// Why.
    pub(crate) reason: Reason,
    /// The record as the file has it, cut after 4 KiB; invalid UTF-8 shows as `U+FFFD`.
    pub(crate) raw: String,
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("record", DataType::Int64, false),
        Field::new("line", DataType::Int64, true),
        Field::new("field", DataType::Utf8, true),
        Field::new("value", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("raw", DataType::Utf8, false),
    ]))
});

/// The columns of the `rejected` output.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The rejections of one file as rows.
///
/// # Errors
///
/// Never: the columns are made to fit.
pub(crate) fn to_batch(source: &str, rejections: &[Rejection]) -> Result<RecordBatch, ArrowError> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            rejections.iter().map(|_| source),
        )),
        Arc::new(Int64Array::from_iter_values(
            rejections.iter().map(|one| number(one.record)),
        )),
        Arc::new(
            rejections
                .iter()
                .map(|one| one.line.map(number))
                .collect::<Int64Array>(),
        ),
        Arc::new(
            rejections
                .iter()
                .map(|one| one.field.as_deref())
                .collect::<StringArray>(),
        ),
        Arc::new(
            rejections
                .iter()
                .map(|one| one.value.as_deref())
                .collect::<StringArray>(),
        ),
        Arc::new(StringArray::from_iter_values(
            rejections.iter().map(|one| &one.reason),
        )),
        Arc::new(StringArray::from_iter_values(
            rejections.iter().map(|one| &one.raw),
        )),
    ];
    RecordBatch::try_new(schema(), columns)
}

/// A record's bytes as the quarantine shows them.
pub(crate) fn raw_text(bytes: &[u8]) -> String {
    match bytes.get(..MAX_RAW_BYTES) {
        Some(head) if bytes.len() > MAX_RAW_BYTES => format!("{}…", String::from_utf8_lossy(head)),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// A value as the quarantine shows it.
pub(crate) fn shown_value(value: String) -> String {
    if value.len() <= MAX_RAW_BYTES {
        value
    } else {
        raw_text(value.as_bytes())
    }
}

/// Rejections by field and reason.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    total: u64,
    by_reason: BTreeMap<(String, String), Counted>,
}

/// How often a reason was met, and where first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The column at fault; empty where the record is no record.
    pub(crate) field: String,
    /// Why.
    pub(crate) reason: String,
    /// How many records.
    pub(crate) count: u64,
    /// The first: file, record and line, and the value or the text.
    pub(crate) example: String,
}

impl Tally {
    /// Counts a rejection.
    pub(crate) fn add(&mut self, source: &str, rejection: &Rejection) {
        self.total += 1;
        let field = rejection.field.clone().unwrap_or_default();
        let mut key = (field, rejection.reason.clone().into_owned());
        if self.by_reason.len() >= MAX_REASONS && !self.by_reason.contains_key(&key) {
            key = (String::new(), "other reasons".to_owned());
        }
        let counted = self
            .by_reason
            .entry(key)
            .or_insert_with_key(|(field, reason)| Counted {
                field: field.clone(),
                reason: reason.clone(),
                count: 0,
                example: example(source, rejection),
            });
        counted.count += 1;
    }

    /// How many records were rejected.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// The reasons, the most frequent first.
    pub(crate) fn reasons(&self) -> Vec<&Counted> {
        let mut reasons: Vec<_> = self.by_reason.values().collect();
        reasons.sort_by_key(|counted| std::cmp::Reverse(counted.count));
        reasons
    }
}

fn example(source: &str, rejection: &Rejection) -> String {
    const SHOWN: usize = 80;
    let place = match rejection.line {
        Some(line) => format!("{source}:{line} (record {})", rejection.record),
        None => format!("{source} (record {})", rejection.record),
    };
    let text = rejection.value.as_ref().unwrap_or(&rejection.raw);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{place}: `{}`", shown.escape_debug())
}

impl Counted {
    /// `quantity: below min 1`, or the reason alone.
    pub(crate) fn what(&self) -> String {
        if self.field.is_empty() {
            self.reason.clone()
        } else {
            format!("{}: {}", self.field, self.reason)
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn rejection(reason: &str) -> Rejection {
        Rejection {
            record: 3,
            line: Some(4),
            field: Some("id".to_owned()),
            value: Some("12abc".to_owned()),
            reason: reason.to_owned().into(),
            raw: "12abc,x".to_owned(),
        }
    }

    #[test]
    fn reasons_are_counted_with_their_first_example() {
        let mut tally = Tally::default();
        tally.add("a.csv", &rejection("rare"));
        for _ in 0..2 {
            tally.add("b.csv", &rejection("common"));
        }
        let reasons = tally.reasons();
        assert_eq!(reasons[0].what(), "id: common");
        assert_eq!(reasons[0].count, 2);
        assert_eq!(reasons[0].example, "b.csv:4 (record 3): `12abc`");
        assert_eq!(tally.total(), 3);
    }

    #[test]
    fn endless_reasons_do_not_fill_the_memory() {
        let mut tally = Tally::default();
        for number in 0..2000 {
            tally.add("a", &rejection(&format!("reason {number}")));
        }
        assert!(tally.reasons().len() <= MAX_REASONS + 1);
        assert_eq!(tally.total(), 2000);
        assert_eq!(tally.reasons()[0].reason, "other reasons");
    }

    #[test]
    fn long_records_are_cut() {
        let batch = to_batch("a", &[rejection("x")]).unwrap();
        assert_eq!(batch.num_rows(), 1);
        assert!(raw_text(&[b'x'; 10_000]).len() < 5000);
        assert_eq!(raw_text(&[0xff, b'a']), "\u{fffd}a");
    }
}
