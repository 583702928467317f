//! The manifest: what a dataset is made of.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};

/// The version that this code writes and reads.
pub(crate) const VERSION: u32 = 1;

/// A dataset: a schema and the Parquet objects that hold its rows, in the order of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Version of the format, now 1.
    pub version: u32,
    /// The columns.
    pub schema: SchemaRef,
    /// The objects, in the order of the rows. Empty for a dataset without rows.
    pub files: Vec<DataFile>,
    /// Rows in all of them.
    pub rows: u64,
}

/// A Parquet object of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Where it lies.
    pub location: FileLocation,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// BLAKE3 of its bytes in hexadecimal, where this program wrote it.
    pub digest: Option<String>,
}

/// Where a Parquet object lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileLocation {
    /// In the lake.
    InLake {
        /// Its path below the lake's root.
        path: String,
    },
    /// Where an ingestion found it; it must not change.
    Source {
        /// Its URL.
        url: String,
        /// What the store calls its version, where it has such a thing.
        etag: Option<String>,
        /// When it was last modified, in milliseconds since 1970.
        #[serde(with = "milliseconds")]
        last_modified: chrono::DateTime<chrono::Utc>,
    },
}

/// A time as milliseconds since 1970.
mod milliseconds {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        at: &DateTime<Utc>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.timestamp_millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        let milliseconds = i64::deserialize(deserializer)?;
        DateTime::from_timestamp_millis(milliseconds)
            .ok_or_else(|| D::Error::custom("a time out of range"))
    }
}

/// The manifest as it is written: the schema in Arrow's own encoding, and in words for people.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    rows: u64,
    columns: Vec<Column>,
    schema: String,
    files: Vec<DataFile>,
}

#[derive(Serialize, Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    nullable: bool,
}

impl Manifest {
    /// The bytes that are stored, which the dataset's digest is of.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let columns = self.schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            kind: field.data_type().to_string(),
            nullable: field.is_nullable(),
        });
        let mut encoded = Vec::new();
        // A stream of no batches: its head is the schema.
        StreamWriter::try_new(&mut encoded, &self.schema)
            .and_then(|mut writer| writer.finish())
            .map_err(|error| error.to_string())?;
        let stored = Stored {
            version: self.version,
            rows: self.rows,
            columns: columns.collect(),
            schema: hex(&encoded),
            files: self.files.clone(),
        };
        serde_json::to_vec_pretty(&stored).map_err(|error| error.to_string())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if stored.version != VERSION {
            let found = stored.version;
            return Err(format!(
                "it has version {found}, and this version of marquetry reads {VERSION}"
            ));
        }
        let schema = unhex(&stored.schema).ok_or("its schema is not hexadecimal")?;
        let stream =
            StreamReader::try_new(schema.as_slice(), None).map_err(|error| error.to_string())?;
        Ok(Self {
            version: stored.version,
            schema: stream.schema(),
            files: stored.files,
            rows: stored.rows,
        })
    }

    /// BLAKE3, in hexadecimal, of columns and objects, wherever these lie; see
    /// [`DatasetRef::content`](marquetry_types::DatasetRef). None if an object in the lake has no digest.
    pub(crate) fn content_digest(&self) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &str| {
            // With its length, so that no two lists of parts read the same.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        add_metadata(self.schema.metadata(), &mut add);
        for field in self.schema.fields() {
            add(field.name());
            add(&format!("{:?} {}", field.data_type(), field.is_nullable()));
            add_metadata(field.metadata(), &mut add);
        }
        for file in &self.files {
            match &file.location {
                FileLocation::InLake { .. } => add(file.digest.as_deref()?),
                FileLocation::Source {
                    url,
                    etag,
                    last_modified,
                } => {
                    add(url);
                    add(etag.as_deref().unwrap_or_default());
                    add(&format!(
                        "{} {}",
                        last_modified.timestamp_millis(),
                        file.bytes
                    ));
                }
            }
        }
        Some(hasher.finalize().to_hex().to_string())
    }

    /// Bytes of all its objects.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Its entries by key: a map has them in no order.
fn add_metadata(metadata: &HashMap<String, String>, add: &mut impl FnMut(&str)) {
    let mut entries: Vec<_> = metadata.iter().collect();
    entries.sort_unstable();
    add(&entries.len().to_string());
    for (key, value) in entries {
        add(key);
        add(value);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes().chunks(2);
    bytes
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
