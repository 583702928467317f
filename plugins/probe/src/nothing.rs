//! `probe/nothing`: succeeds at once.

use async_trait::async_trait;
use marquetry_plugin::{StageContext, StageError, StageHandler, describe};
use marquetry_types::{Outcome, StageDescriptor};
use schemars::JsonSchema;
use serde::Deserialize;

/// There is nothing to choose.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {}

pub(crate) struct Nothing {
    descriptor: StageDescriptor,
}

impl Nothing {
    pub(crate) fn new() -> Self {
        let descriptor = describe::<Options>("probe/nothing", 1, "succeeds at once").build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Nothing {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, stage: StageContext) -> Result<Outcome, StageError> {
        stage.options::<Options>()?;
        Ok(stage.finish())
    }
}
