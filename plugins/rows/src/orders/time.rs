//! Time zones and moments as the author of a workflow writes them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use marquetry_plugin::StageError;
use marquetry_types::codes;

use crate::invalid;

/// The time zone of that IANA name.
///
/// # Errors
/// There is none.
pub fn time_zone(name: &str) -> Result<TimeZone, StageError> {
    TimeZone::get(name).map_err(|_| {
        invalid(
            codes::STAGE_OPTIONS,
            format!("`timezone`: there is no time zone `{name}`"),
            "use an IANA name such as UTC, Europe/London or America/New_York",
        )
    })
}

/// The moment that `text`, the value of `option`, means in a time zone: a date, a date and time in that zone, or
/// a timestamp with an offset. In microseconds since 1970 in UTC.
///
/// # Errors
/// It is no date, no date and time, and no timestamp.
pub fn moment(option: &str, text: &str, zone: &TimeZone) -> Result<i64, StageError> {
    let timestamp = text.parse::<Timestamp>();
    let timestamp = timestamp.or_else(|_| {
        civil(text)?
            .to_zoned_datetime(zone.clone())
            .map(|at| at.timestamp())
    });
    timestamp.map(Timestamp::as_microsecond).map_err(|_| {
        invalid(
            codes::STAGE_OPTIONS,
            format!("`{option}`: `{text}` is no date or time"),
            "write 2025-01-01, 2025-01-01T08:30:00 or 2025-01-01T08:30:00+01:00",
        )
    })
}

fn civil(text: &str) -> Result<DateTime, jiff::Error> {
    text.parse::<DateTime>()
        .or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_the_zone_unless_they_have_an_offset() {
        let zone = time_zone("Europe/Berlin").unwrap();
        let hour = 3_600_000_000;
        let day = 24 * hour;
        assert_eq!(moment("from", "1970-01-02", &zone).unwrap(), day - hour);
        assert_eq!(
            moment("from", "1970-01-02T00:00:00", &zone).unwrap(),
            day - hour
        );
        assert_eq!(moment("from", "1970-01-02T00:00:00Z", &zone).unwrap(), day);
        let error = moment("from", "soon", &zone).unwrap_err().to_string();
        assert!(
            error.starts_with("`from`: `soon` is no date or time"),
            "{error}"
        );
        assert!(time_zone("Mars/Base").is_err());
    }
}
