//! What the customers of each segment did and brought in.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use marquetry_kernels::{Interval95, Moments, gini_of_groups, mean_interval, median, wilson};
use marquetry_plugin::StageError;
use marquetry_rows::KeyedRows;

use crate::assignment::{Assignment, Names, SEGMENT};
use crate::{float, integer};

/// All segments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    pub(super) segments: Vec<Segment>,
    pub(super) customers: usize,
    pub(super) active: usize,
    pub(super) orders: usize,
    pub(super) revenue: f64,
    pub(super) profit: f64,
    /// Orders in the window of customers who have no segment.
    pub(super) orders_without_segment: usize,
    /// The Gini coefficient of profit between segments; none where a segment lost money or none earned any.
    pub(super) concentration: Option<f64>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    pub(super) customers: usize,
    /// Customers who ordered in the window.
    pub(super) active: usize,
    pub(super) active_interval: Option<Interval95>,
    /// Customers who ordered twice or more.
    pub(super) repeated: usize,
    pub(super) orders: usize,
    pub(super) revenue: f64,
    pub(super) profit: f64,
    /// Of a customer, in this segment.
    pub(super) mean_profit: f64,
    pub(super) profit_interval: Option<Interval95>,
    /// Of all customers, 0 to 1.
    pub(super) customer_share: f64,
    /// Of all profit; none where all profit together is not positive.
    pub(super) profit_share: Option<f64>,
    /// From the start of the window to the first order, of those who ordered.
    pub(super) first_order_days: Option<f64>,
}

impl Segment {
    pub(super) fn active_share(&self) -> f64 {
        float(self.active) / float(self.customers.max(1))
    }

    /// The share of profit over the share of customers.
    fn lift(&self) -> Option<f64> {
        Some(self.profit_share? / self.customer_share)
    }

    fn per_customer(&self, amount: f64) -> f64 {
        amount / float(self.customers.max(1))
    }

    fn repeat_share(&self) -> Option<f64> {
        (self.active > 0).then(|| float(self.repeated) / float(self.active))
    }
}

/// What one segment's customers did, one after the other.
#[derive(Debug, Clone, Default)]
struct Collected {
    orders: Vec<usize>,
    revenue: f64,
    profits: Vec<f64>,
    first_order_days: Vec<f64>,
}

impl Figures {
    /// Sums what customers did, by their segment.
    ///
    /// # Errors
    /// A sum of money is beyond floating point.
    pub(super) fn new(rows: &KeyedRows, assignment: &Assignment) -> Result<Self, StageError> {
        let orders = rows.numbers("orders")?;
        let revenues = rows.numbers("revenue")?;
        let profits = rows.numbers("profit")?;
        let days = rows.numbers_or_none("first_order_days")?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts that a query gave"
        )]
        let count = |row: usize| orders[row] as usize;
        let mut collected = vec![Collected::default(); assignment.names.len()];
        for (row, label) in assignment.rows.iter().zip(&assignment.labels) {
            let of = &mut collected[*label as usize];
            of.orders.push(count(*row));
            of.revenue += revenues[*row];
            of.profits.push(profits[*row]);
            of.first_order_days.extend(days[*row]);
        }
        let all_orders: usize = (0..rows.len()).map(count).sum();
        Ok(Self::of(&collected, all_orders))
    }

    fn of(collected: &[Collected], all_orders: usize) -> Self {
        let customers: usize = collected.iter().map(|of| of.profits.len()).sum();
        let profit_of = |of: &Collected| of.profits.iter().sum::<f64>();
        let profit: f64 = collected.iter().map(profit_of).sum();
        let segments: Vec<Segment> = collected
            .iter()
            .map(|of| {
                let moments = Moments::of(&of.profits);
                let active = of.orders.iter().filter(|orders| **orders > 0).count();
                let own = profit_of(of);
                Segment {
                    customers: of.profits.len(),
                    active,
                    active_interval: wilson(active, of.profits.len()),
                    repeated: of.orders.iter().filter(|orders| **orders > 1).count(),
                    orders: of.orders.iter().sum(),
                    revenue: of.revenue,
                    profit: own,
                    mean_profit: moments.mean,
                    profit_interval: mean_interval(&moments),
                    customer_share: float(of.profits.len()) / float(customers.max(1)),
                    profit_share: (profit > 0.0).then(|| own / profit),
                    first_order_days: median(&of.first_order_days),
                }
            })
            .collect();
        let orders = segments.iter().map(|segment| segment.orders).sum();
        let groups: Vec<(f64, f64)> = segments
            .iter()
            .map(|segment| (float(segment.customers), segment.profit))
            .collect();
        Self {
            customers,
            active: segments.iter().map(|segment| segment.active).sum(),
            orders,
            revenue: segments.iter().map(|segment| segment.revenue).sum(),
            profit,
            orders_without_segment: all_orders.saturating_sub(orders),
            concentration: gini_of_groups(&groups),
            segments,
        }
    }

    /// The output `segments`.
    pub(super) fn batch(&self, names: &Names) -> Result<RecordBatch, StageError> {
        let mut fields = vec![Field::new(SEGMENT, names.kind(), false)];
        let mut columns: Vec<ArrayRef> = vec![names.column(0..self.segments.len())];
        let mut count = |name: &str, value: fn(&Segment) -> usize| {
            let counts = self.segments.iter().map(|segment| integer(value(segment)));
            fields.push(Field::new(name, DataType::Int64, false));
            columns.push(Arc::new(Int64Array::from_iter_values(counts)));
        };
        count("customers", |segment| segment.customers);
        count("active", |segment| segment.active);
        count("orders", |segment| segment.orders);
        let mut float = |name: &str, value: fn(&Segment) -> Option<f64>| {
            fields.push(Field::new(name, DataType::Float64, true));
            columns.push(Arc::new(
                self.segments.iter().map(value).collect::<Float64Array>(),
            ));
        };
        float("active_share", |segment| Some(segment.active_share()));
        float("active_low", |segment| Some(segment.active_interval?.low));
        float("active_high", |segment| Some(segment.active_interval?.high));
        float("repeat_share", Segment::repeat_share);
        float("orders_per_customer", |segment| {
            Some(segment.per_customer(crate::float(segment.orders)))
        });
        float("first_order_days", |segment| segment.first_order_days);
        float("revenue", |segment| Some(segment.revenue));
        float("revenue_per_customer", |segment| {
            Some(segment.per_customer(segment.revenue))
        });
        float("profit", |segment| Some(segment.profit));
        float("profit_per_customer", |segment| Some(segment.mean_profit));
        float("profit_low", |segment| Some(segment.profit_interval?.low));
        float("profit_high", |segment| Some(segment.profit_interval?.high));
        float("customer_share", |segment| Some(segment.customer_share));
        float("profit_share", |segment| segment.profit_share);
        float("lift", Segment::lift);
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(orders: &[usize], profits: &[f64]) -> Collected {
        Collected {
            orders: orders.to_vec(),
            revenue: profits.iter().sum(),
            profits: profits.to_vec(),
            first_order_days: Vec::new(),
        }
    }

    #[test]
    fn shares_and_lift_say_who_earns_more_than_their_number() {
        let groups = [
            collected(&[2, 0], &[30.0, 0.0]),
            collected(&[1, 0], &[10.0, 0.0]),
        ];
        let figures = Figures::of(&groups, 5);
        assert_eq!((figures.profit, figures.orders_without_segment), (40.0, 2));
        let first = &figures.segments[0];
        assert_eq!((first.profit_share, first.lift()), (Some(0.75), Some(1.5)));
        assert_eq!(
            (first.active_share(), first.repeat_share()),
            (0.5, Some(1.0))
        );
        assert_eq!(figures.concentration, Some(0.25));
    }

    #[test]
    fn a_loss_in_all_has_no_shares() {
        let figures = Figures::of(&[collected(&[1], &[-3.0]), collected(&[1], &[1.0])], 2);
        assert_eq!(figures.segments[1].profit_share, None);
        assert_eq!((figures.concentration, figures.profit), (None, -2.0));
        assert_eq!(Figures::of(&[], 0).concentration, None);
    }
}
