//! Time zones by name, and which instant a reading of the wall clock means.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::Timestamp as Instant;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

/// The rules that were compiled in. The system's would differ between machines and need files.
static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database, such as `Europe/Berlin`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

/// The text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone `{text}`")]
pub struct UnknownZone {
    /// The text as given.
    pub text: String,
}

impl Zone {
    /// Coordinated universal time, in which no clock is ever changed.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Its name in the IANA database.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The names of all time zones, sorted.
    #[must_use]
    pub fn names() -> Vec<String> {
        let names = DATABASE.available();
        let mut names: Vec<String> = names.map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn rules(&self) -> &TimeZone {
        &self.0
    }

    /// The first instant at which the wall clock shows `civil`, or, where clocks were put forward over it,
    /// the first instant after the gap. Never falls as `civil` rises.
    pub(crate) fn first_instant(&self, civil: DateTime) -> Option<Instant> {
        match self.0.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                // Had the clocks gone on, they would show it at this instant, so the change is before it.
                let unchanged = before.to_timestamp(civil).ok()?;
                let just_after = unchanged
                    .checked_add(jiff::Span::new().nanoseconds(1))
                    .ok()?;
                let change = self.0.preceding(just_after).next()?;
                Some(change.timestamp())
            }
        }
    }

    /// The latest reading of the wall clock that it has shown first at `instant` or earlier. It is what the
    /// clock shows, except while clocks that were put back go through the same hour again.
    pub(crate) fn latest_reading(&self, instant: Instant) -> DateTime {
        let offset = self.0.to_offset(instant);
        let shown = offset.to_datetime(instant);
        match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Fold { before, after } if after == offset => {
                let repeated = before.duration_since(after);
                shown.checked_add(repeated).unwrap_or(shown)
            }
            _ => shown,
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = DATABASE.get(text).ok();
        let usable = found.filter(|zone| !zone.is_unknown() && zone.iana_name().is_some());
        usable.map(Self).ok_or_else(|| UnknownZone {
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Zone({})", self.name())
    }
}
