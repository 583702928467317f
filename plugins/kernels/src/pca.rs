//! Principal components: the directions in which rows differ most, for pictures of clusters.

use crate::{KernelError, Matrix};

/// Sweeps of Jacobi rotations; fewer than ten bring any matrix of a few hundred columns to rest.
const MAX_SWEEPS: usize = 64;

/// The principal components of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    mean: Vec<f64>,
    components: Matrix,
    explained_variance: Vec<f64>,
    explained_variance_ratio: Vec<f64>,
}

impl Pca {
    /// Finds the first `count` components, fewer where there are fewer columns.
    ///
    /// They are eigenvectors of the sample covariance, found by cyclic Jacobi rotations:
    /// O(rows x columns² + columns³). Signs are scikit-learn's: the entry of a component that is
    /// largest in magnitude is positive.
    ///
    /// # Errors
    /// [`KernelError::NotFinite`] or [`KernelError::Empty`].
    pub fn fit(rows: &Matrix, count: usize) -> Result<Self, KernelError> {
        rows.check()?;
        let columns = rows.columns();
        let mean = rows.column_means();
        let (values, vectors) = symmetric_eigen(covariance(rows, &mean), columns);
        let mut order: Vec<usize> = (0..columns).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        order.truncate(count);
        // Rounding may leave a variance a little below 0.
        let total: f64 = values.iter().map(|value| value.max(0.0)).sum();
        let mut cells = Vec::with_capacity(order.len() * columns);
        let mut explained_variance = Vec::with_capacity(order.len());
        for index in &order {
            let mut direction: Vec<f64> = (0..columns)
                .map(|row| vectors[row * columns + index])
                .collect();
            turn_positive(&mut direction);
            cells.extend(direction);
            explained_variance.push(values[*index].max(0.0));
        }
        let share = |value: &f64| if total > 0.0 { value / total } else { 0.0 };
        let explained_variance_ratio = explained_variance.iter().map(share).collect();
        let components = Matrix::new(cells, order.len(), columns)?;
        Ok(Self {
            mean,
            components,
            explained_variance,
            explained_variance_ratio,
        })
    }

    /// The components, one a row, of length 1 and orthogonal, by descending variance.
    #[must_use]
    pub const fn components(&self) -> &Matrix {
        &self.components
    }

    /// The sample variance along each component.
    #[must_use]
    pub fn explained_variance(&self) -> &[f64] {
        &self.explained_variance
    }

    /// The share of the variance of all columns along each component, 0 where nothing varies.
    #[must_use]
    pub fn explained_variance_ratio(&self) -> &[f64] {
        &self.explained_variance_ratio
    }

    /// The coordinates of rows along the components, from the mean of the rows fitted on.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the rows have other columns than those fitted on.
    pub fn project(&self, rows: &Matrix) -> Result<Matrix, KernelError> {
        if rows.columns() != self.mean.len() {
            return Err(KernelError::Shape {
                what: "columns of rows to project",
                expected: self.mean.len(),
                actual: rows.columns(),
            });
        }
        let mut cells = Vec::with_capacity(rows.rows() * self.components.rows());
        for row in rows.iter_rows() {
            for component in self.components.iter_rows() {
                let along = row.iter().zip(&self.mean).zip(component);
                cells.push(
                    along
                        .map(|((value, mean), weight)| (value - mean) * weight)
                        .sum(),
                );
            }
        }
        Matrix::new(cells, rows.rows(), self.components.rows())
    }
}

fn turn_positive(direction: &mut [f64]) {
    let mut largest = 0.0_f64;
    for value in direction.iter() {
        if value.abs() > largest.abs() {
            largest = *value;
        }
    }
    if largest < 0.0 {
        for value in direction {
            *value = -*value;
        }
    }
}

/// The sample covariance of the columns; that of a single row is 0.
fn covariance(rows: &Matrix, mean: &[f64]) -> Vec<f64> {
    let columns = rows.columns();
    let mut sums = vec![0.0; columns * columns];
    let mut centred = vec![0.0; columns];
    for row in rows.iter_rows() {
        for ((centred, value), mean) in centred.iter_mut().zip(row).zip(mean) {
            *centred = value - mean;
        }
        for (index, left) in centred.iter().enumerate() {
            let products = &mut sums[index * columns..(index + 1) * columns];
            for (sum, right) in products.iter_mut().zip(&centred) {
                *sum += left * right;
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    let freedom = rows.rows().saturating_sub(1).max(1) as f64;
    for sum in &mut sums {
        *sum /= freedom;
    }
    sums
}

/// Eigenvalues and, column by column, eigenvectors of a symmetric matrix, by cyclic Jacobi rotations
/// (G. Golub and C. Van Loan, *Matrix Computations*, 8.5). Small eigenvalues keep their relative
/// precision, and nothing is drawn at random.
fn symmetric_eigen(mut matrix: Vec<f64>, size: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; size * size];
    for index in 0..size {
        vectors[index * size + index] = 1.0;
    }
    for _ in 0..MAX_SWEEPS {
        let mut rotated = false;
        for p in 0..size {
            for q in p + 1..size {
                let off = matrix[p * size + q];
                let (a, b) = (matrix[p * size + p], matrix[q * size + q]);
                if off.abs() <= f64::EPSILON * 0.25 * (a.abs() * b.abs()).sqrt() || off == 0.0 {
                    continue;
                }
                rotated = true;
                rotate(&mut matrix, &mut vectors, size, (p, q));
            }
        }
        if !rotated {
            break;
        }
    }
    let values = (0..size)
        .map(|index| matrix[index * size + index])
        .collect();
    (values, vectors)
}

/// The rotation in the plane of `p` and `q` that makes their common entry 0.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, (p, q): (usize, usize)) {
    let off = matrix[p * size + q];
    let slope = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * off);
    let tangent = slope.signum() / (slope.abs() + slope.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |cells: &mut [f64], first: usize, second: usize| {
        let (a, b) = (cells[first], cells[second]);
        cells[first] = cosine * a - sine * b;
        cells[second] = sine * a + cosine * b;
    };
    for index in 0..size {
        turn(matrix, index * size + p, index * size + q);
    }
    for index in 0..size {
        turn(matrix, p * size + index, q * size + index);
    }
    // Zero by construction; what rounding leaves would be rotated for ever.
    matrix[p * size + q] = 0.0;
    matrix[q * size + p] = 0.0;
    for index in 0..size {
        turn(vectors, index * size + p, index * size + q);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_component() {
        let data: Vec<f64> = (0..10)
            .flat_map(|i| [f64::from(i) * 3.0, f64::from(i) * -4.0])
            .collect();
        let rows = Matrix::new(data, 10, 2).unwrap();
        let pca = Pca::fit(&rows, 2).unwrap();
        let first = pca.components().row(0);
        assert!(
            (first[0] + 0.6).abs() < 1e-12 && (first[1] - 0.8).abs() < 1e-12,
            "{first:?}"
        );
        assert!((pca.explained_variance_ratio()[0] - 1.0).abs() < 1e-12);
        let projected = pca.project(&rows).unwrap();
        assert!((projected.row(0)[0] - 22.5).abs() < 1e-12);
    }

    #[test]
    fn constant_columns_and_single_rows_have_no_variance() {
        let pca = Pca::fit(&Matrix::new(vec![5.0, 6.0], 1, 2).unwrap(), 2).unwrap();
        assert_eq!(pca.explained_variance(), [0.0, 0.0]);
        assert_eq!(pca.explained_variance_ratio(), [0.0, 0.0]);
        let one_column = Pca::fit(&Matrix::new(vec![5.0, 6.0], 2, 1).unwrap(), 2).unwrap();
        assert_eq!(one_column.components().data(), [1.0]);
        assert!(
            one_column
                .project(&Matrix::new(vec![1.0; 4], 2, 2).unwrap())
                .is_err()
        );
    }

    #[test]
    fn components_are_orthonormal() {
        let data: Vec<f64> = (0..60_u32).map(|i| f64::from(i * i * 31 % 97)).collect();
        let pca = Pca::fit(&Matrix::new(data, 12, 5).unwrap(), 5).unwrap();
        let components = pca.components();
        for a in 0..5 {
            for b in 0..5 {
                let pairs = components.row(a).iter().zip(components.row(b));
                let product: f64 = pairs.map(|(left, right)| left * right).sum();
                let expected = if a == b { 1.0 } else { 0.0 };
                assert!((product - expected).abs() < 1e-12, "{a} {b}: {product}");
            }
        }
        assert!(pca.explained_variance().is_sorted_by(|a, b| a >= b));
    }
}
