//! `features/customer`: one row of figures per customer, from lines of orders.

mod figures;
mod identity;
mod options;
mod query;
mod tally;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use datafusion::prelude::DataFrame;
use jiff::Timestamp;
use marquetry_plugin::{
    Figure, Input, LogLevel, Panel, PanelBody, StageContext, StageError, StageHandler, describe,
};
use marquetry_rows::orders::{OrderLines, Overview, lines, moment, time_zone};
use marquetry_rows::{integer_in, invalid};
use marquetry_types::{Outcome, StageDescriptor, codes};

use options::CustomerOptions;
use tally::Tally;

/// The name under which the session knows the lines.
const LINES: &str = "marquetry_lines";

/// The stage kind `features/customer`.
#[derive(Debug)]
pub struct Customer {
    descriptor: StageDescriptor,
    /// Whether lines are tallied in memory where that is possible.
    is_in_memory: bool,
}

impl Default for Customer {
    fn default() -> Self {
        let summary = "describes each customer by recency, frequency, money, rhythm and habits";
        let descriptor = describe::<CustomerOptions>("features/customer", 1, summary)
            .pure()
            .description(
                "Orders are lines grouped by customer and `order_id`; an order's time is its first \
                 line's. recency_days and tenure_days are days, with fractions, from the last and the \
                 first line to `as_of`. gap_mean_days and gap_std_days (a sample standard deviation) \
                 are null below 2 and 3 orders. weekend_share, hour_sin and hour_cos are means over \
                 orders, by the whole hour in `timezone`. Lines without a customer are left out and \
                 counted. A cancelled line counts nowhere, and an order all of whose lines are \
                 cancelled counts in cancel_rate only; a customer without another order does not \
                 appear. A line with a quantity of zero or less counts like any other: it lowers \
                 items and monetary. Where returns should not, filter them with features/sql. \
                 cancel_rate is 0 where `cancelled` is not given. A tie in top_NAME goes to \
                 the smallest value. The lines are read once and kept in short in memory; where that does \
                 not suffice, or a customer, an order, a product or a `top` is neither an integer nor a \
                 text, queries that spill compute the same in several passes; so they do \
                 with `parallelism: cluster`, where they are spread over workers.",
            )
            .output("customers", "one row per customer, sorted by customer_id")
            .metric("customers", "customers")
            .metric("orders", "orders that were not cancelled")
            .metric("lines", "lines that count: with a customer, not cancelled")
            .metric("lines_without_customer", "lines left out because nobody knows whose they are")
            .example("orders: ${{ stages.orders }}\ntimezone: Europe/London\ntop: [country]\n")
            .build();
        Self {
            descriptor,
            is_in_memory: true,
        }
    }
}

#[async_trait]
impl StageHandler for Customer {
    fn descriptor(&self) -> &StageDescriptor {
        &self.descriptor
    }

    async fn run(&self, mut stage: StageContext) -> Result<Outcome, StageError> {
        let options: CustomerOptions = stage.options()?;
        let zone = time_zone(&options.timezone)?;
        let wanted = match &options.as_of {
            Some(text) => Some(moment("as_of", text, &zone)?),
            None => None,
        };
        check_top(&options.top)?;
        let frame = stage.table(&options.orders).await?;
        let frame = match &options.condition {
            Some(condition) => filtered(frame, condition)?,
            None => frame,
        };
        let frame = lines(
            frame,
            &OrderLines {
                columns: &options.columns,
                cancelled: options.cancelled.as_deref(),
                timezone: &options.timezone,
                with_products: true,
                top: &options.top,
            },
        )?;
        // Queries are what can be spread over workers; what fits into one is faster by its tally.
        let tally = if self.is_in_memory && !stage.is_spread() {
            Tally::read(&stage, &frame, options.top.len()).await?
        } else {
            None
        };
        stage.session().register_table(LINES, frame.into_view())?;

        let overview = match &tally {
            Some(tally) => tally.overview(),
            None => Overview::read(&stage, LINES).await?,
        };
        overview.check(&options.columns)?;
        stage.check_cancelled()?;
        let as_of = match (wanted, overview.last) {
            (Some(as_of), Some(last)) if as_of < last => return Err(too_early(&options)),
            (Some(as_of), _) => as_of,
            (None, Some(last)) => options::midnight_after(last, &zone)?,
            // Without lines there is no customer to count days for.
            (None, None) => 0,
        };
        if overview.without_customer > 0 {
            let fields = [("lines", overview.without_customer.into())];
            stage.log(
                LogLevel::Warn,
                "lines without a customer are left out",
                fields,
            );
        }

        let rows = match tally {
            Some(tally) => {
                let rows = figures::customers(tally, as_of, &zone, &options.top, stage.threads());
                stage.session().read_batch(rows.await?)?
            }
            None => {
                let rows = query::customers(LINES, as_of, &options.top);
                stage.session().sql(&rows).await?
            }
        };
        let customers = Input(stage.write("customers", rows).await?);
        stage.session().register_table(
            "marquetry_customers",
            stage.table(&customers).await?.into_view(),
        )?;
        let totals =
            "SELECT count(*), CAST(coalesce(sum(frequency), 0) AS BIGINT) FROM marquetry_customers";
        let totals = stage.session().sql(totals).await?.collect().await?;
        let figures = [
            ("customers", integer_in(&totals, 0)),
            ("orders", integer_in(&totals, 1)),
            ("lines", Some(overview.lines)),
            ("lines_without_customer", Some(overview.without_customer)),
        ]
        .map(|(name, count)| (name, as_figure(count)));
        for (name, value) in figures {
            stage.metric(name, value);
        }
        let counted_to = wanted.or(overview.last).map(|_| as_of);
        stage.panel(&panel(&figures, counted_to)).await?;
        Ok(stage.finish())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of rows are far below 2^53"
)]
fn as_figure(count: Option<i64>) -> f64 {
    count.unwrap_or(0) as f64
}

/// The counts for the report, with the moment that days are counted to, if there is one.
fn panel(figures: &[(&str, f64)], counted_to: Option<i64>) -> Panel {
    let moment = counted_to.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let figures = figures.iter().map(|(name, value)| Figure {
        label: name.replace('_', " "),
        value: *value,
        unit: None,
        note: None,
    });
    Panel {
        title: "Customers and their orders".to_owned(),
        caption: moment.map(|at| format!("Days are counted to {at:.0}.")),
        body: PanelBody::Figures(figures.collect()),
    }
}

fn check_top(top: &[String]) -> Result<(), StageError> {
    match top
        .iter()
        .enumerate()
        .find(|(index, name)| top.iter().take(*index).any(|other| other == *name))
    {
        None => Ok(()),
        Some((_, name)) => Err(invalid(
            codes::STAGE_OPTIONS,
            format!("`top` names column `{name}` twice"),
            "name each column once",
        )),
    }
}

/// The lines of which a condition holds.
fn filtered(frame: DataFrame, condition: &str) -> Result<DataFrame, StageError> {
    let parsed = frame.parse_sql_expr(condition);
    let kept = parsed.and_then(|condition| frame.filter(condition));
    kept.map_err(|error| {
        invalid(
            codes::STAGE_OPTIONS,
            format!("`where`: {}", error.strip_backtrace()),
            "write a condition of SQL over the columns of `orders`, such as quantity > 0",
        )
    })
}

fn too_early(options: &CustomerOptions) -> StageError {
    let as_of = options.as_of.as_deref().unwrap_or_default();
    invalid(
        codes::STAGE_OPTIONS,
        format!("`as_of`: there are lines after {as_of}, which would make recency negative"),
        "choose a later moment, or filter the lines with features/sql",
    )
}
