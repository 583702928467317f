//! The table that names segments by ranges of scores.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

/// The best score; the worst is 1.
pub(super) const BEST: u32 = 5;

/// A row of the table: a segment and the scores that belong to it. What is left out may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentRow {
    /// The name of the segment. Several rows may name the same.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
    /// The recency score: 5 is the most recent fifth.
    #[serde(default)]
    pub(crate) r: Scores,
    /// The frequency score: 5 is the fifth that orders most.
    #[serde(default)]
    pub(crate) f: Scores,
    /// The monetary score: 5 is the fifth that spends most.
    #[serde(default)]
    pub(crate) m: Scores,
    /// The mean of the frequency and the monetary score, halves rounded up.
    #[serde(default)]
    pub(crate) fm: Scores,
}

impl SegmentRow {
    /// Whether the scores belong to it.
    pub(super) fn holds(&self, r: u32, f: u32, m: u32) -> bool {
        let fm = (f + m).div_ceil(2);
        self.r.holds(r) && self.f.holds(f) && self.m.holds(m) && self.fm.holds(fm)
    }
}

/// A range of scores, both ends included: `4` or `[4, 5]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scores {
    low: u32,
    high: u32,
}

impl Default for Scores {
    fn default() -> Self {
        Self { low: 1, high: BEST }
    }
}

impl Scores {
    const fn holds(self, score: u32) -> bool {
        self.low <= score && score <= self.high
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScoresVisitor;

        impl<'de> Visitor<'de> for ScoresVisitor {
            type Value = Scores;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a score from 1 to 5, or a range such as [4, 5]")
            }

            fn visit_u64<E: serde::de::Error>(self, score: u64) -> Result<Scores, E> {
                within(score, score)
            }

            fn visit_i64<E: serde::de::Error>(self, score: i64) -> Result<Scores, E> {
                let score = u64::try_from(score).unwrap_or(0);
                within(score, score)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut ends: A) -> Result<Scores, A::Error> {
                let low = ends
                    .next_element()?
                    .ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let high = ends
                    .next_element()?
                    .ok_or_else(|| A::Error::invalid_length(1, &self))?;
                if ends.next_element::<u64>()?.is_some() {
                    return Err(A::Error::invalid_length(3, &self));
                }
                within(low, high)
            }
        }

        fn within<E: serde::de::Error>(low: u64, high: u64) -> Result<Scores, E> {
            match (u32::try_from(low), u32::try_from(high)) {
                (Ok(low @ 1..=BEST), Ok(high @ 1..=BEST)) if low <= high => {
                    Ok(Scores { low, high })
                }
                _ => Err(E::custom(format!(
                    "{low} to {high} is no range of scores: they go from 1 to {BEST}, the lower first"
                ))),
            }
        }

        deserializer.deserialize_any(ScoresVisitor)
    }
}

impl JsonSchema for Scores {
    fn schema_name() -> Cow<'static, str> {
        "Scores".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "array"],
            "minimum": 1,
            "maximum": BEST,
            "items": { "type": "integer", "minimum": 1, "maximum": BEST },
            "minItems": 2,
            "maxItems": 2,
        })
    }
}

/// The usual eleven segments. Teams draw the borders differently, which is why it is a table.
pub(crate) fn usual() -> Vec<SegmentRow> {
    let row = |name: &str, r: (u32, u32), fm: (u32, u32)| SegmentRow {
        name: name.to_owned(),
        r: Scores {
            low: r.0,
            high: r.1,
        },
        f: Scores::default(),
        m: Scores::default(),
        fm: Scores {
            low: fm.0,
            high: fm.1,
        },
    };
    vec![
        row("Champions", (5, 5), (4, 5)),
        row("Loyal Customers", (3, 4), (4, 5)),
        row("Potential Loyalists", (4, 5), (2, 3)),
        row("New Customers", (5, 5), (1, 1)),
        row("Promising", (4, 4), (1, 1)),
        row("Need Attention", (3, 3), (3, 3)),
        row("About To Sleep", (3, 3), (1, 2)),
        row("Can't Lose Them", (1, 2), (5, 5)),
        row("At Risk", (1, 2), (3, 4)),
        row("Hibernating", (2, 2), (2, 2)),
        row("Lost", (1, 2), (1, 2)),
    ]
}

/// For every combination of scores the row of the table that it belongs to.
#[derive(Debug)]
pub(super) struct Lookup(Vec<usize>);

impl Lookup {
    /// Looks all combinations up; the first row that holds one has it.
    ///
    /// Gives the combinations, as `(r, f, m)`, that no row holds, where there are any.
    pub(super) fn new(table: &[SegmentRow]) -> Result<Self, Vec<(u32, u32, u32)>> {
        let mut rows = Vec::new();
        let mut missing = Vec::new();
        for r in 1..=BEST {
            for f in 1..=BEST {
                for m in 1..=BEST {
                    match table.iter().position(|row| row.holds(r, f, m)) {
                        Some(row) => rows.push(row),
                        None => missing.push((r, f, m)),
                    }
                }
            }
        }
        if missing.is_empty() {
            Ok(Self(rows))
        } else {
            Err(missing)
        }
    }

    /// The row for scores from 1 to 5.
    pub(super) fn row(&self, r: u32, f: u32, m: u32) -> usize {
        let place = ((r - 1) * BEST + (f - 1)) * BEST + (m - 1);
        self.0[place as usize]
    }

    /// Whether any scores belong to a row of the table; the rows before it may hold them all.
    pub(super) fn reaches(&self, row: usize) -> bool {
        self.0.contains(&row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_usual_table_names_every_combination() {
        let table = usual();
        let lookup = Lookup::new(&table).unwrap();
        assert_eq!(table.len(), 11);
        assert!((0..table.len()).all(|row| lookup.reaches(row)));
        let name = |r, f, m| table[lookup.row(r, f, m)].name.as_str();
        assert_eq!(name(5, 5, 5), "Champions");
        assert_eq!(name(5, 4, 3), "Champions");
        assert_eq!(name(3, 5, 4), "Loyal Customers");
        assert_eq!(name(5, 1, 1), "New Customers");
        assert_eq!(name(1, 5, 5), "Can't Lose Them");
        assert_eq!(name(2, 3, 4), "At Risk");
        assert_eq!(name(2, 2, 2), "Hibernating");
        assert_eq!(name(1, 1, 1), "Lost");
        assert_eq!(name(1, 2, 2), "Lost");
    }

    #[test]
    fn what_a_table_leaves_out_is_told() {
        let table: Vec<SegmentRow> = serde_json::from_value(json!([
            { "name": "recent", "r": [2, 5] },
            { "name": "gone", "r": 1, "f": [1, 4] },
        ]))
        .unwrap();
        let missing = Lookup::new(&table).unwrap_err();
        assert_eq!(
            missing,
            [(1, 5, 1), (1, 5, 2), (1, 5, 3), (1, 5, 4), (1, 5, 5)]
        );
    }

    #[test]
    fn ranges_outside_the_scores_are_refused() {
        let read = |value: Value| {
            serde_json::from_value::<Scores>(value).map_err(|error| error.to_string())
        };
        assert_eq!(read(json!(3)), Ok(Scores { low: 3, high: 3 }));
        assert_eq!(
            read(json!([5, 4])),
            Err("5 to 4 is no range of scores: they go from 1 to 5, the lower first".to_owned())
        );
        for bad in [
            json!(0),
            json!(6),
            json!(-1),
            json!([1]),
            json!([1, 2, 3]),
            json!("4-5"),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
