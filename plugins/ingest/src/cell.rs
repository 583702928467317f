//! One value on its way from a file to a column: [`Cell`] as a format hands it over, [`Converted`] as
//! a builder takes it. Both borrow from the block that was read, so that a text costs no allocation.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, TimeUnit};

use crate::options::ColumnType;
use crate::time_text;

/// A value as a file holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    /// No value: a JSON null, a Parquet null.
    Null,
    /// A key that a JSON object does not have; no value either.
    Absent,
    /// A text of a format that has types of its own (JSON, Parquet).
    Text(Cow<'a, str>),
    /// A field of a text format, which may mean anything, also "no value".
    Field(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64`.
    Unsigned(u64),
    /// Any number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Days since 1970-01-01.
    Day(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Instant(i64),
    /// Microseconds since 1970-01-01T00:00:00 on a clock whose zone is not said.
    Clock(i64),
    /// A JSON array or object, as compact JSON.
    Nested(String),
}

impl Cell<'_> {
    /// The value as a person would write it, for the quarantine.
    pub(crate) fn to_text(&self) -> Option<String> {
        Some(match self {
            Self::Null | Self::Absent => return None,
            Self::Text(text) | Self::Field(text) => text.clone().into_owned(),
            Self::Int(number) => number.to_string(),
            Self::Unsigned(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bool(truth) => truth.to_string(),
            Self::Day(day) => time_text::write_day(*day),
            Self::Instant(micros) => time_text::write_instant(*micros),
            Self::Clock(micros) => time_text::write_clock(*micros),
            Self::Nested(json) => json.clone(),
        })
    }
}

/// A value of the type that its column has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Converted<'a> {
    Null,
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    Day(i32),
    Instant(i64),
}

impl Converted<'_> {
    /// The value as a person would write it.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Text(text) => text.clone().into_owned(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bool(truth) => truth.to_string(),
            Self::Day(day) => time_text::write_day(*day),
            Self::Instant(micros) => time_text::write_instant(*micros),
        }
    }

    /// The same value, owning its text.
    pub(crate) fn into_owned(self) -> Converted<'static> {
        match self {
            Self::Null => Converted::Null,
            Self::Text(text) => Converted::Text(Cow::Owned(text.into_owned())),
            Self::Int(number) => Converted::Int(number),
            Self::Float(number) => Converted::Float(number),
            Self::Bool(truth) => Converted::Bool(truth),
            Self::Day(day) => Converted::Day(day),
            Self::Instant(micros) => Converted::Instant(micros),
        }
    }
}

/// The Arrow type of a column of the output. Timestamps are instants: microseconds in UTC.
pub(crate) fn arrow_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::String => DataType::Utf8,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

/// Collects the values of one column of one block.
pub(crate) enum ColumnBuilder {
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Day(Date32Builder),
    Instant(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    /// A builder with room for `rows` values.
    pub(crate) fn new(kind: ColumnType, rows: usize) -> Self {
        match kind {
            ColumnType::String => Self::Text(StringBuilder::with_capacity(rows, rows * 12)),
            ColumnType::Int64 => Self::Int(Int64Builder::with_capacity(rows)),
            ColumnType::Float64 => Self::Float(Float64Builder::with_capacity(rows)),
            ColumnType::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            ColumnType::Date => Self::Day(Date32Builder::with_capacity(rows)),
            ColumnType::Timestamp => Self::Instant(
                TimestampMicrosecondBuilder::with_capacity(rows)
                    .with_data_type(arrow_type(ColumnType::Timestamp)),
            ),
        }
    }

    /// Appends a value, which has this column's type: [`Rule`](crate::rule::Rule) made it.
    pub(crate) fn append(&mut self, value: &Converted<'_>) {
        match (self, value) {
            (Self::Text(builder), Converted::Text(text)) => builder.append_value(text),
            (Self::Int(builder), Converted::Int(number)) => builder.append_value(*number),
            (Self::Float(builder), Converted::Float(number)) => builder.append_value(*number),
            (Self::Bool(builder), Converted::Bool(truth)) => builder.append_value(*truth),
            (Self::Day(builder), Converted::Day(day)) => builder.append_value(*day),
            (Self::Instant(builder), Converted::Instant(micros)) => builder.append_value(*micros),
            (column, other) => {
                debug_assert_eq!(other, &Converted::Null, "a value of another type");
                column.append_null();
            }
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Int(builder) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Bool(builder) => builder.append_null(),
            Self::Day(builder) => builder.append_null(),
            Self::Instant(builder) => builder.append_null(),
        }
    }

    /// The column.
    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Int(mut builder) => Arc::new(builder.finish()),
            Self::Float(mut builder) => Arc::new(builder.finish()),
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Day(mut builder) => Arc::new(builder.finish()),
            Self::Instant(mut builder) => Arc::new(builder.finish()),
        }
    }
}
