//! `probe/echo`: says what it is told.

use std::panic::panic_any;

use async_trait::async_trait;
use marquetry_plugin::{StageContext, StageError, StageHandler, describe};
use marquetry_types::{LogLevel, Outcome, StageDescriptor, codes};
use schemars::JsonSchema;
use serde::Deserialize;

/// What to say, and how to end.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Said in the log, once as the message and once as a field.
    message: String,
    /// Fails with the message as its error.
    #[serde(default)]
    fails: bool,
    /// Panics with the message, on a thread of its own and then on the stage's.
    #[serde(default)]
    panics: bool,
}

pub(crate) struct Echo {
    descriptor: StageDescriptor,
}

impl Echo {
    pub(crate) fn new() -> Self {
        let descriptor = describe::<Options>("probe/echo", 1, "says what it is told")
            .pure()
            .metric("bytes", "bytes of the message")
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Echo {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    #[expect(clippy::panic, reason = "what follows from a panic is tried with it")]
    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let Options {
            message,
            fails,
            panics,
        } = stage.options()?;
        let field = serde_json::Value::from(message.as_str());
        stage.log(LogLevel::Info, &message, [("message", field)]);
        if panics {
            let told = message.clone();
            // Its panic is the point.
            let _ = std::thread::spawn(move || panic_any(told)).join();
            panic_any(message);
        }
        if fails {
            return Err(StageError::invalid(codes::STAGE_INTERNAL, message));
        }
        let bytes = u32::try_from(message.len()).unwrap_or(u32::MAX);
        stage.metric("bytes", bytes.into());
        Ok(stage.finish())
    }
}
