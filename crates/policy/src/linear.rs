//! Ridge regressions, one for every arm, kept as Cholesky factors.
//!
//! The precision A = ridge I + sum x x' of an arm is kept as its factor L (A = L L'), and the sum
//! b = sum r x as y = L^-1 b: together they are the Cholesky factor of A bordered by b, with y as its
//! last row. A reward rotates its row (x, r) into them (a rank-one update by Givens rotations: G. Golub
//! and C. Van Loan, *Matrix Computations*, 2013, 6.5.4, and 5.1.8 for the rotation), which is stable
//! however many come. One triangular solve L z = x answers everything about a context: its mean is
//! theta . x = y . z, and its variance x' A^-1 x = z . z. Both take O(d²), and no inverse is formed.

use std::mem::take;

/// Columns that a triangular solve takes at once: what stands below them is read and written once for
/// all, where one by one the loops would be too short to be worth their vector instructions.
const BLOCK: usize = 4;

/// The regressions of all arms of a policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LinearArms {
    dimensions: usize,
    ridge: f64,
    /// For each arm the columns of its bordered factor, one after the other: column j holds the
    /// entries of L from the diagonal down, and then y_j.
    factors: Vec<f64>,
    /// For each arm one over the diagonal of L: a division costs as much as a short column.
    reciprocals: Vec<f64>,
}

/// What an arm's regression says of a context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prediction {
    /// theta . x
    pub(crate) mean: f64,
    /// x' A^-1 x, at least 0.
    pub(crate) variance: f64,
}

impl LinearArms {
    pub(crate) const fn new(dimensions: usize, ridge: f64) -> Self {
        Self {
            dimensions,
            ridge,
            factors: Vec::new(),
            reciprocals: Vec::new(),
        }
    }

    pub(crate) const fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub(crate) const fn ridge(&self) -> f64 {
        self.ridge
    }

    /// Entries of a factor: those of L and those of y.
    const fn stride(&self) -> usize {
        self.dimensions * (self.dimensions + 1) / 2 + self.dimensions
    }

    /// Adds an arm that has seen nothing.
    pub(crate) fn push(&mut self) {
        let root = self.ridge.sqrt();
        for column in 0..self.dimensions {
            self.factors.push(root);
            self.factors
                .resize(self.factors.len() + self.dimensions - column, 0.0);
            self.reciprocals.push(1.0 / root);
        }
    }

    /// Room for the work of [`predict`](Self::predict) and [`learn`](Self::learn).
    pub(crate) fn scratch(&self) -> Vec<f64> {
        vec![0.0; self.dimensions + 1]
    }

    /// Mean and variance of an arm's reward in a context of the right length.
    pub(crate) fn predict(&self, arm: usize, context: &[f64], scratch: &mut [f64]) -> Prediction {
        let stride = self.stride();
        let mut columns = &self.factors[arm * stride..(arm + 1) * stride];
        let start = arm * self.dimensions;
        let reciprocals = &self.reciprocals[start..start + self.dimensions];
        // Below the context, what the solve leaves in the border is - y . z.
        scratch[..self.dimensions].copy_from_slice(context);
        scratch[self.dimensions] = 0.0;
        let mut rest = &mut scratch[..];
        let mut variance = 0.0;
        let (blocks, single) = reciprocals.as_chunks::<BLOCK>();
        for reciprocals in blocks {
            let Some((entries, below)) = take(&mut rest).split_first_chunk_mut::<BLOCK>() else {
                break;
            };
            let (block, later) = columns.split_at(BLOCK * below.len() + BLOCK * (BLOCK + 1) / 2);
            let z = eliminate(block, reciprocals, entries, below);
            for value in z {
                variance += value * value;
            }
            rest = below;
            columns = later;
        }
        for reciprocal in single {
            let Some((entry, below)) = take(&mut rest).split_first_mut() else {
                break;
            };
            let (column, later) = columns.split_at(below.len() + 1);
            let z = *entry * reciprocal;
            variance += z * z;
            for (value, factor) in below.iter_mut().zip(&column[1..]) {
                *value -= z * factor;
            }
            rest = below;
            columns = later;
        }
        Prediction {
            mean: -scratch[self.dimensions],
            variance,
        }
    }

    /// Learns that an arm gave a reward in a context of the right length.
    pub(crate) fn learn(&mut self, arm: usize, context: &[f64], reward: f64, scratch: &mut [f64]) {
        let stride = self.stride();
        let mut columns = &mut self.factors[arm * stride..(arm + 1) * stride];
        let start = arm * self.dimensions;
        let reciprocals = &mut self.reciprocals[start..start + self.dimensions];
        scratch[..self.dimensions].copy_from_slice(context);
        scratch[self.dimensions] = reward;
        let mut rest = &mut scratch[..];
        for reciprocal in reciprocals {
            let Some((entry, below)) = rest.split_first_mut() else {
                break;
            };
            let (column, later) = columns.split_at_mut(below.len() + 1);
            if *entry != 0.0 {
                let norm = (column[0] * column[0] + *entry * *entry).sqrt();
                let inverse = 1.0 / norm;
                let (cosine, sine) = (column[0] * inverse, *entry * inverse);
                column[0] = norm;
                *reciprocal = inverse;
                for (factor, value) in column[1..].iter_mut().zip(below.iter_mut()) {
                    let (old, row) = (*factor, *value);
                    *factor = cosine * old + sine * row;
                    *value = cosine * row - sine * old;
                }
            }
            rest = below;
            columns = later;
        }
    }

    /// theta = A^-1 b of an arm, by one back substitution: O(d²).
    pub(crate) fn coefficients(&self, arm: usize) -> Vec<f64> {
        let stride = self.stride();
        let factor = &self.factors[arm * stride..(arm + 1) * stride];
        let mut theta = vec![0.0; self.dimensions];
        let mut end = stride;
        for index in (0..self.dimensions).rev() {
            let column = &factor[end - (self.dimensions - index + 1)..end];
            let mut sum = column[self.dimensions - index];
            for (known, entry) in theta[index + 1..].iter().zip(&column[1..]) {
                sum -= known * entry;
            }
            theta[index] = sum / column[0];
            end -= column.len();
        }
        theta
    }

    /// The columns of L from the diagonal down, one after the other, and y.
    pub(crate) fn parts(&self, arm: usize) -> (Vec<f64>, Vec<f64>) {
        let stride = self.stride();
        let mut columns = &self.factors[arm * stride..(arm + 1) * stride];
        let (mut factor, mut target) = (Vec::new(), Vec::new());
        for index in 0..self.dimensions {
            let (column, later) = columns.split_at(self.dimensions - index + 1);
            let (entries, border) = column.split_at(self.dimensions - index);
            factor.extend_from_slice(entries);
            target.extend_from_slice(border);
            columns = later;
        }
        (factor, target)
    }

    /// Adds an arm from the parts of another; the problem in words where they cannot be those of any.
    pub(crate) fn push_parts(&mut self, factor: &[f64], target: &[f64]) -> Result<(), String> {
        let (dimensions, entries) = (self.dimensions, self.dimensions * (self.dimensions + 1) / 2);
        if factor.len() != entries || target.len() != dimensions {
            let (factor, target) = (factor.len(), target.len());
            return Err(format!(
                "has {factor} entries of the factor and {target} of the target: {dimensions} \
                 dimensions have {entries} and {dimensions}"
            ));
        }
        let all = factor.iter().chain(target);
        if let Some(value) = all.clone().find(|value| !value.is_finite()) {
            return Err(format!("has the entry {value}: entries are finite numbers"));
        }
        // No leading block of A is below that of ridge I, so neither is a pivot; rounding aside.
        let least = self.ridge.sqrt() * (1.0 - 1e-6);
        let (mut diagonal, mut rest) = (Vec::with_capacity(dimensions), factor);
        for (index, border) in target.iter().enumerate() {
            let (column, later) = rest.split_at(dimensions - index);
            if column[0] < least {
                let pivot = column[0];
                return Err(format!(
                    "has the pivot {pivot} in column {index}: with a ridge of {} none is below {}",
                    self.ridge,
                    self.ridge.sqrt()
                ));
            }
            diagonal.push(column[0]);
            self.factors.extend_from_slice(column);
            self.factors.push(*border);
            rest = later;
        }
        self.reciprocals
            .extend(diagonal.iter().map(|pivot| 1.0 / pivot));
        Ok(())
    }
}

/// Solves for the entries that stand beside a block of columns, and takes their share from what stands
/// below: one step of a forward substitution.
fn eliminate(
    block: &[f64],
    reciprocals: &[f64; BLOCK],
    entries: &[f64; BLOCK],
    below: &mut [f64],
) -> [f64; BLOCK] {
    let rows = below.len();
    // Each column is one shorter than the last, from the diagonal down.
    let (first, others) = block.split_at(rows + 4);
    let (second, others) = others.split_at(rows + 3);
    let (third, fourth) = others.split_at(rows + 2);
    let a = entries[0] * reciprocals[0];
    let b = (entries[1] - a * first[1]) * reciprocals[1];
    let c = (entries[2] - a * first[2] - b * second[1]) * reciprocals[2];
    let d = (entries[3] - a * first[3] - b * second[2] - c * third[1]) * reciprocals[3];
    let left = first[4..].iter().zip(&second[3..]);
    let right = third[2..].iter().zip(&fourth[1..]);
    for (value, ((first, second), (third, fourth))) in below.iter_mut().zip(left.zip(right)) {
        *value -= (a * first + b * second) + (c * third + d * fourth);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    /// theta by Gaussian elimination with pivoting on A theta = b.
    fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
        let size = b.len();
        for column in 0..size {
            let pivot = (column..size)
                .max_by(|i, j| a[*i][column].abs().total_cmp(&a[*j][column].abs()))
                .unwrap();
            a.swap(column, pivot);
            b.swap(column, pivot);
            let (top, known) = (a[column].clone(), b[column]);
            for row in column + 1..size {
                let share = a[row][column] / top[column];
                for (entry, above) in a[row].iter_mut().zip(&top) {
                    *entry -= share * above;
                }
                b[row] -= share * known;
            }
        }
        for row in (0..size).rev() {
            let known: f64 = (row + 1..size).map(|k| a[row][k] * b[k]).sum();
            b[row] = (b[row] - known) / a[row][row];
        }
        b
    }

    struct Sums {
        a: Vec<Vec<f64>>,
        b: Vec<f64>,
    }

    /// Learns from `count` draws whose dimensions differ in scale by 1e3, and sums A and b beside it.
    fn learned(dimensions: usize, count: usize, ridge: f64) -> (LinearArms, Sums) {
        let mut arms = LinearArms::new(dimensions, ridge);
        arms.push();
        let mut scratch = arms.scratch();
        let mut random = Random::new(11, 0);
        let mut a = vec![vec![0.0; dimensions]; dimensions];
        for (index, row) in a.iter_mut().enumerate() {
            row[index] = ridge;
        }
        let mut b = vec![0.0; dimensions];
        for _ in 0..count {
            let common = random.normal();
            let x: Vec<f64> = (0..dimensions)
                .map(|i| {
                    (random.normal() + common) * 10_f64.powf(3.0 * i as f64 / dimensions as f64)
                })
                .collect();
            let reward = x[0] - 0.01 * x[dimensions - 1] + random.normal();
            arms.learn(0, &x, reward, &mut scratch);
            for i in 0..dimensions {
                for j in 0..dimensions {
                    a[i][j] += x[i] * x[j];
                }
                b[i] += reward * x[i];
            }
        }
        (arms, Sums { a, b })
    }

    #[test]
    fn the_posterior_is_exact_after_a_million_updates() {
        let (arms, sums) = learned(8, 1_000_000, 1.0);
        let (factor, _) = arms.parts(0);
        // L L' against the sums of x x', relative to the diagonal.
        let column_start = |j: usize| (0..j).map(|k| 8 - k).sum::<usize>();
        for i in 0..8 {
            for j in 0..=i {
                let entry = |row: usize, k: usize| factor[column_start(k) + row - k];
                let product: f64 = (0..=j).map(|k| entry(i, k) * entry(j, k)).sum();
                let scale = (sums.a[i][i] * sums.a[j][j]).sqrt();
                let error = (product - sums.a[i][j]).abs() / scale;
                assert!(error < 1e-11, "A[{i}][{j}]: {error:e}");
            }
        }
        let expected = solve(sums.a.clone(), sums.b.clone());
        for (index, (actual, expected)) in arms.coefficients(0).iter().zip(&expected).enumerate() {
            let error = (actual - expected).abs() / expected.abs().max(1e-3);
            assert!(error < 1e-8, "theta[{index}]: {actual}, {expected}");
        }
        let x = vec![1.0; 8];
        let prediction = arms.predict(0, &x, &mut arms.scratch());
        let mean: f64 = expected.iter().sum();
        let variance: f64 = solve(sums.a, x).iter().sum();
        assert!((prediction.mean - mean).abs() < 1e-9 * mean.abs(), "{mean}");
        assert!((prediction.variance / variance - 1.0).abs() < 1e-9);
    }

    #[test]
    fn an_arm_that_saw_nothing_knows_the_ridge_alone() {
        let mut arms = LinearArms::new(3, 4.0);
        arms.push();
        let prediction = arms.predict(0, &[2.0, 0.0, -2.0], &mut arms.scratch());
        assert_eq!((prediction.mean, prediction.variance), (0.0, 2.0));
        assert_eq!(arms.coefficients(0), [0.0; 3]);
    }

    #[test]
    fn one_dimension_is_a_shrunken_mean() {
        let mut arms = LinearArms::new(1, 1.0);
        arms.push();
        arms.push();
        let mut scratch = arms.scratch();
        for reward in [1.0, 2.0, 4.0] {
            arms.learn(1, &[1.0], reward, &mut scratch);
        }
        let prediction = arms.predict(1, &[2.0], &mut scratch);
        assert!((prediction.mean - 2.0 * 7.0 / 4.0).abs() < 1e-14);
        assert!((prediction.variance - 1.0).abs() < 1e-14);
        assert_eq!(arms.predict(0, &[2.0], &mut scratch).mean, 0.0);
    }

    #[test]
    fn parts_make_the_same_arm() {
        let (arms, _) = learned(5, 100, 0.5);
        let (factor, target) = arms.parts(0);
        let mut copy = LinearArms::new(5, 0.5);
        copy.push_parts(&factor, &target).unwrap();
        let (x, mut scratch) = ([0.3, -1.0, 2.0, 0.0, 5.0], arms.scratch());
        let close = |left: f64, right: f64| (left / right - 1.0).abs() < 1e-13;
        let (old, new) = (
            arms.predict(0, &x, &mut scratch),
            copy.predict(0, &x, &mut scratch),
        );
        assert!(close(old.mean, new.mean) && close(old.variance, new.variance));
        assert!(copy.push_parts(&factor[1..], &target).is_err());
        assert!(copy.push_parts(&[0.1; 15], &target).is_err());
    }
}
