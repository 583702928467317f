//! What a stage kind is.

use async_trait::async_trait;
use marquetry_types::{Outcome, StageDescriptor};

use crate::{StageContext, StageError};

/// A stage kind.
#[async_trait]
pub trait StageHandler: Send + Sync {
    /// Name, version, JSON Schema of `with`, outputs and metrics.
    fn descriptor(&self) -> &StageDescriptor;

    /// Runs one attempt. It may be dropped at any point, and run again elsewhere.
    ///
    /// # Errors
    /// Says who must act, see [`StageError`].
    async fn run(&self, stage: StageContext) -> Result<Outcome, StageError>;
}
