//! What follows from the order of numbers: tiles and quantiles.

/// The tile, from 1, of each value by SQL's `NTILE(tiles) OVER (ORDER BY value, row)`, or with
/// `descending` `ORDER BY value DESC, row`: rows with equal values keep their order.
///
/// Where the rows do not divide evenly the first tiles have one more; with fewer rows than tiles the
/// last tiles stay empty. NaN sorts as the largest. O(rows log rows).
#[must_use]
pub fn ntile(values: &[f64], tiles: usize, descending: bool) -> Vec<u32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    if descending {
        order.sort_by(|a, b| compare(values[*b], values[*a]));
    } else {
        order.sort_by(|a, b| compare(values[*a], values[*b]));
    }
    let mut found = vec![0; values.len()];
    for (position, row) in order.into_iter().enumerate() {
        found[row] = tile_of(position, values.len(), tiles);
    }
    found
}

/// Zeros of either sign are equal, as in SQL.
fn compare(left: f64, right: f64) -> std::cmp::Ordering {
    (left + 0.0).total_cmp(&(right + 0.0))
}

/// The tile, from 1, of the row at a position, from 0, of `rows` sorted rows.
#[must_use]
pub fn tile_of(position: usize, rows: usize, tiles: usize) -> u32 {
    let tiles = tiles.max(1);
    let (size, larger) = (rows / tiles, rows % tiles);
    let in_larger = larger * (size + 1);
    let tile = if position < in_larger {
        position / (size + 1)
    } else {
        // Past the larger tiles `size` is not 0: every row stands in one of them otherwise.
        larger + (position - in_larger) / size.max(1)
    };
    u32::try_from(tile + 1).unwrap_or(u32::MAX)
}

/// The quantile `share` (0 to 1, held to it) of finite numbers in ascending order, interpolated
/// linearly between neighbours as numpy does (R. Hyndman and Y. Fan's type 7). None of none.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let place = last as f64 * share.clamp(0.0, 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last index"
    )]
    let below = place.floor() as usize;
    let (low, high) = (sorted.get(below)?, sorted.get((below + 1).min(last))?);
    Some(low + (high - low) * (place - place.floor()))
}

/// The median of finite numbers in any order: the mean of the middle two where there is no middle
/// one. None of none. O(n).
#[must_use]
pub fn median(numbers: &[f64]) -> Option<f64> {
    if numbers.is_empty() {
        return None;
    }
    let mut numbers = numbers.to_vec();
    let middle = numbers.len() / 2;
    let even = numbers.len().is_multiple_of(2);
    let (below, upper, _) = numbers.select_nth_unstable_by(middle, f64::total_cmp);
    if !even {
        return Some(*upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp)?;
    Some(f64::midpoint(lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_tiles_are_larger() {
        let values: Vec<f64> = (0..7).map(f64::from).collect();
        assert_eq!(ntile(&values, 5, false), [1, 1, 2, 2, 3, 4, 5]);
        assert_eq!(ntile(&values, 5, true), [5, 4, 3, 2, 2, 1, 1]);
    }

    #[test]
    fn ties_keep_the_order_of_the_rows_both_ways() {
        assert_eq!(ntile(&[1.0; 4], 2, false), [1, 1, 2, 2]);
        assert_eq!(ntile(&[1.0; 4], 2, true), [1, 1, 2, 2]);
        assert_eq!(ntile(&[0.0, -0.0], 2, true), [1, 2]);
    }

    #[test]
    fn fewer_rows_than_tiles_fill_the_first() {
        assert_eq!(ntile(&[2.0, 1.0], 5, false), [2, 1]);
        assert_eq!(ntile(&[], 5, false), [0_u32; 0]);
        assert_eq!(ntile(&[3.0], 0, false), [1]);
    }

    #[test]
    fn quantiles_interpolate_as_numpys_do() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.5), Some(3.0));
        assert_eq!(quantile(&sorted, 0.9), Some(4.0 + 4.0 * (2.7 - 2.0)));
        assert_eq!(quantile(&sorted, 2.0), Some(8.0));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.1), Some(3.0));
    }

    proptest! {
        #[test]
        fn tiles_differ_by_one_row_at_most(rows in 0_usize..200, tiles in 1_usize..30) {
            let values: Vec<f64> = (0..rows).map(|row| (row * 37 % 101) as f64).collect();
            let found = ntile(&values, tiles, false);
            let sizes: Vec<usize> = (1..=tiles)
                .map(|tile| found.iter().filter(|other| **other as usize == tile).count())
                .collect();
            prop_assert_eq!(sizes.iter().sum::<usize>(), rows);
            prop_assert!(sizes.is_sorted_by(|a, b| a == b || *a == b + 1));
        }

        #[test]
        fn the_median_is_the_middle_quantile(mut numbers in prop::collection::vec(-1e6..1e6_f64, 1..50)) {
            let found = median(&numbers).unwrap();
            numbers.sort_by(f64::total_cmp);
            let expected = quantile(&numbers, 0.5).unwrap();
            prop_assert!((found - expected).abs() <= 1e-9);
        }
    }
}
