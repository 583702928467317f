//! The rows: orders of the plan with their lines, batch by batch.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Array, Int64Array, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::SampleError;
use crate::calendar::month_of;
use crate::dice::Dice;
use crate::group::{Behaviour, CHANNELS, COUNTRIES, Group};
use crate::plan::{Order, Plan};

/// Rows of a batch, exceeded by at most one order.
const BATCH_ROWS: usize = 65_536;
const FIRST_CUSTOMER: i64 = 10_001;
const FIRST_ORDER: i64 = 1_000_001;
const FIRST_PRODUCT: i64 = 20_001;
/// A prime above every size of the catalogue: multiplying by it permutes the catalogue, so that price,
/// popularity and id have nothing to do with one another.
const SHUFFLE: u64 = 7_919;

/// Usual prices of a gift shop, in pence.
const PRICE_POINTS: [u32; 26] = [
    42, 65, 85, 95, 125, 145, 165, 195, 210, 255, 295, 375, 425, 495, 595, 795, 850, 995, 1275,
    1495, 1695, 2495, 2995, 3995, 4995, 7995,
];

/// The columns of the orders, one row a line:
/// `customer_id` (null for orders of unknown customers), `order_id`, `product_id`, `quantity` (pieces, above 0), `unit_price` (pounds, above
/// 0), `ts` (microseconds, UTC, the same for all lines of an order), `country`, `channel`, `cancelled` (of
/// whole orders).
#[must_use]
pub fn orders_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("customer_id", DataType::Int64, true),
        Field::new("order_id", DataType::Int64, false),
        Field::new("product_id", DataType::Int64, false),
        Field::new("quantity", DataType::Int64, false),
        Field::new("unit_price", DataType::Float64, false),
        Field::new(
            "ts",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            false,
        ),
        Field::new("country", DataType::Utf8, false),
        Field::new("channel", DataType::Utf8, false),
        Field::new("cancelled", DataType::Boolean, false),
    ]))
}

/// Orders as batches, in the order of time. A batch holds whole orders of one calendar month.
pub struct OrderGenerator {
    plan: Plan,
    /// Index of the next order.
    next: usize,
    dice: Dice,
    products: u32,
    behaviours: [(Group, Behaviour); Group::ALL.len()],
    schema: SchemaRef,
}

impl OrderGenerator {
    /// Exactly `rows` rows.
    ///
    /// # Errors
    ///
    /// [`SampleError::TooManyRows`] above [`MAX_ROWS`](crate::MAX_ROWS).
    pub fn new(rows: u64, seed: u64) -> Result<Self, SampleError> {
        Ok(Self {
            plan: Plan::new(rows, seed)?,
            next: 0,
            dice: Dice::new(seed, 1),
            products: (rows / 200).clamp(150, 5_000) as u32,
            behaviours: Group::ALL.map(|group| (group, group.behaviour())),
            schema: orders_schema(),
        })
    }

    /// The columns, as [`orders_schema`] describes them.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The orders of the next batch, as a range of the plan.
    fn next_orders(&self) -> std::ops::Range<usize> {
        let mut rows = 0;
        let mut month = None;
        let mut end = self.next;
        for order in &self.plan.orders[self.next..] {
            let order_month = month_of(order.at);
            if rows >= BATCH_ROWS || month.is_some_and(|month| month != order_month) {
                break;
            }
            month = Some(order_month);
            rows += usize::from(order.lines);
            end += 1;
        }
        self.next..end
    }

    fn batch(&mut self, orders: std::ops::Range<usize>) -> Result<RecordBatch, SampleError> {
        let mut lines = Lines::default();
        let mut order_products = Vec::new();
        for index in orders {
            let order = self.plan.orders[index];
            let group = self.plan.customers[order.customer as usize].group;
            let behaviour = self.behaviours[group as usize].1;
            let order_id = FIRST_ORDER + index as i64;
            order_products.clear();
            for _ in 0..order.lines {
                self.add_line(&mut lines, order_id, &behaviour, &mut order_products);
            }
            lines.add_order(&order);
        }
        Ok(lines.into_batch(self.schema())?)
    }

    fn add_line(
        &mut self,
        lines: &mut Lines,
        order_id: i64,
        behaviour: &Behaviour,
        order_products: &mut Vec<u32>,
    ) {
        let (cheapest, dearest) = behaviour.prices;
        let from = self.products * cheapest / 100;
        let width = self.products * dearest / 100 - from;
        let rank = self.dice.mostly_low((0, width - 1));
        let mut product = from + shuffled(rank, width);
        // One line a product; the part of the catalogue is always larger than the order.
        while order_products.contains(&product) {
            product = from + (product - from + 1) % width;
        }
        order_products.push(product);

        let discount = self.dice.between(behaviour.discount);
        let pence = (list_price(product, self.products) * (100 - discount) + 50) / 100;
        lines.order_id.push(order_id);
        lines
            .product_id
            .push(FIRST_PRODUCT + i64::from(shuffled(product, self.products)));
        lines
            .quantity
            .push(i64::from(self.dice.mostly_low(behaviour.quantity)));
        lines.unit_price.push(f64::from(pence.max(1)) / 100.0);
    }
}

impl Iterator for OrderGenerator {
    type Item = Result<RecordBatch, SampleError>;

    fn next(&mut self) -> Option<Self::Item> {
        let orders = self.next_orders();
        if orders.is_empty() {
            return None;
        }
        self.next = orders.end;
        Some(self.batch(orders))
    }
}

/// The customer's id in data.
pub(crate) fn customer_id(index: usize) -> i64 {
    FIRST_CUSTOMER + index as i64
}

fn shuffled(position: u32, size: u32) -> u32 {
    (u64::from(position) * SHUFFLE % u64::from(size)) as u32
}

/// The price in pence of a product by its position in a catalogue that is sorted by price, with more
/// products at the lower prices.
fn list_price(position: u32, products: u32) -> u32 {
    let square = u64::from(position) * u64::from(position) * PRICE_POINTS.len() as u64;
    let point = square / (u64::from(products) * u64::from(products));
    PRICE_POINTS[point as usize]
}

/// The columns of a batch as they grow.
#[derive(Default)]
struct Lines {
    order_id: Vec<i64>,
    product_id: Vec<i64>,
    quantity: Vec<i64>,
    unit_price: Vec<f64>,
    customer_id: Int64Builder,
    ts: Vec<i64>,
    country: StringBuilder,
    channel: StringBuilder,
    cancelled: BooleanBuilder,
}

impl Lines {
    /// What all lines of an order share.
    fn add_order(&mut self, order: &Order) {
        let lines = usize::from(order.lines);
        if order.known {
            let id = customer_id(order.customer as usize);
            self.customer_id.append_value_n(id, lines);
        } else {
            self.customer_id.append_nulls(lines);
        }
        self.ts.extend(std::iter::repeat_n(order.at, lines));
        self.cancelled.append_n(lines, order.cancelled);
        let country = COUNTRIES[usize::from(order.country)];
        let channel = CHANNELS[usize::from(order.channel)];
        for _ in 0..lines {
            self.country.append_value(country);
            self.channel.append_value(channel);
        }
    }

    fn into_batch(mut self, schema: SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.customer_id.finish()),
            Arc::new(Int64Array::from(self.order_id)),
            Arc::new(Int64Array::from(self.product_id)),
            Arc::new(Int64Array::from(self.quantity)),
            Arc::new(Float64Array::from(self.unit_price)),
            Arc::new(TimestampMicrosecondArray::from(self.ts).with_timezone("UTC")),
            Arc::new(self.country.finish()),
            Arc::new(self.channel.finish()),
            Arc::new(self.cancelled.finish()),
        ];
        RecordBatch::try_new(schema, columns)
    }
}
