//! What travels with a run: the workflow file and the files that it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A workflow file together with the SQL and script files that it names, so that a worker on another
/// machine needs nothing from the disk of who submitted the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The workflow file, as its path was given; a key of `files`.
    pub entry: String,
    /// Text by path. Paths other than `entry` are as the workflow writes them, relative to its file.
    pub files: BTreeMap<String, String>,
}

impl Bundle {
    /// The text of the workflow file.
    #[must_use]
    pub fn workflow_text(&self) -> &str {
        self.files.get(&self.entry).map_or("", String::as_str)
    }

    /// BLAKE3, in hexadecimal, of the entry's name and of every path and text. Each part is preceded
    /// by its length, so that no two bundles share their bytes.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &str| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        add(&self.entry);
        for (path, text) in &self.files {
            add(path);
            add(text);
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Bundle;

    fn bundle(files: &[(&str, &str)]) -> Bundle {
        Bundle {
            entry: "retail.yaml".to_owned(),
            files: files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn the_digest_tells_apart_what_concatenation_would_not() {
        let one = bundle(&[("a", "bc"), ("d", "")]);
        let other = bundle(&[("a", "b"), ("cd", "")]);
        assert_ne!(one.digest(), other.digest());
        assert_eq!(one.digest(), one.clone().digest());
    }
}
