//! Finds the type that all values of a column fit, by reading every record: a sample would find
//! `int64` and then reject the first text below it. What fits several types, or none, is text.

use std::sync::Arc;

use crate::cell::Cell;
use crate::number_text::parse_float;
use crate::options::ColumnType;
use crate::parse::{Block, RecordReader, Records};
use crate::plan::{FoundColumn, FoundType};
use crate::time_text::TimeReader;

/// Whole numbers of up to this many digits are floats without loss.
const EXACT_DIGITS: usize = 15;

/// The kinds of value that a column was seen to hold, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kinds(u8);

impl Kinds {
    const SMALL_INT: Self = Self(1);
    const BIG_INT: Self = Self(2);
    const FLOAT: Self = Self(4);
    const BOOL: Self = Self(8);
    const DATE: Self = Self(16);
    const TIMESTAMP: Self = Self(32);
    const TEXT: Self = Self(64);

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    const fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The narrowest type that holds all values; text if there were none.
    fn column_type(self) -> ColumnType {
        const INT: Kinds = Kinds(Kinds::SMALL_INT.0 | Kinds::BIG_INT.0);
        const FLOAT: Kinds = Kinds(Kinds::SMALL_INT.0 | Kinds::FLOAT.0);
        if self.0 == 0 {
            ColumnType::String
        } else if self.within(INT) {
            ColumnType::Int64
        } else if self.within(FLOAT) {
            ColumnType::Float64
        } else if self.within(Self::BOOL) {
            ColumnType::Bool
        } else if self.within(Self::DATE) {
            ColumnType::Date
        } else if self.within(Self::TIMESTAMP) {
            ColumnType::Timestamp
        } else {
            ColumnType::String
        }
    }
}

/// What was seen of every column, in the order of first sight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    columns: Vec<(String, Kinds)>,
}

impl Seen {
    fn add(&mut self, name: &str, kinds: Kinds) {
        match self.columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.add(kinds),
            None => self.columns.push((name.to_owned(), kinds)),
        }
    }

    /// Takes in what another block showed.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (name, kinds) in &other.columns {
            self.add(name, *kinds);
        }
    }

    /// Takes in a file's columns, of which it may have no record.
    pub(crate) fn add_names(&mut self, names: &[String]) {
        for name in names {
            self.add(name, Kinds::default());
        }
    }

    /// The columns with the types found.
    pub(crate) fn found(&self) -> Vec<FoundColumn> {
        let columns = self.columns.iter();
        columns
            .map(|(name, kinds)| FoundColumn {
                name: name.clone(),
                kind: FoundType::Inferred(kinds.column_type()),
            })
            .collect()
    }
}

/// What the records of a block show; malformed ones show nothing.
pub(crate) fn look_at(block: &Block, null_values: &[String]) -> Seen {
    let Records::Text(text) = &block.records else {
        return Seen::default();
    };
    let names = &block.binding.names;
    let reader = RecordReader::new(&block.binding.layout, text);
    let mut kinds = vec![Kinds::default(); names.len()];
    let mut others = Seen::default();
    let mut cells = Vec::new();
    for span in &text.records {
        // A record that turns out malformed half-way must leave no trace.
        let mut keys: Vec<(Arc<str>, Kinds)> = Vec::new();
        let read = reader.read(span, &mut cells, &mut |key, cell| {
            keys.push((key.into(), kind_of(cell, null_values)));
        });
        if read.is_err() {
            continue;
        }
        for (kinds, cell) in kinds.iter_mut().zip(&cells) {
            kinds.add(kind_of(cell, null_values));
        }
        for (key, kinds) in keys {
            others.add(&key, kinds);
        }
    }
    let mut seen = Seen::default();
    for (name, kinds) in names.iter().zip(kinds) {
        seen.add(name, kinds);
    }
    seen.merge(&others);
    seen
}

fn kind_of(cell: &Cell<'_>, null_values: &[String]) -> Kinds {
    match cell {
        Cell::Null | Cell::Absent => Kinds::default(),
        Cell::Int(number) => {
            let is_small = number.unsigned_abs() < 10_u64.pow(15);
            if is_small {
                Kinds::SMALL_INT
            } else {
                Kinds::BIG_INT
            }
        }
        Cell::Float(_) => Kinds::FLOAT,
        Cell::Bool(_) => Kinds::BOOL,
        Cell::Field(text) => kind_of_field(text.trim(), null_values),
        _ => Kinds::TEXT,
    }
}

fn kind_of_field(text: &str, null_values: &[String]) -> Kinds {
    if text.is_empty() || null_values.iter().any(|null| null == text) {
        return Kinds::default();
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let starts_with_digit = digits.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if !starts_with_digit {
        let is_bool = text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
        return if is_bool { Kinds::BOOL } else { Kinds::TEXT };
    }
    // `007` is an article number, not seven.
    let has_leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return match digits.len() {
            _ if has_leading_zero => Kinds::TEXT,
            0..=EXACT_DIGITS => Kinds::SMALL_INT,
            16..=18 => Kinds::BIG_INT,
            _ => Kinds::TEXT,
        };
    }
    if !has_leading_zero && text.len() <= 25 && parse_float(text).is_ok() {
        return Kinds::FLOAT;
    }
    let iso = TimeReader::iso_utc();
    if iso.day(text).is_some() {
        Kinds::DATE
    } else if iso.instant(text).is_some() {
        Kinds::TIMESTAMP
    } else {
        Kinds::TEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_of(texts: &[&str]) -> ColumnType {
        let mut kinds = Kinds::default();
        for text in texts {
            kinds.add(kind_of_field(text, &["NA".to_owned()]));
        }
        kinds.column_type()
    }

    #[test]
    fn a_column_has_the_type_that_all_its_values_fit() {
        for (texts, kind) in [
            (&["1", "-2", "", "NA"] as &[&str], ColumnType::Int64),
            (&["1", "2.5", "1e3"], ColumnType::Float64),
            (&["123456789012345678", "1"], ColumnType::Int64),
            // More digits than a float keeps, beside a fraction.
            (&["123456789012345678", "1.5"], ColumnType::String),
            (&["1", "x"], ColumnType::String),
            (&["007", "8"], ColumnType::String),
            (&["0", "0.5", "-0.5"], ColumnType::Float64),
            (&["536365", "C536379"], ColumnType::String),
            (&["true", "FALSE"], ColumnType::Bool),
            (&["1", "true"], ColumnType::String),
            (&["2010-12-01"], ColumnType::Date),
            (&["2010-12-01 08:26:00"], ColumnType::Timestamp),
            (&["2010-12-01 08:26:00", "2010-12-01"], ColumnType::String),
            (&["nan", "1.5"], ColumnType::String),
            (&["12345678901234567890"], ColumnType::String),
            (&["", "NA"], ColumnType::String),
        ] {
            assert_eq!(type_of(texts), kind, "{texts:?}");
        }
    }
}
