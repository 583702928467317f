//! Lines of orders in one pass, in memory: neighbouring lines of an order become one entry, and entries
//! are dealt into shares by customer, each of which is then small enough to sort.
//!
//! Where memory does not suffice, or identities are of other types than integers and texts, the queries
//! are there, which spill and take any type.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use marquetry_plugin::{StageContext, StageError};
use marquetry_rows::orders::Overview;

use super::identity::Identity;

/// Shares that customers are dealt into, a power of two.
pub(super) const SHARES: usize = 64;

/// Lines of one order that stood together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) customer: u64,
    pub(super) order: u64,
    /// The times of the first and the last line, in microseconds.
    pub(super) first: i64,
    pub(super) last: i64,
    /// The sum of quantities: of integers, or the bits of one of floats.
    pub(super) items: i64,
    pub(super) money: f64,
    pub(super) lines: u32,
    /// How many of the lines name a product.
    pub(super) products: u32,
    pub(super) is_cancelled: bool,
}

/// The entries of a share's customers that one thread met.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub(super) entries: Vec<Entry>,
    /// The products of the entries, one entry after another.
    pub(super) products: Vec<u64>,
    /// For each entry the values of the `top` columns.
    pub(super) tops: Vec<Option<u64>>,
}

/// How the columns of lines tell values apart.
#[derive(Debug)]
pub(super) struct Identities {
    pub(super) customer: Identity,
    order: Identity,
    product: Identity,
    pub(super) tops: Vec<Identity>,
    /// Whether quantities are floats.
    pub(super) is_fractional: bool,
}

impl Identities {
    /// For the columns of `lines`; none where one is of another type than integers and texts.
    fn of(lines: &DataFrame, tops: usize) -> Option<Self> {
        let schema = lines.schema().as_arrow();
        let identity = |name: &str| Identity::of(schema.field_with_name(name).ok()?.data_type());
        let tops = (0..tops).map(|index| identity(&format!("top_{index}")));
        Some(Self {
            customer: identity("customer_id")?,
            order: identity("order_id")?,
            product: identity("product_id")?,
            tops: tops.collect::<Option<_>>()?,
            is_fractional: schema
                .field_with_name("quantity")
                .ok()?
                .data_type()
                .is_floating(),
        })
    }
}

/// All lines.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) identities: Arc<Identities>,
    /// What each thread met.
    pub(super) parts: Vec<Part>,
    _memory: Vec<MemoryReservation>,
}

/// What one thread met.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) shares: Vec<Share>,
    pub(super) overview: Overview,
    tops: Vec<Option<u64>>,
    products: Vec<u64>,
}

impl Tally {
    /// Reads all lines. None where they are not of its types or need more memory than there is.
    pub(super) async fn read(
        stage: &StageContext,
        lines: &DataFrame,
        tops: usize,
    ) -> Result<Option<Self>, StageError> {
        let Some(identities) = Identities::of(lines, tops).map(Arc::new) else {
            return Ok(None);
        };
        let pool = &stage.session().runtime_env().memory_pool;
        let streams = lines.clone().execute_stream_partitioned().await?;
        let tasks: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                let memory = MemoryConsumer::new("features/customer").register(pool);
                SpawnedTask::spawn(read(stream, Arc::clone(&identities), memory))
            })
            .collect();
        let mut parts = Vec::new();
        let mut memory = Vec::new();
        for task in tasks {
            let done = task.join_unwind().await;
            match done.map_err(|error| DataFusionError::External(Box::new(error)))?? {
                Some((part, reservation)) => {
                    parts.push(part);
                    memory.push(reservation);
                }
                // The other tasks end when they are dropped.
                None => return Ok(None),
            }
        }
        Ok(Some(Self {
            identities,
            parts,
            _memory: memory,
        }))
    }

    pub(super) fn overview(&self) -> Overview {
        let mut total = Overview::default();
        for part in &self.parts {
            total.add(&part.overview);
        }
        total
    }
}

async fn read(
    mut stream: SendableRecordBatchStream,
    identities: Arc<Identities>,
    memory: MemoryReservation,
) -> Result<Option<(Part, MemoryReservation)>, DataFusionError> {
    let mut part = Part {
        shares: (0..SHARES).map(|_| Share::default()).collect(),
        overview: Overview::default(),
        tops: Vec::new(),
        products: Vec::new(),
    };
    while let Some(batch) = stream.next().await {
        let grown = part.take(&batch?, &identities)?;
        if memory.try_grow(grown).is_err() {
            return Ok(None);
        }
    }
    Ok(Some((part, memory)))
}

impl Part {
    /// Takes the lines of a batch, and says how many bytes that took.
    fn take(
        &mut self,
        batch: &RecordBatch,
        identities: &Identities,
    ) -> Result<usize, DataFusionError> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| DataFusionError::Internal(format!("lines have no column {name}")))
        };
        let customers = identities.customer.read(column("customer_id")?)?;
        let orders = identities.order.read(column("order_id")?)?;
        let products = identities.product.read(column("product_id")?)?;
        let mut tops = Vec::new();
        for (index, identity) in identities.tops.iter().enumerate() {
            tops.push(identity.read(column(&format!("top_{index}"))?)?);
        }
        let quantities = column("quantity")?;
        let whole = quantities.as_primitive_opt::<Int64Type>();
        let fractional = quantities.as_primitive_opt::<Float64Type>();
        let prices = column("unit_price")?.as_primitive::<Float64Type>();
        let times = column("ts")?.as_primitive::<TimestampMicrosecondType>();
        let cancelled = column("cancelled")?.as_boolean();
        let mut entry: Option<Entry> = None;
        let mut grown = 0;
        for row in 0..batch.num_rows() {
            let Some(customer) = customers.get(row) else {
                self.overview.without_customer += 1;
                continue;
            };
            let is_cancelled = cancelled.value(row);
            self.overview.lines += i64::from(!is_cancelled);
            let order = orders.get(row);
            let [no_order, no_quantity, no_price, no_time] = &mut self.overview.unusable;
            *no_order += i64::from(order.is_none());
            let (items, quantity) = match (whole, fractional) {
                (Some(whole), _) => (whole.value(row), as_float(whole.value(row))),
                (None, Some(floats)) => (0, floats.value(row)),
                (None, None) => (0, f64::NAN),
            };
            let price = prices.value(row);
            let mut is_usable = order.is_some();
            if !is_cancelled {
                let checks = [
                    (
                        no_quantity,
                        quantities.is_valid(row) && quantity.is_finite(),
                    ),
                    (no_price, prices.is_valid(row) && price.is_finite()),
                    (no_time, times.is_valid(row)),
                ];
                for (count, is_good) in checks {
                    *count += i64::from(!is_good);
                    is_usable &= is_good;
                }
                if times.is_valid(row) {
                    self.overview.last = self.overview.last.max(Some(times.value(row)));
                }
            }
            let Some(order) = order.filter(|_| is_usable) else {
                continue;
            };
            let time = times.value(row);
            let is_next = entry.is_some_and(|entry| {
                entry.customer == customer
                    && entry.order == order
                    && entry.is_cancelled == is_cancelled
                    && self
                        .tops
                        .iter()
                        .zip(&tops)
                        .all(|(top, read)| *top == read.get(row))
            });
            if !is_next {
                grown += self.put(entry.take());
                self.tops.clear();
                self.tops.extend(tops.iter().map(|read| read.get(row)));
            }
            let started = entry.get_or_insert(Entry {
                customer,
                order,
                first: time,
                last: time,
                items: 0,
                money: 0.0,
                lines: 0,
                products: 0,
                is_cancelled,
            });
            started.first = started.first.min(time);
            started.last = started.last.max(time);
            started.items = match whole {
                Some(_) => started.items.wrapping_add(items),
                None => add_bits(started.items, quantity),
            };
            started.money += quantity * price;
            started.lines += 1;
            if let Some(product) = products.get(row) {
                started.products += 1;
                self.products.push(product);
            }
        }
        Ok(grown + self.put(entry))
    }

    /// Deals out an entry with the products and values that belong to it, and says how many bytes it is.
    fn put(&mut self, entry: Option<Entry>) -> usize {
        let Some(entry) = entry else { return 0 };
        // The multiplier of Fibonacci hashing (Knuth, The Art of Computer Programming, section 6.4).
        let hash = entry.customer.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let share = &mut self.shares[(hash >> 32) as usize % SHARES];
        share.entries.push(entry);
        share.products.append(&mut self.products);
        share.tops.extend_from_slice(&self.tops);
        size_of::<Entry>() + 8 * entry.products as usize + 16 * self.tops.len()
    }
}

/// The bits of a float, as an integer, after an addition.
pub(super) fn add_bits(bits: i64, value: f64) -> i64 {
    let sum = f64::from_bits(bits.cast_unsigned()) + value;
    sum.to_bits().cast_signed()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "as the cast to DOUBLE of the queries does"
)]
pub(super) const fn as_float(value: i64) -> f64 {
    value as f64
}
