//! Days and instants written as text. ISO 8601 is read by hand, because exports hold one timestamp a
//! row; every other notation goes through jiff's strptime.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
pub(crate) const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

/// A clock's reading, in microseconds since 1970-01-01T00:00:00 on that clock, and how far the clock
/// is ahead of UTC, where the text says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockReading {
    micros: i64,
    offset_seconds: Option<i64>,
}

/// How the timestamps of a column are written, and in which zone.
#[derive(Debug, Clone)]
pub(crate) struct TimeReader {
    /// Empty: ISO 8601.
    patterns: Vec<TimePattern>,
    /// `None`: UTC.
    zone: Option<TimeZone>,
}

#[derive(Debug, Clone)]
enum TimePattern {
    Strptime(String),
    /// A number, of which each one is this many microseconds.
    Unix(i64),
}

impl TimeReader {
    /// A reader of the given patterns (ISO 8601 if there are none) in the given zone (UTC if none).
    ///
    /// # Errors
    ///
    /// Says which pattern or zone is wrong, and why.
    pub(crate) fn new(patterns: &[String], zone: Option<&str>) -> Result<Self, String> {
        let patterns = patterns
            .iter()
            .map(|pattern| compile_pattern(pattern))
            .collect::<Result<Vec<_>, String>>()?;
        let zone = match zone {
            None | Some("UTC") => None,
            Some(name) => Some(TimeZone::get(name).map_err(|_| {
                format!("`{name}` is no time zone of the IANA database such as `Europe/London`")
            })?),
        };
        Ok(Self { patterns, zone })
    }

    /// The reader of ISO 8601 in UTC.
    pub(crate) const fn iso_utc() -> Self {
        Self {
            patterns: Vec::new(),
            zone: None,
        }
    }

    /// A reader of ISO 8601 in this reader's zone.
    pub(crate) fn clone_iso(&self) -> Self {
        Self {
            patterns: Vec::new(),
            zone: self.zone.clone(),
        }
    }

    /// Reads an instant, in microseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn instant(&self, text: &str) -> Option<i64> {
        if self.patterns.is_empty() {
            let reading = parse_iso(text)?;
            return self.to_utc(reading);
        }
        self.patterns.iter().find_map(|pattern| match pattern {
            TimePattern::Unix(unit) => text.parse::<i64>().ok()?.checked_mul(*unit),
            TimePattern::Strptime(pattern) => {
                let time = BrokenDownTime::parse(pattern, text).ok()?;
                if let Some(instant) = time.timestamp() {
                    return Some(instant.as_microsecond());
                }
                let micros = clock_micros(time.to_datetime().ok()?)?;
                let offset_seconds = time.offset().map(|offset| i64::from(offset.seconds()));
                self.to_utc(ClockReading {
                    micros,
                    offset_seconds,
                })
            }
        })
    }

    /// Reads a day, in days since 1970-01-01. ISO 8601 is a date and nothing after it; a pattern may
    /// hold a time, which is dropped.
    pub(crate) fn day(&self, text: &str) -> Option<i32> {
        if self.patterns.is_empty() {
            return match parse_iso_date(text.as_bytes())? {
                (day, []) => Some(day),
                _ => None,
            };
        }
        self.patterns.iter().find_map(|pattern| match pattern {
            TimePattern::Unix(_) => self.instant(text).and_then(|micros| self.day_of(micros)),
            TimePattern::Strptime(pattern) => {
                let date = BrokenDownTime::parse(pattern, text).ok()?.to_date().ok()?;
                day_of_micros(clock_micros(
                    date.to_datetime(jiff::civil::Time::midnight()),
                )?)
            }
        })
    }

    /// The day of an instant in this reader's zone.
    pub(crate) fn day_of(&self, micros: i64) -> Option<i32> {
        let Some(zone) = &self.zone else {
            return day_of_micros(micros);
        };
        let instant = jiff::Timestamp::from_microsecond(micros).ok()?;
        day_of_micros(clock_micros(zone.to_datetime(instant))?)
    }

    /// The instant at which a clock in this reader's zone shows so many microseconds since 1970.
    pub(crate) fn instant_of_clock(&self, micros: i64) -> Option<i64> {
        self.to_utc(ClockReading {
            micros,
            offset_seconds: None,
        })
    }

    fn to_utc(&self, reading: ClockReading) -> Option<i64> {
        if let Some(offset) = reading.offset_seconds {
            return reading
                .micros
                .checked_sub(offset.checked_mul(MICROS_PER_SECOND)?);
        }
        let Some(zone) = &self.zone else {
            return Some(reading.micros);
        };
        let on_clock = jiff::Timestamp::from_microsecond(reading.micros).ok()?;
        let clock = TimeZone::UTC.to_datetime(on_clock);
        let instant = zone.to_ambiguous_timestamp(clock).compatible().ok()?;
        Some(instant.as_microsecond())
    }
}

/// Checks a pattern by writing a day with it and reading that back.
fn compile_pattern(pattern: &str) -> Result<TimePattern, String> {
    match pattern {
        "unix_seconds" => return Ok(TimePattern::Unix(MICROS_PER_SECOND)),
        "unix_millis" => return Ok(TimePattern::Unix(1000)),
        "unix_micros" => return Ok(TimePattern::Unix(1)),
        _ => {}
    }
    let example = jiff::Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
    let time = jiff::fmt::strtime::format(pattern, &example)
        .and_then(|text| BrokenDownTime::parse(pattern, text))
        .map_err(|error| format!("`{pattern}` is no strptime pattern: {error}"))?;
    if time.timestamp().is_none() && time.to_date().is_err() {
        return Err(format!(
            "`{pattern}` does not say the year, month and day, as `%Y-%m-%d` does"
        ));
    }
    Ok(TimePattern::Strptime(pattern.to_owned()))
}

fn clock_micros(clock: DateTime) -> Option<i64> {
    let instant = TimeZone::UTC.to_timestamp(clock).ok()?;
    Some(instant.as_microsecond())
}

fn day_of_micros(micros: i64) -> Option<i32> {
    i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()
}

/// Reads `YYYY-MM-DD`, alone or followed by `T` or a blank, `HH:MM`, perhaps `:SS` and a fraction
/// (cut at microseconds), and perhaps `Z` or an offset such as `+01:00`.
pub(crate) fn parse_iso(text: &str) -> Option<ClockReading> {
    let (day, rest) = parse_iso_date(text.as_bytes())?;
    let midnight = i64::from(day) * MICROS_PER_DAY;
    let rest = match rest {
        [] => {
            return Some(ClockReading {
                micros: midnight,
                offset_seconds: None,
            });
        }
        [b'T' | b't' | b' ', rest @ ..] => rest,
        _ => return None,
    };
    let (hour, rest) = two_digits(rest)?;
    let [b':', rest @ ..] = rest else { return None };
    let (minute, rest) = two_digits(rest)?;
    let (second, fraction, rest) = match rest {
        [b':', rest @ ..] => {
            let (second, rest) = two_digits(rest)?;
            match rest {
                [b'.' | b',', rest @ ..] => {
                    let (fraction, rest) = parse_fraction(rest)?;
                    (second, fraction, rest)
                }
                _ => (second, 0, rest),
            }
        }
        _ => (0, 0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let micros = midnight + seconds * MICROS_PER_SECOND + fraction;
    Some(ClockReading {
        micros,
        offset_seconds: parse_offset(rest)?,
    })
}

/// Reads `YYYY-MM-DD` and gives the day and what follows it.
fn parse_iso_date(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (century, rest) = two_digits(bytes)?;
    let (year_of_century, rest) = two_digits(rest)?;
    let [b'-', rest @ ..] = rest else { return None };
    let (month, rest) = two_digits(rest)?;
    let [b'-', rest @ ..] = rest else { return None };
    let (day, rest) = two_digits(rest)?;
    let year = i32::from(century) * 100 + i32::from(year_of_century);
    Some((days_from_civil(year, month, day)?, rest))
}

fn two_digits(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
            Some(((tens - b'0') * 10 + (ones - b'0'), rest))
        }
        _ => None,
    }
}

/// Digits after the point, as microseconds; digits beyond the sixth are dropped.
fn parse_fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let length = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = bytes.split_at(length);
    let mut micros = 0;
    for place in 0..6 {
        let digit = digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
        micros = micros * 10 + digit;
    }
    Some((micros, rest))
}

/// Nothing, `Z`, `+HH`, `+HHMM` or `+HH:MM`, as seconds ahead of UTC. The outer option is about the
/// notation, the inner about whether there is an offset.
#[expect(
    clippy::option_option,
    reason = "malformed, absent and present are three things"
)]
fn parse_offset(bytes: &[u8]) -> Option<Option<i64>> {
    let (sign, rest) = match bytes {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = two_digits(rest)?;
    let minutes = match rest {
        [] => 0,
        [b':', rest @ ..] => last_two_digits(rest)?,
        _ => last_two_digits(rest)?,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(Some(
        sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60),
    ))
}

fn last_two_digits(bytes: &[u8]) -> Option<u8> {
    match two_digits(bytes)? {
        (value, []) => Some(value),
        _ => None,
    }
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar; nothing if there is no such
/// day. The formula is Howard Hinnant's (<https://howardhinnant.github.io/date_algorithms.html>).
fn days_from_civil(year: i32, month: u8, day: u8) -> Option<i32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > days_in_month {
        return None;
    }
    let month = i32::from(month);
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i32::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// `2010-12-01`.
pub(crate) fn write_day(day: i32) -> String {
    match jiff::Timestamp::from_second(i64::from(day) * SECONDS_PER_DAY) {
        Ok(instant) => TimeZone::UTC.to_datetime(instant).date().to_string(),
        Err(_) => format!("{day} days after 1970-01-01"),
    }
}

/// RFC 3339 in UTC, as in `2010-12-01T08:26:00Z`.
pub(crate) fn write_instant(micros: i64) -> String {
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(instant) => instant.to_string(),
        Err(_) => format!("{micros} microseconds after 1970"),
    }
}

/// A clock's reading without a zone, as in `2010-12-01T08:26:00`.
pub(crate) fn write_clock(micros: i64) -> String {
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(instant) => TimeZone::UTC.to_datetime(instant).to_string(),
        Err(_) => format!("{micros} microseconds after 1970"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    fn reader(patterns: &[&str], zone: Option<&str>) -> TimeReader {
        let patterns: Vec<_> = patterns
            .iter()
            .map(|pattern| (*pattern).to_owned())
            .collect();
        TimeReader::new(&patterns, zone).unwrap()
    }

    #[test]
    fn iso_timestamps_are_instants() {
        let iso = reader(&[], None);
        for (text, written) in [
            ("2010-12-01 08:26:00", "2010-12-01T08:26:00Z"),
            ("2010-12-01T08:26", "2010-12-01T08:26:00Z"),
            ("2010-12-01", "2010-12-01T00:00:00Z"),
            (
                "2019-11-24 00:00:17.004101+00:00",
                "2019-11-24T00:00:17.004101Z",
            ),
            (
                "2019-11-24T01:00:00.1234567+0100",
                "2019-11-24T00:00:00.123456Z",
            ),
            ("2019-11-24T01:00:00-05", "2019-11-24T06:00:00Z"),
            ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"),
        ] {
            assert_eq!(write_instant(iso.instant(text).unwrap()), written, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let iso = reader(&[], None);
        for text in [
            "",
            "2010",
            "2010-13-01",
            "2023-02-29",
            "2010-12-00",
            "2010-12-01 24:00:00",
            "2010-12-01 08:60:00",
            "2010-12-01 08:26:61",
            "2010-12-01 08",
            "2010-12-01 08:26:00 PM",
            "2010-12-01T08:26:00.",
            "2010-12-01T08:26:00+1",
            "2010-12-01T08:26:00+24:00",
            "01/12/2010 08:26",
            "2010-12-01x",
        ] {
            assert_eq!(iso.instant(text), None, "{text}");
        }
        assert_eq!(iso.day("2010-12-01 08:26:00"), None);
    }

    #[test]
    fn patterns_are_tried_in_turn() {
        let reader = reader(&["%d/%m/%Y %H:%M", "%Y%m%d"], None);
        assert_eq!(
            write_instant(reader.instant("01/12/2010 08:26").unwrap()),
            "2010-12-01T08:26:00Z"
        );
        assert_eq!(
            write_instant(reader.instant("19970101").unwrap()),
            "1997-01-01T00:00:00Z"
        );
        assert_eq!(write_day(reader.day("19970101").unwrap()), "1997-01-01");
        assert_eq!(reader.instant("1997"), None);
    }

    #[test]
    fn zones_apply_where_the_text_says_none() {
        let london = reader(&[], Some("Europe/London"));
        assert_eq!(
            write_instant(london.instant("2011-07-01 12:00").unwrap()),
            "2011-07-01T11:00:00Z"
        );
        assert_eq!(
            write_instant(london.instant("2011-07-01 12:00Z").unwrap()),
            "2011-07-01T12:00:00Z"
        );
        // The clocks went forward at 01:00: a time that no clock showed is read an hour later.
        assert_eq!(
            write_instant(london.instant("2011-03-27 01:30").unwrap()),
            "2011-03-27T01:30:00Z"
        );
        let evening = london.instant("2011-07-01 00:30").unwrap();
        assert_eq!(write_day(london.day_of(evening).unwrap()), "2011-07-01");
    }

    #[test]
    fn unix_times_have_units() {
        let millis = reader(&["unix_millis"], None);
        assert_eq!(
            write_instant(millis.instant("1291191960000").unwrap()),
            "2010-12-01T08:26:00Z"
        );
        assert_eq!(
            reader(&["unix_seconds"], None).instant(&i64::MAX.to_string()),
            None
        );
    }

    #[test]
    fn bad_patterns_and_zones_are_named() {
        let pattern = TimeReader::new(&["%Q".to_owned()], None).unwrap_err();
        assert!(pattern.contains("`%Q`"), "{pattern}");
        let no_day = TimeReader::new(&["%H:%M".to_owned()], None).unwrap_err();
        assert!(no_day.contains("year"), "{no_day}");
        let zone = TimeReader::new(&[], Some("Europe/Londn")).unwrap_err();
        assert!(zone.contains("Europe/Londn"), "{zone}");
    }

    proptest! {
        #[test]
        fn every_day_reads_back(day in -719_162_i32..2_932_896) {
            let text = write_day(day);
            prop_assert_eq!(reader(&[], None).day(&text), Some(day));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = reader(&[], None).instant(&text);
            let _ = reader(&["%d/%m/%Y %H:%M"], Some("Europe/London")).instant(&text);
        }
    }
}
