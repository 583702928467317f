//! Whether a plan means the same in another process.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::DistributedCodec;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};

use super::Functions;

/// Rows in memory beyond this are not sent about with a plan.
const IN_MEMORY_BYTES: usize = 16 * 1024 * 1024;

/// Writes the plan and reads it as a data plane would, which knows no functions but the engine's own and
/// these.
///
/// # Errors
/// Why it cannot be sent.
pub(super) fn check(
    plan: &Arc<dyn ExecutionPlan>,
    session: &dyn Session,
    functions: &Functions,
) -> Result<(), String> {
    let held = in_memory(plan);
    if held > IN_MEMORY_BYTES {
        return Err(format!("it reads {held} bytes that are in memory"));
    }
    let reason = |error: datafusion::error::DataFusionError| {
        let why = error.strip_backtrace();
        format!("a part of it has no meaning on another worker: {why}")
    };
    let codec = DistributedCodec::new_combined_with_user(session.config());
    let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(plan), &codec);
    let bytes = bytes.map_err(reason)?;
    let elsewhere = SessionStateBuilder::new()
        .with_default_features()
        .with_runtime_env(Arc::clone(session.runtime_env()));
    let elsewhere = functions.known_to(elsewhere).build();
    let read = physical_plan_from_bytes_with_extension_codec(&bytes, &elsewhere.task_ctx(), &codec);
    read.map_err(reason).map(drop)
}

/// Bytes of rows that the plan itself holds.
fn in_memory(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let mut bytes = 0;
    // Nothing in it fails.
    let _ = plan.apply(|node| {
        if let Some(source) = node.downcast_ref::<DataSourceExec>()
            && let Some(rows) = source.data_source().downcast_ref::<MemorySourceConfig>()
        {
            let batches = rows.partitions().iter().flatten();
            bytes += batches
                .map(|batch| batch.get_array_memory_size())
                .sum::<usize>();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    bytes
}
