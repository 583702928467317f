//! Lines of orders in one pass, in memory: neighbouring lines of an order become one entry, and entries
//! are dealt into shares by customer, each of which is then small enough to sort.
//!
//! Where memory does not suffice, or identities are of other types than integers and texts, the queries
//! are there, which spill and take any type.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use marquetry_plugin::{Reporter, StageContext, StageError};
use marquetry_rows::by_partition;
use marquetry_rows::orders::Overview;

use super::identity::{Identity, Read};

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
        let read = by_partition(lines.clone(), |stream| {
            let memory = MemoryConsumer::new("features/customer").register(pool);
            read(stream, Arc::clone(&identities), memory, stage.reporter())
        });
        let Some(parts) = read.await?.into_iter().collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let (parts, memory) = parts.into_iter().unzip();
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
    reporter: Reporter,
) -> Result<Option<(Part, MemoryReservation)>, StageError> {
    let mut part = Part {
        shares: (0..SHARES).map(|_| Share::default()).collect(),
        overview: Overview::default(),
    };
    while let Some(batch) = stream.next().await {
        reporter.check_cancelled()?;
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
        let lines = Lines::new(batch, identities)?;
        let usable = self.look_at(&lines);
        let mut grown = 0;
        let mut row = 0;
        while row < lines.count {
            let first = row;
            row += 1;
            if !usable[first] {
                continue;
            }
            while row < lines.count && usable[row] && lines.are_one_entry(first, row) {
                row += 1;
            }
            grown += self.put(&lines, first..row);
        }
        Ok(grown)
    }

    /// Counts lines, and says which of them can be tallied.
    fn look_at(&mut self, lines: &Lines<'_>) -> Vec<bool> {
        let mut usable = match &lines.customers.nulls {
            Some(nulls) => nulls.iter().collect(),
            None => vec![true; lines.count],
        };
        let overview = &mut self.overview;
        for (row, is_known) in usable.iter().enumerate() {
            if !is_known {
                overview.without_customer += 1;
                continue;
            }
            let is_live = !lines.is_cancelled(row);
            overview.lines += i64::from(is_live);
            if is_live && lines.times.is_valid(row) {
                overview.last = overview.last.max(Some(lines.times.value(row)));
            }
        }
        if lines.are_whole() {
            return usable;
        }
        let [no_order, no_quantity, no_price, no_time] = &mut overview.unusable;
        for (row, usable) in usable.iter_mut().enumerate().filter(|(_, it)| **it) {
            let mut check = |count: &mut i64, is_good: bool| {
                *count += i64::from(!is_good);
                *usable &= is_good;
            };
            check(no_order, lines.orders.get(row).is_some());
            if !lines.is_cancelled(row) {
                check(no_quantity, lines.quantities.is_finite(row));
                let is_price = lines.prices.is_valid(row) && lines.prices.value(row).is_finite();
                check(no_price, is_price);
                check(no_time, lines.times.is_valid(row));
            }
        }
        usable
    }

    /// Deals out an entry of some lines, and says how many bytes it is.
    fn put(&mut self, lines: &Lines<'_>, rows: Range<usize>) -> usize {
        let row = rows.start;
        let customer = lines.customers.numbers[row];
        // The multiplier of Fibonacci hashing (Knuth, The Art of Computer Programming, section 6.4).
        let hash = customer.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let share = &mut self.shares[(hash >> 32) as usize % SHARES];

        let products = share.products.len();
        match &lines.products.nulls {
            None => (share.products).extend_from_slice(&lines.products.numbers[rows.clone()]),
            Some(_) => {
                let known = rows.clone().filter_map(|row| lines.products.get(row));
                share.products.extend(known);
            }
        }
        let tops = lines.tops.iter().map(|top| top.get(row));
        share.tops.extend(tops);

        let times = &lines.times.values()[rows.clone()];
        let prices = &lines.prices.values()[rows.clone()];
        let (items, money) = lines.quantities.sums(rows.clone(), prices);
        let products = share.products.len() - products;
        let entry = Entry {
            customer,
            order: lines.orders.numbers[row],
            first: times.iter().copied().min().unwrap_or(i64::MAX),
            last: times.iter().copied().max().unwrap_or(i64::MIN),
            items,
            money,
            lines: in_u32(rows.len()),
            products: in_u32(products),
            is_cancelled: lines.is_cancelled(row),
        };
        share.entries.push(entry);
        size_of::<Entry>() + 8 * products + 16 * lines.tops.len()
    }
}

/// A count within a batch, which has far fewer than 2^32 rows.
fn in_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The columns of a batch of lines.
struct Lines<'a> {
    count: usize,
    customers: Read,
    orders: Read,
    products: Read,
    tops: Vec<Read>,
    quantities: Quantities<'a>,
    prices: &'a Float64Array,
    times: &'a TimestampMicrosecondArray,
    /// None where no line is cancelled.
    cancelled: Option<&'a BooleanArray>,
}

impl<'a> Lines<'a> {
    fn new(batch: &'a RecordBatch, identities: &Identities) -> Result<Self, DataFusionError> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| DataFusionError::Internal(format!("lines have no column {name}")))
        };
        let mut tops = Vec::new();
        for (index, identity) in identities.tops.iter().enumerate() {
            tops.push(identity.read(column(&format!("top_{index}"))?)?);
        }
        let quantities = column("quantity")?;
        let cancelled = column("cancelled")?.as_boolean();
        Ok(Self {
            count: batch.num_rows(),
            customers: identities.customer.read(column("customer_id")?)?,
            orders: identities.order.read(column("order_id")?)?,
            products: identities.product.read(column("product_id")?)?,
            tops,
            quantities: match quantities.as_primitive_opt::<Int64Type>() {
                Some(whole) => Quantities::Whole(whole),
                None => Quantities::Fractional(quantities.as_primitive()),
            },
            prices: column("unit_price")?.as_primitive(),
            times: column("ts")?.as_primitive(),
            cancelled: (cancelled.true_count() > 0).then_some(cancelled),
        })
    }

    #[inline]
    fn is_cancelled(&self, row: usize) -> bool {
        self.cancelled.is_some_and(|cancelled| cancelled.value(row))
    }

    /// Whether every line has an order, and a finite quantity, a finite price and a time.
    fn are_whole(&self) -> bool {
        let prices = self.prices.values();
        self.orders.nulls.is_none()
            && self.quantities.are_finite()
            && self.prices.null_count() == 0
            && prices
                .iter()
                .fold(true, |all, price| all & price.is_finite())
            && self.times.null_count() == 0
    }

    /// Whether two lines of known customers belong to the same order, with the same values of `top`.
    #[inline]
    fn are_one_entry(&self, left: usize, right: usize) -> bool {
        self.customers.numbers[left] == self.customers.numbers[right]
            && self.orders.numbers[left] == self.orders.numbers[right]
            && self.is_cancelled(left) == self.is_cancelled(right)
            && self.tops.iter().all(|top| top.get(left) == top.get(right))
    }
}

/// How many of each product.
enum Quantities<'a> {
    Whole(&'a Int64Array),
    Fractional(&'a Float64Array),
}

impl Quantities<'_> {
    fn are_finite(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.null_count() == 0,
            Self::Fractional(floats) => {
                let values = floats.values().iter();
                floats.null_count() == 0 && values.fold(true, |all, it| all & it.is_finite())
            }
        }
    }

    fn is_finite(&self, row: usize) -> bool {
        match self {
            Self::Whole(whole) => whole.is_valid(row),
            Self::Fractional(floats) => floats.is_valid(row) && floats.value(row).is_finite(),
        }
    }

    /// The items of some lines, as [`Entry`] has them, and what they cost at these prices.
    fn sums(&self, rows: Range<usize>, prices: &[f64]) -> (i64, f64) {
        let mut items = 0_i64;
        let mut money = 0.0;
        match self {
            Self::Whole(whole) => {
                for (quantity, price) in whole.values()[rows].iter().zip(prices) {
                    items = items.wrapping_add(*quantity);
                    money += as_float(*quantity) * price;
                }
            }
            Self::Fractional(floats) => {
                for (quantity, price) in floats.values()[rows].iter().zip(prices) {
                    items = add_bits(items, *quantity);
                    money += quantity * price;
                }
            }
        }
        (items, money)
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
