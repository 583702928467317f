//! How large numbers may be, so that no sum or square of accepted input overflows.

/// The largest magnitude of a reward or of an entry of a context. The square of a sum of 1e18 of them
/// over the smallest ridge is still a float.
pub(crate) const LARGEST: f64 = 1e100;

/// What an error says of other numbers.
pub(crate) const RULE: &str = "it must be a finite number, at most 1e100 in magnitude";

/// Whether a number is finite and not too large.
pub(crate) fn fits(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// The largest number of dimensions of a linear model: 4 MiB for every arm.
pub(crate) const MOST_DIMENSIONS: usize = 1024;
