//! `probe/memory`: takes memory that no query accounts for.

use std::time::Duration;

use async_trait::async_trait;
use marquetry_plugin::{StageContext, StageError, StageHandler, describe};
use marquetry_types::{Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;

const MIB: usize = 1024 * 1024;

/// How much.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// How much memory it takes, and writes to.
    mib: u32,
    /// How long it keeps it.
    #[serde(default)]
    milliseconds: u64,
}

pub(crate) struct Memory {
    descriptor: StageDescriptor,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let descriptor = describe::<Options>("probe/memory", 1, "takes memory").build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Memory {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, stage: StageContext) -> Result<Outcome, StageError> {
        let options: Options = stage.options()?;
        let mut taken: Vec<Vec<u8>> = Vec::new();
        for _ in 0..options.mib {
            let mut piece = Vec::new();
            piece.try_reserve_exact(MIB).map_err(|error| {
                StageError::invalid(codes::OUT_OF_MEMORY, format!("no memory to take: {error}"))
            })?;
            piece.resize(MIB, 1);
            taken.push(piece);
        }
        tokio::time::sleep(Duration::from_millis(options.milliseconds)).await;
        drop(taken);
        Ok(stage.finish())
    }
}
