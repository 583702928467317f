//! Which days of a month a rule takes. A set of days is a number with bit `n` for day `n`.

/// The days of the month and of the week of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Days {
    /// Bit `n` for the day `n` of the month.
    pub(super) dates: u64,
    /// Bit `n` for the day `n` days before the last (`L-n`).
    pub(super) before_last: u64,
    /// Bit `n` for the workday nearest to the day `n` (`nW`).
    pub(super) nearest_workdays: u64,
    /// The last workday (`LW`).
    pub(super) last_workday: bool,
    /// Bit `n` for the day `n` of the week, with 0 for Sunday.
    pub(super) weekdays: u64,
    /// For the first to the fifth of its kind in the month, which days of the week (`n#k`).
    pub(super) nth_weekdays: [u64; 5],
    /// Days of the week of which the last in the month (`nL`).
    pub(super) last_weekdays: u64,
    /// Whether a day that fits one of the two fields is enough.
    pub(super) either: bool,
}

impl Days {
    /// The days that fit in a month of `length` days, from 28 to 31, whose first day is the day `first` of
    /// the week.
    pub(super) fn of_month(&self, length: u32, first: u32) -> u64 {
        let by_date = self.by_date(length, first);
        let by_weekday = self.by_weekday(length, first);
        if self.either {
            by_date | by_weekday
        } else {
            by_date & by_weekday
        }
    }

    fn by_date(&self, length: u32, first: u32) -> u64 {
        let all: u64 = ((1 << length) - 1) << 1;
        let mut days = self.dates & all;
        for day in 1..=length {
            if has(self.before_last, length - day) {
                days |= 1 << day;
            }
            if has(self.nearest_workdays, day) {
                days |= 1 << nearest_workday(day, length, first);
            }
        }
        if self.last_workday {
            days |= 1 << nearest_workday(length, length, first);
        }
        days
    }

    fn by_weekday(&self, length: u32, first: u32) -> u64 {
        let mut days = 0;
        for day in 1..=length {
            let weekday = weekday(day, first);
            let nth = self.nth_weekdays.get(((day - 1) / 7) as usize);
            let fits = has(self.weekdays, weekday)
                || nth.is_some_and(|weekdays| has(*weekdays, weekday))
                || (day + 7 > length && has(self.last_weekdays, weekday));
            if fits {
                days |= 1 << day;
            }
        }
        days
    }
}

fn has(set: u64, element: u32) -> bool {
    set >> element & 1 == 1
}

const fn weekday(day: u32, first: u32) -> u32 {
    (first + day - 1) % 7
}

/// The Monday to Friday nearest to a day, without leaving the month.
const fn nearest_workday(day: u32, length: u32, first: u32) -> u32 {
    match weekday(day, first) {
        0 if day == length => day - 2,
        0 => day + 1,
        6 if day == 1 => 3,
        6 => day - 1,
        _ => day,
    }
}
