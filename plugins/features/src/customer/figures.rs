//! The figures of customers, from the entries of a [`Tally`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use marquetry_plugin::StageError;
use marquetry_rows::off_thread;

use super::identity::Ranks;
use super::tally::{Entry, Identities, SHARES, Tally, add_bits, as_float};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// The figures of customers, column by column.
#[derive(Debug, Default)]
struct Figures {
    customer: Vec<u64>,
    recency: Vec<f64>,
    tenure: Vec<f64>,
    frequency: Vec<i64>,
    items: Vec<i64>,
    products: Vec<i64>,
    money: Vec<f64>,
    gap_mean: Vec<Option<f64>>,
    gap_std: Vec<Option<f64>>,
    weekend: Vec<f64>,
    sine: Vec<f64>,
    cosine: Vec<f64>,
    cancelled: Vec<f64>,
    /// For each `top` the values.
    tops: Vec<Vec<Option<u64>>>,
}

/// What is the same for all customers.
#[derive(Debug)]
struct Common {
    as_of: i64,
    zone: TimeZone,
    /// Microseconds from UTC to local time, where they never change.
    offset: Option<i64>,
    tops: Vec<Ranks>,
    /// The sines and cosines of the hours on the face of a day.
    hours: [(f64, f64); 24],
}

/// One row per customer, sorted by customer; `top` are the names of the `top` columns.
///
/// # Errors
/// Arrow cannot build a column.
pub(super) async fn customers(
    tally: Tally,
    as_of: i64,
    zone: &TimeZone,
    top: &[String],
    threads: usize,
) -> Result<RecordBatch, StageError> {
    let offset = zone.to_fixed_offset().ok();
    let common = Arc::new(Common {
        as_of,
        zone: zone.clone(),
        offset: offset.map(|offset| i64::from(offset.seconds()) * 1_000_000),
        tops: tally
            .identities
            .tops
            .iter()
            .map(|top| top.ranks())
            .collect(),
        hours: std::array::from_fn(|hour| {
            #[expect(clippy::cast_precision_loss, reason = "hours are below 24")]
            let angle = hour as f64 * (std::f64::consts::TAU / 24.0);
            angle.sin_cos()
        }),
    });
    let tally = Arc::new(tally);
    let threads = threads.clamp(1, SHARES);
    let work = (0..threads).map(|thread| {
        let (tally, common, top) = (Arc::clone(&tally), Arc::clone(&common), top.to_vec());
        off_thread(move || {
            let mut figures = Figures::new(common.tops.len());
            let mut scratch = Scratch::default();
            for share in (thread..SHARES).step_by(threads) {
                figures.add_share(&tally, share, &common, &mut scratch);
            }
            let batch = figures.batch(&tally.identities, &top);
            batch.map_err(|error| DataFusionError::from(error).into())
        })
    });
    let batches: Vec<RecordBatch> = futures::future::try_join_all(work).await?;
    drop(tally);
    in_order(&batches).map_err(|error| DataFusionError::from(error).into())
}

/// The rows of all batches, sorted by the first column.
fn in_order(batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let schema = batches
        .first()
        .map_or_else(|| Arc::new(Schema::empty()), |batch| batch.schema());
    let rows = concat_batches(&schema, batches)?;
    let order = sort_to_indices(rows.column(0), None, None)?;
    take_record_batch(&rows, &order)
}

impl Figures {
    fn new(tops: usize) -> Self {
        Self {
            tops: vec![Vec::new(); tops],
            ..Self::default()
        }
    }

    fn batch(self, identities: &Identities, top: &[String]) -> Result<RecordBatch, ArrowError> {
        let orders = self.frequency.iter();
        let average: Float64Array = (self.money.iter().zip(orders))
            .map(|(money, orders)| Some(money / as_float(*orders)))
            .collect();
        let items: ArrayRef = if identities.is_fractional {
            let items = self.items.into_iter();
            let items = items.map(|bits| f64::from_bits(bits.cast_unsigned()));
            Arc::new(Float64Array::from_iter_values(items))
        } else {
            Arc::new(Int64Array::from(self.items))
        };
        let floats = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
        let maybe = |values: Vec<Option<f64>>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
        let integers = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let keys = identities
            .customer
            .values(self.customer.into_iter().map(Some))?;
        let mut columns = vec![
            ("customer_id".to_owned(), keys),
            ("recency_days".to_owned(), floats(self.recency)),
            ("tenure_days".to_owned(), floats(self.tenure)),
            ("frequency".to_owned(), integers(self.frequency)),
            ("items".to_owned(), items),
            ("distinct_products".to_owned(), integers(self.products)),
            ("monetary".to_owned(), floats(self.money)),
            ("avg_order_value".to_owned(), Arc::new(average)),
            ("gap_mean_days".to_owned(), maybe(self.gap_mean)),
            ("gap_std_days".to_owned(), maybe(self.gap_std)),
            ("weekend_share".to_owned(), floats(self.weekend)),
            ("hour_sin".to_owned(), floats(self.sine)),
            ("hour_cos".to_owned(), floats(self.cosine)),
            ("cancel_rate".to_owned(), floats(self.cancelled)),
        ];
        let tops = top.iter().zip(&identities.tops).zip(self.tops);
        for ((name, identity), values) in tops {
            let values = identity.values(values.into_iter())?;
            columns.push((format!("top_{name}"), values));
        }
        let columns = columns.into_iter();
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
    }
}

/// An entry and where what belongs to it stands.
struct Placed<'a> {
    /// As in the entry: beside each other, since sorting compares little else.
    customer: u64,
    order: u64,
    entry: &'a Entry,
    products: &'a [u64],
    tops: &'a [Option<u64>],
}

/// What is made anew for each customer, in memory that is kept.
#[derive(Debug, Default)]
struct Scratch {
    began: Vec<i64>,
    products: Vec<u64>,
}

impl Figures {
    /// Adds the customers of a share.
    fn add_share(&mut self, tally: &Tally, share: usize, common: &Common, scratch: &mut Scratch) {
        let width = tally.identities.tops.len();
        let shares = || tally.parts.iter().map(|part| &part.shares[share]);
        let mut placed = Vec::with_capacity(shares().map(|share| share.entries.len()).sum());
        for share in shares() {
            let mut first = 0;
            for (index, entry) in share.entries.iter().enumerate() {
                let last = first + entry.products as usize;
                placed.push(Placed {
                    customer: entry.customer,
                    order: entry.order,
                    entry,
                    products: &share.products[first..last],
                    tops: &share.tops[index * width..(index + 1) * width],
                });
                first = last;
            }
        }
        // Wholly ordered, so that sums do not depend on which thread met what.
        placed.sort_unstable_by(|a, b| {
            let orders = (a.customer, a.order).cmp(&(b.customer, b.order));
            orders.then_with(|| a.entry.among_its_order().cmp(&b.entry.among_its_order()))
        });
        let is_fractional = tally.identities.is_fractional;
        for entries in placed.chunk_by(|a, b| a.customer == b.customer) {
            self.add(entries, is_fractional, common, scratch);
        }
    }

    /// Adds the customer of some entries, if there is an order that was not cancelled.
    fn add(
        &mut self,
        entries: &[Placed<'_>],
        is_fractional: bool,
        common: &Common,
        scratch: &mut Scratch,
    ) {
        let Scratch { began, products } = scratch;
        began.clear();
        products.clear();
        let mut last = i64::MIN;
        let (mut items, mut money) = (0_i64, 0.0);
        let (mut orders, mut cancelled) = (0_i64, 0_i64);
        for order in entries.chunk_by(|a, b| a.order == b.order) {
            orders += 1;
            let mut live = order.iter().filter(|it| !it.entry.is_cancelled).peekable();
            if live.peek().is_none() {
                cancelled += 1;
                continue;
            }
            let mut first = i64::MAX;
            let mut of_order = 0.0;
            for it in live {
                first = first.min(it.entry.first);
                last = last.max(it.entry.last);
                of_order += it.entry.money;
                items = if is_fractional {
                    add_bits(items, f64::from_bits(it.entry.items.cast_unsigned()))
                } else {
                    items.wrapping_add(it.entry.items)
                };
                products.extend_from_slice(it.products);
            }
            money += of_order;
            began.push(first);
        }
        began.sort_unstable();
        let (Some(customer), Some(earliest)) = (entries.first(), began.first()) else {
            return;
        };
        products.sort_unstable();
        products.dedup();
        let frequency = i64::try_from(began.len()).unwrap_or(i64::MAX);
        let (gap_mean, gap_std) = gaps(began);
        let (mut weekend, mut sine, mut cosine) = (0_u32, 0.0, 0.0);
        for moment in &*began {
            let local = common.local(*moment);
            // 1970 began on a Thursday.
            let weekday = (local.div_euclid(DAY) + 4).rem_euclid(7);
            weekend += u32::from(weekday == 0 || weekday == 6);
            let hour = usize::try_from(local.rem_euclid(DAY) / HOUR).unwrap_or_default();
            sine += common.hours[hour].0;
            cosine += common.hours[hour].1;
        }
        let days = |moment: i64| as_float(common.as_of.wrapping_sub(moment)) / as_float(DAY);
        let count = as_float(frequency);
        self.customer.push(customer.customer);
        self.recency.push(days(last));
        self.tenure.push(days(*earliest));
        self.frequency.push(frequency);
        self.items.push(items);
        self.products
            .push(i64::try_from(products.len()).unwrap_or(i64::MAX));
        self.money.push(money);
        self.gap_mean.push(gap_mean);
        self.gap_std.push(gap_std);
        self.weekend.push(f64::from(weekend) / count);
        self.sine.push(sine / count);
        self.cosine.push(cosine / count);
        self.cancelled.push(as_float(cancelled) / as_float(orders));
        for (column, (values, ranks)) in self.tops.iter_mut().zip(&common.tops).enumerate() {
            values.push(most_frequent(entries, column, ranks));
        }
    }
}

impl Entry {
    /// Orders the entries of an order of a customer.
    const fn among_its_order(&self) -> (i64, i64, u64, u32) {
        (self.first, self.last, self.money.to_bits(), self.lines)
    }
}

/// The mean and the sample standard deviation of the days between moments in ascending order.
fn gaps(began: &[i64]) -> (Option<f64>, Option<f64>) {
    let gaps = || {
        let pairs = began.iter().zip(began.iter().skip(1));
        pairs.map(|(before, after)| as_float(after.wrapping_sub(*before)) / as_float(DAY))
    };
    let count = match began.len() {
        0 | 1 => return (None, None),
        #[expect(clippy::cast_precision_loss, reason = "a count of orders")]
        orders => (orders - 1) as f64,
    };
    let mean = gaps().sum::<f64>() / count;
    if count < 2.0 {
        return (Some(mean), None);
    }
    let squares: f64 = gaps().map(|gap| (gap - mean) * (gap - mean)).sum();
    (Some(mean), Some((squares / (count - 1.0)).sqrt()))
}

/// The most frequent value of a `top` column over the lines that count; of equals the smallest.
fn most_frequent(entries: &[Placed<'_>], column: usize, ranks: &Ranks) -> Option<u64> {
    let live = entries.iter().filter(|it| !it.entry.is_cancelled);
    // Most customers have few values: a list is looked through faster than a table of hashes.
    let mut counts: Vec<(u64, u64)> = Vec::new();
    for it in live {
        let Some(value) = it.tops.get(column).copied().flatten() else {
            continue;
        };
        let lines = u64::from(it.entry.lines);
        match counts.iter_mut().find(|(known, _)| *known == value) {
            Some((_, count)) => *count += lines,
            None => counts.push((value, lines)),
        }
    }
    let best = counts
        .into_iter()
        .min_by_key(|(value, count)| (std::cmp::Reverse(*count), ranks.of(*value)));
    best.map(|(value, _)| value)
}

impl Common {
    /// Microseconds since 1970 on the clocks of the time zone.
    fn local(&self, moment: i64) -> i64 {
        let offset = self.offset.unwrap_or_else(|| {
            Timestamp::from_microsecond(moment).map_or(0, |at| {
                i64::from(self.zone.to_offset(at).seconds()) * 1_000_000
            })
        });
        moment.saturating_add(offset)
    }
}
