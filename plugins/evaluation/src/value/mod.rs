//! The stage kind `evaluation/value`.

mod figures;
mod options;
mod panels;
mod query;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use jiff::Timestamp;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::{KeyedRows, Wanted, check_usable};
use marquetry_types::{Outcome, StageDescriptor, codes};
use serde_json::json;

use crate::assignment::{Assignment, SEGMENT, check_key};
use crate::float;
use figures::Figures;
use options::{ValueOptions, Window};

const DESCRIPTION: &str = "\
Says what the customers of each segment did and brought in over a window that lies after the segmentation was made: \
that segments differ in what they were made from says nothing, that they differ in what came next does.\n\n\
Orders are lines grouped by customer and `order_id`, and in the window if their first line is. Cancelled lines and \
lines without a customer do not count. profit is margin x revenue - cost_per_order x orders; with the defaults it is \
revenue. active_share is the share of customers with an order in the window, with Wilson's 95 % interval (1927); \
repeat_share is the share of those who ordered twice or more. profit_low and profit_high are the mean plus and \
minus 1.96 standard errors, null of one customer. lift is profit_share over customer_share. first_order_days is the \
median of days from `from` to the first order, of those who ordered. Customers without an order count as 0.\n\n\
concentration is the Gini coefficient of profit between segments: 0 where each earns its share of customers; it is \
left out where a segment made a loss. Shares of profit are null where there is none in all. Everything per line runs \
as queries that spill; one row per customer is held in memory.";

const EXAMPLE: &str = "\
assignment: ${{ tables.segments }}
orders: ${{ stages.orders }}
cancelled: cancelled
from: 2025-01-01
until: 2025-04-01
margin: 0.35
cost_per_order: 4.5
";

/// `evaluation/value`.
#[derive(Debug)]
pub(crate) struct Value {
    descriptor: StageDescriptor,
}

impl Default for Value {
    fn default() -> Self {
        let summary = "say what each segment brought in and who came back, over a later window";
        let descriptor = describe::<ValueOptions>("evaluation/value", 1, summary)
            .description(DESCRIPTION)
            .output(
                "segments",
                "segment, customers, active, orders, active_share with active_low and active_high, repeat_share, \
                 orders_per_customer, first_order_days, revenue, revenue_per_customer, profit, profit_per_customer \
                 with profit_low and profit_high, customer_share, profit_share, lift",
            )
            .output(
                "customers",
                "the key, segment (null for customers without one), orders, revenue, profit, first_order_days; by the key",
            )
            .metric("customers", "customers who have a segment")
            .metric("active_share", "share of them who ordered in the window, 0 to 1")
            .metric("orders", "their orders in the window")
            .metric("revenue_total", "their revenue in the window")
            .metric("profit_total", "their profit in the window")
            .metric("concentration", "Gini coefficient of profit between segments, 0 is even")
            .metric("orders_without_segment", "orders in the window of customers who have no segment")
            .metric("lines_without_customer", "lines left out because nobody knows whose they are")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for Value {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: ValueOptions = stage.options()?;
        let window = options.window()?;
        let taken = [SEGMENT, "orders", "revenue", "profit", "first_order_days"];
        check_key(&options.key, &taken)?;
        register(&stage, &options).await?;
        let overview = Overview::read(&stage).await?;
        overview.check(&options)?;
        stage.check_cancelled()?;

        let customers = query::customers(window, &options);
        let customers = stage.session().sql(&customers).await?;
        let customers = Input(stage.write("customers", customers).await?);
        let wanted = Wanted {
            // Whoever stands in it twice stood in the assignment twice.
            option: "assignment",
            input: &customers,
            key: &options.key,
            columns: None,
        };
        let rows = KeyedRows::read(&stage, wanted).await?;
        let assignment = Assignment::of("assignment", &rows)?;
        let figures = Figures::new(&rows, &assignment)?;

        let segments = figures.batch(&assignment.names)?;
        stage
            .write_batches("segments", segments.schema(), vec![segments])
            .await?;
        report(&mut stage, &figures, &overview, window);
        let (shown, profit) = (shown(window), profit_note(&options));
        for panel in panels::all(&figures, &assignment.names, &shown, &profit) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

/// Makes lines and assignment known to the session.
async fn register(stage: &StageContext, options: &ValueOptions) -> Result<(), StageError> {
    let orders = stage.table(&options.orders).await?;
    let lines = query::lines(orders, options)?;
    let schema = lines.schema().as_arrow().clone();
    let assignment = stage.table(&options.assignment).await?;
    let assignment = query::assignment(assignment, options, &schema)?;
    let session = stage.session();
    session.register_table(query::LINES, lines.into_view())?;
    session.register_table(query::ASSIGNMENT, assignment.into_view())?;
    Ok(())
}

/// What is true of all lines.
struct Overview {
    without_customer: i64,
    /// When the last line was that counts, in microseconds since 1970.
    last: Option<i64>,
    /// Lines without a usable order, quantity, price and time.
    unusable: [i64; 4],
}

impl Overview {
    async fn read(stage: &StageContext) -> Result<Self, StageError> {
        let found = stage.session().sql(&query::overview()).await?;
        let batches = found.collect().await?;
        let cell = |column: usize| -> Option<i64> {
            let batch: &RecordBatch = batches.iter().find(|batch| batch.num_rows() > 0)?;
            let numbers = batch.columns().get(column)?;
            let numbers = numbers.as_primitive_opt::<Int64Type>()?;
            numbers.is_valid(0).then(|| numbers.value(0))
        };
        let count = |column| {
            cell(column).ok_or_else(|| {
                StageError::invalid(codes::STAGE_INTERNAL, "a count of lines has no result")
            })
        };
        Ok(Self {
            without_customer: count(0)?,
            last: cell(1),
            unusable: [count(2)?, count(3)?, count(4)?, count(5)?],
        })
    }

    fn check(&self, options: &ValueOptions) -> Result<(), StageError> {
        let columns = &options.columns;
        let amount = columns.amount.as_ref();
        let names = [
            &columns.order_id,
            &columns.quantity,
            amount.unwrap_or(&columns.unit_price),
            &columns.ts,
        ];
        let unusable: Vec<_> = names
            .into_iter()
            .map(String::as_str)
            .zip(self.unusable)
            .collect();
        check_usable("orders", &unusable)
    }
}

/// Metrics and remarks.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn report(stage: &mut StageContext, figures: &Figures, overview: &Overview, window: Window) {
    stage.metric("customers", float(figures.customers));
    if figures.customers > 0 {
        let share = float(figures.active) / float(figures.customers);
        stage.metric("active_share", share);
    }
    stage.metric("orders", float(figures.orders));
    stage.metric("revenue_total", figures.revenue);
    stage.metric("profit_total", figures.profit);
    if let Some(concentration) = figures.concentration {
        stage.metric("concentration", concentration);
    }
    let without = figures.orders_without_segment;
    stage.metric("orders_without_segment", float(without));
    stage.metric("lines_without_customer", overview.without_customer as f64);
    if overview.without_customer > 0 {
        let fields = [("lines", json!(overview.without_customer))];
        let message = "lines without a customer are left out";
        stage.log(LogLevel::Warn, message, fields);
    }
    if without > 0 {
        let fields = [("orders", json!(without))];
        let message = "orders of customers without a segment are left out";
        stage.log(LogLevel::Info, message, fields);
    }
    if figures.customers == 0 {
        stage.log(LogLevel::Warn, "no customer has a segment", []);
    }
    // Nobody can tell a quiet end from missing data, so it is said.
    if overview.last.is_none_or(|last| last < window.from) {
        stage.log(LogLevel::Warn, "there are no orders in the window", []);
    } else if figures.orders + without == 0 {
        stage.log(LogLevel::Warn, "no order began in the window", []);
    }
}

fn shown(window: Window) -> String {
    let at = |micros: i64| {
        Timestamp::from_microsecond(micros).map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"))
    };
    format!("from {} until {}", at(window.from), at(window.until))
}

/// What profit means, for the report.
fn profit_note(options: &ValueOptions) -> String {
    let mut note = if options.margin < 1.0 {
        format!("{} % of revenue", 100.0 * options.margin)
    } else {
        "all of the revenue, as no margin is given".to_owned()
    };
    if options.cost_per_order > 0.0 {
        note = format!("{note}, less {} an order", options.cost_per_order);
    }
    note
}
