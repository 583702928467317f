//! The five fields of cron.

mod days;
mod error;
mod fields;
mod instants;
mod parse;
mod search;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use error::{CronError, Field};

/// A rule of five fields, as in crontab(5): minute, hour, day of month, month, day of week.
///
/// A field is a list of values, ranges and steps: `*`, `5`, `1-5`, `*/15`, `9-17/2`, `1,15`. Months and
/// days of the week have names (`JAN`, `MON`, of either case); Sunday is 0 and 7. Days of the month know
/// `L` (the last day), `L-2` (two days before it), `15W` (the Monday to Friday nearest to the 15th, in the
/// same month) and `LW` (the last Monday to Friday); days of the week know `FRI#2` (the second Friday of
/// the month) and `FRIL` (the last one). `?` stands for `*` in both. Names for whole rules are `@yearly`,
/// `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight` and `@hourly`.
///
/// If both the day of the month and the day of the week are given, that is, begin with neither `*` nor `?`,
/// a day that fits one of them is enough; otherwise it must fit both (crontab(5) of Vixie cron).
///
/// # When clocks change
///
/// As Vixie cron has it (cron(8), "Daylight Saving Time and other time changes"), which tells two kinds of
/// rules apart:
///
/// - Rules whose minute and hour both begin with something else than `*` name times of the day, and each
///   time is meant once a day. One that does not exist, because clocks were put forward over it, is at the
///   first instant after the gap: `30 2 * * *` in Europe/Berlin is at 03:00 on the last Sunday in March.
///   Several times in one gap are one occurrence. A time that the clocks show twice, because they were put
///   back, is at the first of the two.
/// - Rules whose minute or hour begins with `*` go by the clock: they fire whenever it shows a time that
///   fits. `0 * * * *` fires every real hour, 23 times on the short day and 25 times on the long one, and
///   `*/15 * * * *` every quarter of an hour. Nothing fires within a gap, and what repeats fires twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    /// As given, without blanks around it.
    text: String,
    /// Bit `n` for minute `n`.
    minutes: u64,
    /// Bit `n` for hour `n`.
    hours: u64,
    days: days::Days,
    /// Bit `n` for month `n`, counted from 1.
    months: u64,
    /// Whether it fires whenever the clock shows a time that fits, and not once for each time.
    goes_by_the_clock: bool,
}

impl Cron {
    /// The rule as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::parse(text)
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse::parse(&text)
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

#[cfg(test)]
mod tests;
