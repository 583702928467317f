//! The results of `reference/online_retail.py`, computed once in a process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::OnceLock;

use marquetry_tests::{Table, computed, shared_data};
use serde_json::Value;

/// What the other tools computed.
pub(crate) struct Reference {
    /// The folder with the invoice lines.
    pub(crate) data: PathBuf,
    /// The Parquet file with the centres from which k-means starts.
    pub(crate) start: Vec<u8>,
    /// Metrics of stages, by stage.
    pub(crate) figures: Value,
    files: BTreeMap<String, Table>,
}

impl Reference {
    /// The table of that name, its rows in the order of a key.
    pub(crate) fn table(&self, name: &str, key: &[&str]) -> Table {
        self.files[name].sorted_by(key)
    }
}

/// The results, or none where the data is not there.
pub(crate) fn get() -> Option<&'static Reference> {
    static RESULTS: OnceLock<Option<Reference>> = OnceLock::new();
    RESULTS.get_or_init(compute).as_ref()
}

fn compute() -> Option<Reference> {
    let data = shared_data("online_retail/by-day")?;
    let out = computed("online_retail.py", &data);
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(out.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() == Some(OsStr::new("parquet")) {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            files.insert(name, Table::read(&path, &[]));
        }
    }
    let figures = std::fs::read(out.path().join("figures.json")).unwrap();
    Some(Reference {
        data,
        start: std::fs::read(out.path().join("start.parquet")).unwrap(),
        figures: serde_json::from_slice(&figures).unwrap(),
        files,
    })
}
