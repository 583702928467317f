//! What `with` takes in a stage that `uses: ingest/files`. The doc comments here are the
//! documentation that `marquetry stages show ingest/files` prints, so they speak to its author.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor, value};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Options of `ingest/files`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilesOptions {
    /// What to read: a file, a folder or a glob such as `data/orders/*.csv`, on this machine or in an
    /// object store (`s3://`, `gs://`, `az://`); or a list of them. Relative paths start at the
    /// folder in which the run was submitted. Files are read in the order of their names; `.gz` and
    /// `.zst` text files are unpacked.
    pub(crate) path: TextList,
    /// The format of the files. Without it the extension says: `csv`, `tsv`, `ndjson`, `jsonl`,
    /// `parquet`; fixed width has no extension of its own and must be named, or follows from
    /// `fixed_width`.
    #[serde(default)]
    pub(crate) format: Option<Format>,
    /// How CSV files are written.
    #[serde(default)]
    pub(crate) csv: CsvOptions,
    /// Where the fields stand in fixed-width files.
    #[serde(default)]
    pub(crate) fixed_width: Option<FixedWidthOptions>,
    /// Texts that mean "no value" in CSV and fixed-width files, compared after trimming. The empty
    /// text always does.
    #[serde(default)]
    pub(crate) null_values: Vec<String>,
    /// The columns of the output, in this order: name to type (`customer_id: int64`), or name to a
    /// block with `from`, `type` and the contract that values must keep. Without it all columns are
    /// taken, with the types that every value in every file fits: `int64`, `float64`, `bool`, `date`,
    /// `timestamp`, else `string` (leading zeros, mixed types).
    #[serde(default)]
    pub(crate) columns: IndexMap<String, ColumnOption>,
    /// What happens to columns of the files that `columns` does not name.
    #[serde(default)]
    pub(crate) other_columns: OtherColumns,
    /// Columns of the output that identify a row. A row whose values stood in an earlier row is
    /// rejected, and the reason names that row. A null in them equals nothing.
    #[serde(default)]
    pub(crate) unique: Vec<String>,
    /// Keeps one row of those with equal keys; the others are dropped and counted, not rejected.
    #[serde(default)]
    pub(crate) deduplicate: Option<Deduplicate>,
    /// The share of rows, 0 to 1, that may be rejected; above it the stage fails. The default is one
    /// row in a hundred: a few bad rows should not stop the night's run, a changed export should.
    #[serde(default = "default_max_rejected_share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) max_rejected_share: f64,
}

const fn default_max_rejected_share() -> f64 {
    0.01
}

/// The format of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Comma-separated values, RFC 4180, in UTF-8.
    Csv,
    /// One JSON object a line, in UTF-8.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// Fields at fixed places of a line, or separated by runs of blanks, in UTF-8.
    FixedWidth,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::FixedWidth => "fixed_width",
        })
    }
}

/// How CSV files are written. The defaults are RFC 4180 with a header. Lines end in LF or CRLF, empty
/// lines are skipped, a byte-order mark is skipped.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CsvOptions {
    /// The character between fields, one ASCII character; `\t` in double quotes is a tab.
    pub(crate) delimiter: char,
    /// The character around fields that hold a delimiter, a line break or, doubled, itself.
    pub(crate) quote: char,
    /// Whether the first line names the columns. Without a header they are `column_1`, `column_2` …
    pub(crate) header: bool,
    /// Lines that start with this character are skipped.
    pub(crate) comment: Option<char>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: ',',
            quote: '"',
            header: true,
            comment: None,
        }
    }
}

/// Where the fields stand in fixed-width files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FixedWidthOptions {
    /// The fields, from left to right. Either each has `start` and `width`, or none has: then fields
    /// are separated by runs of blanks, and each record must have exactly these.
    #[schemars(length(min = 1))]
    pub(crate) fields: Vec<FixedWidthField>,
    /// How many lines to skip at the top of each file, a header say.
    #[serde(default)]
    pub(crate) skip_lines: u32,
}

/// A field of a fixed-width line. Blanks around its value are dropped.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FixedWidthField {
    /// Its name, as `from` in `columns` says it.
    pub(crate) name: String,
    /// The place of its first character, counted from 1.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(crate) start: Option<u32>,
    /// How many characters it takes.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(crate) width: Option<u32>,
}

/// What happens to columns of the files that `columns` does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OtherColumns {
    /// They are left out (where `columns` is given).
    #[default]
    Drop,
    /// They follow the named ones under their own names, with inferred types.
    Keep,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColumnType {
    /// Text.
    String,
    /// A whole number of 64 bits; `15987.0` is one, `15987.5` is not.
    Int64,
    /// A finite number; `NaN` and `inf` are not.
    Float64,
    /// `true`, `t`, `yes`, `y`, `1` or `false`, `f`, `no`, `n`, `0`, in any case.
    Bool,
    /// A day, `2010-12-01` unless `format` says otherwise.
    Date,
    /// An instant to the microsecond, kept in UTC: `2010-12-01 08:26:00` or RFC 3339 unless `format`
    /// says otherwise; without an offset it is read in `timezone`.
    Timestamp,
}

impl ColumnType {
    /// Every type, for messages.
    pub(crate) const NAMES: [&'static str; 6] =
        ["string", "int64", "float64", "bool", "date", "timestamp"];

    /// The name that YAML uses.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Bool => "bool",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }
}

/// A column of the output: where it comes from, what it becomes, and the contract of its values.
/// A value that breaks the contract rejects its row.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ColumnSpec {
    /// The column of the files; the output's own name if absent.
    pub(crate) from: Option<String>,
    /// The type. Without it text formats give `string`; JSON and Parquet keep theirs.
    #[serde(rename = "type")]
    pub(crate) kind: Option<ColumnType>,
    /// How dates and timestamps are written: a strptime pattern such as `%d/%m/%Y %H:%M`, or
    /// `unix_seconds`, `unix_millis`, `unix_micros`; or a list, of which the first that fits is used.
    pub(crate) format: Option<TextList>,
    /// The zone of timestamps that say none, as in `Europe/London`; UTC if absent. Times that a change
    /// of clocks skips or repeats are read as RFC 5545 does.
    pub(crate) timezone: Option<String>,
    /// A constant: every row gets this value, and nothing is read.
    pub(crate) value: Option<Value>,
    /// Rejects rows without a value.
    pub(crate) not_null: bool,
    /// The smallest value allowed: a number, or a text for dates and timestamps.
    pub(crate) min: Option<Value>,
    /// The largest value allowed.
    pub(crate) max: Option<Value>,
    /// The values allowed.
    pub(crate) allowed: Option<Vec<Value>>,
    /// A regular expression that the whole text must match; for `string`.
    pub(crate) pattern: Option<String>,
    /// Drops blanks around the text. Numbers, dates and the like are always trimmed.
    pub(crate) trim: bool,
    /// Stands in for a missing value.
    pub(crate) default: Option<Value>,
    /// Texts that mean "no value" in this column, instead of the stage's `null_values`.
    pub(crate) null_values: Option<Vec<String>>,
}

/// Which row stays of those with equal keys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deduplicate {
    /// Columns of the output; nulls in them equal each other.
    #[schemars(length(min = 1))]
    pub(crate) keys: Vec<String>,
    /// Whether the first or the last row stays.
    #[serde(default)]
    pub(crate) keep: Keep,
    /// A column of the output that orders the rows (nulls first; equal values in the order of the
    /// files). Without it the order of the files decides.
    #[serde(default)]
    pub(crate) order_by: Option<String>,
}

/// The first or the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Keep {
    /// The first row stays.
    #[default]
    First,
    /// The last row stays.
    Last,
}

/// One text or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextList(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextListVisitor;

        impl<'de> Visitor<'de> for TextListVisitor {
            type Value = TextList;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<TextList, E> {
                Ok(TextList(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TextList, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element::<String>()? {
                    texts.push(text);
                }
                if texts.is_empty() {
                    return Err(A::Error::invalid_length(0, &"at least one text"));
                }
                Ok(TextList(texts))
            }
        }

        deserializer.deserialize_any(TextListVisitor)
    }
}

impl JsonSchema for TextList {
    fn schema_name() -> Cow<'static, str> {
        "TextList".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "items": { "type": "string" },
            "minItems": 1,
        })
    }
}

/// A column as YAML writes it: the name of a type, or a block.
#[derive(Debug, Clone)]
pub(crate) struct ColumnOption(pub(crate) ColumnSpec);

impl<'de> Deserialize<'de> for ColumnOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnVisitor;

        impl<'de> Visitor<'de> for ColumnVisitor {
            type Value = ColumnOption;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a type or a block with `from`, `type` …")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ColumnOption, E> {
                let text = value::StrDeserializer::<value::Error>::new(name);
                let Ok(kind) = ColumnType::deserialize(text) else {
                    return Err(E::unknown_variant(name, &ColumnType::NAMES));
                };
                Ok(ColumnOption(ColumnSpec {
                    kind: Some(kind),
                    ..ColumnSpec::default()
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ColumnOption, A::Error> {
                ColumnSpec::deserialize(value::MapAccessDeserializer::new(map)).map(ColumnOption)
            }
        }

        deserializer.deserialize_any(ColumnVisitor)
    }
}

impl JsonSchema for ColumnOption {
    fn schema_name() -> Cow<'static, str> {
        "Column".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let type_name = generator.subschema_for::<ColumnType>();
        let block = generator.subschema_for::<ColumnSpec>();
        json_schema!({
            "description": "A type name, or a block that says more.",
            "anyOf": [type_name, block],
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    #[test]
    fn a_column_is_a_type_name_or_a_block() {
        let options: FilesOptions = serde_json::from_value(json!({
            "path": "orders.csv",
            "columns": { "id": "int64", "ts": { "from": "InvoiceDate", "type": "timestamp" } },
        }))
        .unwrap();
        assert_eq!(options.columns["id"].0.kind, Some(ColumnType::Int64));
        assert_eq!(options.columns["ts"].0.from.as_deref(), Some("InvoiceDate"));
        assert_eq!(options.path, TextList(vec!["orders.csv".to_owned()]));
        assert!((options.max_rejected_share - 0.01).abs() < f64::EPSILON);
    }

    #[test]
    fn misspelt_options_are_refused_with_what_is_known() {
        let refused = |options: Value| serde_json::from_value::<FilesOptions>(options).unwrap_err();
        let unknown_type = refused(json!({ "path": "a", "columns": { "id": "integer" } }));
        assert!(
            unknown_type.to_string().contains("`int64`"),
            "{unknown_type}"
        );
        let unknown_key = refused(json!({ "path": "a", "columns": { "id": { "typ": "int64" } } }));
        assert!(unknown_key.to_string().contains("typ"), "{unknown_key}");
        refused(json!({ "path": [] }));
        refused(json!({ "path": "a", "colums": {} }));
    }
}
