//! Numbers that are read as they were written, to the last bit.
//!
//! JSON readers differ in how they round: serde_json's default may be off by one bit for numbers of 17
//! digits. So the state writes its numbers as text, in the shortest form that Rust's own parser reads
//! back exactly; a list of them is one text with spaces. Options, which people write, stay numbers
//! where every reader is exact.

use std::fmt;

use serde::{Deserialize, Deserializer, Serializer, de};

fn parse<E: de::Error>(text: &str) -> Result<f64, E> {
    text.parse()
        .map_err(|_| E::custom(format_args!("`{text}` is not a number")))
}

/// `#[serde(with = "exact::number")]`
pub(crate) mod number {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:?}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        parse(&String::deserialize(deserializer)?)
    }
}

/// `#[serde(with = "exact::numbers")]`
pub(crate) mod numbers {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        values: &[f64],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let texts: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        serializer.serialize_str(&texts.join(" "))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<f64>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split_whitespace().map(parse).collect()
    }
}

/// `#[serde(with = "exact::option")]`
pub(crate) mod option {
    use super::*;

    /// Whether a decimal reader that multiplies an integer by a power of ten, as the simplest do, is
    /// exact: both are floats.
    fn is_simple(value: f64, text: &str) -> bool {
        let digits = text.split('e').next().unwrap_or(text);
        let digits = digits.chars().filter(char::is_ascii_digit).count();
        value == 0.0 || (1e-6..1e15).contains(&value.abs()) && digits <= 15
    }

    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        let text = format!("{value:?}");
        if is_simple(*value, &text) {
            serializer.serialize_f64(*value)
        } else {
            serializer.serialize_str(&text)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        deserializer.deserialize_any(Number)
    }

    struct Number;

    impl de::Visitor<'_> for Number {
        type Value = f64;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a number")
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        #[expect(
            clippy::cast_precision_loss,
            reason = "as of any whole number given for a float"
        )]
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        #[expect(
            clippy::cast_precision_loss,
            reason = "as of any whole number given for a float"
        )]
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
            parse(text)
        }
    }
}
