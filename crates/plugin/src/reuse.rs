//! `dataset/reuse`: whether what another attempt gave is still there, to be used again.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use marquetry_lake::{FileLocation, Lake};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{StageContext, StageError, StageHandler, describe};

/// Objects that are looked at at a time.
const AT_ONCE: usize = 32;

/// What is looked at; the coordinator says it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What the other attempt gave.
    outcome: Value,
}

/// The stage kind that every registry has.
pub(crate) struct Reuse {
    descriptor: StageDescriptor,
}

impl Reuse {
    pub(crate) fn handler() -> Arc<dyn StageHandler> {
        let summary = "looks whether what was computed before is still there";
        let descriptor = describe::<Options>("dataset/reuse", 1, summary)
            .description(
                "The coordinator runs it by itself for a stage with cache whose content was computed before. It reads \
                 the manifests and looks for their objects, and gives the very outcome; no row is read.",
            )
            .build();
        Arc::new(Self { descriptor })
    }
}

#[async_trait]
impl StageHandler for Reuse {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, stage: StageContext) -> Result<Outcome, StageError> {
        let Options { outcome } = stage.options()?;
        let outcome: Outcome = serde_json::from_value(outcome).map_err(|error| {
            let message = format!("the outcome cannot be understood: {error}");
            StageError::invalid(codes::STAGE_OPTIONS, message)
        })?;
        let lake = stage.lake();
        let objects = objects_of(lake, &outcome).await?;
        futures::stream::iter(objects)
            .map(|(path, bytes)| async move { look(lake, &path, bytes).await })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(outcome)
    }
}

/// The objects in the lake that an outcome needs, with their sizes. What lies at its source is looked at by
/// whoever reads it.
async fn objects_of(lake: &Lake, outcome: &Outcome) -> Result<Vec<(String, u64)>, StageError> {
    let artifacts = outcome.artifacts.iter();
    let mut objects: Vec<_> = artifacts.map(|it| (it.path.clone(), it.bytes)).collect();
    for dataset in outcome.outputs.values() {
        for file in lake.manifest(dataset).await?.files {
            if let FileLocation::InLake { path } = file.location {
                objects.push((path, file.bytes));
            }
        }
    }
    Ok(objects)
}

async fn look(lake: &Lake, path: &str, bytes: u64) -> Result<(), StageError> {
    let what = match lake.size(path).await? {
        Some(size) if size == bytes => return Ok(()),
        Some(size) => format!("`{path}` has {size} bytes and should have {bytes}"),
        None => format!("`{path}` is gone"),
    };
    let message = format!("what was computed before is not there any more: {what}");
    Err(StageError::invalid(codes::DAMAGED_DATASET, message)
        .help("the stage is computed anew; nothing is to be done"))
}
