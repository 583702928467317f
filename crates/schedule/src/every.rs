//! Intervals of elapsed time.

use std::fmt;
use std::time::Duration;

use marquetry_types::Timestamp;
use serde::{Deserialize, Serialize};

/// An interval of elapsed time, in whole milliseconds, from a second to 366 days.
///
/// Its occurrences are at `anchor + k × interval` for every whole `k`, where the anchor is the schedule's
/// `from`, or 1970-01-01T00:00:00Z if it has none. Time is elapsed time and not the wall clock's: between
/// two occurrences there is always one interval, also when clocks change. So `15m` is at :00, :15, :30 and
/// :45, and `1d` is at midnight UTC; for midnight elsewhere, [`Cron`](crate::Cron) is the right thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Every(i64);

/// Why a duration is no interval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an interval is from 1 second to 366 days, in whole milliseconds")]
pub struct InvalidInterval;

const SHORTEST: i64 = 1_000;
const LONGEST: i64 = 366 * 24 * 60 * 60 * 1_000;

impl Every {
    /// The interval of that length.
    ///
    /// # Errors
    /// It is too short, too long or finer than a millisecond.
    pub fn new(interval: Duration) -> Result<Self, InvalidInterval> {
        if !interval.subsec_nanos().is_multiple_of(1_000_000) {
            return Err(InvalidInterval);
        }
        let milliseconds = u64::try_from(interval.as_millis()).map_err(|_| InvalidInterval)?;
        Self::try_from(milliseconds)
    }

    /// How long it is.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_millis(u64::from(self))
    }

    /// The first occurrence after an instant.
    pub(crate) fn next_after(self, after: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        let elapsed = after.as_millis().checked_sub(anchor.as_millis())?;
        let into = elapsed.rem_euclid(self.0);
        let next = after.as_millis().checked_add(self.0 - into)?;
        Some(Timestamp::from_millis(next))
    }

    /// The last occurrence before an instant.
    pub(crate) fn last_before(self, before: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        let elapsed = before.as_millis().checked_sub(anchor.as_millis())?;
        let into = match elapsed.rem_euclid(self.0) {
            0 => self.0,
            into => into,
        };
        let last = before.as_millis().checked_sub(into)?;
        Some(Timestamp::from_millis(last))
    }
}

impl TryFrom<u64> for Every {
    type Error = InvalidInterval;

    /// From milliseconds.
    fn try_from(milliseconds: u64) -> Result<Self, Self::Error> {
        match i64::try_from(milliseconds) {
            Ok(milliseconds @ SHORTEST..=LONGEST) => Ok(Self(milliseconds)),
            _ => Err(InvalidInterval),
        }
    }
}

impl From<Every> for u64 {
    /// In milliseconds.
    fn from(every: Every) -> Self {
        every.0.unsigned_abs()
    }
}

impl fmt::Display for Every {
    /// As a workflow file has it: `1h30m`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, length) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ] {
            if rest >= length {
                write!(formatter, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn occurrences_stand_on_multiples_of_the_interval_from_the_anchor() {
        let quarter = Every::new(Duration::from_secs(900)).unwrap();
        let epoch = Timestamp::default();
        let next = |text| quarter.next_after(at(text), epoch);
        assert_eq!(
            next("2026-11-28T09:01:00Z"),
            Some(at("2026-11-28T09:15:00Z"))
        );
        assert_eq!(
            next("2026-11-28T09:15:00Z"),
            Some(at("2026-11-28T09:30:00Z"))
        );
        assert_eq!(next("1969-12-31T23:59:59Z"), Some(epoch));
        let last = quarter.last_before(at("2026-11-28T09:15:00Z"), epoch);
        assert_eq!(last, Some(at("2026-11-28T09:00:00Z")));
        let anchored = quarter.next_after(at("2026-11-28T09:00:00Z"), at("2026-11-28T12:05:00Z"));
        assert_eq!(anchored, Some(at("2026-11-28T09:05:00Z")));
    }

    #[test]
    fn intervals_keep_to_their_bounds_and_read_as_people_write_them() {
        for wrong in [
            Duration::ZERO,
            Duration::from_millis(999),
            Duration::from_micros(1_000_001),
        ] {
            assert_eq!(Every::new(wrong), Err(InvalidInterval));
        }
        assert_eq!(
            Every::new(Duration::from_secs(367 * 86_400)),
            Err(InvalidInterval)
        );
        let shown = |milliseconds: u64| Every::try_from(milliseconds).unwrap().to_string();
        assert_eq!(shown(900_000), "15m");
        assert_eq!(shown(90_061_001), "1d1h1m1s1ms");
    }

    #[test]
    fn nothing_overflows_at_the_ends_of_time() {
        let day = Every::new(Duration::from_secs(86_400)).unwrap();
        let (first, last) = (
            Timestamp::from_millis(i64::MIN),
            Timestamp::from_millis(i64::MAX),
        );
        for (instant, anchor) in [(first, last), (last, first), (last, last), (first, first)] {
            let _ = day.next_after(instant, anchor);
            let _ = day.last_before(instant, anchor);
        }
        assert_eq!(day.next_after(last, Timestamp::default()), None);
    }
}
