//! Sums that do not depend on the order of their terms, for rows that lie on many machines.
//!
//! A number becomes a whole multiple of a unit that is 2^86 times smaller than a bound of all numbers,
//! and whole numbers of 128 bits are added: that is associative, so that a sum is the same bits however
//! its terms were dealt out. What a term loses is half a unit, 2^-87 of the bound, far less than the
//! rounding of one addition of floats (J. Demmel and H. D. Nguyen, *Fast reproducible floating-point
//! summation*, 2013, do it without wide integers).

use crate::KernelError;

/// Bits between the unit and the bound.
const BITS: i32 = 86;

/// Bits of a float's fraction.
const FRACTION: u32 = 52;

/// The unit that numbers up to a bound are counted in. Up to 2^40 of them can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactScale {
    exponent: i32,
}

impl ExactScale {
    /// The scale for numbers of magnitude `bound` or less. An infinite bound is taken for the largest
    /// finite number.
    #[must_use]
    pub fn for_bound(bound: f64) -> Self {
        // The least power of 2 that is surely beyond it; of zero and what is nearly zero the least there is.
        Self {
            exponent: biased(bound.abs().min(f64::MAX)).max(1) - 1022,
        }
    }

    /// The scale with the exponent that another had.
    #[must_use]
    pub fn with_exponent(exponent: i32) -> Self {
        Self {
            exponent: exponent.clamp(-1021, 1024),
        }
    }

    /// Numbers are below 2 to the power of it.
    #[must_use]
    pub const fn exponent(self) -> i32 {
        self.exponent
    }

    /// A finite number within the bound, in units. Another one becomes the bound.
    #[must_use]
    pub fn units(self, number: f64) -> i128 {
        let exponent = biased(number);
        let fraction = number.to_bits() & ((1 << FRACTION) - 1);
        let mantissa = if exponent == 0 {
            fraction
        } else {
            fraction | 1 << FRACTION
        };
        let shift = exponent.max(1) - 1075 - (self.exponent - BITS);
        let magnitude = match u32::try_from(shift) {
            Ok(shift @ 0..=33) => i128::from(mantissa) << shift,
            Ok(_) => 1 << BITS,
            Err(_) => match shift.unsigned_abs() {
                down @ 1..=54 => i128::from((mantissa + (1 << (down - 1))) >> down),
                _ => 0,
            },
        };
        if number.is_sign_negative() {
            -magnitude
        } else {
            magnitude
        }
    }

    /// The float nearest to so many units.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "that is the rounding of the sum"
    )]
    pub fn number(self, units: i128) -> f64 {
        // In two steps, each of which is within a float's range.
        let power = self.exponent - BITS;
        let half = power / 2;
        units as f64 * 2.0_f64.powi(half) * 2.0_f64.powi(power - half)
    }
}

/// How many rows each of some groups has, and the sums of their columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExactSums {
    columns: usize,
    /// By group.
    counts: Vec<u64>,
    /// By group, and in it by column.
    units: Vec<i128>,
}

/// Groups beyond so many are taken for an error: labels are made to be few.
const MOST_GROUPS: usize = 1 << 24;

impl ExactSums {
    /// Of no rows, with so many columns.
    #[must_use]
    pub const fn new(columns: usize) -> Self {
        Self {
            columns,
            counts: Vec::new(),
            units: Vec::new(),
        }
    }

    /// Bytes that it holds.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<u64>() + self.units.capacity() * size_of::<i128>()
    }

    fn reach(&mut self, groups: usize) {
        if self.counts.len() < groups {
            self.counts.resize(groups, 0);
            self.units.resize(groups * self.columns, 0);
        }
    }

    /// Counts rows, given the group of each. Columns are added one by one after that.
    ///
    /// # Errors
    /// [`KernelError::Shape`] of a group that cannot be.
    pub fn count(&mut self, groups: &[u32]) -> Result<(), KernelError> {
        let Some(most) = groups.iter().max() else {
            return Ok(());
        };
        let needed = *most as usize + 1;
        if needed > MOST_GROUPS {
            return Err(shape("groups", MOST_GROUPS, needed));
        }
        self.reach(needed);
        for group in groups {
            self.counts[*group as usize] += 1;
        }
        Ok(())
    }

    /// Adds a column of rows that were counted.
    ///
    /// # Errors
    /// [`KernelError::Shape`] where there is no such column, or it has another length.
    pub fn add(
        &mut self,
        column: usize,
        scale: ExactScale,
        groups: &[u32],
        numbers: &[f64],
    ) -> Result<(), KernelError> {
        if column >= self.columns {
            return Err(shape("columns", self.columns, column + 1));
        }
        if groups.len() != numbers.len() {
            return Err(shape("rows of a column", groups.len(), numbers.len()));
        }
        for (group, number) in groups.iter().zip(numbers) {
            let place = *group as usize * self.columns + column;
            let Some(sum) = self.units.get_mut(place) else {
                return Err(shape("groups", self.counts.len(), *group as usize + 1));
            };
            *sum = sum.wrapping_add(scale.units(*number));
        }
        Ok(())
    }

    /// Adds the rows of another part.
    ///
    /// # Errors
    /// [`KernelError::Shape`] where it has other columns.
    pub fn merge(&mut self, other: &Self) -> Result<(), KernelError> {
        if other.columns != self.columns {
            return Err(shape("columns", self.columns, other.columns));
        }
        self.reach(other.counts.len());
        for (sum, other) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.wrapping_add(*other);
        }
        for (sum, other) in self.units.iter_mut().zip(&other.units) {
            *sum = sum.wrapping_add(*other);
        }
        Ok(())
    }

    /// Rows by group, of at least so many groups.
    #[must_use]
    pub fn counts(&self, groups: usize) -> Vec<u64> {
        let mut counts = self.counts.clone();
        counts.resize(groups.max(counts.len()), 0);
        counts
    }

    /// The sum of a column over a group; 0 of none.
    #[must_use]
    pub fn sum(&self, group: usize, column: usize, scale: ExactScale) -> f64 {
        let units = self.units.get(group * self.columns + column);
        scale.number(units.copied().unwrap_or(0))
    }

    /// The sum of a column over all groups.
    #[must_use]
    pub fn total(&self, column: usize, scale: ExactScale) -> f64 {
        let units = self.units.iter().skip(column).step_by(self.columns.max(1));
        scale.number(units.fold(0, |total, units| total.wrapping_add(*units)))
    }

    /// All of it, for another process.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.bytes());
        bytes.extend((self.columns as u64).to_le_bytes());
        bytes.extend(self.counts.iter().flat_map(|count| count.to_le_bytes()));
        bytes.extend(self.units.iter().flat_map(|units| units.to_le_bytes()));
        bytes
    }

    /// What another process made into bytes.
    ///
    /// # Errors
    /// [`KernelError::Shape`] where these are not such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KernelError> {
        let wrong = || shape("bytes of sums", 8, bytes.len());
        let (columns, rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
        let columns = usize::try_from(u64::from_le_bytes(*columns)).map_err(|_| wrong())?;
        let group = columns.checked_mul(16).and_then(|it| it.checked_add(8));
        let group = group.ok_or_else(wrong)?;
        if !rest.len().is_multiple_of(group) {
            return Err(wrong());
        }
        let (counts, units) = rest.split_at(rest.len() / group * 8);
        let counts = counts.as_chunks().0.iter();
        let units = units.as_chunks().0.iter();
        Ok(Self {
            columns,
            counts: counts.map(|bytes| u64::from_le_bytes(*bytes)).collect(),
            units: units.map(|bytes| i128::from_le_bytes(*bytes)).collect(),
        })
    }
}

const fn shape(what: &'static str, expected: usize, actual: usize) -> KernelError {
    KernelError::Shape {
        what,
        expected,
        actual,
    }
}

/// The exponent of a float as it is stored: 0 of zero and of what is nearly zero.
fn biased(number: f64) -> i32 {
    let stored = (number.to_bits() >> FRACTION) as i32;
    stored & 0x7ff
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(numbers: &[f64], bound: f64) -> f64 {
        let scale = ExactScale::for_bound(bound);
        scale.number(numbers.iter().map(|number| scale.units(*number)).sum())
    }

    #[test]
    fn whole_numbers_and_halves_are_summed_exactly() {
        assert_eq!(sum(&[1.5, -0.25, 1e6], 1e6), 1_000_001.25);
        assert_eq!(sum(&[0.1; 10], 0.1), 1.0);
        assert_eq!(sum(&[], 0.0), 0.0);
        assert_eq!(sum(&[0.0, -0.0], 0.0), 0.0);
    }

    #[test]
    fn the_ends_of_the_range_are_within_it() {
        for number in [f64::MAX, f64::MIN_POSITIVE, 5e-324, 1.0, 1e300] {
            assert_eq!(sum(&[number], number), number, "{number}");
            assert_eq!(sum(&[-number], number), -number, "{number}");
        }
        let scale = ExactScale::for_bound(1.0);
        // Beyond the bound nothing overflows.
        assert_eq!(scale.units(f64::INFINITY), 1 << BITS);
        assert_eq!(scale.units(-1e300), -(1 << BITS));
        assert_eq!(scale.units(1e-300), 0);
    }

    #[test]
    fn parts_are_added_by_group() {
        let scale = ExactScale::for_bound(10.0);
        let part = |groups: &[u32], numbers: &[f64]| {
            let mut sums = ExactSums::new(2);
            sums.count(groups).unwrap();
            sums.add(0, scale, groups, numbers).unwrap();
            sums.add(1, scale, groups, &vec![1.0; numbers.len()])
                .unwrap();
            sums
        };
        let mut all = part(&[0, 2, 0], &[1.5, 2.0, -1.0]);
        let other = part(&[3, 0], &[10.0, 0.25]);
        all.merge(&ExactSums::from_bytes(&other.to_bytes()).unwrap())
            .unwrap();
        assert_eq!(all.counts(5), [3, 0, 1, 1, 0]);
        assert_eq!(
            [0, 1, 2, 3, 9].map(|it| all.sum(it, 0, scale)),
            [0.75, 0.0, 2.0, 10.0, 0.0]
        );
        assert_eq!((all.total(0, scale), all.total(1, scale)), (12.75, 5.0));
        assert!(all.merge(&ExactSums::new(1)).is_err());
        assert!(all.add(0, scale, &[7], &[1.0]).is_err());
        assert!(all.count(&[u32::MAX]).is_err());
        for bytes in [&other.to_bytes()[1..], &[], &[255; 8 + 16]] {
            assert!(ExactSums::from_bytes(bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn the_order_of_terms_changes_no_bit(
            numbers in prop::collection::vec(-1e9..1e9_f64, 0..200),
            cut in 0_usize..200,
        ) {
            let cut = cut.min(numbers.len());
            let turned: Vec<f64> = numbers[cut..].iter().rev().chain(&numbers[..cut]).copied().collect();
            let total = sum(&numbers, 1e9);
            prop_assert_eq!(total.to_bits(), sum(&turned, 1e9).to_bits());
            let plain: f64 = numbers.iter().sum();
            prop_assert!((total - plain).abs() <= 1e-15 * 1e9 * numbers.len().max(1) as f64);
        }
    }
}
