//! What is true of all lines of orders.

use marquetry_plugin::{StageContext, StageError};
use marquetry_types::codes;

use super::Columns;
use crate::{integer_in, invalid};

/// What is true of all lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Lines without a customer.
    pub without_customer: i64,
    /// Lines that count: with a customer, not cancelled.
    pub lines: i64,
    /// The time of the last of those, in microseconds since 1970 in UTC.
    pub last: Option<i64>,
    /// Lines that should count and cannot: without an order, and without a finite quantity, a finite price
    /// and a time.
    pub unusable: [i64; 4],
}

impl Overview {
    /// Looks at the lines that the session knows under a name, as [`lines`](super::lines) makes them.
    ///
    /// # Errors
    /// The query fails.
    pub async fn read(stage: &StageContext, table: &str) -> Result<Self, StageError> {
        let batches = stage
            .session()
            .sql(&overview(table))
            .await?
            .collect()
            .await?;
        let count = |column| {
            integer_in(&batches, column).ok_or_else(|| {
                StageError::invalid(codes::STAGE_INTERNAL, "a count of lines has no result")
            })
        };
        Ok(Self {
            without_customer: count(0)?,
            lines: count(1)?,
            last: integer_in(&batches, 2),
            unusable: [count(3)?, count(4)?, count(5)?, count(6)?],
        })
    }

    /// Adds what is true of other lines.
    pub fn add(&mut self, other: &Self) {
        self.without_customer += other.without_customer;
        self.lines += other.lines;
        self.last = self.last.max(other.last);
        for (count, other) in self.unusable.iter_mut().zip(other.unusable) {
            *count += other;
        }
    }

    /// Refuses lines that count nowhere because a column of them has no value that can be used.
    ///
    /// # Errors
    /// There are some; the message names the column.
    pub fn check(&self, columns: &Columns) -> Result<(), StageError> {
        let names = [
            &columns.order_id,
            &columns.quantity,
            &columns.unit_price,
            &columns.ts,
        ];
        for (name, lines) in names.into_iter().zip(self.unusable) {
            if lines > 0 {
                let subject = if lines == 1 {
                    "1 line has".to_owned()
                } else {
                    format!("{lines} lines have")
                };
                return Err(invalid(
                    codes::BAD_VALUE,
                    format!("{subject} no value that can be used in column `{name}` of `orders`"),
                    "reject such lines by a contract in ingest/files, or filter them with features/sql",
                ));
            }
        }
        Ok(())
    }
}

/// One row about all lines: those without a customer, those that count, the time of the last in
/// microseconds, then how many lines have no usable order, quantity, price and time.
fn overview(lines: &str) -> String {
    // A comparison with NaN is false, and one with null is null.
    let unusable = |column: &str| {
        format!("NOT coalesce(abs(CAST({column} AS DOUBLE)) <= 1.7976931348623157e308, false)")
    };
    format!(
        "SELECT count(*) FILTER (WHERE customer_id IS NULL), \
                count(*) FILTER (WHERE {LIVE}), \
                max(CAST(ts AS BIGINT)) FILTER (WHERE {LIVE}), \
                count(*) FILTER (WHERE customer_id IS NOT NULL AND order_id IS NULL), \
                count(*) FILTER (WHERE {LIVE} AND {}), \
                count(*) FILTER (WHERE {LIVE} AND {}), \
                count(*) FILTER (WHERE {LIVE} AND ts IS NULL) \
         FROM {lines}",
        unusable("quantity"),
        unusable("unit_price"),
    )
}

/// The lines that count.
const LIVE: &str = "customer_id IS NOT NULL AND NOT cancelled";
