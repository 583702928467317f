//! Numbers at given ranks, found by counting: exact, over rows of which nobody holds all.
//!
//! A float becomes a whole number of 64 bits in the same order. The first pass counts numbers by their
//! highest 16 bits; then the bits of the wanted one are known, and the next pass counts those that share
//! them by the next 16. After four passes all is known: a most-significant-digit radix select. Counts of
//! several parts are added, so that it does not matter how rows are dealt out.

use std::collections::BTreeMap;

/// Bits that a pass finds.
const DIGIT: u32 = 16;

/// Bits of a key.
const WIDTH: u32 = 64;

/// A whole number that is ordered as the float is. Zeros of either sign are equal, as in SQL; NaN is the
/// largest.
#[must_use]
pub fn order_key(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits >> (WIDTH - 1) == 0 {
        bits | 1 << (WIDTH - 1)
    } else {
        !bits
    }
}

/// The float of a key.
#[must_use]
pub fn from_order_key(key: u64) -> f64 {
    f64::from_bits(if key >> (WIDTH - 1) == 1 {
        key & !(1 << (WIDTH - 1))
    } else {
        !key
    })
}

/// What a pass counts: keys that begin with one of some prefixes, by the bits that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankCounts {
    /// Bits of the prefixes.
    known: u32,
    /// Ascending.
    prefixes: Vec<u64>,
    /// By prefix and digit.
    counts: BTreeMap<(usize, u16), u64>,
}

impl RankCounts {
    /// Nothing counted yet, of keys that begin with prefixes of `known` bits (0, 16, 32 or 48).
    #[must_use]
    pub fn new(known: u32, mut prefixes: Vec<u64>) -> Self {
        prefixes.sort_unstable();
        prefixes.dedup();
        Self {
            known: known.min(WIDTH - DIGIT) / DIGIT * DIGIT,
            prefixes,
            counts: BTreeMap::new(),
        }
    }

    /// Bits of the prefixes.
    #[must_use]
    pub const fn known(&self) -> u32 {
        self.known
    }

    /// The prefixes, ascending.
    #[must_use]
    pub fn prefixes(&self) -> &[u64] {
        &self.prefixes
    }

    /// Counts a key.
    pub fn count(&mut self, key: u64) {
        let prefix = key.checked_shr(WIDTH - self.known).unwrap_or(0);
        if let Ok(place) = self.prefixes.binary_search(&prefix) {
            #[expect(clippy::cast_possible_truncation, reason = "the digit is cut out")]
            let digit = (key >> (WIDTH - DIGIT - self.known)) as u16;
            *self.counts.entry((place, digit)).or_default() += 1;
        }
    }

    /// What was counted: the place of the prefix, the digit, and how many.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u16, u64)> + '_ {
        self.counts
            .iter()
            .map(|((place, digit), count)| (*place, *digit, *count))
    }

    /// Adds what another part counted of the same prefixes.
    pub fn add(&mut self, place: usize, digit: u16, count: u64) {
        if place < self.prefixes.len() {
            *self.counts.entry((place, digit)).or_default() += count;
        }
    }
}

/// A key at a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranked {
    /// The key.
    pub key: u64,
    /// How many are less.
    pub below: u64,
    /// How many are equal.
    pub equal: u64,
}

/// A search for the keys at some ranks.
#[derive(Debug, Clone)]
pub struct RankSearch {
    known: u32,
    /// By wanted rank: the rank, and what is known of the key there.
    wanted: Vec<(u64, Ranked)>,
}

impl RankSearch {
    /// A search for the keys at ranks that count from 0, in any order. They must be less than the number of
    /// keys.
    #[must_use]
    pub fn new(ranks: &[u64]) -> Self {
        let nothing = Ranked {
            key: 0,
            below: 0,
            equal: 0,
        };
        Self {
            known: 0,
            wanted: ranks.iter().map(|rank| (*rank, nothing)).collect(),
        }
    }

    /// What the next pass is to count; none where all is known.
    #[must_use]
    pub fn next(&self) -> Option<RankCounts> {
        let prefixes = self.wanted.iter().map(|(_, found)| found.key);
        (self.known < WIDTH && !self.wanted.is_empty())
            .then(|| RankCounts::new(self.known, prefixes.collect()))
    }

    /// Takes what a pass counted over all rows.
    pub fn refine(&mut self, counts: &RankCounts) {
        for (rank, found) in &mut self.wanted {
            let Ok(place) = counts.prefixes.binary_search(&found.key) else {
                continue;
            };
            let (mut digit, mut equal) = (0, 0);
            for ((_, next), count) in counts.counts.range((place, 0)..=(place, u16::MAX)) {
                // Beyond the last there is nothing: a rank that is too high finds the highest key.
                (digit, equal) = (*next, *count);
                if found.below + count > *rank {
                    break;
                }
                found.below += count;
            }
            found.key = found.key << DIGIT | u64::from(digit);
            found.equal = equal;
        }
        self.known += DIGIT;
    }

    /// The keys, by the ranks that were asked for, once nothing is left to count.
    #[must_use]
    pub fn found(&self) -> Vec<Ranked> {
        self.wanted.iter().map(|(_, found)| *found).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn search(numbers: &[f64], ranks: &[u64]) -> Vec<Ranked> {
        let mut search = RankSearch::new(ranks);
        while let Some(mut counts) = search.next() {
            // Two parts, added.
            let mut part = counts.clone();
            for (row, number) in numbers.iter().enumerate() {
                let side = if row % 2 == 0 { &mut counts } else { &mut part };
                side.count(order_key(*number));
            }
            for (place, digit, count) in part.iter().collect::<Vec<_>>() {
                counts.add(place, digit, count);
            }
            search.refine(&counts);
        }
        search.found()
    }

    #[test]
    fn ties_are_counted() {
        let found = search(&[3.0, -1.0, 0.0, 3.0, -0.0, 3.0], &[0, 2, 3]);
        let counted = |number: f64, below, equal| Ranked {
            key: order_key(number),
            below,
            equal,
        };
        assert_eq!(
            found,
            [counted(-1.0, 0, 1), counted(0.0, 1, 2), counted(3.0, 3, 3)]
        );
    }

    #[test]
    fn keys_are_ordered_as_numbers_are() {
        let ordered = [
            f64::NEG_INFINITY,
            -1e300,
            -2.0,
            -5e-324,
            0.0,
            5e-324,
            1.0,
            f64::INFINITY,
            f64::NAN,
        ];
        assert!(ordered.map(order_key).is_sorted_by(|a, b| a < b));
        assert_eq!(order_key(-0.0), order_key(0.0));
        for number in &ordered[..8] {
            assert_eq!(from_order_key(order_key(*number)), *number);
        }
    }

    proptest! {
        #[test]
        fn a_rank_is_the_place_in_sorted_order(
            mut numbers in prop::collection::vec(
                prop_oneof![-3_i32..3, any::<i32>()].prop_map(|it| f64::from(it) * 0.25), 1..60),
            rank in 0_usize..60,
        ) {
            let rank = rank % numbers.len();
            let found = search(&numbers, &[rank as u64])[0];
            numbers.sort_by(f64::total_cmp);
            prop_assert_eq!(from_order_key(found.key), numbers[rank]);
            let below = numbers.iter().filter(|it| **it < numbers[rank]).count();
            let equal = numbers.iter().filter(|it| **it == numbers[rank]).count();
            prop_assert_eq!((found.below, found.equal), (below as u64, equal as u64));
        }
    }
}
