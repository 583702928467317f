//! The readings of the wall clock that fit a rule: the next and the previous one. Whole months that do not
//! fit are passed over, so that the search takes microseconds for the rarest of rules.

use jiff::civil::{Date, DateTime, Time};

use super::Cron;

/// The years that `jiff` knows.
const YEARS: std::ops::RangeInclusive<i16> = -9999..=9999;

impl Cron {
    /// The first reading that fits, at `start` or later. `start` is a whole minute.
    pub(super) fn at_or_after(&self, start: DateTime) -> Option<DateTime> {
        let (mut year, mut month) = (start.year(), start.month());
        let first_day = bits(start.day());
        if has(self.months, bits(month)) {
            let days = self.days_of(year, month)? >> first_day << first_day;
            if has(days, first_day)
                && let Some((hour, minute)) = self.time_at_or_after(start.hour(), start.minute())
            {
                return reading(year, month, first_day, hour, minute);
            }
            // The first day is done with.
            if let Some(day) = lowest(days & !(1 << first_day)) {
                return self.first_time_of(year, month, day);
            }
        }
        loop {
            let later = bits(month) + 1;
            let month_found = lowest(self.months >> later << later);
            month = match month_found {
                Some(month) => signed(month),
                None => {
                    year = year.checked_add(1).filter(|year| YEARS.contains(year))?;
                    signed(lowest(self.months)?)
                }
            };
            if let Some(day) = lowest(self.days_of(year, month)?) {
                return self.first_time_of(year, month, day);
            }
        }
    }

    /// The last reading that fits, at `start` or earlier. `start` is a whole minute.
    pub(super) fn at_or_before(&self, start: DateTime) -> Option<DateTime> {
        let (mut year, mut month) = (start.year(), start.month());
        let last_day = bits(start.day());
        if has(self.months, bits(month)) {
            let days = self.days_of(year, month)? & up_to(last_day);
            if has(days, last_day)
                && let Some((hour, minute)) = self.time_at_or_before(start.hour(), start.minute())
            {
                return reading(year, month, last_day, hour, minute);
            }
            if let Some(day) = highest(days & !(1 << last_day)) {
                return self.last_time_of(year, month, day);
            }
        }
        loop {
            let month_found = highest(self.months & up_to(bits(month) - 1));
            month = match month_found {
                Some(month) => signed(month),
                None => {
                    year = year.checked_sub(1).filter(|year| YEARS.contains(year))?;
                    signed(highest(self.months)?)
                }
            };
            if let Some(day) = highest(self.days_of(year, month)?) {
                return self.last_time_of(year, month, day);
            }
        }
    }

    fn days_of(&self, year: i16, month: i8) -> Option<u64> {
        let first = Date::new(year, month, 1).ok()?;
        let length = bits(first.days_in_month());
        let weekday = bits(first.weekday().to_sunday_zero_offset());
        Some(self.days.of_month(length, weekday))
    }

    fn time_at_or_after(&self, hour: i8, minute: i8) -> Option<(u32, u32)> {
        let (hour, minute) = (bits(hour), bits(minute));
        if has(self.hours, hour)
            && let Some(minute) = lowest(self.minutes >> minute << minute)
        {
            return Some((hour, minute));
        }
        let later = hour + 1;
        let hour = lowest(self.hours >> later << later)?;
        Some((hour, lowest(self.minutes)?))
    }

    fn time_at_or_before(&self, hour: i8, minute: i8) -> Option<(u32, u32)> {
        let (hour, minute) = (bits(hour), bits(minute));
        if has(self.hours, hour)
            && let Some(minute) = highest(self.minutes & up_to(minute))
        {
            return Some((hour, minute));
        }
        let earlier = hour.checked_sub(1)?;
        let hour = highest(self.hours & up_to(earlier))?;
        Some((hour, highest(self.minutes)?))
    }

    fn first_time_of(&self, year: i16, month: i8, day: u32) -> Option<DateTime> {
        let (hour, minute) = (lowest(self.hours)?, lowest(self.minutes)?);
        reading(year, month, day, hour, minute)
    }

    fn last_time_of(&self, year: i16, month: i8, day: u32) -> Option<DateTime> {
        let (hour, minute) = (highest(self.hours)?, highest(self.minutes)?);
        reading(year, month, day, hour, minute)
    }
}

fn reading(year: i16, month: i8, day: u32, hour: u32, minute: u32) -> Option<DateTime> {
    let date = Date::new(year, month, signed(day)).ok()?;
    let time = Time::new(signed(hour), signed(minute), 0, 0).ok()?;
    Some(date.to_datetime(time))
}

fn has(set: u64, element: u32) -> bool {
    set >> element & 1 == 1
}

/// The elements 0 to `last`, at most 62.
const fn up_to(last: u32) -> u64 {
    (1 << (last + 1)) - 1
}

fn lowest(set: u64) -> Option<u32> {
    (set != 0).then(|| set.trailing_zeros())
}

fn highest(set: u64) -> Option<u32> {
    (set != 0).then(|| set.ilog2())
}

/// A part of a date or a time, which is never negative.
fn bits(part: i8) -> u32 {
    u32::from(part.unsigned_abs())
}

/// A part of a date or a time, which is at most 59.
fn signed(part: u32) -> i8 {
    i8::try_from(part).unwrap_or(i8::MAX)
}
