//! A table of history as queries see it: the latest state of each run, from the archive and from the journal.
//!
//! The archive lies in a folder for each day on which runs finished. Nothing of a run happens after its end, and a
//! run that went on ends later than before. So a query for what happened since an instant needs no folder of an
//! earlier day, and the latest state of whatever it asks for is in what is left. There is no such bound from above:
//! an earlier state of a run must not come back because its later one is not read.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, Operator,
    TableProviderFilterPushDown, TableType, TryCast, WindowFunctionDefinition, col, lit,
};
use datafusion::physical_plan::ExecutionPlan;

/// The partition of the archive.
pub(crate) const DAY: &str = "date";
/// Instants that are never after the end of their run.
const WITHIN_A_RUN: [&str; 4] = ["submitted_at", "started_at", "finished_at", "ended_at"];
/// Columns that no query can mean.
const PLACE: &str = "\u{1}place";
const LAST: &str = "\u{1}last";

/// A table of history.
#[derive(Debug)]
pub(crate) struct Latest {
    /// What rows are about; of each there is one.
    pub(crate) keys: &'static [&'static str],
    pub(crate) schema: SchemaRef,
    /// What is in the lake, with a column for the day.
    pub(crate) archived: Arc<dyn TableProvider>,
    /// What is not there yet, or not in its latest state.
    pub(crate) unarchived: Arc<dyn TableProvider>,
}

impl Latest {
    fn plan(&self, since: Option<i32>) -> Result<LogicalPlan> {
        let columns: Vec<Expr> = self
            .schema
            .fields()
            .iter()
            .map(|it| col(it.name()))
            .collect();
        let mut archived = LogicalPlanBuilder::scan(
            "archived",
            provider_as_source(Arc::clone(&self.archived)),
            None,
        )?;
        if let Some(day) = since {
            archived = archived.filter(col(DAY).gt_eq(lit(ScalarValue::Date32(Some(day)))))?;
        }
        let source = provider_as_source(Arc::clone(&self.unarchived));
        let unarchived = LogicalPlanBuilder::scan("unarchived", source, None)?;
        let unarchived = unarchived.project(columns.clone())?.build()?;
        let keys = self.keys.iter().map(|key| col(*key)).collect();
        let place = row_number()
            .partition_by(keys)
            .order_by(vec![col("sequence").sort(false, false)])
            .build()?
            .alias(PLACE);
        let all = archived.project(columns.clone())?.union(unarchived)?;
        let latest = all.window(vec![place])?.filter(col(PLACE).eq(lit(1_u64)))?;
        let latest = match self.keys {
            ["run"] => latest,
            // Of a run that went on after it was archived, parts of an earlier state need not be there any more.
            _ => {
                let last = WindowFunctionDefinition::AggregateUDF(max_udaf());
                let last = Expr::from(WindowFunction::new(last, vec![col("sequence")]))
                    .partition_by(vec![col("run")])
                    .build()?
                    .alias(LAST);
                let latest = latest.window(vec![last])?;
                latest.filter(col("sequence").eq(col(LAST)))?
            }
        };
        latest.project(columns)?.build()
    }
}

#[async_trait]
impl TableProvider for Latest {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let supported = filters.iter().map(|filter| match since(filter) {
            // Whole days are left out.
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        });
        Ok(supported.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.plan(filters.iter().filter_map(since).max())?;
        let mut plan = LogicalPlanBuilder::from(plan);
        if let Some(projection) = projection {
            plan = plan.select(projection.iter().copied())?;
        }
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        state.create_physical_plan(&plan.build()?).await
    }
}

/// The first day, counted from 1970, on which a run can have finished that this holds for; none if any can.
fn since(filter: &Expr) -> Option<i32> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Gt | Operator::GtEq => bound(left, right),
            Operator::Lt | Operator::LtEq => bound(right, left),
            Operator::Eq => bound(left, right).or_else(|| bound(right, left)),
            Operator::And => since(left).max(since(right)),
            _ => None,
        },
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            ..
        }) => bound(expr, low),
        _ => None,
    }
}

/// The day of an instant that a column is not before.
fn bound(column: &Expr, instant: &Expr) -> Option<i32> {
    const SECONDS: i64 = 24 * 3600;
    let Expr::Literal(instant, _) = instant else {
        return None;
    };
    if !is_within_a_run(column) {
        return None;
    }
    let day = match instant {
        ScalarValue::Date32(day) => return *day,
        ScalarValue::TimestampSecond(at, _) => at.map(|at| at.div_euclid(SECONDS)),
        ScalarValue::Date64(at) | ScalarValue::TimestampMillisecond(at, _) => {
            at.map(|at| at.div_euclid(SECONDS * 1_000))
        }
        ScalarValue::TimestampMicrosecond(at, _) => at.map(|at| at.div_euclid(SECONDS * 1_000_000)),
        ScalarValue::TimestampNanosecond(at, _) => {
            at.map(|at| at.div_euclid(SECONDS * 1_000_000_000))
        }
        _ => None,
    };
    i32::try_from(day?).ok()
}

fn is_within_a_run(column: &Expr) -> bool {
    match column {
        Expr::Column(column) => WITHIN_A_RUN.contains(&column.name.as_str()),
        // Units and days: what is later stays later.
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            let kind = field.data_type();
            is_within_a_run(expr) && kind.is_temporal()
        }
        _ => false,
    }
}
