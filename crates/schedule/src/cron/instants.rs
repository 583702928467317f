//! From readings of the wall clock to instants. What is meant when clocks change stands at [`Cron`].

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as Instant};
use marquetry_types::Timestamp;

use super::Cron;
use crate::Zone;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

impl Cron {
    /// The first occurrence after an instant; none if there is none until the year 9999.
    #[must_use]
    pub fn next_after(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let after = Instant::from_millisecond(after.as_millis()).ok()?;
        let next = if self.goes_by_the_clock {
            self.next_shown(after, zone.rules())
        } else {
            self.next_meant(after, zone)
        };
        next.map(|next| Timestamp::from_millis(next.as_millisecond()))
    }

    /// The last occurrence before an instant; none if there is none since the year -9999.
    #[must_use]
    pub fn last_before(&self, before: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let before = Instant::from_millisecond(before.as_millis()).ok()?;
        let last = if self.goes_by_the_clock {
            self.last_shown(before, zone.rules())
        } else {
            self.last_meant(before, zone)
        };
        last.map(|last| Timestamp::from_millis(last.as_millisecond()))
    }

    /// Each time is meant once. A later time is never meant at an earlier instant, so the readings are
    /// tried in their order; those that the clocks repeat are passed over.
    fn next_meant(&self, after: Instant, zone: &Zone) -> Option<Instant> {
        let shown = zone.rules().to_datetime(after);
        let mut reading = whole_minute(shown)?.checked_add(MINUTE).ok()?;
        loop {
            reading = self.at_or_after(reading)?;
            let instant = zone.first_instant(reading)?;
            if instant > after {
                return Some(instant);
            }
            reading = reading.checked_add(MINUTE).ok()?;
        }
    }

    fn last_meant(&self, before: Instant, zone: &Zone) -> Option<Instant> {
        let mut reading = whole_minute(zone.latest_reading(before))?;
        loop {
            reading = self.at_or_before(reading)?;
            let instant = zone.first_instant(reading)?;
            if instant < before {
                return Some(instant);
            }
            reading = reading.checked_sub(MINUTE).ok()?;
        }
    }

    /// Whatever the clock shows counts, so each stretch of time between two changes of the clocks is
    /// searched by itself: within it, readings and instants go in step.
    fn next_shown(&self, after: Instant, rules: &TimeZone) -> Option<Instant> {
        let mut offset = rules.to_offset(after);
        let mut start = whole_minute(offset.to_datetime(after))?
            .checked_add(MINUTE)
            .ok()?;
        let mut changes = rules.following(after);
        loop {
            let reading = self.at_or_after(start)?;
            let instant = offset.to_timestamp(reading).ok();
            let Some(change) = changes.next() else {
                return instant;
            };
            if let Some(instant) = instant
                && instant < change.timestamp()
            {
                return Some(instant);
            }
            offset = change.offset();
            let shown = offset.to_datetime(change.timestamp());
            start = whole_minute(shown)?;
            if start < shown {
                start = start.checked_add(MINUTE).ok()?;
            }
        }
    }

    fn last_shown(&self, before: Instant, rules: &TimeZone) -> Option<Instant> {
        let mut end = before;
        let mut changes = rules.preceding(before);
        loop {
            let just_before = end.checked_sub(SignedDuration::from_nanos(1)).ok()?;
            let offset = rules.to_offset(just_before);
            let start = whole_minute(offset.to_datetime(just_before))?;
            let reading = self.at_or_before(start)?;
            let instant = offset.to_timestamp(reading).ok();
            let Some(change) = changes.next() else {
                return instant;
            };
            if let Some(instant) = instant
                && instant >= change.timestamp()
            {
                return Some(instant);
            }
            end = change.timestamp();
        }
    }
}

fn whole_minute(reading: DateTime) -> Option<DateTime> {
    let whole = reading.with().second(0).subsec_nanosecond(0);
    whole.build().ok()
}
