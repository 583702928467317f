//! Draws from a seed that stay the same in every version of every dependency.
//!
//! ChaCha8 is a published stream; the few conversions from its words to what kernels need are done
//! here, because the ones of `rand` may change with its major versions.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of draws.
#[derive(Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The stream numbered `stream` of a seed. Streams of one seed are independent.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// 64 random bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform on [0, 1), of the 2^53 evenly spaced numbers.
    pub(crate) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
        let numerator = (self.0.next_u64() >> 11) as f64;
        numerator / 9_007_199_254_740_992.0
    }

    /// Uniform on 0..`bound`, by rejection, so that it is exact; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        if bound < 2 {
            return 0;
        }
        let rejected_from = u64::MAX - u64::MAX % bound;
        loop {
            let word = self.0.next_u64();
            if word < rejected_from {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "below a bound that was a usize"
                )]
                return (word % bound) as usize;
            }
        }
    }
}

/// The numbers of `size` of `rows` rows, drawn without replacement and sorted; all of them when there
/// are no more than `size`. By Floyd's method: O(size) draws and memory.
#[must_use]
pub fn sample_rows(rows: usize, size: usize, seed: u64) -> Vec<usize> {
    if rows <= size {
        return (0..rows).collect();
    }
    let mut random = Random::new(seed, 0);
    let mut chosen = std::collections::BTreeSet::new();
    for last in rows - size..rows {
        let drawn = random.below(last + 1);
        if !chosen.insert(drawn) {
            chosen.insert(last);
        }
    }
    chosen.into_iter().collect()
}

/// The draw of a row by a whole number that identifies it: the same wherever the row lies. The rows with the
/// least draws are a sample of all.
#[must_use]
pub const fn draw_of_integer(seed: u64, key: i64) -> u64 {
    mixed(mixed(seed) ^ key.cast_unsigned())
}

/// As [`draw_of_integer`], by a text.
#[must_use]
pub fn draw_of_text(seed: u64, key: &str) -> u64 {
    // FNV-1a, whose low bits alone are well mixed.
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed(mixed(seed) ^ mixed(hash))
}

/// The step of SplitMix64 (G. Steele, D. Lea and C. Flood, 2014): every bit in depends on every bit out.
const fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_by_key_are_fair_and_fixed() {
        // Fixed forever: stored results depend on it.
        assert_eq!(draw_of_integer(7, 1), draw_of_integer(7, 1));
        assert_ne!(draw_of_integer(7, 1), draw_of_integer(8, 1));
        assert_ne!(draw_of_text(7, "1"), draw_of_text(7, "2"));
        for draw in [
            &(|row| draw_of_integer(3, row)) as &dyn Fn(i64) -> u64,
            &|row| draw_of_text(3, &format!("C{row}")),
        ] {
            let below = (0..10_000).filter(|row| draw(*row) < u64::MAX / 4).count();
            // 2500 expected, standard deviation 43.
            assert!((2300..2700).contains(&below), "{below}");
        }
    }

    #[test]
    fn a_seed_names_its_draws() {
        let mut random = Random::new(7, 0);
        let drawn: Vec<usize> = (0..5).map(|_| random.below(1000)).collect();
        // Fixed forever: stored results depend on it.
        assert_eq!(drawn, [635, 994, 745, 443, 440]);
        assert_ne!(sample_rows(100, 10, 1), sample_rows(100, 10, 2));
        assert_eq!(sample_rows(100, 10, 1), sample_rows(100, 10, 1));
    }

    #[test]
    fn a_sample_is_distinct_sorted_and_fair() {
        let mut counts = [0_u32; 20];
        for seed in 0..2000 {
            let sample = sample_rows(20, 5, seed);
            assert_eq!(sample.len(), 5);
            assert!(sample.is_sorted_by(|left, right| left < right));
            for index in sample {
                counts[index] += 1;
            }
        }
        // 500 expected, standard deviation 19.4.
        assert!(
            counts.iter().all(|count| (400..600).contains(count)),
            "{counts:?}"
        );
        assert_eq!(sample_rows(3, 5, 0), [0, 1, 2]);
        assert_eq!(sample_rows(0, 5, 0), [0_usize; 0]);
    }

    #[test]
    fn units_stay_below_one() {
        let mut random = Random::new(1, 3);
        assert!(
            (0..1000)
                .map(|_| random.unit())
                .all(|unit| (0.0..1.0).contains(&unit))
        );
    }
}
