//! The table of numbers that kernels work on.

use crate::KernelError;
use crate::error::Extent;

/// A dense table of `rows` x `columns` numbers, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    data: Vec<f64>,
    rows: usize,
    columns: usize,
}

impl Matrix {
    /// A matrix of cells given row after row.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when there are not `rows` x `columns` of them.
    pub fn new(data: Vec<f64>, rows: usize, columns: usize) -> Result<Self, KernelError> {
        let expected = rows.saturating_mul(columns);
        if data.len() != expected {
            let actual = data.len();
            return Err(KernelError::Shape {
                what: "cells",
                expected,
                actual,
            });
        }
        Ok(Self {
            data,
            rows,
            columns,
        })
    }

    /// A matrix of columns, each of `rows` numbers: the way from column-wise data.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when a column has another length.
    pub fn from_columns(columns: &[Vec<f64>], rows: usize) -> Result<Self, KernelError> {
        for column in columns {
            if column.len() != rows {
                let actual = column.len();
                return Err(KernelError::Shape {
                    what: "rows of a column",
                    expected: rows,
                    actual,
                });
            }
        }
        let width = columns.len();
        let mut data = vec![0.0; rows * width];
        for (index, column) in columns.iter().enumerate() {
            for (row, value) in column.iter().enumerate() {
                data[row * width + index] = *value;
            }
        }
        Ok(Self {
            data,
            rows,
            columns: width,
        })
    }

    pub(crate) fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            data: vec![0.0; rows * columns],
            rows,
            columns,
        }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns there are.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// All cells, row after row.
    #[must_use]
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    pub(crate) fn data_mut(&mut self) -> &mut [f64] {
        &mut self.data
    }

    pub(crate) fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.data[index * self.columns..(index + 1) * self.columns]
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row, as an index does.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f64] {
        &self.data[index * self.columns..(index + 1) * self.columns]
    }

    /// Row after row.
    pub fn iter_rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        (0..self.rows).map(|index| self.row(index))
    }

    /// The rows with these numbers, in this order.
    ///
    /// # Panics
    /// When there is no such row, as an index does.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut data = Vec::with_capacity(indices.len() * self.columns);
        for index in indices {
            data.extend_from_slice(self.row(*index));
        }
        Self {
            data,
            rows: indices.len(),
            columns: self.columns,
        }
    }

    /// The mean of each column, by sums in the order of the rows.
    #[must_use]
    pub fn column_means(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.columns];
        for row in self.iter_rows() {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
        let count = self.rows.max(1) as f64;
        sums.iter().map(|sum| sum / count).collect()
    }

    /// Refuses what has no distances: no rows, no columns, NaN or infinite cells.
    ///
    /// # Errors
    /// [`KernelError::Empty`], or [`KernelError::NotFinite`] with the first such cell.
    pub fn check(&self) -> Result<(), KernelError> {
        if self.columns == 0 {
            return Err(KernelError::Empty(Extent::Columns));
        }
        if self.rows == 0 {
            return Err(KernelError::Empty(Extent::Rows));
        }
        // All cells of a block at once first: to stop at the first would be to take them one by one.
        let is_finite = |block: &[f64]| block.iter().fold(true, |all, it| all & it.is_finite());
        if self.data.chunks(4096).all(is_finite) {
            return Ok(());
        }
        match self.data.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(cell) => Err(KernelError::NotFinite {
                row: cell / self.columns,
                column: cell % self.columns,
                value: self.data[cell],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_rows_say_the_same() {
        let by_columns = Matrix::from_columns(&[vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]], 2);
        let by_rows = Matrix::new(vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0], 2, 3);
        assert_eq!(by_columns, by_rows);
    }

    #[test]
    fn a_cell_that_is_not_finite_is_named() {
        let matrix = Matrix::new(vec![1.0, 2.0, 3.0, f64::NEG_INFINITY], 2, 2).unwrap();
        let expected = KernelError::NotFinite {
            row: 1,
            column: 1,
            value: f64::NEG_INFINITY,
        };
        assert_eq!(matrix.check(), Err(expected));
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        assert!(Matrix::new(vec![1.0; 5], 2, 3).is_err());
        assert!(Matrix::from_columns(&[vec![1.0], vec![1.0, 2.0]], 1).is_err());
        assert!(Matrix::new(Vec::new(), 0, 3).unwrap().check().is_err());
        assert!(Matrix::new(Vec::new(), 3, 0).unwrap().check().is_err());
    }
}
