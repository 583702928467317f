//! Takes one record of a text format apart into cells.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use memchr::{memchr, memchr_iter};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

use crate::cell::Cell;
use crate::rule::Reason;

/// How the records of one file are taken apart. Every layout fills a fixed number of slots.
#[derive(Debug, Clone)]
pub(crate) enum RecordLayout {
    /// Fields between delimiters.
    Csv {
        delimiter: u8,
        quote: u8,
        fields: usize,
    },
    /// Keys of a JSON object, by slot.
    Json { slots: HashMap<String, usize> },
    /// Characters from, to (counted from 0, end excluded).
    FixedWidth { ranges: Vec<(usize, usize)> },
    /// Fields between runs of blanks.
    Blanks { fields: usize },
}

impl RecordLayout {
    /// Fills `cells` with the record's values, one per slot. `keys` is told of every JSON key that has
    /// no slot.
    ///
    /// # Errors
    ///
    /// Says why the text is no record of this layout.
    pub(crate) fn read<'a>(
        &self,
        record: &'a str,
        cells: &mut Vec<Cell<'a>>,
        other_keys: &mut dyn FnMut(&str, &Cell<'_>),
    ) -> Result<(), Reason> {
        cells.clear();
        match self {
            Self::Csv {
                delimiter,
                quote,
                fields,
            } => {
                read_csv(record, *delimiter, *quote, cells);
                check_count(cells.len(), *fields, "the header has")
            }
            Self::Blanks { fields } => {
                cells.extend(
                    record
                        .split_ascii_whitespace()
                        .map(|text| Cell::Field(text.into())),
                );
                check_count(cells.len(), *fields, "`fixed_width.fields` names")
            }
            Self::FixedWidth { ranges } => read_fixed_width(record, ranges, cells),
            Self::Json { slots } => read_json(record, slots, cells, other_keys),
        }
    }
}

fn check_count(found: usize, expected: usize, who: &str) -> Result<(), Reason> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found} fields where {who} {expected}").into())
    }
}

/// Splits a CSV record, whose quotes the splitter found in order.
pub(crate) fn read_csv<'a>(record: &'a str, delimiter: u8, quote: u8, cells: &mut Vec<Cell<'a>>) {
    let bytes = record.as_bytes();
    if memchr(quote, bytes).is_none() {
        let mut start = 0;
        for end in memchr_iter(delimiter, bytes) {
            cells.push(Cell::Field(Cow::Borrowed(&record[start..end])));
            start = end + 1;
        }
        cells.push(Cell::Field(Cow::Borrowed(&record[start..])));
        return;
    }
    let mut position = 0;
    loop {
        let rest = &record[position..];
        let (field, length) = if rest.as_bytes().first().copied() == Some(quote) {
            read_quoted(rest, quote)
        } else {
            let length = memchr(delimiter, rest.as_bytes()).unwrap_or(rest.len());
            (Cow::Borrowed(&rest[..length]), length)
        };
        cells.push(Cell::Field(field));
        position += length;
        if bytes.get(position).copied() != Some(delimiter) {
            return;
        }
        position += 1;
    }
}

/// The content of the quoted field at the start of `rest`, and its length with quotes.
fn read_quoted(rest: &str, quote: u8) -> (Cow<'_, str>, usize) {
    let bytes = rest.as_bytes();
    let mut position = 1;
    let mut has_doubled = false;
    while let Some(length) = memchr(quote, &bytes[position..]) {
        position += length + 1;
        if bytes.get(position).copied() != Some(quote) {
            break;
        }
        has_doubled = true;
        position += 1;
    }
    let content = rest.get(1..position.saturating_sub(1)).unwrap_or_default();
    if has_doubled {
        let quote = char::from(quote);
        let doubled: String = [quote, quote].iter().collect();
        let single = quote.to_string();
        (Cow::Owned(content.replace(&doubled, &single)), position)
    } else {
        (Cow::Borrowed(content), position)
    }
}

fn read_fixed_width<'a>(
    record: &'a str,
    ranges: &[(usize, usize)],
    cells: &mut Vec<Cell<'a>>,
) -> Result<(), Reason> {
    let is_ascii = record.is_ascii();
    for (start, end) in ranges {
        let (from, to) = if is_ascii {
            (*start, (*end).min(record.len()))
        } else {
            (byte_offset(record, *start), byte_offset(record, *end))
        };
        if from >= record.len() {
            return Err(format!(
                "the line ends before character {}, where a field begins",
                start + 1
            )
            .into());
        }
        let text = record.get(from..to).unwrap_or_default();
        cells.push(Cell::Field(Cow::Borrowed(text.trim())));
    }
    Ok(())
}

fn byte_offset(text: &str, character: usize) -> usize {
    text.char_indices()
        .nth(character)
        .map_or(text.len(), |(offset, _)| offset)
}

fn read_json<'a>(
    record: &'a str,
    slots: &HashMap<String, usize>,
    cells: &mut Vec<Cell<'a>>,
    other_keys: &mut dyn FnMut(&str, &Cell<'_>),
) -> Result<(), Reason> {
    if !record.trim_start().starts_with('{') {
        let is_json = serde_json::from_str::<IgnoredAny>(record).is_ok();
        return Err(if is_json {
            "not a JSON object"
        } else {
            "not valid JSON"
        }
        .into());
    }
    let mut found: Vec<Option<Cell<'a>>> = vec![None; slots.len()];
    let mut deserializer = serde_json::Deserializer::from_str(record);
    let row = RowSeed {
        slots,
        found: &mut found,
        other_keys,
    };
    row.deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| {
            let message = error.to_string();
            let what = message.split(" at line ").next().unwrap_or(&message);
            Reason::Owned(format!("not valid JSON: {what}"))
        })?;
    cells.extend(found.into_iter().map(|cell| cell.unwrap_or(Cell::Absent)));
    Ok(())
}

/// Reads an object into slots without building what nobody asked for.
struct RowSeed<'s, 'a, 'k> {
    slots: &'s HashMap<String, usize>,
    found: &'s mut [Option<Cell<'a>>],
    other_keys: &'k mut dyn FnMut(&str, &Cell<'_>),
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, 'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(TextSeed)? {
            let Some(slot) = self.slots.get(key.as_ref()) else {
                let cell = map.next_value_seed(CellSeed)?;
                (self.other_keys)(&key, &cell);
                continue;
            };
            let cell = map.next_value_seed(CellSeed)?;
            if let Some(place) = self.found.get_mut(*slot)
                && place.replace(cell).is_some()
            {
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
        }
        Ok(())
    }
}

/// A text, borrowed where it has no escapes.
struct TextSeed;

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A cell of any JSON type.
struct CellSeed;

impl<'de> DeserializeSeed<'de> for CellSeed {
    type Value = Cell<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed {
    type Value = Cell<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Cell<'de>, E> {
        Ok(i64::try_from(number).map_or(Cell::Unsigned(number), Cell::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Cell<'de>, A::Error> {
        let list = Value::deserialize(SeqAccessDeserializer::new(items))?;
        Ok(Cell::Nested(list.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Cell<'de>, A::Error> {
        let object = Value::deserialize(MapAccessDeserializer::new(entries))?;
        Ok(Cell::Nested(object.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read<'a>(layout: &RecordLayout, record: &'a str) -> Result<Vec<Cell<'a>>, String> {
        let mut cells = Vec::new();
        match layout.read(record, &mut cells, &mut |_, _| {}) {
            Ok(()) => Ok(cells),
            Err(reason) => Err(reason.into_owned()),
        }
    }

    fn fields<'a>(texts: &[&'a str]) -> Vec<Cell<'a>> {
        texts
            .iter()
            .map(|text| Cell::Field(Cow::Borrowed(*text)))
            .collect()
    }

    #[test]
    fn csv_fields_lose_their_quotes() {
        let csv = RecordLayout::Csv {
            delimiter: b',',
            quote: b'"',
            fields: 3,
        };
        assert_eq!(read(&csv, "a,,c").unwrap(), fields(&["a", "", "c"]));
        assert_eq!(
            read(&csv, "\"a,1\",\"say \"\"hi\"\"\nthere\",5\" x").unwrap(),
            fields(&["a,1", "say \"hi\"\nthere", "5\" x"])
        );
        assert_eq!(
            read(&csv, "\"\",\"\"\"\",ä").unwrap(),
            fields(&["", "\"", "ä"])
        );
        assert_eq!(
            read(&csv, "a,b").unwrap_err(),
            "2 fields where the header has 3"
        );
    }

    #[test]
    fn fixed_width_counts_characters() {
        let fixed = RecordLayout::FixedWidth {
            ranges: vec![(0, 4), (4, 10)],
        };
        assert_eq!(read(&fixed, "ab   12.5").unwrap(), fields(&["ab", "12.5"]));
        assert_eq!(
            read(&fixed, "äöüß 12.5 rest").unwrap(),
            fields(&["äöüß", "12.5"])
        );
        assert!(
            read(&fixed, "abc")
                .unwrap_err()
                .contains("before character 5")
        );
    }

    #[test]
    fn blanks_separate_fields() {
        let blanks = RecordLayout::Blanks { fields: 3 };
        assert_eq!(
            read(&blanks, " 00001 19970101  1 ").unwrap(),
            fields(&["00001", "19970101", "1"])
        );
        assert!(read(&blanks, "1 2").unwrap_err().starts_with("2 fields"));
    }

    #[test]
    fn json_values_keep_their_types() {
        let slots = ["id", "name", "tags"]
            .iter()
            .enumerate()
            .map(|(slot, key)| ((*key).to_owned(), slot));
        let json = RecordLayout::Json {
            slots: slots.collect(),
        };
        assert_eq!(
            read(
                &json,
                r#"{"name":"a\nb","x":{"y":[1]},"id":7,"tags":["a",1]}"#
            )
            .unwrap(),
            [
                Cell::Int(7),
                Cell::Text("a\nb".into()),
                Cell::Nested(r#"["a",1]"#.to_owned())
            ]
        );
        assert_eq!(
            read(&json, "{}").unwrap(),
            [Cell::Absent, Cell::Absent, Cell::Absent]
        );
        assert_eq!(read(&json, "[1]").unwrap_err(), "not a JSON object");
        assert_eq!(read(&json, "nonsense").unwrap_err(), "not valid JSON");
        assert!(
            read(&json, r#"{"id":1,"id":2}"#)
                .unwrap_err()
                .contains("`id` stands twice")
        );
        assert!(
            read(&json, r#"{"id":1} x"#)
                .unwrap_err()
                .contains("trailing characters")
        );
        assert!(
            read(&json, r#"{"id":"#)
                .unwrap_err()
                .starts_with("not valid JSON: EOF")
        );
        let deep = format!("{{\"id\":{}1{}}}", "[".repeat(500), "]".repeat(500));
        assert!(read(&json, &deep).unwrap_err().contains("recursion limit"));
    }
}
