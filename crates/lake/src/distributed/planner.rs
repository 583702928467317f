//! Whether a query is spread, and what becomes of its plan.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion_distributed::{DistributedExec, SessionStateBuilderExt};

use super::portable::check;
use super::spread_exec::SpreadExec;
use super::{Functions, QueryListener, QueryNote};

/// Plans a query as always, then lets the engine cut the plan. One that the engine does not cut, or that
/// cannot be sent, stays as it was.
pub(super) struct SpreadPlanner {
    listener: QueryListener,
    functions: Functions,
}

impl SpreadPlanner {
    pub(super) fn new(listener: QueryListener, functions: Functions) -> Self {
        Self {
            listener,
            functions,
        }
    }

    fn keep_local(&self, reason: String) {
        (self.listener)(QueryNote::KeptLocal { reason });
    }
}

impl fmt::Debug for SpreadPlanner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SpreadPlanner")
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl QueryPlanner for SpreadPlanner {
    async fn create_physical_plan(
        &self,
        query: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::default();
        let local = planner.create_physical_plan(query, session).await?;
        // The engine's planner is within reach only through a builder, and plans anew what it is not given.
        let given = Arc::new(Given(Arc::clone(&local)));
        let mut builder = SessionStateBuilder::new()
            .with_query_planner(given)
            .with_distributed_planner();
        let Some(planner) = builder.query_planner().take() else {
            return Ok(local);
        };
        let cut = match planner.create_physical_plan(query, session).await {
            Ok(cut) if cut.is::<DistributedExec>() => cut,
            Ok(_) => return Ok(local),
            Err(error) => {
                self.keep_local(format!("it cannot be cut: {}", error.strip_backtrace()));
                return Ok(local);
            }
        };
        if let Err(reason) = check(&local, session, &self.functions) {
            self.keep_local(reason);
            return Ok(local);
        }
        Ok(Arc::new(SpreadExec::new(cut, Arc::clone(&self.listener))))
    }
}

/// Plans nothing: the plan is there.
#[derive(Debug)]
struct Given(Arc<dyn ExecutionPlan>);

#[async_trait]
impl QueryPlanner for Given {
    async fn create_physical_plan(
        &self,
        _: &LogicalPlan,
        _: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::clone(&self.0))
    }
}
