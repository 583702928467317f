//! `probe/crash`: ends its process.

use async_trait::async_trait;
use marquetry_plugin::{StageContext, StageError, StageHandler, describe};
use marquetry_types::{Outcome, StageDescriptor};
use schemars::JsonSchema;
use serde::Deserialize;

/// There is nothing to choose.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {}

pub(crate) struct Crash {
    descriptor: StageDescriptor,
}

impl Crash {
    pub(crate) fn new() -> Self {
        let descriptor = describe::<Options>("probe/crash", 1, "ends its process").build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Crash {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, stage: StageContext) -> Result<Outcome, StageError> {
        stage.options::<Options>()?;
        std::process::abort()
    }
}
