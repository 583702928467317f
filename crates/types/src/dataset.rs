//! How a dataset is named between stages: by reference, never by its rows.

use serde::{Deserialize, Serialize};

/// The key under which a resolved stage reference stands in a stage's configuration:
/// `{"$dataset": {"manifest": …}}`.
pub const DATASET_KEY: &str = "$dataset";

/// A committed dataset: where its manifest lies and what it must hash to. The manifest, an object in
/// the lake, lists the schema and the Parquet objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DatasetRef {
    /// The manifest's path below the lake's root.
    pub manifest: String,
    /// BLAKE3 of the manifest's bytes, in hexadecimal.
    pub digest: String,
    /// Rows in the dataset.
    pub rows: u64,
    /// Bytes of its data objects.
    pub bytes: u64,
    /// BLAKE3, in hexadecimal, of its columns and objects, wherever they lie: the same for the same data in
    /// two runs. An object counts by its bytes, one that lies at its source by its address and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl DatasetRef {
    /// What stands for the data: the digest of its content, or of its manifest where that is not known.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.content.as_deref().unwrap_or(&self.digest)
    }
}
