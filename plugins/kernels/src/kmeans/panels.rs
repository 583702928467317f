//! Centres in panels of single precision, and what rows score against a panel: the inner loop of
//! Lloyd's iterations, at two numbers' work for the price of one.
//!
//! A score is `|c|²/2 - x·c` with rows and centres shifted to a common origin: half the squared
//! distance, less what the row adds to all alike. It takes one fused operation a number where a
//! difference takes two, but it is rounded. [`Panels::error`] bounds that rounding, and whoever compares
//! scores must treat what lies within the bound as undecided.

use crate::Matrix;

/// Centres in a panel: two AVX registers.
pub(super) const WIDTH: usize = 16;

/// Rows that are scored at a time: six times two registers of sums, and four are left for operands.
pub(super) const GROUP: usize = 6;

/// Half the square of a size below which products of single precision lose bits that the bound does not
/// count, and a size above which they overflow.
const SMALLEST: f64 = 1e-30;
const LARGEST: f64 = 1e37;

/// Centres in panels of [`WIDTH`].
#[derive(Debug)]
pub(super) struct Panels {
    /// Panel after panel, each column after column: the negated centres.
    cells: Vec<[f32; WIDTH]>,
    /// Of each panel half the squared norms of its centres; infinite where there is no centre.
    halves: Vec<[f32; WIDTH]>,
    columns: usize,
    /// The largest norm of a centre.
    radius: f64,
}

impl Panels {
    /// Packs centres, seen from an origin.
    pub(super) fn new(centres: &Matrix, origin: &[f64]) -> Self {
        let columns = centres.columns();
        let panels = centres.rows().div_ceil(WIDTH);
        let mut cells = vec![[0.0; WIDTH]; panels * columns];
        let mut halves = vec![[f32::INFINITY; WIDTH]; panels];
        let mut largest = 0.0_f64;
        for (index, centre) in centres.iter_rows().enumerate() {
            let (panel, lane) = (index / WIDTH, index % WIDTH);
            let mut square = 0.0;
            for (column, (value, zero)) in centre.iter().zip(origin).enumerate() {
                let shifted = value - zero;
                square += shifted * shifted;
                cells[panel * columns + column][lane] = -single(shifted);
            }
            halves[panel][lane] = single(square / 2.0);
            largest = largest.max(square);
        }
        Self {
            cells,
            halves,
            columns,
            radius: largest.sqrt(),
        }
    }

    /// How many panels there are.
    pub(super) const fn len(&self) -> usize {
        self.halves.len()
    }

    /// What the score of a row with this squared norm may be off by, infinite where single precision does
    /// not reach.
    ///
    /// With unit roundoff `u`, the rounding of both factors and of `columns` fused additions changes a
    /// sum of products by at most `(columns + 3) u` times the sum of their sizes (N. Higham, *Accuracy
    /// and Stability of Numerical Algorithms*, 2002, section 3.1), which Cauchy and Schwarz bound by the
    /// norms; additions that are not fused round twice. The last term covers the double precision
    /// that scores are compared with.
    #[expect(clippy::cast_precision_loss, reason = "columns are far below 2^53")]
    pub(super) fn error(&self, square: f64, is_fused: bool) -> f64 {
        let half = self.radius * self.radius / 2.0;
        let size = half + square.sqrt() * self.radius;
        if !(half >= SMALLEST && size <= LARGEST) {
            return f64::INFINITY;
        }
        let roundings = self.columns as f64 * if is_fused { 1.0 } else { 2.0 } + 4.0;
        let single = f64::from(f32::EPSILON) / 2.0;
        roundings * (1.05 * single * size + 4.0 * f64::EPSILON * square)
    }

    /// The scores of `R` rows against the centres of a panel.
    #[inline(always)]
    pub(super) fn scores<const R: usize, const FUSED: bool>(
        &self,
        panel: usize,
        rows: [&[f32]; R],
    ) -> [[f32; WIDTH]; R] {
        let cells = &self.cells[panel * self.columns..(panel + 1) * self.columns];
        let rows = rows.map(|row| &row[..cells.len()]);
        let mut sums = [self.halves[panel]; R];
        for (column, lanes) in cells.iter().enumerate() {
            for (row, sum) in rows.iter().zip(&mut sums) {
                let value = row[column];
                for (total, centre) in sum.iter_mut().zip(lanes) {
                    *total = if FUSED {
                        value.mul_add(*centre, *total)
                    } else {
                        value * centre + *total
                    };
                }
            }
        }
        sums
    }
}

/// The nearest single-precision number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "its rounding is what the error bounds count"
)]
pub(super) const fn single(value: f64) -> f32 {
    value as f32
}

/// The least of a panel's scores, its lane, and the least of the others.
#[inline(always)]
pub(super) fn two_least(scores: &[f32; WIDTH]) -> (f32, usize, f32) {
    let least = least(scores);
    // A mask and a count of zeros rather than a search that may branch.
    let mut equal = 0_u32;
    for (lane, score) in scores.iter().enumerate() {
        equal |= u32::from(*score == least) << lane;
    }
    let lane = equal.trailing_zeros() as usize % WIDTH;
    let mut others = *scores;
    for (other, score) in others.iter_mut().zip(scores) {
        *other = if *score == least {
            f32::INFINITY
        } else {
            *score
        };
    }
    let is_tied = equal & equal.wrapping_sub(1) != 0;
    let second = if is_tied { least } else { self::least(&others) };
    (least, lane, second)
}

#[inline(always)]
fn least(scores: &[f32; WIDTH]) -> f32 {
    let lower = |left: f32, right: f32| if left < right { left } else { right };
    let mut eight = [0.0; WIDTH / 2];
    for lane in 0..8 {
        eight[lane] = lower(scores[lane], scores[lane + 8]);
    }
    let mut four = [0.0; WIDTH / 4];
    for lane in 0..4 {
        four[lane] = lower(eight[lane], eight[lane + 4]);
    }
    lower(lower(four[0], four[2]), lower(four[1], four[3]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::squared_distance;
    use crate::random::Random;

    #[test]
    fn scores_are_half_distances_within_their_bound() {
        let (columns, count) = (37, 21);
        let mut random = Random::new(5, 1);
        let mut draw = |rows: usize, spread: f64| {
            let data = (0..rows * columns).map(|_| 1e3 + spread * (random.unit() - 0.5));
            Matrix::new(data.collect(), rows, columns).unwrap()
        };
        let (rows, centres) = (draw(60, 30.0), draw(count, 10.0));
        let origin = centres.column_means();
        let panels = Panels::new(&centres, &origin);
        assert_eq!(panels.len(), 2);
        for row in rows.iter_rows() {
            let shifted: Vec<f64> = row.iter().zip(&origin).map(|(x, o)| x - o).collect();
            let square: f64 = shifted.iter().map(|x| x * x).sum();
            let narrow: Vec<f32> = shifted.iter().map(|x| single(*x)).collect();
            let bound = panels.error(square, false);
            assert!(bound < 0.1, "{bound}");
            for panel in 0..2 {
                let [scores] = panels.scores::<1, false>(panel, [&narrow]);
                for (lane, score) in scores.iter().enumerate() {
                    let index = panel * WIDTH + lane;
                    if index < count {
                        let half = (squared_distance(row, centres.row(index)) - square) / 2.0;
                        assert!((f64::from(*score) - half).abs() <= bound);
                    } else {
                        assert_eq!(*score, f32::INFINITY);
                    }
                }
            }
        }
    }

    #[test]
    fn sizes_beyond_single_precision_are_not_decided() {
        for size in [1e-20, 1e20, 1e200] {
            let centres = Matrix::new(vec![size], 1, 1).unwrap();
            let panels = Panels::new(&centres, &[0.0]);
            assert_eq!(panels.error(size * size, true), f64::INFINITY);
        }
    }

    #[test]
    fn the_two_least_are_found_ties_included() {
        let mut scores = [9.0; WIDTH];
        scores[11] = 2.0;
        scores[3] = 4.0;
        assert_eq!(two_least(&scores), (2.0, 11, 4.0));
        scores[5] = 2.0;
        assert_eq!(two_least(&scores), (2.0, 5, 2.0));
        let mut one = [f32::INFINITY; WIDTH];
        one[0] = -1.0;
        assert_eq!(two_least(&one), (-1.0, 0, f32::INFINITY));
    }
}
