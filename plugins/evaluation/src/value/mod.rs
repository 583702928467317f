//! The stage kind `evaluation/value`.

mod options;
mod output;
mod panels;
mod worth;

use async_trait::async_trait;
use marquetry_plugin::{Input, LogLevel, StageContext, StageError, StageHandler, describe};
use marquetry_rows::orders::{OrderLines, Overview, lines};
use marquetry_rows::{KeyedRows, Wanted};
use marquetry_types::{Outcome, StageDescriptor};
use serde_json::json;

use crate::assignment::{Assignment, check_alike};
use options::{ValueOptions, Window};
use worth::Worth;

const DESCRIPTION: &str = "\
Says what the customers of each segment did and brought in over a window of time, as a rule one after the segments \
were made: whether a segment that looks valuable is.\n\n\
Orders are lines grouped by customer and `order_id`, as in features/customer; an order belongs to the window if its \
first line is from `from` on and before `until`. Cancelled lines and lines without a customer count nowhere; returns \
lower revenue. A customer's profit is `margin` x revenue - `cost_per_order` x orders; with the defaults that is \
revenue. Customers without an order count with 0, so figures per customer are over all customers of a segment.\n\n\
active_share, the share of customers with an order, has Wilson's 95 % score interval (1927). profit_per_customer has \
the normal one, 1.96 standard errors of the mean either way: trust it from some hundred customers on, as money is \
skewed. share_of_profit is of the profit of all segments, and null where that is not above 0; above the \
share_of_customers a segment earns more than its size, by `lift`, the one over the other. concentration is the Gini \
coefficient of profit between segments (1912): 0 where each earns its share of customers; it is left out where a \
segment made a loss or none earned anything. repeat_share is the share of active customers with two orders or more. \
first_order_days are days from `from` to a customer's first order; a segment's is the median of those who ordered.\n\n\
Queries over the lines spill; the assignment and the customers with orders are in memory.";

const EXAMPLE: &str = "\
assignment: ${{ stages.segments }}
orders: ${{ stages.orders }}
from: 2011-09-01
until: 2011-12-01
timezone: Europe/London
margin: 0.35
cost_per_order: 4.5
";

/// The name under which the session knows the lines.
const LINES: &str = "marquetry_value_lines";

/// `evaluation/value`.
#[derive(Debug)]
pub(crate) struct ValueStage {
    descriptor: StageDescriptor,
}

impl Default for ValueStage {
    fn default() -> Self {
        let summary =
            "say what the customers of each segment did and brought in over a window of time";
        let descriptor = describe::<ValueOptions>("evaluation/value", 1, summary)
            .pure()
            .description(DESCRIPTION)
            .output(
                "segments",
                "segment, customers, share_of_customers, active_customers, active_share with its interval, orders, \
                 orders_per_customer, repeat_share, first_order_days, revenue, profit, profit_per_customer with its interval, \
                 share_of_profit, lift",
            )
            .output(
                "customers",
                "a row per customer with an order in the window: the key, orders, revenue, profit, first_order_days",
            )
            .metric("customers", "customers that have a segment")
            .metric("orders", "their orders in the window")
            .metric("revenue_total", "their revenue, in the money of the orders")
            .metric("profit_total", "their profit, in the money of the orders")
            .metric("active_share", "share of them that ordered, 0 to 1")
            .metric("concentration", "Gini coefficient of profit between segments, 0 is even")
            .example(EXAMPLE)
            .build();
        Self { descriptor }
    }
}

#[async_trait]
impl StageHandler for ValueStage {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: ValueOptions = stage.options()?;
        let window = options.window()?;
        let (keys, assignment) =
            Assignment::read_all(&stage, "assignment", &options.assignment, &options.key).await?;
        let orders = ordered(&mut stage, &options, window).await?;
        check_alike(("assignment", &keys), ("orders", orders.keys()))?;

        let found = keys.find_in(orders.keys());
        let strangers = orders.len()
            - assignment
                .rows
                .iter()
                .filter(|row| found[**row].is_some())
                .count();
        if strangers > 0 {
            let fields = [("customers", json!(strangers)), ("of", json!(orders.len()))];
            let message = "customers that ordered in the window have no segment and count nowhere";
            stage.log(LogLevel::Warn, message, fields);
        }
        let worth = Worth::new(&assignment, &found, &orders)?;
        let segments = output::segments(&worth, &assignment.names)?;
        stage
            .write_batches("segments", segments.schema(), vec![segments])
            .await?;
        report(&mut stage, &worth);
        for panel in panels::all(&worth, &assignment.names, &options) {
            stage.panel(&panel).await?;
        }
        Ok(stage.finish())
    }
}

/// The output `customers`, written and read again: sorted, and within the stage's memory.
async fn ordered(
    stage: &mut StageContext,
    options: &ValueOptions,
    window: Window,
) -> Result<KeyedRows, StageError> {
    let frame = stage.table(&options.orders).await?;
    let wanted = OrderLines {
        columns: &options.columns,
        cancelled: options.cancelled.as_deref(),
        timezone: &options.timezone,
        with_products: false,
        top: &[],
    };
    let frame = lines(frame, &wanted)?;
    stage.session().register_table(LINES, frame.into_view())?;
    Overview::read(stage, LINES)
        .await?
        .check(&options.columns)?;
    stage.check_cancelled()?;
    let query = query(options, window);
    let customers = stage.session().sql(&query).await?;
    let customers = Input(stage.write("customers", customers).await?);
    let wanted = Wanted {
        option: "orders",
        input: &customers,
        key: &options.key,
        columns: None,
    };
    KeyedRows::read(stage, wanted).await
}

/// One row per customer with an order in the window.
fn query(options: &ValueOptions, window: Window) -> String {
    let Window { from, until } = window;
    let (margin, cost) = (options.margin, options.cost_per_order);
    let key = options.key.replace('"', "\"\"");
    format!(
        "WITH orders AS (SELECT customer_id, order_id, CAST(min(ts) AS BIGINT) AS began, \
                sum(CAST(quantity AS DOUBLE) * unit_price) AS amount \
             FROM {LINES} WHERE customer_id IS NOT NULL AND NOT cancelled \
             GROUP BY customer_id, order_id), \
         customers AS (SELECT customer_id, count(*) AS orders, sum(amount) AS revenue, \
                min(began) AS first FROM orders \
             WHERE began >= {from} AND began < {until} GROUP BY customer_id) \
         SELECT customer_id AS \"{key}\", orders, revenue, \
             CAST({margin:?} AS DOUBLE) * revenue - CAST({cost:?} AS DOUBLE) * CAST(orders AS DOUBLE) AS profit, \
             CAST(first - {from} AS DOUBLE) / 86400000000.0 AS first_order_days \
         FROM customers ORDER BY customer_id"
    )
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn report(stage: &mut StageContext, worth: &Worth) {
    let total = worth.total();
    stage.metric("customers", total.customers as f64);
    stage.metric("orders", total.orders);
    stage.metric("revenue_total", total.revenue);
    stage.metric("profit_total", total.profit);
    if let Some(concentration) = worth.concentration() {
        stage.metric("concentration", concentration);
    }
    if total.customers > 0 {
        stage.metric("active_share", total.active as f64 / total.customers as f64);
    }
}
