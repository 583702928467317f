//! The figures of customers, from the entries of a [`Tally`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::error::ArrowError;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use marquetry_plugin::StageError;
use marquetry_rows::off_thread;

use super::identity::Ranks;
use super::tally::{Entry, SHARES, Tally, add_bits, as_float};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// A customer's figures, as the columns of the output have them.
#[derive(Debug)]
struct Customer {
    customer: u64,
    recency: f64,
    tenure: f64,
    frequency: i64,
    items: i64,
    products: i64,
    money: f64,
    gap_mean: Option<f64>,
    gap_std: Option<f64>,
    weekend: f64,
    sine: f64,
    cosine: f64,
    cancelled: f64,
    tops: Box<[Option<u64>]>,
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
        let (tally, common) = (Arc::clone(&tally), Arc::clone(&common));
        off_thread(move || {
            let shares = (thread..SHARES).step_by(threads);
            Ok(shares
                .flat_map(|share| of_share(&tally, share, &common))
                .collect::<Vec<_>>())
        })
    });
    let mut customers: Vec<Customer> = futures::future::try_join_all(work)
        .await?
        .into_iter()
        .flatten()
        .collect();
    let identities = Arc::clone(&tally.identities);
    drop(tally);
    let ranks = identities.customer.ranks();
    customers.sort_unstable_by_key(|customer| ranks.of(customer.customer));

    let floats = |of: fn(&Customer) -> f64| -> ArrayRef {
        Arc::new(
            customers
                .iter()
                .map(|it| Some(of(it)))
                .collect::<Float64Array>(),
        )
    };
    let maybe = |of: fn(&Customer) -> Option<f64>| -> ArrayRef {
        Arc::new(customers.iter().map(of).collect::<Float64Array>())
    };
    let integers = |of: fn(&Customer) -> i64| -> ArrayRef {
        Arc::new(
            customers
                .iter()
                .map(|it| Some(of(it)))
                .collect::<Int64Array>(),
        )
    };
    let build = || -> Result<RecordBatch, ArrowError> {
        let keys = customers.iter().map(|it| Some(it.customer));
        let items = match identities.is_fractional {
            true => floats(|it| f64::from_bits(it.items.cast_unsigned())),
            false => integers(|it| it.items),
        };
        let mut columns = vec![
            ("customer_id".to_owned(), identities.customer.values(keys)?),
            ("recency_days".to_owned(), floats(|it| it.recency)),
            ("tenure_days".to_owned(), floats(|it| it.tenure)),
            ("frequency".to_owned(), integers(|it| it.frequency)),
            ("items".to_owned(), items),
            ("distinct_products".to_owned(), integers(|it| it.products)),
            ("monetary".to_owned(), floats(|it| it.money)),
            (
                "avg_order_value".to_owned(),
                floats(|it| it.money / as_float(it.frequency)),
            ),
            ("gap_mean_days".to_owned(), maybe(|it| it.gap_mean)),
            ("gap_std_days".to_owned(), maybe(|it| it.gap_std)),
            ("weekend_share".to_owned(), floats(|it| it.weekend)),
            ("hour_sin".to_owned(), floats(|it| it.sine)),
            ("hour_cos".to_owned(), floats(|it| it.cosine)),
            ("cancel_rate".to_owned(), floats(|it| it.cancelled)),
        ];
        for (index, (name, identity)) in top.iter().zip(&identities.tops).enumerate() {
            let values = customers
                .iter()
                .map(|it| it.tops.get(index).copied().flatten());
            columns.push((format!("top_{name}"), identity.values(values)?));
        }
        RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )
    };
    build().map_err(|error| datafusion::error::DataFusionError::from(error).into())
}

/// An entry and where what belongs to it stands.
struct Placed<'a> {
    entry: &'a Entry,
    products: &'a [u64],
    tops: &'a [Option<u64>],
}

fn of_share(tally: &Tally, share: usize, common: &Common) -> Vec<Customer> {
    let width = tally.identities.tops.len();
    let mut placed = Vec::new();
    for part in &tally.parts {
        let share = &part.shares[share];
        let mut first = 0;
        for (index, entry) in share.entries.iter().enumerate() {
            let last = first + entry.products as usize;
            placed.push(Placed {
                entry,
                products: &share.products[first..last],
                tops: &share.tops[index * width..(index + 1) * width],
            });
            first = last;
        }
    }
    // Wholly ordered, so that sums do not depend on which thread met what.
    placed.sort_unstable_by_key(|it| {
        let entry = it.entry;
        let own = (entry.customer, entry.order, entry.first, entry.last);
        (own, entry.money.to_bits(), entry.lines)
    });
    let is_fractional = tally.identities.is_fractional;
    let of_customers = placed.chunk_by(|a, b| a.entry.customer == b.entry.customer);
    let customers = of_customers.filter_map(|entries| of_customer(entries, is_fractional, common));
    customers.collect()
}

/// The figures of a customer with an order that was not cancelled.
fn of_customer(entries: &[Placed<'_>], is_fractional: bool, common: &Common) -> Option<Customer> {
    let mut began = Vec::new();
    let mut last = i64::MIN;
    let (mut items, mut money) = (0_i64, 0.0);
    let (mut orders, mut cancelled) = (0_i64, 0_i64);
    let mut products = Vec::new();
    for order in entries.chunk_by(|a, b| a.entry.order == b.entry.order) {
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
            items = match is_fractional {
                true => add_bits(items, f64::from_bits(it.entry.items.cast_unsigned())),
                false => items.wrapping_add(it.entry.items),
            };
            products.extend_from_slice(it.products);
        }
        money += of_order;
        began.push(first);
    }
    began.sort_unstable();
    let earliest = *began.first()?;
    products.sort_unstable();
    products.dedup();
    let frequency = i64::try_from(began.len()).unwrap_or(i64::MAX);
    let (gap_mean, gap_std) = gaps(&began);
    let (mut weekend, mut sine, mut cosine) = (0.0, 0.0, 0.0);
    for moment in &began {
        let local = common.local(*moment);
        // 1970 began on a Thursday.
        let weekday = (local.div_euclid(DAY) + 4).rem_euclid(7);
        weekend += if weekday == 0 || weekday == 6 {
            1.0
        } else {
            0.0
        };
        let hour = usize::try_from(local.rem_euclid(DAY) / HOUR).unwrap_or_default();
        sine += common.hours[hour].0;
        cosine += common.hours[hour].1;
    }
    let days = |moment: i64| as_float(common.as_of.wrapping_sub(moment)) / as_float(DAY);
    let count = as_float(frequency);
    Some(Customer {
        customer: entries.first()?.entry.customer,
        recency: days(last),
        tenure: days(earliest),
        frequency,
        items,
        products: i64::try_from(products.len()).unwrap_or(i64::MAX),
        money,
        gap_mean,
        gap_std,
        weekend: weekend / count,
        sine: sine / count,
        cosine: cosine / count,
        cancelled: as_float(cancelled) / as_float(orders),
        tops: tops(entries, &common.tops),
    })
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

/// The most frequent value of each `top` column over the lines that count; of equals the smallest.
fn tops(entries: &[Placed<'_>], ranks: &[Ranks]) -> Box<[Option<u64>]> {
    let of_column = |(column, ranks): (usize, &Ranks)| {
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
    };
    ranks.iter().enumerate().map(of_column).collect()
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
