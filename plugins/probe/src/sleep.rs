//! `probe/sleep`: takes time, with or without an ear for cancellation.

use std::time::Duration;

use async_trait::async_trait;
use marquetry_plugin::{StageContext, StageError, StageHandler, describe};
use marquetry_types::{Outcome, StageDescriptor};
use schemars::JsonSchema;
use serde::Deserialize;

/// How long, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// How long it takes.
    milliseconds: u64,
    /// Blocks its thread all the while, and does not notice when it is asked to end.
    #[serde(default)]
    blocks: bool,
}

pub(crate) struct Sleep {
    descriptor: StageDescriptor,
}

impl Sleep {
    pub(crate) fn new() -> Self {
        let descriptor = describe::<Options>("probe/sleep", 1, "takes time")
            .pure()
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Sleep {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, stage: StageContext) -> Result<Outcome, StageError> {
        let options: Options = stage.options()?;
        let time = Duration::from_millis(options.milliseconds);
        if options.blocks {
            std::thread::sleep(time);
            return Ok(stage.finish());
        }
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(stage.finish()),
            () = stage.cancellation().cancelled() => Err(StageError::Cancelled),
        }
    }
}
