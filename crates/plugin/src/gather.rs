//! `dataset/gather`: what the items of a `for_each` stage gave, as one dataset for each output.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use marquetry_lake::{Lake, Manifest};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Input, StageContext, StageError, StageHandler, describe};

/// Manifests that are read at a time.
const AT_ONCE: usize = 32;

/// What is gathered; the coordinator says it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// How many items there were.
    items: u64,
    /// By output, the datasets to be one, in the order of the items.
    outputs: BTreeMap<String, Vec<Input>>,
}

/// The stage kind that every registry has.
pub(crate) struct Gather {
    descriptor: StageDescriptor,
}

impl Gather {
    pub(crate) fn handler() -> Arc<dyn StageHandler> {
        let summary = "makes one dataset of those that the items of a for_each stage gave";
        let descriptor = describe::<Options>("dataset/gather", 1, summary)
            .description(
                "The coordinator runs it by itself when the items of a stage have succeeded. The dataset points at \
                 the objects of the items', in the order of the list: no row is copied. Their columns must be the \
                 same.",
            )
            .metric("items", "items that were gathered")
            .build();
        Arc::new(Self { descriptor })
    }
}

#[async_trait]
impl StageHandler for Gather {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let Options { items, outputs } = stage.options()?;
        for (output, datasets) in outputs {
            let manifest = gathered(stage.lake(), &output, datasets).await?;
            stage.check_cancelled()?;
            let prefix = format!("{}/{output}", Lake::attempt_prefix(stage.attempt()));
            let dataset = stage.lake().commit_manifest(&prefix, &manifest).await?;
            stage.adopt(&output, dataset);
        }
        #[expect(clippy::cast_precision_loss, reason = "there are a few thousand")]
        stage.metric("items", items as f64);
        Ok(stage.finish())
    }
}

/// One manifest of many.
async fn gathered(lake: &Lake, output: &str, datasets: Vec<Input>) -> Result<Manifest, StageError> {
    let manifests: Vec<Manifest> = futures::stream::iter(datasets)
        .map(|Input(dataset)| async move { lake.manifest(&dataset).await })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut manifests = manifests.into_iter().enumerate();
    let Some((_, mut all)) = manifests.next() else {
        let message = format!("no item gave an output `{output}`");
        return Err(StageError::invalid(codes::STAGE_OPTIONS, message));
    };
    for (place, manifest) in manifests {
        if manifest.schema.fields() != all.schema.fields() {
            let message = format!(
                "the columns of output `{output}` of item {place} are not those of item 0: {}, where they are {}",
                columns(&manifest),
                columns(&all)
            );
            return Err(StageError::invalid(codes::COLUMN_MISMATCH, message)
                .help("let every item give the same columns, of the same types"));
        }
        all.rows = all.rows.saturating_add(manifest.rows);
        all.files.extend(manifest.files);
    }
    Ok(all)
}

fn columns(manifest: &Manifest) -> String {
    let fields = manifest.schema.fields().iter();
    let fields: Vec<String> = fields
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    fields.join(", ")
}
