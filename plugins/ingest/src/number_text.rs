//! Numbers written as text, read exactly or not at all.

/// Why a text is not the number that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberFault {
    /// It is no number.
    NotANumber,
    /// It is a number with a fraction.
    Fraction,
    /// It is a number, out of range.
    Overflow,
}

/// Reads a whole number: an optional sign and digits, then perhaps a point and zeros (`15987.0`), or
/// a number in scientific notation that is whole and exactly a float (`1e3`).
pub(crate) fn parse_int(text: &str) -> Result<i64, NumberFault> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    let whole_length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (whole, rest) = digits.split_at(whole_length);
    if whole.is_empty() {
        return parse_scientific_int(text);
    }
    if let Some((point, fraction)) = rest.split_first() {
        if *point != b'.' || !fraction.iter().all(u8::is_ascii_digit) {
            return parse_scientific_int(text);
        }
        if fraction.iter().any(|digit| *digit != b'0') {
            return Err(NumberFault::Fraction);
        }
    }
    let mut value: i64 = 0;
    for digit in whole {
        let digit = i64::from(digit - b'0');
        // Negative numbers are built downwards, because -2^63 has no positive counterpart.
        let signed_digit = if negative { -digit } else { digit };
        value = value
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(signed_digit))
            .ok_or(NumberFault::Overflow)?;
    }
    Ok(value)
}

fn parse_scientific_int(text: &str) -> Result<i64, NumberFault> {
    int_from_float(parse_float(text)?)
}

/// The whole number that a float is; only below 2^53, where every whole number is a float of its own.
pub(crate) fn int_from_float(number: f64) -> Result<i64, NumberFault> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !number.is_finite() {
        return Err(NumberFault::NotANumber);
    }
    if number.fract() != 0.0 {
        return Err(NumberFault::Fraction);
    }
    if number.abs() > EXACT {
        return Err(NumberFault::Overflow);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    Ok(number as i64)
}

/// Reads a finite number in decimal or scientific notation. `NaN`, `inf` and their spellings are no
/// numbers here: an average over them says nothing.
pub(crate) fn parse_float(text: &str) -> Result<f64, NumberFault> {
    // Rust reads `nan`, `inf` and `infinity`; a number has a digit.
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(NumberFault::NotANumber);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(NumberFault::Overflow),
        Err(_) => Err(NumberFault::NotANumber),
    }
}

/// Reads a truth value.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    const TRUE: [&str; 5] = ["true", "t", "yes", "y", "1"];
    const FALSE: [&str; 5] = ["false", "f", "no", "n", "0"];
    if TRUE.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        Some(true)
    } else if FALSE.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_are_read_exactly() {
        for (text, number) in [
            ("0", 0),
            ("-0", 0),
            ("+7", 7),
            ("007", 7),
            ("15987.0", 15_987),
            ("15987.", 15_987),
            ("-12.000", -12),
            ("1e3", 1000),
            ("1.5e1", 15),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("9223372036854775807.0", i64::MAX),
        ] {
            assert_eq!(parse_int(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused_with_the_reason() {
        use NumberFault::{Fraction, NotANumber, Overflow};
        for (text, fault) in [
            ("", NotANumber),
            ("-", NotANumber),
            (".", NotANumber),
            ("12abc", NotANumber),
            ("1 000", NotANumber),
            ("1,000", NotANumber),
            ("0x10", NotANumber),
            ("1_000", NotANumber),
            ("--1", NotANumber),
            ("nan", NotANumber),
            ("inf", NotANumber),
            ("٣", NotANumber),
            ("15987.5", Fraction),
            ("1e-3", Fraction),
            ("9223372036854775808", Overflow),
            ("-9223372036854775809", Overflow),
            ("1e300", Overflow),
            ("1e999", Overflow),
        ] {
            assert_eq!(parse_int(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn floats_are_finite() {
        assert_eq!(parse_float("2.55"), Ok(2.55));
        assert_eq!(parse_float("-1e-3"), Ok(-0.001));
        for text in ["NaN", "inf", "-Infinity", "", "e5", "1.2.3", "1,5"] {
            assert_eq!(parse_float(text), Err(NumberFault::NotANumber), "{text}");
        }
        assert_eq!(parse_float("1e400"), Err(NumberFault::Overflow));
    }

    #[test]
    fn truth_has_many_spellings() {
        assert_eq!(parse_bool("TRUE"), Some(true));
        assert_eq!(parse_bool("n"), Some(false));
        assert_eq!(parse_bool("2"), None);
    }

    proptest! {
        #[test]
        fn every_whole_number_reads_back(number: i64, zeros in 0_usize..4) {
            let text = if zeros == 0 { number.to_string() } else { format!("{number}.{}", "0".repeat(zeros)) };
            prop_assert_eq!(parse_int(&text), Ok(number));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = parse_int(&text);
            let _ = parse_float(&text);
        }
    }
}
