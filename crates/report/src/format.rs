//! Numbers, times and texts as a reader wants them.

use std::time::Duration;

use marquetry_types::Timestamp;

/// What stands for a value that is not there or is no number.
pub(crate) const NOTHING: &str = "–";

/// A number with as many decimals as its size deserves and commas between thousands: `1,234,568`, `12.35`,
/// `0.0412`.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    let size = value.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        _ if size == size.trunc() => 0,
        _ if size >= 1_000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 1.0 => 2,
        _ if size >= 0.1 => 3,
        _ => 4,
    };
    grouped(&format!("{value:.decimals$}"))
}

/// A number for a narrow place: `1.2M`, `35k`, `0.41`.
pub(crate) fn compact(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    let size = value.abs();
    let (scaled, suffix) = match size {
        _ if size >= 999_500_000.0 => (value / 1e9, "G"),
        _ if size >= 999_500.0 => (value / 1e6, "M"),
        _ if size >= 9_999.5 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let scaled_size = scaled.abs();
    let decimals = match scaled_size {
        _ if scaled_size == scaled_size.trunc() || scaled_size >= 100.0 => 0,
        _ if scaled_size >= 10.0 => 1,
        _ if scaled_size >= 0.1 || scaled_size == 0.0 => 2,
        _ => 3,
    };
    let digits = format!("{scaled:.decimals$}");
    let trimmed = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        &digits
    };
    let shown = if suffix.is_empty() {
        grouped(trimmed)
    } else {
        trimmed.to_owned()
    };
    let shown = if shown == "-0" { "0".to_owned() } else { shown };
    format!("{shown}{suffix}")
}

/// A number and its unit: `12.4 days`, `12.4%`, `£1,240`.
pub(crate) fn with_unit(number: &str, unit: Option<&str>) -> String {
    match unit {
        None | Some("") => number.to_owned(),
        Some("%") => format!("{number}%"),
        Some(unit) => format!("{number} {unit}"),
    }
}

/// Puts commas between the thousands of a decimal number.
fn grouped(digits: &str) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (sign, whole) = match whole.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", whole),
    };
    let mut text = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// A duration in the one or two units that matter: `48 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => two_units(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two_units(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two_units(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn two_units(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// An instant to the second: `2026-11-23 09:30:00 UTC`.
pub(crate) fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(date), Some(time)) if text.ends_with('Z') => format!("{date} {time} UTC"),
        _ => text,
    }
}

/// A text of at most `characters` characters, with an ellipsis for what is cut; control characters, which no
/// XML may hold, become spaces.
pub(crate) fn clip(text: &str, characters: usize) -> String {
    let mut clipped: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(characters + 1)
        .collect();
    if clipped.chars().count() > characters {
        clipped = clipped.chars().take(characters.saturating_sub(1)).collect();
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_decimals_that_their_size_deserves() {
        let shown = [
            0.0, 1.0, -1234.0, 1234567.8, 123.456, 12.3456, 0.12345, 0.012345, 1e-7, 2.5e18,
        ]
        .map(number);
        assert_eq!(
            shown,
            [
                "0",
                "1",
                "-1,234",
                "1,234,568",
                "123.5",
                "12.35",
                "0.123",
                "0.0123",
                "1.00e-7",
                "2.50e18"
            ]
        );
        assert_eq!(number(f64::NAN), NOTHING);
        assert_eq!(number(f64::INFINITY), NOTHING);
    }

    #[test]
    fn compact_numbers_are_short() {
        let shown = [
            0.0,
            0.25,
            9_999.0,
            12_345.0,
            999_600.0,
            1_000_000.0,
            3.2e9,
            -0.0001,
        ]
        .map(compact);
        assert_eq!(
            shown,
            ["0", "0.25", "9,999", "12.3k", "1M", "1M", "3.2G", "0"]
        );
    }

    #[test]
    fn durations_have_one_or_two_units() {
        let shown = [0, 48, 3_210, 60_000, 250_000, 7_500_000, 90_000_000]
            .map(|milliseconds| duration(Duration::from_millis(milliseconds)));
        assert_eq!(
            shown,
            [
                "0 ms",
                "48 ms",
                "3.2 s",
                "1 min",
                "4 min 10 s",
                "2 h 5 min",
                "1 d 1 h"
            ]
        );
    }

    #[test]
    fn instants_are_shown_to_the_second() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(instant(at), "2023-11-14 22:13:20 UTC");
    }

    #[test]
    fn long_texts_are_cut_and_control_characters_dropped() {
        assert_eq!(clip("loyal\u{0}weekly", 20), "loyal weekly");
        assert_eq!(clip("weekend shoppers", 8), "weekend…");
        assert_eq!(clip("äöü", 3), "äöü");
    }
}
