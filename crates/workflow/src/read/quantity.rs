//! Durations and sizes as people write them.

use std::time::Duration;

/// The longest duration, a year.
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

/// Reads a duration of a workflow: `500ms`, `30s`, `5m`, `1h30m`, `2d`.
///
/// # Errors
/// Why the text is none.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let total = parse_duration(text)?;
    if total > Duration::from_secs(MAX_SECONDS) {
        return Err("it is longer than a year".to_owned());
    }
    Ok(total)
}

/// Reads a duration of any length: `30s`, `1h30m`, `400d`.
///
/// # Errors
/// Why the text is none.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err("the unit is missing".to_owned()),
            _ => return Err(format!("there is no unit `{unit}`")),
        };
        let part = number
            .checked_mul(milliseconds)
            .map(Duration::from_millis)
            .ok_or("it is longer than anybody lives")?;
        total = total.saturating_add(part);
        rest = after;
    }
    Ok(total)
}

/// The largest size, a pebibyte.
const MAX_BYTES: u64 = 1 << 50;

/// Reads a size in bytes: `512MB` (millions), `2GiB` (2 × 1024³).
///
/// # Errors
/// Why the text is none.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = leading_number(text.trim())?;
    let unit = unit.trim_start();
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "" => return Err("the unit is missing".to_owned()),
        _ => return Err(format!("there is no unit {}", crate::words::quoted(unit))),
    };
    match number.checked_mul(factor) {
        Some(bytes) if bytes <= MAX_BYTES => Ok(bytes),
        _ => Err("it is larger than 1024 TiB".to_owned()),
    }
}

fn leading_number(text: &str) -> Result<(u64, &str), String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Err("a whole number must come first".to_owned());
    }
    let number = digits.parse().map_err(|_| "the number is too large")?;
    if rest.starts_with('.') {
        return Err("it is no whole number; take a smaller unit".to_owned());
    }
    Ok((number, rest))
}

#[cfg(test)]
mod tests {
    use super::{duration, size};
    use std::time::Duration;

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for bad in [
            "",
            "30",
            "m",
            "30 m",
            "1.5h",
            "30x",
            "99999999999999999999s",
            "400d",
            "-1s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_tell_decimal_from_binary_units() {
        assert_eq!(size("512MB"), Ok(512_000_000));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("64 kib"), Ok(64 << 10));
        for bad in ["", "2", "2G", "GiB", "1.5GB", "99999999TiB", "-1MB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
