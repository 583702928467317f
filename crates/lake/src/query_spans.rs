//! A span for each query of a session, from its planning until its last row.
//!
//! Only where somebody exports traces: otherwise sessions and plans are what they are without it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{
    RecordBatchStream, SendableRecordBatchStream, SessionStateBuilder, TaskContext,
};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use datafusion::prelude::SessionContext;
use futures::Stream;
use marquetry_types::SPAN_TARGET;
use tracing::Span;
use tracing::field::Empty;

/// The session, with a span for each of its queries where somebody exports them.
pub(crate) fn with_spans(session: SessionContext) -> SessionContext {
    if !tracing::span_enabled!(target: SPAN_TARGET, tracing::Level::INFO) {
        return session;
    }
    let state = session.state();
    let planner = Arc::new(TracingPlanner(Arc::clone(state.query_planner())));
    let state = SessionStateBuilder::new_from_existing(state).with_query_planner(planner);
    SessionContext::new_with_state(state.build())
}

/// Plans as another planner does, in a span.
#[derive(Debug)]
struct TracingPlanner(Arc<dyn QueryPlanner + Send + Sync>);

#[async_trait]
impl QueryPlanner for TracingPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Values may be customers' own: the plan is told by its kind and by its tables.
        let span = tracing::info_span!(
            target: SPAN_TARGET, "query", operation = operation(plan), tables = tables(plan),
            partitions = Empty, rows = Empty, error = Empty,
        );
        let planned = self.0.create_physical_plan(plan, session).await;
        match planned {
            Ok(input) => {
                let partitions = input.output_partitioning().partition_count();
                span.record("partitions", partitions);
                let query = Arc::new(Query {
                    span: Mutex::new(Some(span)),
                    open: AtomicUsize::new(partitions),
                    rows: AtomicU64::new(0),
                });
                Ok(Arc::new(TracedExec { input, query }))
            }
            Err(error) => {
                span.record("error", error.strip_backtrace());
                Err(error)
            }
        }
    }
}

/// What a plan does last, as in `Aggregate`.
fn operation(plan: &LogicalPlan) -> String {
    let shown = plan.display().to_string();
    let end = shown.find([':', ' ']).unwrap_or(shown.len());
    shown.chars().take(end).collect()
}

/// The names of the tables that it reads, by commas.
fn tables(plan: &LogicalPlan) -> String {
    use datafusion::common::tree_node::TreeNode;
    let mut names = Vec::new();
    // Nothing fails here.
    let _ = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            names.push(scan.table_name.to_string());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    names.join(", ")
}

/// A query under way.
#[derive(Debug)]
struct Query {
    /// Until the last partition has ended.
    span: Mutex<Option<Span>>,
    /// Partitions that have not ended.
    open: AtomicUsize,
    rows: AtomicU64,
}

impl Query {
    fn failed(&self, error: &str) {
        let span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(span) = &*span {
            span.record("error", error);
        }
    }

    fn partition_ended(&self, rows: u64) {
        let all = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let open = self.open.fetch_sub(1, Ordering::AcqRel);
        if open == 1 {
            let span = self
                .span
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(span) = span {
                span.record("rows", all);
            }
        }
    }
}

/// A whole query. To whoever asks what a plan is, it is what it holds.
#[derive(Debug)]
struct TracedExec {
    input: Arc<dyn ExecutionPlan>,
    query: Arc<Query>,
}

impl DisplayAs for TracedExec {
    fn fmt_as(
        &self,
        _form: DisplayFormatType,
        formatter: &mut std::fmt::Formatter<'_>,
    ) -> std::fmt::Result {
        formatter.write_str("TracedExec")
    }
}

impl ExecutionPlan for TracedExec {
    fn name(&self) -> &str {
        "TracedExec"
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(self.input.as_ref())
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Whoever rewrites the plan keeps its only child.
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        let query = Arc::clone(&self.query);
        Ok(Arc::new(Self { input, query }))
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let inner = self.input.execute(partition, task)?;
        let query = Arc::clone(&self.query);
        let traced = TracedStream {
            inner,
            query,
            rows: 0,
        };
        Ok(Box::pin(traced))
    }
}

/// One partition of a query.
struct TracedStream {
    inner: SendableRecordBatchStream,
    query: Arc<Query>,
    rows: u64,
}

impl Stream for TracedStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.inner.as_mut().poll_next(context);
        match &polled {
            Poll::Ready(Some(Ok(batch))) => self.rows += batch.num_rows() as u64,
            Poll::Ready(Some(Err(error))) => self.query.failed(&error.strip_backtrace()),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }
}

impl RecordBatchStream for TracedStream {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}

impl Drop for TracedStream {
    fn drop(&mut self) {
        self.query.partition_ended(self.rows);
    }
}
