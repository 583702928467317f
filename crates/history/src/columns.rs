//! Columns of a table, put together a row at a time.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use marquetry_types::Timestamp;

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(Option<String>),
    Number(Option<u64>),
    Real(Option<f64>),
    Flag(Option<bool>),
    At(Option<Timestamp>),
}

/// What a column holds. All but those of the key may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Real,
    Flag,
    At,
}

/// A table: its columns, and how many of the first are never null.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) keys: usize,
    pub(crate) columns: &'static [(&'static str, Kind)],
}

/// Times are in UTC.
const ZONE: &str = "UTC";

impl Table {
    pub(crate) fn schema(&self) -> SchemaRef {
        let fields = self
            .columns
            .iter()
            .enumerate()
            .map(|(place, (name, kind))| {
                let kind = match kind {
                    Kind::Text => DataType::Utf8,
                    Kind::Number => DataType::UInt64,
                    Kind::Real => DataType::Float64,
                    Kind::Flag => DataType::Boolean,
                    Kind::At => DataType::Timestamp(TimeUnit::Millisecond, Some(ZONE.into())),
                };
                Field::new(*name, kind, place >= self.keys)
            });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// A batch of rows, each with a value for every column.
    pub(crate) fn batch(&self, rows: &[Vec<Value>]) -> Result<RecordBatch, ArrowError> {
        let columns = self.columns.iter().enumerate().map(|(place, (_, kind))| {
            let values = rows.iter().map(|row| row.get(place));
            column(*kind, values)
        });
        RecordBatch::try_new(self.schema(), columns.collect())
    }
}

/// A value of another kind than the column's is null, which a test of every table rules out.
fn column<'v>(kind: Kind, values: impl Iterator<Item = Option<&'v Value>>) -> ArrayRef {
    match kind {
        Kind::Text => Arc::new(StringArray::from_iter(values.map(|value| match value {
            Some(Value::Text(text)) => text.as_deref(),
            _ => None,
        }))),
        Kind::Number => Arc::new(UInt64Array::from_iter(values.map(|value| match value {
            Some(Value::Number(number)) => *number,
            _ => None,
        }))),
        Kind::Real => Arc::new(Float64Array::from_iter(values.map(|value| match value {
            Some(Value::Real(real)) => *real,
            _ => None,
        }))),
        Kind::Flag => Arc::new(BooleanArray::from_iter(values.map(|value| match value {
            Some(Value::Flag(flag)) => *flag,
            _ => None,
        }))),
        Kind::At => {
            let array = TimestampMillisecondArray::from_iter(values.map(|value| match value {
                Some(Value::At(at)) => at.map(Timestamp::as_millis),
                _ => None,
            }));
            Arc::new(array.with_timezone(ZONE))
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        u64::from(number).into()
    }
}

impl From<Option<u64>> for Value {
    fn from(number: Option<u64>) -> Self {
        Self::Number(number)
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::At(Some(at))
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(at: Option<Timestamp>) -> Self {
        Self::At(at)
    }
}

/// Seconds between two instants, where both are known.
pub(crate) fn seconds(from: Option<Timestamp>, to: Option<Timestamp>) -> Value {
    let took = from.zip(to);
    Value::Real(took.map(|(from, to)| to.saturating_since(from).as_secs_f64()))
}

/// A value as JSON; it is null where there is nothing in it to be said.
pub(crate) fn json(value: &impl serde::Serialize, is_empty: bool) -> Value {
    let text = (!is_empty).then(|| serde_json::to_string(value).ok());
    Value::Text(text.flatten())
}
