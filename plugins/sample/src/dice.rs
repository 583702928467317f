//! Random choices whose results are the same on every machine and with every version of `rand`: words of
//! ChaCha8, turned into values by integer arithmetic and exact floating-point operations only.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded source of choices.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// Dice of their own for each `(seed, stream)`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut words = ChaCha8Rng::seed_from_u64(seed);
        words.set_stream(stream);
        Self(words)
    }

    /// Uniform in `0..bound`, 0 for an empty range. The bias of the multiplication is below 2⁻³².
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let product = u64::from(self.0.next_u32()) * u64::from(bound);
        (product >> 32) as u32
    }

    /// Uniform between `low` and `high`, both included.
    pub(crate) fn between(&mut self, (low, high): (u32, u32)) -> u32 {
        low + self.below(high - low + 1)
    }

    /// Between `low` and `high`, both included, and near `low` more often: the square of a uniform.
    pub(crate) fn mostly_low(&mut self, (low, high): (u32, u32)) -> u32 {
        let width = u64::from(high - low + 1);
        let word = u64::from(self.0.next_u32());
        let square = (word * word) >> 32;
        low + ((square * width) >> 32) as u32
    }

    /// True `per_mille` times out of a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille
    }

    /// Uniform in `[0, 1)`, exact in 32 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// Bell-shaped in `(-1, 1)`: the mean of four uniforms, of standard deviation 0.29.
    pub(crate) fn bell(&mut self) -> f64 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        sum / 2.0 - 1.0
    }

    /// The index of a weight, as often as its share of the sum says.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut rest = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if rest < *weight {
                return index;
            }
            rest -= weight;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_stay_in_their_ranges_and_reach_both_ends() {
        let mut dice = Dice::new(1, 0);
        let mut seen = [false; 3];
        for _ in 0..200 {
            seen[dice.between((4, 6)) as usize - 4] = true;
            assert!((4..=6).contains(&dice.mostly_low((4, 6))));
            assert!((0.0..1.0).contains(&dice.unit()));
            assert!((-1.0..1.0).contains(&dice.bell()));
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(dice.between((9, 9)), 9);
    }

    #[test]
    fn weights_are_shares() {
        let mut dice = Dice::new(1, 0);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[dice.weighted(&[1, 0, 3])] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((2200..2800).contains(&counts[0]), "{counts:?}");
    }
}
