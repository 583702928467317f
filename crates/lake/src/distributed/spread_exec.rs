//! The top of a plan that was cut: it tells losses of workers from other errors, and says at the end how
//! the query was spread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion_distributed::{
    DistributedMetricsFormat, NetworkBoundaryExt, rewrite_distributed_plan_with_metrics,
};
use futures::StreamExt;
use futures::stream;

use super::{PeerLost, QueryListener, QueryNote};

/// How long the figures of a query that has ended may take to come. A part that was never asked for rows has
/// none.
const FIGURES: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct SpreadExec {
    cut: Arc<dyn ExecutionPlan>,
    listener: QueryListener,
}

impl SpreadExec {
    pub(super) fn new(cut: Arc<dyn ExecutionPlan>, listener: QueryListener) -> Self {
        Self { cut, listener }
    }
}

impl fmt::Debug for SpreadExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SpreadExec")
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for SpreadExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SpreadExec")
    }
}

impl ExecutionPlan for SpreadExec {
    fn name(&self) -> &str {
        "SpreadExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.cut.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.cut]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([cut]) = <[_; 1]>::try_from(children) else {
            let what = "a plan that was cut is one plan".to_owned();
            return Err(DataFusionError::Internal(what));
        };
        Ok(Arc::new(Self::new(cut, Arc::clone(&self.listener))))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = self.cut.execute(partition, context)?;
        let schema = rows.schema();
        let has_failed = Arc::new(AtomicBool::new(false));
        let notices = Arc::clone(&has_failed);
        let rows = rows.map(move |batch| {
            batch.map_err(|error| {
                notices.store(true, Ordering::Relaxed);
                PeerLost::told_apart(error)
            })
        });
        let (cut, listener) = (Arc::clone(&self.cut), Arc::clone(&self.listener));
        let end = stream::once(async move {
            if !has_failed.load(Ordering::Relaxed) {
                listener(figures(cut).await);
            }
            None
        });
        let all = rows.chain(end.filter_map(std::future::ready));
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
            Box::pin(all),
        )))
    }
}

/// How a query was spread. What its workers counted is missing where it takes too long.
async fn figures(cut: Arc<dyn ExecutionPlan>) -> QueryNote {
    let (mut workers, mut tasks) = (0, 0);
    // Nothing in either walk fails.
    let _ = cut.apply(|node| {
        if let Some(boundary) = node.as_network_boundary() {
            let count = boundary.input_stage().task_count();
            workers = workers.max(count);
            tasks += count;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let counted = rewrite_distributed_plan_with_metrics(
        Arc::clone(&cut),
        DistributedMetricsFormat::Aggregated,
    );
    let counted = tokio::time::timeout(FIGURES, counted).await;
    let (mut rows, mut bytes) = (0, 0);
    if let Ok(Ok(counted)) = counted {
        let _ = counted.apply(|node| {
            let metrics = node.metrics().unwrap_or_default();
            let on_the_way = metrics.sum(|metric| {
                matches!(metric.value(), MetricValue::Custom { name, .. } if name == "bytes_transferred")
            });
            // Only what gathers rows from others counts bytes on the way.
            if let Some(MetricValue::Custom { value, .. }) = on_the_way {
                bytes += value.as_usize();
                rows += metrics.output_rows().unwrap_or(0);
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    QueryNote::Spread {
        workers,
        tasks,
        rows,
        bytes,
    }
}
