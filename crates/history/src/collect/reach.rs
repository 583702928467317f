//! Which files are referred to.

use std::collections::HashSet;

use marquetry_lake::{FileLocation, Lake, LakeError};
use marquetry_types::{DatasetRef, Outcome};

use crate::HistoryError;

/// Paths that something refers to.
#[derive(Debug)]
pub(super) struct Reached {
    lake: Lake,
    paths: HashSet<String>,
}

impl Reached {
    pub(super) fn new(lake: Lake) -> Self {
        Self {
            lake,
            paths: HashSet::new(),
        }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Adds what an outcome refers to.
    pub(super) async fn outcome(&mut self, outcome: &Outcome) -> Result<(), HistoryError> {
        for artifact in &outcome.artifacts {
            self.paths.insert(artifact.path.clone());
        }
        for dataset in outcome.outputs.values() {
            self.dataset(dataset).await?;
        }
        Ok(())
    }

    /// Adds a dataset. Of one that is damaged already the manifest stays, for who looks into it.
    pub(super) async fn dataset(&mut self, dataset: &DatasetRef) -> Result<(), HistoryError> {
        if !self.paths.insert(dataset.manifest.clone()) {
            return Ok(());
        }
        let manifest = match self.lake.manifest(dataset).await {
            Ok(manifest) => manifest,
            Err(LakeError::Damaged { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for file in manifest.files {
            if let FileLocation::InLake { path } = file.location {
                self.paths.insert(path);
            }
        }
        Ok(())
    }
}
