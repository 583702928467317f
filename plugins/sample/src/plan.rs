//! Who the customers are and when they order: everything but the lines. It is made first, because orders
//! come out in the order of time while behaviour belongs to customers.

use crate::SampleError;
use crate::calendar::{DAY_MICROS, DAYS, START_MICROS, is_weekend};
use crate::dice::Dice;
use crate::group::{Behaviour, Group, Pace, Weekdays};

/// The most rows that a sample can have: ids and memory (6 GB for the plan) end here.
pub const MAX_ROWS: u64 = 1_000_000_000;

/// A planted customer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Customer {
    pub(crate) group: Group,
    /// Index of the home country.
    pub(crate) country: u8,
}

/// An order without its lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    /// Microseconds since 1970.
    pub(crate) at: i64,
    /// Index of the customer.
    pub(crate) customer: u32,
    pub(crate) lines: u16,
    pub(crate) country: u8,
    pub(crate) channel: u8,
    pub(crate) cancelled: bool,
    /// Whether the shop knows who it was; if not, the customer's id is missing.
    pub(crate) known: bool,
}

/// All customers and orders of a sample.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) customers: Vec<Customer>,
    /// In the order of time.
    pub(crate) orders: Vec<Order>,
}

/// What stands for "until the end" in days.
const FOR_GOOD: u32 = DAYS;
/// Orders in a thousand whose customer is not known.
const UNKNOWN_CUSTOMERS: u32 = 15;
/// Orders in a thousand that are sent to another country than the customer's.
const FOREIGN_ORDERS: u32 = 25;

impl Plan {
    /// Customers are added until their orders have `rows` lines; the last customer's history may be cut.
    pub(crate) fn new(rows: u64, seed: u64) -> Result<Self, SampleError> {
        if rows > MAX_ROWS {
            return Err(SampleError::TooManyRows { rows });
        }
        let mut dice = Dice::new(seed, 0);
        let shares = Group::ALL.map(Group::share);
        let mut plan = Self {
            customers: Vec::new(),
            orders: Vec::new(),
        };
        let mut rows_left = rows;
        while rows_left > 0 {
            let group = Group::ALL[dice.weighted(&shares)];
            let behaviour = group.behaviour();
            let customer = Customer {
                group,
                country: dice.weighted(&behaviour.countries) as u8,
            };
            plan.add_customer(&mut dice, customer, &behaviour, &mut rows_left);
        }
        plan.orders
            .sort_unstable_by_key(|order| (order.at, order.customer));
        Ok(plan)
    }

    fn add_customer(
        &mut self,
        dice: &mut Dice,
        customer: Customer,
        behaviour: &Behaviour,
        rows_left: &mut u64,
    ) {
        // At most one customer a row, and rows are bounded by `MAX_ROWS`.
        let number = self.customers.len() as u32;
        self.customers.push(customer);
        // People have their own hours, within their group's.
        let hour_shift = dice.between((0, 2)) + 23;
        for day in order_days(dice, behaviour) {
            if *rows_left == 0 {
                return;
            }
            let drawn = dice.mostly_low(behaviour.lines);
            let lines = u64::from(drawn).min(*rows_left);
            *rows_left -= lines;
            let hour = (dice.weighted(&behaviour.hours) as u32 + hour_shift) % 24;
            let within_hour = i64::from(dice.below(3_600_000)) * 1_000;
            let country = if dice.chance(FOREIGN_ORDERS) {
                dice.weighted(&behaviour.countries) as u8
            } else {
                customer.country
            };
            self.orders.push(Order {
                at: START_MICROS
                    + i64::from(day) * DAY_MICROS
                    + i64::from(hour) * (DAY_MICROS / 24)
                    + within_hour,
                customer: number,
                lines: lines as u16,
                country,
                channel: dice.weighted(&behaviour.channels) as u8,
                cancelled: dice.chance(behaviour.cancelled),
                known: !dice.chance(UNKNOWN_CUSTOMERS),
            });
        }
    }
}

/// The days of a customer's orders, all within the two years.
fn order_days(dice: &mut Dice, behaviour: &Behaviour) -> Vec<u32> {
    match behaviour.pace {
        Pace::Windows { windows, orders } => {
            let count = dice.between(orders);
            (0..count)
                .map(|_| {
                    let window = windows[dice.below(windows.len() as u32) as usize];
                    let day = dice.between(window);
                    on_weekday(dice, day, behaviour.weekdays)
                })
                .collect()
        }
        Pace::Every { days, spread } => {
            let first = dice.between(behaviour.first_day);
            let active = behaviour
                .active_days
                .map_or(FOR_GOOD, |range| dice.between(range));
            let end = f64::from((first + active).min(DAYS));
            // Some are quicker than others of their kind.
            let own_days = days * (1.0 + 0.35 * dice.bell());
            let mut order_days = Vec::new();
            let mut day = f64::from(first);
            while day < end {
                order_days.push(on_weekday(dice, day as u32, behaviour.weekdays));
                day += (own_days * (1.0 + spread * dice.bell())).max(1.0);
            }
            order_days
        }
    }
}

/// Moves a day to the days of the week that the group prefers, nine times out of ten.
fn on_weekday(dice: &mut Dice, day: u32, weekdays: Weekdays) -> u32 {
    let wanted = match weekdays {
        Weekdays::Any => return day,
        Weekdays::Weekend => true,
        Weekdays::WorkingDays => false,
    };
    if is_weekend(day) == wanted || dice.chance(100) {
        return day;
    }
    // The nearest such day ahead or, at the very end, behind; a coin decides between Saturday and Sunday.
    let second = u32::from(wanted && dice.chance(500));
    let ahead = (day..day + 7).find(|candidate| is_weekend(*candidate) == wanted);
    match ahead.map(|found| found + second) {
        Some(found) if found < DAYS => found,
        _ => (day.saturating_sub(6)..day)
            .rev()
            .find(|candidate| is_weekend(*candidate) == wanted)
            .unwrap_or(day),
    }
}
