//! What segments did and brought in.

use marquetry_kernels::{Interval, Moments, gini_of_groups, mean_interval, median, wilson};
use marquetry_plugin::StageError;
use marquetry_rows::KeyedRows;

use crate::assignment::Assignment;

/// What customers did in a window, by segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Worth {
    pub(super) segments: Vec<SegmentWorth>,
}

/// One segment, or all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SegmentWorth {
    pub(super) customers: usize,
    /// Customers with an order.
    pub(super) active: usize,
    /// Customers with two orders or more.
    pub(super) repeated: usize,
    pub(super) orders: f64,
    pub(super) revenue: f64,
    pub(super) profit: f64,
    /// Of the profit of each customer.
    pub(super) moments: Moments,
    /// The median of days from the start of the window to the first order, of those who ordered; not known
    /// of all segments together.
    pub(super) first_order_days: Option<f64>,
}

impl Worth {
    /// Sums up; `found` is the row of each customer of the assignment in `orders`, none without orders.
    pub(super) fn new(
        assignment: &Assignment,
        found: &[Option<usize>],
        orders: &KeyedRows,
    ) -> Result<Self, StageError> {
        let [count, revenue, profit, days] = ["orders", "revenue", "profit", "first_order_days"]
            .map(|column| orders.numbers(column));
        let (count, revenue, profit, days) = (count?, revenue?, profit?, days?);
        let mut profits: Vec<Vec<f64>> = assignment
            .sizes
            .iter()
            .map(|size| Vec::with_capacity(*size))
            .collect();
        let mut first_days = vec![Vec::new(); assignment.sizes.len()];
        let mut segments = vec![SegmentWorth::none(); assignment.sizes.len()];
        for (row, label) in assignment.rows.iter().zip(&assignment.labels) {
            let segment = &mut segments[*label as usize];
            segment.customers += 1;
            let mut own = 0.0;
            if let Some(place) = found[*row] {
                segment.active += 1;
                segment.repeated += usize::from(count[place] > 1.0);
                first_days[*label as usize].push(days[place]);
                segment.orders += count[place];
                segment.revenue += revenue[place];
                own = profit[place];
            }
            segment.profit += own;
            profits[*label as usize].push(own);
        }
        for ((segment, profits), days) in segments.iter_mut().zip(&profits).zip(&first_days) {
            segment.moments = Moments::of(profits);
            segment.first_order_days = median(days);
        }
        Ok(Self { segments })
    }

    /// All segments together.
    pub(super) fn total(&self) -> SegmentWorth {
        let mut total = SegmentWorth::none();
        for segment in &self.segments {
            total.customers += segment.customers;
            total.active += segment.active;
            total.repeated += segment.repeated;
            total.orders += segment.orders;
            total.revenue += segment.revenue;
            total.profit += segment.profit;
        }
        total
    }

    /// The Gini coefficient of profit between segments; none where one made a loss or none earned
    /// anything.
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    pub(super) fn concentration(&self) -> Option<f64> {
        let groups: Vec<(f64, f64)> = self
            .segments
            .iter()
            .map(|segment| (segment.customers as f64, segment.profit))
            .collect();
        gini_of_groups(&groups)
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
impl SegmentWorth {
    fn none() -> Self {
        Self {
            customers: 0,
            active: 0,
            repeated: 0,
            orders: 0.0,
            revenue: 0.0,
            profit: 0.0,
            moments: Moments::of(&[]),
            first_order_days: None,
        }
    }

    fn per_customer(&self, figure: f64) -> f64 {
        figure / self.customers.max(1) as f64
    }

    pub(super) fn active_share(&self) -> f64 {
        self.per_customer(self.active as f64)
    }

    pub(super) fn active_interval(&self) -> Option<Interval> {
        wilson(self.active, self.customers)
    }

    /// None where nobody ordered.
    pub(super) fn repeat_share(&self) -> Option<f64> {
        (self.active > 0).then(|| self.repeated as f64 / self.active as f64)
    }

    pub(super) fn orders_per_customer(&self) -> f64 {
        self.per_customer(self.orders)
    }

    pub(super) fn profit_interval(&self) -> Option<Interval> {
        mean_interval(&self.moments)
    }

    pub(super) fn share_of_customers(&self, total: &Self) -> f64 {
        self.customers as f64 / total.customers.max(1) as f64
    }

    /// The share of profit over the share of customers.
    pub(super) fn lift(&self, total: &Self) -> Option<f64> {
        Some(self.share_of_profit(total)? / self.share_of_customers(total))
    }

    /// None where all segments together have no profit.
    pub(super) fn share_of_profit(&self, total: &Self) -> Option<f64> {
        (total.profit > 0.0).then(|| self.profit / total.profit)
    }
}
