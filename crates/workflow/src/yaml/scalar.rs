//! What a plain scalar means: the core schema of YAML 1.2 (section 10.3.2).

/// What a scalar without quotes stands for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
    /// An integer beyond 64 bits, a float beyond 64 bits, or `.inf` and `.nan`.
    OutOfRange,
}

/// The meaning of a scalar without quotes.
pub(crate) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Plain::OutOfRange;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            return i64::from_str_radix(digits, radix).map_or(Plain::OutOfRange, Plain::Int);
        }
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_or(Plain::OutOfRange, Plain::Int);
    }
    if is_float(unsigned) {
        return match text.parse::<f64>() {
            Ok(float) if float.is_finite() => Plain::Float(float),
            _ => Plain::OutOfRange,
        };
    }
    Plain::Text
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::{Plain, resolve};

    #[test]
    fn scalars_mean_what_yaml_1_2_says() {
        assert_eq!(resolve("~"), Plain::Null);
        assert_eq!(resolve("true"), Plain::Bool(true));
        assert_eq!(resolve("-12"), Plain::Int(-12));
        assert_eq!(resolve("0x1F"), Plain::Int(31));
        assert_eq!(resolve("1e3"), Plain::Float(1000.0));
        assert_eq!(resolve(".5"), Plain::Float(0.5));
        for text in [
            "yes",
            "on",
            "1_000",
            "1.2.3",
            ".",
            "e3",
            "2024-01-01",
            "-",
            "30m",
        ] {
            assert_eq!(resolve(text), Plain::Text, "{text}");
        }
        for text in ["9223372036854775808", "1e999", ".inf", "-.inf", ".nan"] {
            assert_eq!(resolve(text), Plain::OutOfRange, "{text}");
        }
    }
}
